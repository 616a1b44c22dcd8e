#include "lineage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cleanup.h"
#include "sealfs/escape.h"

struct lineage_index {
	char *key;
	size_t node;
	UT_hash_handle hh;
};

void lineage_node_free(struct lineage_node *node)
{
	for (size_t i = 0; i < node->listed_count; i++)
		free(node->listed[i].path);
	free(node->listed);
	free(node->where);
	free(node->path);
	free(node->damage);
	free(node->trial);
	free(node->host);
	free(node->metric);
	free(node->manifest);
	free(node->parents.nodes);
	free(node->children.nodes);
	*node = (struct lineage_node){0};
}

void lineage_free(struct lineage *lineage)
{
	struct lineage_index *entry, *next;

	HASH_ITER(hh, lineage->index, entry, next)
	{
		HASH_DEL(lineage->index, entry);
		free(entry->key);
		free(entry);
	}
	for (size_t i = 0; i < lineage->count; i++)
		lineage_node_free(&lineage->nodes[i]);
	free(lineage->nodes);
	*lineage = (struct lineage){0};
}

/* Escaped, so that a blank can divide. Allocated. */
static char *key_of(const char *where, const char *path, const struct digest *root)
{
	AUTO_FREE char *where_text = escape_text(where), *path_text = escape_text(path);
	char hex[DIGEST_HEX_SIZE] = "", *key;

	if (root)
		digest_to_hex(root, hex);
	if (!where_text || !path_text || asprintf(&key, "%s %s %s", hex, where_text, path_text) < 0)
		return NULL;
	return key;
}

size_t lineage_find(const struct lineage *lineage, const char *where, const char *path, const struct digest *root)
{
	AUTO_FREE char *key = key_of(where, path, root);
	struct lineage_index *entry = NULL;

	if (key)
		HASH_FIND_STR(lineage->index, key, entry);
	return entry ? entry->node : SIZE_MAX;
}

static int grow(struct lineage *lineage)
{
	size_t capacity = lineage->capacity ? lineage->capacity * 2 : 64;
	struct lineage_node *nodes;

	if (lineage->count < lineage->capacity)
		return 0;
	nodes = reallocarray(lineage->nodes, capacity, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	lineage->nodes = nodes;
	lineage->capacity = capacity;
	return 0;
}

int lineage_add(struct lineage *lineage, struct lineage_node *node, size_t *index)
{
	struct lineage_index *entry = calloc(1, sizeof(*entry));
	char *key = key_of(node->where, node->path, node->standing == LINEAGE_PRESENT ? NULL : &node->root);

	if (!entry || !key || grow(lineage)) {
		free(entry);
		free(key);
		lineage_node_free(node);
		return -ENOMEM;
	}
	entry->key = key;
	entry->node = *index = lineage->count;
	HASH_ADD_KEYPTR(hh, lineage->index, entry->key, strlen(entry->key), entry);
	lineage->nodes[lineage->count++] = *node;
	lineage->damaged += node->damage != NULL;
	return 0;
}

int lineage_links_add(struct lineage_links *links, size_t node)
{
	if (links->count == links->capacity) {
		size_t capacity = links->capacity ? links->capacity * 2 : 4;
		size_t *nodes = reallocarray(links->nodes, capacity, sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		links->nodes = nodes;
		links->capacity = capacity;
	}
	links->nodes[links->count++] = node;
	return 0;
}

int lineage_link(struct lineage *lineage, size_t parent, size_t child)
{
	struct lineage_links *parents = &lineage->nodes[child].parents;

	if (parent == child)
		return 0;
	for (size_t i = 0; i < parents->count; i++)
		if (parents->nodes[i] == parent)
			return 0;
	lineage->replaced += lineage->nodes[parent].standing == LINEAGE_REPLACED;
	return lineage_links_add(parents, parent) ? -ENOMEM
						  : lineage_links_add(&lineage->nodes[parent].children, child);
}

const char *lineage_state(const struct lineage_node *node)
{
	switch (node->standing) {
	case LINEAGE_REPLACED:
		return "replaced since";
	case LINEAGE_GONE:
		return "gone";
	case LINEAGE_NOT_SEALED:
		return "not sealed";
	case LINEAGE_ELSEWHERE:
		return "elsewhere";
	default:
		return node->damage ? "damaged" : state_name(node->now);
	}
}

const char *lineage_class(const struct lineage_node *node)
{
	switch (node->standing) {
	case LINEAGE_REPLACED:
		return "replaced";
	case LINEAGE_NOT_SEALED:
		return "not-sealed";
	default:
		return lineage_state(node);
	}
}

void lineage_root(bool known, const struct digest *root, unsigned int digits, char text[LINEAGE_ROOT_SIZE])
{
	char hex[DIGEST_HEX_SIZE];

	text[0] = '\0';
	if (!known)
		return;
	digest_to_hex(root, hex);
	snprintf(text, LINEAGE_ROOT_SIZE, "sha256:%.*s%s", (int)digits, hex, digits < 2 * DIGEST_SIZE ? "…" : "");
}
