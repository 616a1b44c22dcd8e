/* node_name.c - the names of nodes, and what becomes of them when something is removed or renamed */
#include "node_internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define TRIM_LEAST 4096 /* nodes, about 1 MiB */
#define SHRINK_FACTOR 4 /* more buckets than that for each item */

static void make_key(char *key, const struct node *parent, const char *name, size_t length)
{
	memcpy(key, &parent, sizeof(parent));
	memcpy(key + sizeof(parent), name, length);
}

struct node_name *node_find_name_locked(struct nodes *nodes, const struct node *parent, const char *name)
{
	char key[sizeof(parent) + NAME_MAX + 1];
	size_t length = strnlen(name, NAME_MAX + 1);
	struct node_name *found = NULL;

	if (length > NAME_MAX)
		return NULL;
	make_key(key, parent, name, length);
	HASH_FIND(hh, nodes->by_name, key, sizeof(parent) + length, found);
	return found;
}

/* Takes the row out of the table, or from behind the one that is in it. */
static void unlink_row(struct nodes *nodes, struct node_name *name)
{
	struct node_name *top = NULL;

	HASH_FIND(hh, nodes->by_name, name->key, name->key_size, top);
	if (top != name) {
		while (top->twin != name)
			top = top->twin;
		top->twin = name->twin;
		return;
	}
	HASH_DEL(nodes->by_name, name);
	if (name->twin)
		HASH_ADD(hh, nodes->by_name, key, name->key_size, name->twin);
}

void node_remove_name_locked(struct nodes *nodes, struct node_name *name, struct node **garbage)
{
	struct node *node = name->node;

	LL_DELETE(node->names, name);
	unlink_row(nodes, name);
	if (!node->names && node->hashed) {
		/* its number may be given out again: what is found under it from now on is another file */
		HASH_DEL(nodes->by_inode, node);
		node->hashed = false;
	}
	node_put_locked(nodes, name->parent, garbage);
	free(name);
}

/* Nothing has the name any more. */
static void clear_name(struct nodes *nodes, struct node *parent, const char *text, struct node **garbage)
{
	struct node_name *name;

	while ((name = node_find_name_locked(nodes, parent, text)))
		node_remove_name_locked(nodes, name, garbage);
}

/* Two nodes of one file, of which one was looked up before the seal and the other after it. */
static bool are_twins(const struct node *a, const struct node *b)
{
	return a->key.device == b->key.device && a->key.inode == b->key.inode && a->key.scope == b->key.scope && a->type == b->type &&
	       a->born.tv_sec == b->born.tv_sec && a->born.tv_nsec == b->born.tv_nsec;
}

/* The node's row of that name, if it has one. */
static struct node_name *row_of(struct node_name *top, const struct node *node)
{
	while (top && top->node != node)
		top = top->twin;
	return top;
}

/* Puts a row that is not in the table on top of those of the same name. */
static void put_on_top(struct nodes *nodes, struct node_name *name, struct node_name *top)
{
	name->twin = top;
	if (top)
		HASH_DEL(nodes->by_name, top);
	HASH_ADD(hh, nodes->by_name, key, name->key_size, name);
}

int node_add_name_locked(struct nodes *nodes, struct node *node, struct node *parent, const char *text, struct node **garbage)
{
	struct node_name *top = node_find_name_locked(nodes, parent, text), *name = row_of(top, node);
	size_t length = strlen(text);

	if (name && name == top)
		return 0;
	if (name) {
		unlink_row(nodes, name);
		put_on_top(nodes, name, top);
		return 0;
	}
	if (top && !are_twins(top->node, node)) {
		clear_name(nodes, parent, text, garbage);
		top = NULL;
	}
	/* a directory has one name only: it was renamed behind our back */
	while (S_ISDIR(node->type) && node->names)
		node_remove_name_locked(nodes, node->names, garbage);
	name = calloc(1, sizeof(*name) + sizeof(parent) + length + 1);
	if (!name)
		return -ENOMEM;
	make_key(name->key, parent, text, length);
	name->key_size = (unsigned int)(sizeof(parent) + length);
	name->name = name->key + sizeof(parent);
	name->node = node;
	name->parent = parent;
	parent->refs++;
	LL_PREPEND(node->names, name);
	put_on_top(nodes, name, top);
	if (!node->hashed) {
		HASH_ADD(hh, nodes->by_inode, key, sizeof(node->key), node);
		node->hashed = true;
	}
	return 0;
}

void node_retire_locked(struct nodes *nodes, struct node *node, struct node **garbage)
{
	if (node->lookups || node->refs)
		return;
	node->refs++; /* so that removing its own names does not come here again */
	while (node->names)
		node_remove_name_locked(nodes, node->names, garbage);
	if (node->hashed)
		HASH_DEL(nodes->by_inode, node);
	node->hashed = false;
	if (node->promise_parent)
		node_put_locked(nodes, node->promise_parent, garbage);
	DL_DELETE2(nodes->all, node, all_prev, all_next);
	node->promise_parent = *garbage;
	*garbage = node;
}

void node_put_locked(struct nodes *nodes, struct node *node, struct node **garbage)
{
	node->refs--;
	node_retire_locked(nodes, node, garbage);
}

/* A table has grown with what was in it, and keeps its buckets (16 bytes for ten items, at most) when that has gone. The same items, in one that suits them. */
#define SHRINK_TABLE(table)                                                                                                        \
	do {                                                                                                                       \
		typeof(table) item = (table), next;                                                                                \
		if (!item || item->hh.tbl->num_buckets <= SHRINK_FACTOR * (HASH_CNT(hh, item) + HASH_INITIAL_NUM_BUCKETS))         \
			break;                                                                                                     \
		HASH_CLEAR(hh, table); /* forgets the items, which stay chained */                                                 \
		for (; item; item = next) {                                                                                        \
			next = item->hh.next;                                                                                      \
			HASH_ADD_KEYPTR_BYHASHVALUE(hh, table, item->hh.key, item->hh.keylen, item->hh.hashv, item);               \
		}                                                                                                                  \
	} while (0)

/*
 * The allocator keeps what it is given back. Once as many nodes were freed as are left, the pages between those go back to the system: seldom enough, since it takes
 * longer the more there are, and no tree that was walked through once stays in memory.
 */
static void trim_memory(struct nodes *nodes, unsigned long freed)
{
	unsigned long sum = atomic_fetch_add(&nodes->freed, freed) + freed;

	if (sum < TRIM_LEAST || sum < atomic_load(&nodes->count))
		return;
	/* one of those who come at the same time */
	if (atomic_exchange(&nodes->freed, 0) < TRIM_LEAST)
		return;
	pthread_mutex_lock(&nodes->lock);
	SHRINK_TABLE(nodes->by_inode);
	SHRINK_TABLE(nodes->by_name);
	pthread_mutex_unlock(&nodes->lock);
	malloc_trim(0);
}

void node_free_garbage(struct nodes *nodes, struct node *garbage)
{
	unsigned long freed = 0;

	while (garbage) {
		struct node *next = garbage->promise_parent;
		if (garbage->directory >= 0)
			close(garbage->directory);
		gate_checkpoint_put(garbage->checkpoint);
		free(garbage->promise_name);
		free(garbage);
		garbage = next;
		freed++;
	}
	if (!freed)
		return;
	atomic_fetch_sub(&nodes->count, freed);
	trim_memory(nodes, freed);
}

void node_unlinked(struct nodes *nodes, struct node *parent, const char *name)
{
	struct node *garbage = NULL;

	pthread_mutex_lock(&nodes->lock);
	clear_name(nodes, parent, name, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	node_free_garbage(nodes, garbage);
}

void node_renamed(struct nodes *nodes, struct node *old_parent, const char *old_name, struct node *new_parent, const char *new_name, bool exchange)
{
	struct node *garbage = NULL, *moved = NULL, *replaced = NULL;
	char path[PATH_MAX] = "", other_path[PATH_MAX] = "";
	struct gate_checkpoint *dropped[2] = {NULL, NULL};

	node_path(nodes, new_parent, new_name, path);
	node_path(nodes, old_parent, old_name, other_path);
	pthread_mutex_lock(&nodes->lock);
	struct node_name *from = node_find_name_locked(nodes, old_parent, old_name);
	struct node_name *to = node_find_name_locked(nodes, new_parent, new_name);
	if (from) {
		moved = from->node;
		moved->refs++;
	}
	if (to) {
		replaced = to->node;
		replaced->refs++;
		clear_name(nodes, new_parent, new_name, &garbage);
	}
	/* two names of one file: rename does nothing */
	if (moved && moved != replaced) {
		clear_name(nodes, old_parent, old_name, &garbage);
		node_add_name_locked(nodes, moved, new_parent, new_name, &garbage);
		dropped[0] = moved->checkpoint;
		moved->checkpoint = NULL;
		node_attach_checkpoint_locked(nodes, moved, new_parent, path);
		node_rescope_locked(nodes, moved);
	} else if (moved) {
		node_add_name_locked(nodes, moved, new_parent, new_name, &garbage);
	}
	if (replaced && exchange && moved != replaced) {
		node_add_name_locked(nodes, replaced, old_parent, old_name, &garbage);
		dropped[1] = replaced->checkpoint;
		replaced->checkpoint = NULL;
		node_attach_checkpoint_locked(nodes, replaced, old_parent, other_path);
		node_rescope_locked(nodes, replaced);
	}
	if (moved)
		node_put_locked(nodes, moved, &garbage);
	if (replaced)
		node_put_locked(nodes, replaced, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	node_free_garbage(nodes, garbage);
	gate_checkpoint_put(dropped[0]);
	gate_checkpoint_put(dropped[1]);
}
