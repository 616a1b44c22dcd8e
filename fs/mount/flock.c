/*
 * flock.c - locks of open files, which are the export's own: they hold between mounts of an export, with programs beside them, and between machines where the
 * export's locks do
 *
 * Each handle that is locked has an open file of its own on the export for that, and so flock(2) on it means what it means to the caller. (The one that content is passed
 * to is kept open by the kernel: for other handles, and when this process is gone until the dead mount is cleared away, and so would be its lock.) One that has to wait is tried again and again, by
 * one thread for all: at once when a lock of this mount's is given back, else ever less often. (To block in the export would take a thread each, and servers of some
 * kernels notify nobody.) It can be killed like all that waits.
 *
 * fcntl locks are not among them. POSIX drops those when a process closes any descriptor of the file. A FUSE file system learns of that by FLUSH
 * alone, and must say when the file is opened whether it wants them; so each close of each file would cost a request. The kernel keeps them, for this mount.
 */
#include "flock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/waiters.h"

#define FIRST_PAUSE_NS 1000000ull
#define LONGEST_PAUSE_NS 100000000ull
/*
 * close() does not wait until this process has heard of it, so who does not want to wait may be refused because of a lock that is given back already. If
 * another handle here may be the one that has it, that long is waited for its end.
 */
#define CLOSING_NS 100000000ull
#define LONGEST_CLOSING_PAUSE_NS 4000000ull
#define LONGEST_REMOTE_PAUSE_NS 1000000000ull

struct flock_wait {
	struct flock_wait *prev, *next;
	fuse_req_t req;
	const struct node *node; /* for comparison only */
	int fd, operation;
	uint64_t next_ns, pause_ns;
	uint64_t until_ns; /* then EWOULDBLOCK is the answer; 0: never */
	bool trying;	  /* the thread is at it, without the lock */
	bool interrupted; /* meanwhile */
};

/* Of the process's one mount. All but `count` under `lock`, with which nothing is asked of the export. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool running, stopping;
	struct flock_wait *first;
	atomic_uint count;
} waits = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void take_off(struct flock_wait *wait)
{
	DL_DELETE(waits.first, wait);
	waits.count--;
}

static void answer(struct flock_wait *wait, int result)
{
	reply_status(wait->req, result);
	free(wait);
}

/* As for all that is parked: libfuse may call it inside fuse_req_interrupt_func(), so it looks the wait up by its request. */
static void interrupted(fuse_req_t req, void *data)
{
	struct flock_wait *wait;

	pthread_mutex_lock(&waits.lock);
	DL_SEARCH_SCALAR(waits.first, wait, req, req);
	if (wait && wait->trying) {
		wait->interrupted = true;
		wait = NULL;
	}
	if (wait)
		take_off(wait);
	pthread_mutex_unlock(&waits.lock);
	if (wait)
		answer(wait, -EINTR);
}

static struct flock_wait *soonest(void)
{
	struct flock_wait *wait, *found = NULL;

	DL_FOREACH(waits.first, wait)
		if (!found || wait->next_ns < found->next_ns)
			found = wait;
	return found;
}

static int try_lock(int fd, int operation)
{
	return flock(fd, operation | LOCK_NB) ? -errno : 0;
}

static void try_again_later(struct flock_wait *wait)
{
	uint64_t longest = wait->until_ns ? LONGEST_CLOSING_PAUSE_NS : mount_of(wait->req)->remote ? LONGEST_REMOTE_PAUSE_NS : LONGEST_PAUSE_NS;

	wait->next_ns = waiters_now_ns() + wait->pause_ns;
	wait->pause_ns = wait->pause_ns * 2 < longest ? wait->pause_ns * 2 : longest;
}

/* Under the lock, which it gives up meanwhile. */
static void try_one(struct flock_wait *wait)
{
	wait->trying = true;
	pthread_mutex_unlock(&waits.lock);
	int result = try_lock(wait->fd, wait->operation);
	pthread_mutex_lock(&waits.lock);
	wait->trying = false;
	bool may_go_on = !wait->until_ns || waiters_now_ns() < wait->until_ns;
	if (result == -EWOULDBLOCK && !wait->interrupted && may_go_on) {
		try_again_later(wait);
		return;
	}
	take_off(wait);
	pthread_mutex_unlock(&waits.lock);
	if (wait->interrupted && !result)
		flock(wait->fd, LOCK_UN);
	answer(wait, wait->interrupted ? -EINTR : result);
	pthread_mutex_lock(&waits.lock);
}

static void *try_all(void *arg)
{
	pthread_mutex_lock(&waits.lock);
	while (!waits.stopping) {
		struct flock_wait *wait = soonest();
		struct timespec until;
		if (!wait) {
			pthread_cond_wait(&waits.changed, &waits.lock);
		} else if (wait->next_ns <= waiters_now_ns()) {
			try_one(wait);
		} else {
			until = (struct timespec){.tv_sec = (time_t)(wait->next_ns / 1000000000), .tv_nsec = (long)(wait->next_ns % 1000000000)};
			pthread_cond_timedwait(&waits.changed, &waits.lock, &until);
		}
	}
	pthread_mutex_unlock(&waits.lock);
	return NULL;
}

/* Under the lock. */
static int run_thread(void)
{
	pthread_condattr_t attributes;

	if (waits.running)
		return 0;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&waits.changed, &attributes);
	pthread_condattr_destroy(&attributes);
	int error = pthread_create(&waits.thread, NULL, try_all, NULL);
	waits.running = !error;
	return error ? -ENOLCK : 0;
}

/* 0: the request will be answered by others. */
static int wait_for_lock(fuse_req_t req, const struct node *node, int fd, int operation)
{
	struct flock_wait *wait = calloc(1, sizeof(*wait));
	int error;

	if (!wait)
		return -ENOMEM;
	*wait = (struct flock_wait){.req = req, .node = node, .fd = fd, .operation = operation, .pause_ns = FIRST_PAUSE_NS};
	if (operation & LOCK_NB)
		wait->until_ns = waiters_now_ns() + CLOSING_NS;
	fuse_req_interrupt_func(req, interrupted, NULL);
	pthread_mutex_lock(&waits.lock);
	error = fuse_req_interrupted(req) ? -EINTR : waits.stopping ? -ENOTCONN : run_thread();
	if (!error) {
		DL_APPEND(waits.first, wait);
		waits.count++;
		pthread_cond_signal(&waits.changed);
	}
	pthread_mutex_unlock(&waits.lock);
	if (error)
		free(wait);
	return error;
}

/* A lock of the node's may have been given back: whoever waits for it is next. */
static void given_back(const struct node *node)
{
	struct flock_wait *wait;

	if (!waits.count)
		return;
	pthread_mutex_lock(&waits.lock);
	DL_FOREACH(waits.first, wait)
		if (wait->node == node) {
			wait->next_ns = 0;
			wait->pause_ns = FIRST_PAUSE_NS;
		}
	if (waits.running)
		pthread_cond_signal(&waits.changed);
	pthread_mutex_unlock(&waits.lock);
}

/* Another open file of the same kind: some file systems lock exclusively only what may be written. A server may take root for nobody, and the user for himself. */
static int open_another(fuse_req_t req, int fd)
{
	int flags = (fcntl(fd, F_GETFL) & O_ACCMODE) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int another = open(path, flags);
	if (another < 0 && errno == EACCES) {
		AS_CALLER(req);
		another = open(path, flags);
		return another < 0 ? -errno : another;
	}
	return another < 0 ? -errno : another;
}

/* Where the kernel keeps the handle's file it is another one. */
static int lock_descriptor(fuse_req_t req, struct handle *handle)
{
	pthread_mutex_lock(&handle->lock);
	if (handle->flock_fd < 0 && !handle->passthrough)
		handle->flock_fd = handle->fd;
	int fd = handle->flock_fd >= 0 ? handle->flock_fd : open_another(req, handle->fd);
	if (fd >= 0)
		handle->flock_fd = fd;
	pthread_mutex_unlock(&handle->lock);
	return fd;
}

/* May another handle of this mount's have the lock? */
static bool locked_here(struct mount *mount, struct node *node, const struct handle *handle)
{
	bool found = false;

	pthread_mutex_lock(&mount->nodes.lock);
	for (const struct handle *other = node->handles; other && !found; other = other->next)
		found = other != handle && other->flock_fd >= 0;
	pthread_mutex_unlock(&mount->nodes.lock);
	return found;
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	int fd = lock_descriptor(req, handle_of(fi));

	int error = fd < 0 ? fd : try_lock(fd, operation);
	/* to ask for another kind of lock gives the one back that is held, even if it is not had */
	given_back(node);
	if (error == -EWOULDBLOCK && operation & LOCK_NB && !locked_here(mount, node, handle_of(fi))) {
		error = try_lock(fd, operation); /* it may have been given back between the two looks */
	} else if (error == -EWOULDBLOCK) {
		error = wait_for_lock(req, node, fd, operation);
		if (!error)
			return;
	}
	reply_status(req, error);
}

void flock_release(struct handle *handle)
{
	int fd = handle->flock_fd;

	if (fd < 0)
		return;
	if (fd == handle->fd)
		flock(fd, LOCK_UN);
	else
		close(fd);
	handle->flock_fd = -1;
	given_back(handle->node);
}

void flock_end(void)
{
	struct flock_wait *wait, *next;

	pthread_mutex_lock(&waits.lock);
	waits.stopping = true;
	bool running = waits.running;
	if (running)
		pthread_cond_signal(&waits.changed);
	pthread_mutex_unlock(&waits.lock);
	if (running)
		pthread_join(waits.thread, NULL);
	pthread_mutex_lock(&waits.lock);
	struct flock_wait *left = waits.first;
	waits.first = NULL;
	pthread_mutex_unlock(&waits.lock);
	DL_FOREACH_SAFE(left, wait, next)
		answer(wait, -ENOTCONN);
}
