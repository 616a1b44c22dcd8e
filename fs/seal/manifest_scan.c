/*
 * manifest_scan - what is in a checkpoint, listed breadth first: depth costs neither descriptors nor stack
 */
#include "sealfs/manifest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct scan {
	const struct store *store;
	const struct manifest_filter *filter;
	struct manifest *out;
	char *dir; /* the directory being listed, relative to the checkpoint */
	int fd;
};

static char *path_below(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0 ? NULL : path;
}

static int read_target(const struct store *store, int dirfd, const char *name, char target[PATH_MAX])
{
	ssize_t size = store->ops->readlinkat(store->ctx, dirfd, name, target, PATH_MAX);

	if (size < 0)
		return (int)size;
	if (size == 0 || size == PATH_MAX)
		return -EINVAL;
	target[size] = '\0';
	return 0;
}

static void skipped(const struct scan *scan, const char *path, const char *why)
{
	if (scan->filter && scan->filter->skipped)
		scan->filter->skipped(scan->filter->arg, path, why);
}

static int add_found(struct scan *scan, const char *name, char *path, const struct statx *st)
{
	struct manifest_entry entry = {.path = path};
	char target[PATH_MAX];

	if (S_ISREG(st->stx_mode)) {
		entry.size = st->stx_size;
		entry.executable = (st->stx_mode & S_IXUSR) != 0;
	} else if (S_ISDIR(st->stx_mode)) {
		entry.type = MANIFEST_DIR;
	} else if (S_ISLNK(st->stx_mode)) {
		int rc = read_target(scan->store, scan->fd, name, target);

		if (rc < 0)
			return rc;
		entry.type = MANIFEST_SYMLINK;
		entry.target = target;
		entry.size = strlen(target);
	} else {
		skipped(scan, path, "neither file, directory nor symlink");
		return 0;
	}
	return manifest_add(scan->out, &entry);
}

static int scan_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	/* What another machine of the trial has written last must show. */
	const int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC;
	struct scan *scan = arg;
	AUTO_FREE char *path = NULL;
	struct statx st;
	int rc;

	if (manifest_name_hidden(name, *scan->dir == '\0'))
		return 0;
	rc = scan->store->ops->statx(scan->store->ctx, scan->fd, name, flags, STATX_BASIC_STATS, &st);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	/* Globs name files: a directory of such a name would hide a whole tree. */
	if (!S_ISDIR(st.stx_mode) && scan->filter && manifest_name_live(scan->filter->live, name))
		return 0;
	path = path_below(scan->dir, name);
	if (!path)
		return -ENOMEM;
	rc = add_found(scan, name, path, &st);
	return rc == -ENOENT ? 0 : rc;
}

static int scan_dir(struct scan *scan, int top, const char *dir)
{
	AUTO_FD(fd, scan->store);
	/* The list of entries may move in memory while it grows. */
	AUTO_FREE char *copy = strdup(dir);

	if (!copy)
		return -ENOMEM;
	fd.fd = store_open_dir(scan->store, top, copy);
	if (fd.fd < 0)
		return fd.fd == -ENOENT && *copy ? 0 : fd.fd;
	scan->fd = fd.fd;
	scan->dir = copy;
	return store_each_entry(scan->store, fd.fd, scan_entry, scan);
}

static int scan_tree(const struct store *store, int top, const struct manifest_filter *filter, struct manifest *out)
{
	struct scan scan = {.store = store, .filter = filter, .out = out};
	int rc = scan_dir(&scan, top, "");

	for (size_t i = 0; rc == 0 && i < out->count; i++) {
		if (out->entries[i].type == MANIFEST_DIR)
			rc = scan_dir(&scan, top, out->entries[i].path);
	}
	return rc;
}

static int scan_file(const struct statx *st, struct manifest *out)
{
	char path[] = ".";
	struct manifest_entry entry = {.path = path, .size = st->stx_size, .executable = (st->stx_mode & S_IXUSR) != 0};

	return manifest_add(out, &entry);
}

int manifest_scan(const struct store *store, int dirfd, const char *name, const struct manifest_filter *filter,
		  struct manifest *out)
{
	AUTO_FD(top, store);
	struct statx st;
	int rc;

	manifest_init(out);
	rc = store_statx(store, dirfd, name, &st);
	if (rc < 0)
		return rc;
	if (S_ISREG(st.stx_mode))
		return scan_file(&st, out);
	if (!S_ISDIR(st.stx_mode))
		return -EINVAL;
	top.fd = store_open_dir(store, dirfd, name);
	if (top.fd < 0)
		return top.fd;
	rc = scan_tree(store, top.fd, filter, out);
	if (rc < 0)
		manifest_free(out);
	else
		manifest_sort(out);
	return rc;
}
