/*
 * state_path - names and folders of checkpoints
 */
#include "sealfs/state.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "state_internal.h"

#define SIDECAR_END ".seal"

const char *state_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool state_name_is_sidecar(const char *name)
{
	size_t size = strlen(name), end = strlen(SIDECAR_END);

	return name[0] == '.' && size >= end && strcmp(name + size - end, SIDECAR_END) == 0;
}

bool state_name_is_kept(const char *name)
{
	return state_name_is_sidecar(name) || strcmp(name, STATE_TUNER_NAME) == 0;
}

static bool component_valid(const char *name, size_t size)
{
	return size > 0 && size <= NAME_MAX && !(size == 1 && name[0] == '.') &&
	       !(size == 2 && memcmp(name, "..", 2) == 0);
}

bool state_path_valid(const char *path, unsigned int depth)
{
	const char *at = path;
	unsigned int count = 0;

	for (;; at++) {
		size_t size = strcspn(at, "/");

		if (!component_valid(at, size))
			return false;
		if (count++ == 0 && size == 7 && memcmp(at, ".sealfs", 7) == 0)
			return false;
		at += size;
		if (*at == '\0')
			break;
	}
	return count == depth && !state_name_is_kept(state_last(path));
}

static unsigned int path_depth(const char *path)
{
	unsigned int depth = 1;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

char *state_seal_dir(const char *path, bool is_file)
{
	const char *last = state_last(path);
	int parent = (int)(last - path);
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;
	char *out;
	int rc;

	if (!is_file) {
		rc = asprintf(&out, "%s/.seal", path);
	} else if (strlen(last) + 1 + strlen(SIDECAR_END) <= NAME_MAX) {
		rc = asprintf(&out, "%.*s.%s" SIDECAR_END, parent, path, last);
	} else {
		digest_sha256(last, strlen(last), &digest);
		digest_to_hex(&digest, hex);
		rc = asprintf(&out, "%.*s.%s" SIDECAR_END, parent, path, hex);
	}
	return rc < 0 ? NULL : out;
}

/* The folders above are for everybody to make theirs in; a checkpoint's own is its maker's. */
static int make_folders(const struct store *store, int state, const char *path)
{
	AUTO_FD(current, store);
	AUTO_FREE char *copy = strdup(path);
	int at = state;

	if (!copy)
		return -ENOMEM;
	for (char *name = copy; name;) {
		char *slash = strchr(name, '/');
		int fd;

		if (slash)
			*slash = '\0';
		fd = store_make_dir(store, at, name, slash ? 01777 : 0755);
		if (fd < 0)
			return fd;
		held_close(&current);
		at = current.fd = fd;
		name = slash ? slash + 1 : NULL;
	}
	return held_take(&current);
}

int state_open_dir(const struct store *store, const char *path, bool create)
{
	AUTO_FD(state, store);
	int fd;

	if (!state_path_valid(path, path_depth(path)))
		return -EINVAL;
	state.fd = store_open_known_dir(store, store->root, STATE_DIR);
	if (state.fd < 0)
		return state.fd;
	fd = store_open_dir(store, state.fd, path);
	return fd == -ENOENT && create ? make_folders(store, state.fd, path) : fd;
}

static int same_inode(const struct store *store, int a, int b)
{
	struct statx left, right;
	int rc = store->ops->statx(store->ctx, a, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &left);

	if (rc == 0)
		rc = store->ops->statx(store->ctx, b, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &right);
	return rc < 0 ? rc
		      : left.stx_ino == right.stx_ino && left.stx_dev_major == right.stx_dev_major &&
				left.stx_dev_minor == right.stx_dev_minor;
}

int state_dir_is_current(const struct store *store, const char *path, int dir)
{
	AUTO_FD(again, store);

	again.fd = state_open_dir(store, path, false);
	if (again.fd < 0)
		return again.fd == -ENOENT ? 0 : again.fd;
	return same_inode(store, dir, again.fd);
}

int state_stamp(const struct store *store, int dir, struct state_stamp *out)
{
	struct statx st;
	int rc = store->ops->statx(store->ctx, dir, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);

	if (rc < 0)
		return rc;
	*out = (struct state_stamp){st.stx_ino, st.stx_mtime, st.stx_ctime};
	return st.stx_nlink ? 0 : -ESTALE;
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool state_stamp_equal(const struct state_stamp *a, const struct state_stamp *b)
{
	return a->inode == b->inode && same_time(&a->mtime, &b->mtime) && same_time(&a->ctime, &b->ctime);
}

static int stop_at_first(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	return 1;
}

int state_has_content(const struct store *store, const char *path)
{
	AUTO_FD(parent, store);
	AUTO_FD(dir, store);
	struct statx st;
	const char *last;
	int rc;

	parent.fd = store_open_parent(store, store->root, path, &last);
	if (parent.fd < 0)
		return parent.fd == -ENOENT || parent.fd == -ENOTDIR ? 0 : parent.fd;
	rc = store_statx(store, parent.fd, last, &st);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!S_ISDIR(st.stx_mode))
		return 1;
	dir.fd = store_open_dir(store, parent.fd, last);
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	return store_each_entry(store, dir.fd, stop_at_first, NULL);
}

struct walk {
	const struct store *store;
	int (*each)(void *arg, const char *path);
	void *arg;
	const char *prefix;
	unsigned int levels; /* still to go down */
	int fd;
};

static int walk_level(struct walk *walk);

static int walk_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	const struct walk *walk = arg;
	AUTO_FD(dir, walk->store);
	AUTO_FREE char *path = NULL;
	struct walk below = *walk;

	if (type != DT_DIR && type != DT_UNKNOWN)
		return 0;
	if (asprintf(&path, "%s%s%s", walk->prefix, *walk->prefix ? "/" : "", name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (!state_path_valid(path, path_depth(path)))
		return 0;
	dir.fd = store_open_dir(walk->store, walk->fd, name);
	/* Gone meanwhile, no folder, or somebody else's secret: not for this listing. */
	if (dir.fd == -ENOENT || dir.fd == -ENOTDIR || dir.fd == -EACCES)
		return 0;
	if (dir.fd < 0)
		return dir.fd;
	if (walk->levels == 1)
		return walk->each(walk->arg, path);
	below.levels--;
	below.prefix = path;
	below.fd = dir.fd;
	return walk_level(&below);
}

static int walk_level(struct walk *walk)
{
	return store_each_entry(walk->store, walk->fd, walk_entry, walk);
}

int state_each(const struct store *store, const struct config *config, int (*each)(void *arg, const char *path),
	       void *arg)
{
	AUTO_FD(state, store);
	struct walk walk = {.store = store, .each = each, .arg = arg, .prefix = "", .levels = config->depth};

	state.fd = store_open_known_dir(store, store->root, STATE_DIR);
	if (state.fd < 0)
		return state.fd == -ENOENT ? 0 : state.fd;
	walk.fd = state.fd;
	return walk_level(&walk);
}
