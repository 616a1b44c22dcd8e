/*
 * store - what is built on the operations table: walking, small files, trees
 *
 * Names are resolved one component at a time and no symlink is ever followed, since whoever may write in the export
 * could otherwise lead the daemon out of it between a check and a use.
 */
#include "sealfs/store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define WALK_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define LOCK_MODE 0644
#define TEMP_NAME_SIZE (sizeof(".tmp.") + STORE_TOKEN_SIZE)
#define DENTS_SIZE 32768
#define LEASE_TRIES 12000
#define LEASE_PAUSE_NS 5000000 /* 12000 × 5 ms: a minute, of which the kernel leaves 45 s to who has the lease */
#define TICK_TRIES 20
#define TICK_PAUSE_NS 5000000 /* 20 × 5 ms: the slowest clocks tick every 10 ms */

void store_refresh(const struct store *store, int dirfd)
{
	struct statx ignored;

	if (store->local)
		return;
	store->ops->statx(store->ctx, dirfd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &ignored);
}

static int open_child(const struct store *store, int dirfd, const char *name, int flags)
{
	int fd = store->ops->openat(store->ctx, dirfd, name, flags, 0);

	if (fd != -ENOENT || store->local)
		return fd;
	store_refresh(store, dirfd);
	return store->ops->openat(store->ctx, dirfd, name, flags, 0);
}

int store_statx(const struct store *store, int dirfd, const char *name, struct statx *out)
{
	store_refresh(store, dirfd);
	return store->ops->statx(store->ctx, dirfd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
				 out);
}

/* Copies the component at *path and steps over it. 1, 0 at the end, -EINVAL for one that must not be. */
static int next_component(const char **path, const char *end, char name[NAME_MAX + 1])
{
	const char *start = *path;
	const char *slash;
	size_t size;

	if (start == end)
		return 0;
	slash = memchr(start, '/', (size_t)(end - start));
	size = (size_t)((slash ? slash : end) - start);
	if (size == 0 || (slash && slash + 1 == end))
		return -EINVAL;
	if (size > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, start, size);
	name[size] = '\0';
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	*path = slash ? slash + 1 : end;
	return 1;
}

/* Opens the directory that the characters from `path` to `end` lead to; the last open is done with `last_flags`.
 * `fresh`: a name may lead elsewhere than when it was last looked up. */
static int walk(const struct store *store, int dirfd, const char *path, const char *end, int last_flags, bool fresh)
{
	AUTO_FD(current, store);
	char name[NAME_MAX + 1];
	int at = dirfd;
	int rc;

	if (path == end || (end - path == 1 && *path == '.'))
		return open_child(store, dirfd, ".", last_flags);
	while ((rc = next_component(&path, end, name)) > 0) {
		int fd;

		if (fresh)
			store_refresh(store, at);
		fd = open_child(store, at, name, path == end ? last_flags : WALK_FLAGS);
		if (fd < 0)
			return fd;
		held_close(&current);
		at = current.fd = fd;
	}
	return rc < 0 ? rc : held_take(&current);
}

int store_open_dir(const struct store *store, int dirfd, const char *path)
{
	return walk(store, dirfd, path, path + strlen(path), DIR_FLAGS, true);
}

int store_open_known_dir(const struct store *store, int dirfd, const char *path)
{
	return walk(store, dirfd, path, path + strlen(path), DIR_FLAGS, false);
}

int store_open_parent(const struct store *store, int dirfd, const char *path, const char **last)
{
	const char *slash = strrchr(path, '/');

	*last = slash ? slash + 1 : path;
	if (**last == '\0' || strcmp(*last, ".") == 0 || strcmp(*last, "..") == 0 || slash == path)
		return -EINVAL;
	return walk(store, dirfd, path, slash ? slash : path, WALK_FLAGS, true);
}

int store_open_lock(const struct store *store, int dirfd, const char *name, int flags)
{
	int fd;

	flags |= O_NOFOLLOW | O_CLOEXEC;
	fd = store->ops->openat(store->ctx, dirfd, name, flags | (store->remote ? O_DIRECT : 0), LOCK_MODE);
	if (fd == -EINVAL && store->remote)
		fd = store->ops->openat(store->ctx, dirfd, name, flags, LOCK_MODE);
	return fd == -ELOOP ? -EINVAL : fd;
}

/*
 * Never waits in the export: a FIFO may lie in the way. Where somebody has a lease on the file (an NFS server that has delegated it), the kernel has it called back
 * then, but says EAGAIN; that is waited for, a little longer than until it takes the lease away.
 */
static int open_patiently(const struct store *store, int dirfd, const char *name)
{
	struct timespec pause = {.tv_nsec = LEASE_PAUSE_NS};
	int fd = -EAGAIN;

	for (int i = 0; fd == -EAGAIN && i < LEASE_TRIES; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		fd = open_child(store, dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	}
	return fd;
}

int store_open_regular(const struct store *store, int dirfd, const char *name, struct statx *st)
{
	AUTO_FD(fd, store);
	int rc;

	fd.fd = open_patiently(store, dirfd, name);
	if (fd.fd < 0)
		return fd.fd == -ELOOP || fd.fd == -ENXIO ? -EINVAL : fd.fd;
	rc = store->ops->statx(store->ctx, fd.fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, st);
	if (rc < 0)
		return rc;
	return S_ISREG(st->stx_mode) ? held_take(&fd) : -EINVAL;
}

static int read_dir(const struct store *store, int fd, struct statx *out)
{
	return store->ops->statx(store->ctx, fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, out);
}

/* Once the ctime is another than it was after the last change in the directory, none of before is taken for what is there now. */
static int date_dir(const struct store *store, int fd)
{
	struct timespec pause = {.tv_nsec = TICK_PAUSE_NS};
	struct statx before = {0}, now = {0};
	int rc = read_dir(store, fd, &before);

	for (int i = 0; rc == 0 && i < TICK_TRIES; i++) {
		rc = store->ops->touch(store->ctx, fd);
		if (rc == 0)
			rc = read_dir(store, fd, &now);
		if (now.stx_ctime.tv_sec != before.stx_ctime.tv_sec || now.stx_ctime.tv_nsec != before.stx_ctime.tv_nsec)
			break;
		nanosleep(&pause, NULL);
	}
	/* who may not write in it has not changed it either */
	return rc == -EPERM || rc == -EACCES || rc == -EROFS ? 0 : rc;
}

int store_sync_dir(const struct store *store, int dirfd, const char *path)
{
	AUTO_FD(dir, store);
	int rc;

	dir.fd = store_open_dir(store, dirfd, path);
	rc = dir.fd < 0 || !store->remote ? 0 : date_dir(store, dir.fd);
	if (rc < 0)
		return rc;
	return dir.fd < 0 ? dir.fd : store->ops->fsync(store->ctx, dir.fd);
}

/* Makes the mode what was asked for whatever the umask took away; the set-group-id bit that a directory inherits stays.
 */
static int fix_mode(const struct store *store, int fd, mode_t mode)
{
	struct statx st;
	int rc = store->ops->statx(store->ctx, fd, "", AT_EMPTY_PATH, STATX_MODE, &st);

	if (rc < 0 || (st.stx_mode & 01777) == mode)
		return rc;
	return store->ops->fchmod(store->ctx, fd, (st.stx_mode & 06000) | mode);
}

/* 1 when it was made, 0 when it was there. */
static int make_one(const struct store *store, int dirfd, const char *name, mode_t mode)
{
	int rc = store->ops->mkdirat(store->ctx, dirfd, name, mode);

	if (rc < 0)
		return rc == -EEXIST ? 0 : rc;
	rc = store_sync_dir(store, dirfd, "");
	return rc < 0 ? rc : 1;
}

int store_make_dir(const struct store *store, int dirfd, const char *name, mode_t mode)
{
	AUTO_FD(dir, store);
	int made, rc;

	store_refresh(store, dirfd);
	dir.fd = open_child(store, dirfd, name, DIR_FLAGS);
	if (dir.fd != -ENOENT)
		return held_take(&dir);
	made = make_one(store, dirfd, name, mode);
	if (made < 0)
		return made;
	dir.fd = open_child(store, dirfd, name, DIR_FLAGS);
	rc = dir.fd < 0 ? dir.fd : made ? fix_mode(store, dir.fd, mode) : 0;
	return rc < 0 ? rc : held_take(&dir);
}

int store_make_dirs(const struct store *store, int dirfd, const char *path, mode_t mode)
{
	AUTO_FD(current, store);
	const char *end = path + strlen(path);
	char name[NAME_MAX + 1];
	int at = dirfd;
	int rc = 0;

	if (strcmp(path, ".") == 0)
		path = end;
	while (path != end && (rc = next_component(&path, end, name)) > 0) {
		int fd = open_child(store, at, name, WALK_FLAGS);

		if (fd == -ENOENT) {
			rc = make_one(store, at, name, mode);
			fd = rc < 0 ? rc : open_child(store, at, name, WALK_FLAGS);
		}
		if (fd < 0)
			return fd;
		held_close(&current);
		at = current.fd = fd;
	}
	return rc < 0 ? rc : open_child(store, at, ".", DIR_FLAGS);
}

int store_read_file(const struct store *store, int dirfd, const char *name, size_t limit, char **data, size_t *size)
{
	AUTO_FD(fd, store);
	AUTO_FREE char *buffer = NULL;
	struct statx st;
	size_t have = 0, capacity;

	fd.fd = store_open_regular(store, dirfd, name, &st);
	if (fd.fd < 0)
		return fd.fd;
	if (st.stx_size > limit)
		return -EFBIG;
	/* Two bytes more than the size: one for the NUL, one to see the end without growing. */
	capacity = (size_t)st.stx_size + 2;
	buffer = malloc(capacity);
	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t got = store->ops->pread(store->ctx, fd.fd, buffer + have, capacity - 1 - have, (off_t)have);

		if (got < 0)
			return (int)got;
		if (got == 0)
			break;
		have += (size_t)got;
		if (have > limit)
			return -EFBIG;
		/* It grew since it was looked at; nobody of ours does that, but the reader must not be cut short. */
		if (have == capacity - 1)
			return -EAGAIN;
	}
	buffer[have] = '\0';
	*data = buffer;
	buffer = NULL;
	*size = have;
	return 0;
}

int store_pwrite(const struct store *store, int fd, const void *data, size_t size, off_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t written = store->ops->pwrite(store->ctx, fd, (const char *)data + done, size - done,
						     offset + (off_t)done);

		if (written <= 0)
			return written < 0 ? (int)written : -EIO;
		done += (size_t)written;
	}
	return 0;
}

ssize_t store_pread(const struct store *store, int fd, void *data, size_t size, off_t offset)
{
	size_t have = 0;

	while (have < size) {
		ssize_t got = store->ops->pread(store->ctx, fd, (char *)data + have, size - have, offset + (off_t)have);

		if (got < 0)
			return got;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

static int write_temp(const struct store *store, int dirfd, const char *temp, const void *data, size_t size,
		      mode_t mode)
{
	int fd =
		store->ops->openat(store->ctx, dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int rc, closed;

	if (fd < 0)
		return fd;
	rc = fix_mode(store, fd, mode);
	if (rc == 0)
		rc = store_pwrite(store, fd, data, size, 0);
	if (rc == 0)
		rc = store->ops->fsync(store->ctx, fd);
	closed = store->ops->close(store->ctx, fd);
	return rc < 0 ? rc : closed;
}

/* A link or rename whose answer was lost has happened when the name leads to the file that we wrote. */
static bool same_file(const struct store *store, int dirfd, const struct statx *ours, const char *name)
{
	struct statx there;

	return store_statx(store, dirfd, name, &there) == 0 && there.stx_ino == ours->stx_ino &&
	       there.stx_dev_major == ours->stx_dev_major && there.stx_dev_minor == ours->stx_dev_minor;
}

static int put_in_place(const struct store *store, int dirfd, const char *temp, const char *name, int replace)
{
	struct statx ours;
	int rc = store->ops->statx(store->ctx, dirfd, temp, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &ours);

	if (rc < 0)
		return rc;
	rc = replace ? store->ops->renameat2(store->ctx, dirfd, temp, dirfd, name, 0)
		     : store->ops->linkat(store->ctx, dirfd, temp, dirfd, name);
	return rc < 0 && same_file(store, dirfd, &ours, name) ? 0 : rc;
}

int store_create_file(const struct store *store, int dirfd, const char *name, const void *data, size_t size,
		      mode_t mode, int replace)
{
	char token[STORE_TOKEN_SIZE];
	char temp[TEMP_NAME_SIZE];
	bool placed = false;
	int rc;

	store_token(token);
	snprintf(temp, sizeof(temp), ".tmp.%s", token);
	rc = write_temp(store, dirfd, temp, data, size, mode);
	if (rc == 0) {
		rc = put_in_place(store, dirfd, temp, name, replace);
		placed = rc == 0;
	}
	if (!placed || !replace)
		store->ops->unlinkat(store->ctx, dirfd, temp, 0);
	return placed ? store_sync_dir(store, dirfd, "") : rc;
}

struct dent {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static int each_in_buffer(const char *buffer, size_t size,
			  int (*each)(void *arg, const char *name, unsigned char type, uint64_t ino), void *arg)
{
	for (size_t at = 0; at < size;) {
		const struct dent *dent = (const struct dent *)(buffer + at);
		int rc = 0;

		if (strcmp(dent->name, ".") != 0 && strcmp(dent->name, "..") != 0)
			rc = each(arg, dent->name, dent->type, dent->ino);
		if (rc != 0)
			return rc;
		at += dent->reclen;
	}
	return 0;
}

int store_each_entry(const struct store *store, int fd,
		     int (*each)(void *arg, const char *name, unsigned char type, uint64_t ino), void *arg)
{
	AUTO_FD(dir, store);
	AUTO_FREE char *buffer = malloc(DENTS_SIZE);

	if (!buffer)
		return -ENOMEM;
	/* An open file of its own: the caller's keeps its position, and ours starts at the beginning. */
	dir.fd = open_child(store, fd, ".", DIR_FLAGS);
	if (dir.fd < 0)
		return dir.fd;
	store_refresh(store, dir.fd);
	for (;;) {
		ssize_t got = store->ops->getdents(store->ctx, dir.fd, buffer, DENTS_SIZE);
		int rc;

		if (got <= 0)
			return (int)got;
		rc = each_in_buffer(buffer, (size_t)got, each, arg);
		if (rc != 0)
			return rc;
	}
}
