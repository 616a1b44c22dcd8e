/*
 * faulty - a table of operations that fails, is cut short, crashes or is overtaken at the n-th operation
 */
#ifndef TESTS_FAULTY_H
#define TESTS_FAULTY_H

#include <errno.h>
#include <unistd.h>

#include "sealfs/store.h"

#define FAULTY_CRASHED 77 /* exit status of a process that ended at its n-th operation */

enum faulty_mode {
	FAULTY_NONE,  /* only counts */
	FAULTY_ERROR, /* is not done and gives `error` */
	FAULTY_LOST,  /* is done, and gives `error` if it went well: the answer was lost */
	FAULTY_SHORT, /* reads and writes half of it */
	FAULTY_CRASH, /* is done, and then the process is no more */
	FAULTY_ALL,   /* none is done, whatever `at` is */
	FAULTY_LOCKS, /* no lock can be had or asked for: `error` */
	FAULTY_MEET,  /* `meet` is called before it is done: another process is faster */
};

struct faulty {
	enum faulty_mode mode;
	int at; /* 1: the first operation */
	int error;
	void (*meet)(void);
	int count;
	int changed; /* the first operation that made a directory or a link: by then it is decided upon what was read */
};

static inline int faulty_hit(void *ctx)
{
	struct faulty *faulty = ctx;
	int hit = (++faulty->count == faulty->at && faulty->mode != FAULTY_NONE) || faulty->mode == FAULTY_ALL;

	if (hit && faulty->mode == FAULTY_MEET)
		faulty->meet();
	return hit;
}

static inline int faulty_fails(void *ctx, int hit)
{
	enum faulty_mode mode = ((struct faulty *)ctx)->mode;

	return hit && (mode == FAULTY_ERROR || mode == FAULTY_ALL);
}

static inline int faulty_error(void *ctx)
{
	return -((struct faulty *)ctx)->error;
}

static inline size_t faulty_size(void *ctx, int hit, size_t size)
{
	return hit && ((struct faulty *)ctx)->mode == FAULTY_SHORT && size > 1 ? size / 2 : size;
}

static inline ssize_t faulty_result(void *ctx, int hit, ssize_t result)
{
	if (hit && ((struct faulty *)ctx)->mode == FAULTY_CRASH)
		_exit(FAULTY_CRASHED);
	if (hit && ((struct faulty *)ctx)->mode == FAULTY_LOST && result >= 0)
		return faulty_error(ctx);
	return result;
}

/* One operation: counted, failed if it is its turn, else done. */
#define FAULTY_DO(call)                                                                                                \
	({                                                                                                             \
		int hit_ = faulty_hit(ctx);                                                                            \
		ssize_t result_;                                                                                       \
		if (faulty_fails(ctx, hit_))                                                                           \
			result_ = faulty_error(ctx);                                                                   \
		else                                                                                                   \
			result_ = faulty_result(ctx, hit_, (call));                                                    \
		result_;                                                                                               \
	})

static inline int faulty_openat(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	int hit = faulty_hit(ctx);
	int fd;

	if (faulty_fails(ctx, hit))
		return faulty_error(ctx);
	fd = store_system_ops.openat(NULL, dirfd, name, flags, mode);
	/* A lost answer must not lose the test its descriptor. */
	if (faulty_result(ctx, hit, fd) != fd) {
		close(fd);
		return faulty_error(ctx);
	}
	return fd;
}

static inline int faulty_close(void *ctx, int fd)
{
	int hit = faulty_hit(ctx);
	int rc = (int)faulty_result(ctx, hit, store_system_ops.close(NULL, fd));

	return faulty_fails(ctx, hit) ? faulty_error(ctx) : rc;
}

static inline ssize_t faulty_pread(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	return FAULTY_DO(store_system_ops.pread(NULL, fd, buf, faulty_size(ctx, hit_, size), offset));
}

static inline ssize_t faulty_pwrite(void *ctx, int fd, const void *buf, size_t size, off_t offset)
{
	return FAULTY_DO(store_system_ops.pwrite(NULL, fd, buf, faulty_size(ctx, hit_, size), offset));
}

static inline int faulty_fsync(void *ctx, int fd)
{
	return (int)FAULTY_DO(store_system_ops.fsync(NULL, fd));
}

static inline int faulty_statx(void *ctx, int dirfd, const char *name, int flags, unsigned int mask, struct statx *out)
{
	return (int)FAULTY_DO(store_system_ops.statx(NULL, dirfd, name, flags, mask, out));
}

static inline void faulty_changes(void *ctx)
{
	struct faulty *faulty = ctx;

	if (faulty->changed == 0)
		faulty->changed = faulty->count + 1;
}

static inline int faulty_mkdirat(void *ctx, int dirfd, const char *name, mode_t mode)
{
	faulty_changes(ctx);
	return (int)FAULTY_DO(store_system_ops.mkdirat(NULL, dirfd, name, mode));
}

static inline int faulty_unlinkat(void *ctx, int dirfd, const char *name, int flags)
{
	return (int)FAULTY_DO(store_system_ops.unlinkat(NULL, dirfd, name, flags));
}

static inline int faulty_linkat(void *ctx, int olddir, const char *oldname, int newdir, const char *newname)
{
	faulty_changes(ctx);
	return (int)FAULTY_DO(store_system_ops.linkat(NULL, olddir, oldname, newdir, newname));
}

static inline int faulty_renameat2(void *ctx, int olddir, const char *oldname, int newdir, const char *newname,
				   unsigned int flags)
{
	return (int)FAULTY_DO(store_system_ops.renameat2(NULL, olddir, oldname, newdir, newname, flags));
}

static inline int faulty_symlinkat(void *ctx, const char *target, int dirfd, const char *name)
{
	return (int)FAULTY_DO(store_system_ops.symlinkat(NULL, target, dirfd, name));
}

static inline ssize_t faulty_readlinkat(void *ctx, int dirfd, const char *name, char *buf, size_t size)
{
	return FAULTY_DO(store_system_ops.readlinkat(NULL, dirfd, name, buf, size));
}

static inline ssize_t faulty_getdents(void *ctx, int fd, void *buf, size_t size)
{
	return FAULTY_DO(store_system_ops.getdents(NULL, fd, buf, size));
}

/* To let go always works, and tells nobody. */
static inline int faulty_no_locks(void *ctx, int type)
{
	return ((struct faulty *)ctx)->mode == FAULTY_LOCKS && type != F_UNLCK;
}

static inline int faulty_lock(void *ctx, int fd, int type, off_t from, off_t size)
{
	if (faulty_no_locks(ctx, type))
		return faulty_error(ctx);
	return (int)FAULTY_DO(store_system_ops.lock(NULL, fd, type, from, size));
}

static inline int faulty_lock_probe(void *ctx, int fd, int type, off_t from, off_t size)
{
	if (faulty_no_locks(ctx, type))
		return faulty_error(ctx);
	return (int)FAULTY_DO(store_system_ops.lock_probe(NULL, fd, type, from, size));
}

static inline int faulty_touch(void *ctx, int fd)
{
	return (int)FAULTY_DO(store_system_ops.touch(NULL, fd));
}

static inline int faulty_fchmod(void *ctx, int fd, mode_t mode)
{
	return (int)FAULTY_DO(store_system_ops.fchmod(NULL, fd, mode));
}

static const struct store_ops faulty_ops = {
	.openat = faulty_openat,
	.close = faulty_close,
	.pread = faulty_pread,
	.pwrite = faulty_pwrite,
	.fsync = faulty_fsync,
	.statx = faulty_statx,
	.mkdirat = faulty_mkdirat,
	.unlinkat = faulty_unlinkat,
	.linkat = faulty_linkat,
	.renameat2 = faulty_renameat2,
	.symlinkat = faulty_symlinkat,
	.readlinkat = faulty_readlinkat,
	.getdents = faulty_getdents,
	.lock = faulty_lock,
	.lock_probe = faulty_lock_probe,
	.fchmod = faulty_fchmod,
	.touch = faulty_touch,
};

#endif
