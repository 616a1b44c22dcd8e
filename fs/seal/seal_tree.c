/*
 * seal_tree - the tree file of a checkpoint while it is being sealed
 */
#include "sealfs/tree.h"

#include <fcntl.h>
#include <stdio.h>

#include "seal_internal.h"

int seal_tree_begin(const struct store *store, int dir, uint64_t size, struct seal_tree *tree)
{
	char token[STORE_TOKEN_SIZE];

	tree->size = size;
	tree->file.store = store;
	if (size == 0)
		return 0;
	store_token(token);
	snprintf(tree->name, sizeof(tree->name), ".new.%s", token);
	tree->file.fd = store->ops->openat(store->ctx, dir, tree->name,
					   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (tree->file.fd < 0)
		return tree->file.fd;
	return store->ops->fchmod(store->ctx, tree->file.fd, 0644);
}

void seal_tree_next(struct seal_tree *tree, uint64_t file_size)
{
	tree->writer.store = tree->file.store;
	tree->writer.fd = tree->file.fd;
	tree->writer.base += tree->writer.shape.total;
	tree_shape_of(file_size, &tree->writer.shape);
}

int seal_tree_finish(struct seal_tree *tree)
{
	const struct store *store = tree->file.store;
	int rc, closed;

	if (tree->size == 0)
		return 0;
	rc = store->ops->fsync(store->ctx, tree->file.fd);
	closed = store->ops->close(store->ctx, held_take(&tree->file));
	return rc < 0 ? rc : closed;
}

int seal_tree_place(const struct seal_tree *tree, int dir)
{
	const struct store *store = tree->file.store;
	int rc;

	if (tree->size > 0)
		return store->ops->renameat2(store->ctx, dir, tree->name, dir, TREE_FILE, 0);
	/* one of an attempt that found more to seal */
	rc = store->ops->unlinkat(store->ctx, dir, TREE_FILE, 0);
	return rc == -ENOENT ? 0 : rc;
}
