#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "lineage.h"
#include "sealfs/manifest.h"

/* What is read at a path, and what is kept of it. */
struct loading {
	struct lineage *lineage;
	const struct subject *subject;
	size_t lines;
};

static int say_damage(struct lineage_node *node, const char *why)
{
	node->damage = strdup(why ? why : "it is damaged");
	return node->damage ? 0 : -ENOMEM;
}

/* Cuts the text after so many lines; counts all. */
static void cut_lines(char *text, size_t lines, size_t *all)
{
	*all = 0;
	for (char *at = text; (at = strchr(at, '\n')); at++)
		if (++*all == lines)
			text = at + 1;
	if (*all > lines)
		*text = '\0';
}

static int keep_manifest(const struct loading *loading, const struct manifest *manifest, struct lineage_node *node)
{
	struct digest root;
	size_t size;
	int error;

	if (!loading->lines)
		return 0;
	error = manifest_format(manifest, &node->manifest, &size, &root);
	if (error) {
		node->manifest = NULL;
		return error;
	}
	cut_lines(node->manifest, loading->lines, &node->manifest_lines);
	return 0;
}

/* Moves what the seal knows into the node. */
static void take_seal(struct seal *seal, struct lineage_node *node)
{
	node->has_seal = true;
	node->trial = seal->trial;
	node->host = seal->host;
	node->time_ns = seal->time_ns;
	node->files = seal->files;
	node->bytes = seal->bytes;
	node->listed = seal->parents;
	node->listed_count = seal->parent_count;
	seal->trial = seal->host = NULL;
	seal->parents = NULL;
	seal->parent_count = 0;
}

static int read_seal(const struct loading *loading, const struct state *state, struct lineage_node *node)
{
	const struct store *store = &loading->subject->store;
	CLEANUP(manifest_free) struct manifest manifest = {0};
	CLEANUP(seal_free) struct seal seal = {0};
	AUTO_FREE char *why = NULL;
	int error = seal_root(store, node->path, state, &node->root);

	node->has_root = !error;
	if (error && error != -EBADMSG)
		return error;
	error = seal_load(store, node->path, state, &manifest, &seal, &why);
	if (error == -EBADMSG)
		return say_damage(node, why);
	if (error)
		return error;
	take_seal(&seal, node);
	return keep_manifest(loading, &manifest, node);
}

/* What is at `path` now. Only on success there is something to be freed. */
static int look(const struct loading *loading, const char *path, struct lineage_node *node)
{
	CLEANUP(state_free) struct state state = {0};
	int error;

	*node = (struct lineage_node){.where = strdup(loading->subject->root), .path = strdup(path)};
	error = node->where && node->path ? state_read(&loading->subject->store, path, &state) : -ENOMEM;
	if (!error) {
		node->now = state.kind;
		if (state.kind == STATE_SEALED)
			error = read_seal(loading, &state, node);
		else if (state.kind == STATE_DAMAGED)
			error = say_damage(node, state.damage);
	}
	if (error)
		lineage_node_free(node);
	return error;
}

static bool is_that(const struct lineage_node *node, const struct digest *root)
{
	return node->has_root && digest_equal(&node->root, root);
}

/* What became of a listed parent when `now` is at its path, which is not it; NULL: nobody knows. */
static void judge(struct lineage_node *listed, const struct lineage_node *now)
{
	listed->standing = LINEAGE_ELSEWHERE;
	if (!now)
		return;
	listed->now = now->now;
	listed->has_other = now->has_root;
	listed->other = now->root;
	if (now->now == STATE_SEALED)
		listed->standing = LINEAGE_REPLACED;
	else
		listed->standing = now->now == STATE_ABSENT ? LINEAGE_GONE : LINEAGE_NOT_SEALED;
}

static int add_listed(const struct loading *loading, const struct seal_parent *parent, const struct lineage_node *now,
		      size_t *index)
{
	struct lineage_node node = {.has_root = true, .root = parent->root};

	node.where = strdup(loading->subject->root);
	node.path = strdup(parent->path);
	if (node.where && node.path) {
		judge(&node, now);
		return lineage_add(loading->lineage, &node, index);
	}
	lineage_node_free(&node);
	return -ENOMEM;
}

/* A copy may be called anything, so its parents are known by their content alone. */
static size_t find_copy(const struct loading *loading, const struct digest *root)
{
	const struct lineage *lineage = loading->lineage;

	for (size_t i = 0; i < lineage->count; i++)
		if (lineage->nodes[i].standing == LINEAGE_PRESENT && is_that(&lineage->nodes[i], root) &&
		    !strcmp(lineage->nodes[i].where, loading->subject->root))
			return i;
	return SIZE_MAX;
}

static int look_at_parent(const struct loading *loading, const struct seal_parent *parent, size_t *index)
{
	struct lineage_node node = {.now = STATE_ABSENT};
	int error = 0;

	/* A path that no checkpoint can have comes from a seal of another export. */
	if (state_path_valid(parent->path, loading->subject->config.depth))
		error = look(loading, parent->path, &node);
	if (error)
		return error;
	if (is_that(&node, &parent->root))
		return lineage_add(loading->lineage, &node, index);
	error = add_listed(loading, parent, &node, index);
	lineage_node_free(&node);
	return error;
}

static int find_parent(const struct loading *loading, const struct seal_parent *parent, size_t *index)
{
	const struct lineage *lineage = loading->lineage;
	const char *where = loading->subject->root;
	bool copy = loading->subject->kind == SUBJECT_COPY;
	size_t now = copy ? find_copy(loading, &parent->root) : lineage_find(lineage, where, parent->path, NULL);

	*index = now;
	if (now != SIZE_MAX && is_that(&lineage->nodes[now], &parent->root))
		return 0;
	*index = lineage_find(lineage, where, parent->path, &parent->root);
	if (*index != SIZE_MAX)
		return 0;
	if (now == SIZE_MAX && !copy)
		return look_at_parent(loading, parent, index);
	return add_listed(loading, parent, copy ? NULL : &lineage->nodes[now], index);
}

static int link_listed(const struct loading *loading, size_t child)
{
	struct lineage *lineage = loading->lineage;
	int error = 0;

	/* The nodes may move in memory when one is added. */
	for (size_t i = 0; i < lineage->nodes[child].listed_count && !error; i++) {
		size_t parent;

		error = find_parent(loading, &lineage->nodes[child].listed[i], &parent);
		if (!error)
			error = lineage_link(lineage, parent, child);
	}
	return error;
}

/* What was never told to sealfs is nobody's ancestor; a whole export may hold much of it. */
static bool is_wanted(const struct loading *loading, const struct lineage_node *node)
{
	return !loading->subject->whole || (node->now != STATE_ABSENT && node->now != STATE_PLAIN);
}

static int load_one(const struct loading *loading, const char *path, struct lineage_links *shown)
{
	struct lineage *lineage = loading->lineage;
	size_t index = lineage_find(lineage, loading->subject->root, path, NULL);
	struct lineage_node node;
	int error = index == SIZE_MAX ? look(loading, path, &node) : 0;

	if (error)
		return error;
	if (index != SIZE_MAX)
		return lineage_links_add(shown, index);
	if (!is_wanted(loading, &node) || node.now == STATE_ABSENT) {
		error = loading->subject->whole ? 0 : -ENOENT;
		lineage_node_free(&node);
		return error;
	}
	error = lineage_add(lineage, &node, &index);
	return error ? error : lineage_links_add(shown, index);
}

int lineage_load(struct lineage *lineage, const struct subject *subject, size_t lines, struct lineage_links *shown)
{
	struct loading loading = {lineage, subject, lines};
	size_t first = lineage->count;
	int error = 0;

	for (size_t i = 0; i < subject->checkpoints.count && !error; i++)
		error = load_one(&loading, subject->checkpoints.paths[i], shown);
	/* Ancestors that are found are added at the end, and have their turn. */
	for (size_t i = first; i < lineage->count && !error; i++)
		error = link_listed(&loading, i);
	return error;
}
