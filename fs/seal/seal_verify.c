/*
 * seal_verify - comparing what is there with what was sealed
 */
#include "sealfs/seal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "seal_internal.h"

struct verification {
	const struct store *store;
	struct seal_place place;
	unsigned int threads;
	const struct digest_progress *progress;
	void (*fault)(void *arg, const struct seal_fault *fault);
	void *arg;
	int faults;
};

static int found(struct verification *v, const char *path, const char *why)
{
	struct seal_fault fault = {.path = path, .why = why};

	if (v->fault)
		v->fault(v->arg, &fault);
	if (v->faults < INT_MAX)
		v->faults++;
	return 0;
}

static int compare_content(struct verification *v, const struct manifest_entry *sealed)
{
	AUTO_FD(fd, v->store);
	struct digest digest;
	struct statx st;
	int rc;

	fd.fd = seal_place_open_file(&v->place, sealed->path, &st);
	if (fd.fd == -ENOENT || fd.fd == -ENOTDIR)
		return found(v, sealed->path, "missing");
	if (fd.fd == -EINVAL)
		return found(v, sealed->path, "type differs");
	if (fd.fd < 0)
		return fd.fd;
	if (st.stx_size != sealed->size)
		return found(v, sealed->path, "size differs");
	rc = digest_file(v->store, fd.fd, sealed->size, v->threads, v->progress, &digest);
	if (rc == -EBADMSG)
		return found(v, sealed->path, "size differs");
	if (rc < 0)
		return rc;
	return digest_equal(&digest, &sealed->digest) ? 0 : found(v, sealed->path, "content differs");
}

static int compare_file(struct verification *v, const struct manifest_entry *sealed, const struct manifest_entry *there)
{
	if (there->executable != sealed->executable)
		found(v, sealed->path, "mode differs");
	if (there->size != sealed->size)
		return found(v, sealed->path, "size differs");
	return compare_content(v, sealed);
}

static int compare_entry(struct verification *v, const struct manifest_entry *sealed,
			 const struct manifest_entry *there)
{
	if (sealed->type != there->type)
		return found(v, sealed->path, "type differs");
	switch (sealed->type) {
	case MANIFEST_FILE:
		return compare_file(v, sealed, there);
	case MANIFEST_SYMLINK:
		return strcmp(sealed->target, there->target) == 0 ? 0 : found(v, sealed->path, "target differs");
	default:
		return 0;
	}
}

/* Both lists are sorted: one pass through both. */
static int compare(struct verification *v, const struct manifest *sealed, const struct manifest *there)
{
	size_t i = 0, j = 0;
	int rc = 0;

	while (rc == 0 && (i < sealed->count || j < there->count)) {
		int order = i == sealed->count  ? 1
			    : j == there->count ? -1
						: strcmp(sealed->entries[i].path, there->entries[j].path);

		if (order < 0)
			rc = found(v, sealed->entries[i++].path, "missing");
		else if (order > 0)
			rc = found(v, there->entries[j++].path, "not in the manifest");
		else
			rc = compare_entry(v, &sealed->entries[i++], &there->entries[j++]);
	}
	return rc;
}

int seal_verify(const struct store *store, int dirfd, const char *name, const struct manifest *manifest,
		char *const *live, unsigned int threads, const struct digest_progress *progress,
		void (*fault)(void *arg, const struct seal_fault *fault), void *arg)
{
	struct verification v = {.store = store, .threads = threads, .progress = progress, .fault = fault, .arg = arg};
	struct manifest_filter filter = {.live = live};
	AUTO_MANIFEST there = {0};
	AUTO_FD(top, store);
	int rc = seal_place_open(store, dirfd, name, &top, &v.place);

	if (rc == 0)
		rc = manifest_scan(store, dirfd, name, &filter, &there);
	if (rc == 0)
		rc = compare(&v, manifest, &there);
	return rc < 0 ? rc : v.faults;
}
