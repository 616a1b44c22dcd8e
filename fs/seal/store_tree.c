/*
 * store_tree - deleting a tree
 *
 * Directories are listed breadth first and removed last to first: neither the depth of a tree nor its width costs
 * descriptors or stack.
 */
#include "sealfs/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define ROUNDS 4 /* for entries that appear, or that a listing skipped, while we delete */

struct tree {
	const struct store *store;
	char **dirs; /* relative to the tree's top, which is the first: "" */
	size_t count, capacity;
	size_t current; /* the directory being emptied, and its descriptor */
	int fd;
};

static void tree_free(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		free(tree->dirs[i]);
	free(tree->dirs);
}

/* Takes over `path`. */
static int tree_push(struct tree *tree, char *path)
{
	if (path && tree->count == tree->capacity) {
		size_t capacity = tree->capacity ? tree->capacity * 2 : 16;
		char **dirs = reallocarray(tree->dirs, capacity, sizeof(*dirs));

		if (!dirs) {
			free(path);
			return -ENOMEM;
		}
		tree->dirs = dirs;
		tree->capacity = capacity;
	}
	if (!path)
		return -ENOMEM;
	tree->dirs[tree->count++] = path;
	return 0;
}

static int push_below(struct tree *tree, const char *name)
{
	const char *parent = tree->dirs[tree->current];
	char *path;

	if (asprintf(&path, "%s%s%s", parent, *parent ? "/" : "", name) < 0)
		path = NULL;
	return tree_push(tree, path);
}

static int is_dir(const struct store *store, int dirfd, const char *name)
{
	struct statx st;
	int rc = store->ops->statx(store->ctx, dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st);

	return rc < 0 ? rc : S_ISDIR(st.stx_mode);
}

static int empty_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	struct tree *tree = arg;
	int rc = type == DT_DIR;

	if (type == DT_UNKNOWN)
		rc = is_dir(tree->store, tree->fd, name);
	if (rc == 0)
		rc = tree->store->ops->unlinkat(tree->store->ctx, tree->fd, name, 0);
	else if (rc > 0)
		rc = push_below(tree, name);
	return rc == -ENOENT ? 0 : rc;
}

static int empty_dir(struct tree *tree, int top)
{
	AUTO_FD(dir, tree->store);
	int rc;

	dir.fd = store_open_known_dir(tree->store, top, tree->dirs[tree->current]);
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	tree->fd = dir.fd;
	rc = store_each_entry(tree->store, dir.fd, empty_entry, tree);
	return rc == -ENOENT ? 0 : rc;
}

static int remove_one_dir(const struct store *store, int top, const char *path)
{
	AUTO_FD(parent, store);
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *above = strndup(path, slash ? (size_t)(slash - path) : 0);

	if (!above)
		return -ENOMEM;
	parent.fd = store_open_known_dir(store, top, above);
	return parent.fd < 0 ? parent.fd
			     : store->ops->unlinkat(store->ctx, parent.fd, slash ? slash + 1 : path, AT_REMOVEDIR);
}

static int remove_dirs(struct tree *tree, int top)
{
	for (size_t i = tree->count; i-- > 1;) {
		int rc = remove_one_dir(tree->store, top, tree->dirs[i]);

		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	return 0;
}

static int remove_round(const struct store *store, int dirfd, const char *name)
{
	__attribute__((cleanup(tree_free))) struct tree tree = {.store = store};
	AUTO_FD(top, store);
	int rc;

	top.fd = store_open_dir(store, dirfd, name);
	if (top.fd < 0)
		return top.fd;
	rc = tree_push(&tree, strdup(""));
	for (; rc == 0 && tree.current < tree.count; tree.current++)
		rc = empty_dir(&tree, top.fd);
	if (rc == 0)
		rc = remove_dirs(&tree, top.fd);
	return rc < 0 ? rc : store->ops->unlinkat(store->ctx, dirfd, name, AT_REMOVEDIR);
}

int store_remove_tree(const struct store *store, int dirfd, const char *name)
{
	int rc = store->ops->unlinkat(store->ctx, dirfd, name, 0);

	if (rc == 0 || rc == -ENOENT)
		return 0;
	/* EISDIR is Linux's answer for a directory, EPERM that of POSIX. */
	if (rc != -EISDIR && (rc != -EPERM || is_dir(store, dirfd, name) <= 0))
		return rc;
	for (int round = 0; round < ROUNDS; round++) {
		rc = remove_round(store, dirfd, name);
		if (rc != -ENOTEMPTY && rc != -EEXIST)
			break;
	}
	return rc == -ENOENT ? 0 : rc;
}
