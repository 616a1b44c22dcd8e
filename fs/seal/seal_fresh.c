/*
 * seal_fresh - files of the seal folder while they are in the making
 */
#include "seal_internal.h"

#include <stdio.h>

int seal_fresh_write(const struct store *store, int dir, const char *text, size_t size, struct seal_fresh *out)
{
	char token[STORE_TOKEN_SIZE];

	store_token(token);
	snprintf(out->name, sizeof(out->name), ".new.%s", token);
	return store_create_file(store, dir, out->name, text, size, 0644, 0);
}

static int remove_fresh(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	const struct held_fd *dir = arg;
	int rc = 0;

	if (strncmp(name, ".new.", 5) == 0 || strncmp(name, ".tmp.", 5) == 0)
		rc = dir->store->ops->unlinkat(dir->store->ctx, dir->fd, name, 0);
	return rc == -ENOENT ? 0 : rc;
}

int seal_fresh_remove(struct held_fd *dir)
{
	return store_each_entry(dir->store, dir->fd, remove_fresh, dir);
}

int seal_fresh_confirm(const struct store *store, int dir, const char *name, size_t limit,
		       const struct digest *expected)
{
	AUTO_FREE char *text = NULL;
	struct digest digest;
	size_t size;
	int rc = store_read_file(store, dir, name, limit, &text, &size);

	if (rc < 0)
		return rc;
	digest_sha256(text, size, &digest);
	return digest_equal(&digest, expected) ? 0 : -EAGAIN;
}
