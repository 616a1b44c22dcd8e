/*
 * lease - the shared lock of those who write
 */
#include "sealfs/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <time.h>

#include "sealfs/state.h"
#include "state_internal.h"

#define LOCK_FILE "lock"
#define CLAIMER_SIZE 1 /* bytes of it, from its start, that only who claimed has locked */
#define TRIES 20
#define PAUSE_NS 5000000 /* 20 × 5 ms: somewhat longer than anybody holds it in order to look */

static int open_lock(const struct store *store, int dir, int flags)
{
	return store_open_lock(store, dir, LOCK_FILE, flags);
}

/* Where locks tell nothing, whoever asks for one has it. */
static int set_lock(const struct store *store, const struct lease *lease, int type)
{
	off_t from = lease->joined ? CLAIMER_SIZE : 0;

	return store->no_locks ? 0 : store->ops->lock(store->ctx, lease->fd, type, from, 0);
}

static int lock_patiently(const struct store *store, const struct lease *lease, int type)
{
	struct timespec pause = {.tv_nsec = PAUSE_NS};
	int rc = set_lock(store, lease, type);

	for (int i = 1; rc == -EAGAIN && i < TRIES; i++) {
		nanosleep(&pause, NULL);
		rc = set_lock(store, lease, type);
	}
	return rc == -EAGAIN ? -EBUSY : rc;
}

/* 1 when the lock that was taken is the one that others will look at: the checkpoint may have been removed in between.
 */
static int is_current(const struct store *store, const char *path, int fd)
{
	AUTO_FD(dir, store);
	struct statx ours, there;
	int rc;

	dir.fd = state_open_dir(store, path, false);
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	rc = store->ops->statx(store->ctx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &ours);
	if (rc == 0)
		rc = store_statx(store, dir.fd, LOCK_FILE, &there);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return ours.stx_ino == there.stx_ino && ours.stx_dev_major == there.stx_dev_major &&
	       ours.stx_dev_minor == there.stx_dev_minor;
}

/* Opens and locks. 1 when that is good, 0 when the folder went away meanwhile. */
static int take(const struct store *store, const char *path, int type, bool joined, struct held_fd *lock)
{
	struct lease lease = {.joined = joined};
	AUTO_FD(dir, store);
	int rc;

	held_close(lock);
	dir.fd = state_open_dir(store, path, true);
	if (dir.fd < 0)
		return dir.fd;
	lock->fd = open_lock(store, dir.fd, O_RDWR | O_CREAT);
	if (lock->fd < 0)
		return lock->fd == -ENOENT ? 0 : lock->fd;
	lease.fd = lock->fd;
	rc = lock_patiently(store, &lease, type);
	return rc < 0 ? rc : is_current(store, path, lock->fd);
}

static int acquire(const struct store *store, const char *path, int type, bool joined, struct lease *lease)
{
	AUTO_FD(lock, store);
	int rc = 0;

	for (int i = 0; rc == 0 && i < TRIES; i++)
		rc = take(store, path, type, joined, &lock);
	if (rc <= 0)
		return rc < 0 ? rc : -EAGAIN;
	lease->fd = held_take(&lock);
	lease->joined = joined;
	return 0;
}

int lease_share(const struct store *store, const char *path, struct lease *lease)
{
	return acquire(store, path, F_RDLCK, false, lease);
}

int lease_join(const struct store *store, const char *path, struct lease *lease)
{
	return acquire(store, path, F_RDLCK, true, lease);
}

int lease_seize(const struct store *store, const char *path, struct lease *lease)
{
	return acquire(store, path, F_WRLCK, false, lease);
}

int lease_exclude(const struct store *store, struct lease *lease)
{
	int rc = set_lock(store, lease, F_WRLCK);

	return rc == -EAGAIN ? -EBUSY : rc;
}

int lease_downgrade(const struct store *store, struct lease *lease)
{
	return set_lock(store, lease, F_RDLCK);
}

int lease_renew(const struct store *store, const char *path, struct lease *lease)
{
	int rc = set_lock(store, lease, F_RDLCK);

	if (rc == 0)
		return 0;
	lease_drop(store, lease);
	rc = acquire(store, path, F_RDLCK, lease->joined, lease);
	return rc < 0 ? rc : 1;
}

void lease_drop(const struct store *store, struct lease *lease)
{
	if (lease->fd < 0)
		return;
	/* Closing is not enough when a child still has a copy of the descriptor. */
	set_lock(store, lease, F_UNLCK);
	store->ops->close(store->ctx, lease->fd);
	lease->fd = -1;
}

static int open_to_probe(const struct store *store, const char *path)
{
	AUTO_FD(dir, store);

	dir.fd = state_open_dir(store, path, false);
	if (dir.fd < 0)
		return dir.fd;
	store_refresh(store, dir.fd);
	return open_lock(store, dir.fd, O_RDONLY | O_NONBLOCK);
}

/* *fd stays open, and is good for the next time, while somebody holds it: what is free is opened anew, as it may be that of a checkpoint that was removed. */
static int probe(const struct store *store, const char *path, off_t size, int *fd)
{
	int rc;

	if (*fd < 0)
		*fd = open_to_probe(store, path);
	rc = *fd < 0 ? *fd : store->ops->lock_probe(store->ctx, *fd, F_WRLCK, 0, size);
	if (*fd >= 0 && rc != 1)
		store->ops->close(store->ctx, *fd);
	if (rc != 1)
		*fd = -1;
	return rc == -ENOENT ? 0 : rc;
}

static int is_held(const struct store *store, const char *path, off_t size)
{
	AUTO_FD(lock, store);

	return probe(store, path, size, &lock.fd);
}

int lease_held(const struct store *store, const char *path)
{
	return is_held(store, path, CLAIMER_SIZE);
}

int lease_joined(const struct store *store, const char *path)
{
	return is_held(store, path, 0);
}

int lease_watch(const struct store *store, const char *path, int *fd)
{
	return probe(store, path, CLAIMER_SIZE, fd);
}

int state_fail_in(const struct store *store, const char *path, int dir, unsigned int generation, const char *trial,
		  const char *reason, const uint64_t *when)
{
	struct record record;
	int rc = record_init(&record, RECORD_END);

	if (rc < 0)
		return rc;
	record.generation = generation;
	if (when)
		record.uptime_ns = *when;
	record.trial = strdup(trial);
	record.reason = strdup(reason);
	/* An id of -1 is never set: this only asks for the thread's own. */
	record.uid = (uid_t)setfsuid((uid_t)-1);
	record.gid = (gid_t)setfsgid((gid_t)-1);
	rc = record.trial && record.reason ? state_end_in(store, path, dir, &record, NULL) : -ENOMEM;
	record_free(&record);
	return rc == -EEXIST ? 0 : rc;
}

/* The generation that is open. 1, 0 when there is nothing to end, -errno. */
static int open_generation(const struct store *store, const char *path, int dir, unsigned int *generation)
{
	struct state state;
	int rc = state_read_in(store, path, dir, &state);

	if (rc < 0)
		return rc;
	*generation = state.generation;
	switch (state.kind) {
	case STATE_OPEN:
		rc = 1;
		break;
	case STATE_PENDING:
		rc = -EINVAL;
		break;
	case STATE_DAMAGED:
		rc = -EBADMSG;
		break;
	default:
		break;
	}
	state_free(&state);
	return rc;
}

/*
 * The lock tells only of writers whose claim was there before it was asked for: it may be taken away from us like any
 * other, when this machine is cut off, and the next generation be written by the time that we go on. So what may be
 * ended is what was open before.
 */
static int end_unless_held(const struct store *store, const char *path, int dir, const char *trial, const char *reason)
{
	AUTO_FD(lock, store);
	unsigned int generation;
	int rc = open_generation(store, path, dir, &generation);

	if (rc <= 0)
		return rc;
	/* The file may be missing when locks were never taken. EACCES or EROFS: another one must decide. */
	lock.fd = open_lock(store, dir, O_RDWR | O_CREAT);
	if (lock.fd < 0)
		return lock.fd == -EPERM || lock.fd == -EROFS ? -EACCES : lock.fd;
	rc = store->ops->lock(store->ctx, lock.fd, F_WRLCK, 0, CLAIMER_SIZE);
	if (rc < 0)
		return rc == -EAGAIN ? -EBUSY : rc;
	/* A checkpoint that was removed and claimed anew has another lock file: this one says nothing about its writer.
	 */
	rc = is_current(store, path, lock.fd);
	if (rc >= 0)
		rc = rc ? state_fail_in(store, path, dir, generation, trial, reason, NULL) : -EBUSY;
	store->ops->lock(store->ctx, lock.fd, F_UNLCK, 0, CLAIMER_SIZE);
	return rc;
}

int lease_end_dead(const struct store *store, const char *path, const char *trial, const char *reason)
{
	AUTO_FD(dir, store);
	int rc;

	dir.fd = state_open_dir(store, path, false);
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	rc = end_unless_held(store, path, dir.fd, trial, reason);
	/* Removed under us: whoever is there now is another one. */
	return rc == -ENOENT || rc == -ESTALE ? -EBUSY : rc;
}
