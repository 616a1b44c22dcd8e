/*
 * store_system - the operations table on the kernel's own calls
 */
#include "sealfs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RETRY(call)                                                                                                    \
	({                                                                                                             \
		__typeof__(call) result_;                                                                              \
		do                                                                                                     \
			result_ = (call);                                                                              \
		while (result_ < 0 && errno == EINTR);                                                                 \
		result_ < 0 ? -errno : result_;                                                                        \
	})

static int system_openat(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	return RETRY(openat(dirfd, name, flags, mode));
}

static int system_close(void *ctx, int fd)
{
	/* Never again after EINTR: Linux has released the descriptor, which may be another thread's by now. */
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t system_pread(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	return RETRY(pread(fd, buf, size, offset));
}

static ssize_t system_pwrite(void *ctx, int fd, const void *buf, size_t size, off_t offset)
{
	return RETRY(pwrite(fd, buf, size, offset));
}

static int system_fsync(void *ctx, int fd)
{
	return RETRY(fsync(fd));
}

static int system_fchmod(void *ctx, int fd, mode_t mode)
{
	return RETRY(fchmod(fd, mode));
}

static int system_touch(void *ctx, int fd)
{
	return RETRY(futimens(fd, NULL));
}

static int system_statx(void *ctx, int dirfd, const char *name, int flags, unsigned int mask, struct statx *out)
{
	return RETRY(statx(dirfd, name, flags, mask, out));
}

static int system_mkdirat(void *ctx, int dirfd, const char *name, mode_t mode)
{
	return RETRY(mkdirat(dirfd, name, mode));
}

static int system_unlinkat(void *ctx, int dirfd, const char *name, int flags)
{
	return RETRY(unlinkat(dirfd, name, flags));
}

static int system_linkat(void *ctx, int olddir, const char *oldname, int newdir, const char *newname)
{
	return RETRY(linkat(olddir, oldname, newdir, newname, 0));
}

static int system_renameat2(void *ctx, int olddir, const char *oldname, int newdir, const char *newname,
			    unsigned int flags)
{
	return RETRY(renameat2(olddir, oldname, newdir, newname, flags));
}

static int system_symlinkat(void *ctx, const char *target, int dirfd, const char *name)
{
	return RETRY(symlinkat(target, dirfd, name));
}

static ssize_t system_readlinkat(void *ctx, int dirfd, const char *name, char *buf, size_t size)
{
	return RETRY(readlinkat(dirfd, name, buf, size));
}

static ssize_t system_getdents(void *ctx, int fd, void *buf, size_t size)
{
	return RETRY((ssize_t)syscall(SYS_getdents64, fd, buf, size));
}

static int system_lock(void *ctx, int fd, int type, off_t from, off_t size)
{
	struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = from, .l_len = size};
	int rc = RETRY(fcntl(fd, F_OFD_SETLK, &lock));

	/* POSIX lets a refusal be EACCES as well; a descriptor that is not open for it is EBADF. */
	return rc == -EACCES ? -EAGAIN : rc;
}

static int system_lock_probe(void *ctx, int fd, int type, off_t from, off_t size)
{
	struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = from, .l_len = size};
	int rc = RETRY(fcntl(fd, F_OFD_GETLK, &lock));

	return rc < 0 ? rc : lock.l_type != F_UNLCK;
}

const struct store_ops store_system_ops = {
	.openat = system_openat,
	.close = system_close,
	.pread = system_pread,
	.pwrite = system_pwrite,
	.fsync = system_fsync,
	.statx = system_statx,
	.mkdirat = system_mkdirat,
	.unlinkat = system_unlinkat,
	.linkat = system_linkat,
	.renameat2 = system_renameat2,
	.symlinkat = system_symlinkat,
	.readlinkat = system_readlinkat,
	.getdents = system_getdents,
	.lock = system_lock,
	.lock_probe = system_lock_probe,
	.fchmod = system_fchmod,
	.touch = system_touch,
};

/* Those of which it is known; others may be kept together with other machines. */
static bool is_local(__fsword_t type)
{
	static const __fsword_t local[] = {TMPFS_MAGIC, EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC};

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if (type == local[i])
			return true;
	return false;
}

int store_open(struct store *store, const char *path)
{
	struct statfs fs;

	*store = (struct store){.ops = &store_system_ops, .root = -1};
	/* O_PATH: an export's root that may be searched but not listed will do. */
	store->root = RETRY(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (store->root < 0)
		return store->root;
	if (RETRY(fstatfs(store->root, &fs)) == 0) {
		store->remote = fs.f_type == NFS_SUPER_MAGIC;
		store->local = is_local(fs.f_type);
	}
	return 0;
}

void store_close(struct store *store)
{
	if (store->root >= 0)
		store->ops->close(store->ctx, store->root);
	store->root = -1;
}

int store_guard_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* the lowest that is free is this one */
		if (RETRY(open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY)) < 0)
			return -errno;
	}
	return 0;
}

void store_token(char token[STORE_TOKEN_SIZE])
{
	unsigned char random[(STORE_TOKEN_SIZE - 1) / 2];

	/* A token that is not unique would let two records be taken for one: rather end here. */
	if (RETRY(getrandom(random, sizeof(random), 0)) != (ssize_t)sizeof(random))
		abort();
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
}
