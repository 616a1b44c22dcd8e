/*
 * seal_sync - what a machine still has in its cache reaches the export, and it is known whether it did
 */
#include "sealfs/seal.h"

#include "seal_internal.h"

static int sync_file(const struct seal_place *place, const char *path)
{
	AUTO_FD(file, place->store);
	struct statx st;

	file.fd = seal_place_open_file(place, path, &st);
	if (file.fd >= 0)
		return place->store->ops->fsync(place->store->ctx, file.fd);
	/* Removed, or replaced, since it was listed. */
	return file.fd == -ENOENT || file.fd == -EINVAL || file.fd == -ENOTDIR ? 0 : file.fd;
}

static int sync_all(const struct seal_place *place, const struct manifest *manifest, char **error_path)
{
	for (size_t i = 0; i < manifest->count; i++) {
		const char *path = manifest->entries[i].path;
		int rc = manifest->entries[i].type == MANIFEST_FILE ? sync_file(place, path) : 0;

		if (rc < 0) {
			*error_path = strdup(path);
			return rc;
		}
	}
	return 0;
}

int seal_sync(const struct store *store, const char *path, char *const *live, char **error_path)
{
	struct manifest_filter filter = {.live = live};
	struct seal_place place;
	struct manifest manifest;
	AUTO_FD(dir, store);
	AUTO_FD(top, store);
	const char *name;
	int rc;

	*error_path = NULL;
	dir.fd = store_open_parent(store, store->root, path, &name);
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	rc = manifest_scan(store, dir.fd, name, &filter, &manifest);
	if (rc == 0)
		rc = seal_place_open(store, dir.fd, name, &top, &place);
	if (rc == 0)
		rc = sync_all(&place, &manifest, error_path);
	manifest_free(&manifest);
	return rc == -ENOENT ? 0 : rc;
}
