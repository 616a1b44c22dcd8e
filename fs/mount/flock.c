/*
 * flock.c - flock(2) locks of open files, which are the export's own: they hold between mounts of an export, with programs beside them, and between machines where the
 * export's locks do
 *
 * Each handle that is locked has an open file of its own on the export for that, and so flock(2) on it means what it means to the caller. (The one that content is passed
 * to is kept open by the kernel: for other handles, and when this process is gone until the dead mount is cleared away, and so would be its lock.) One that has to wait
 * is tried again and again (lock_wait.c).
 */
#include "flock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "lock_wait.h"
#include "sealfs/waiters.h"

/*
 * close() does not wait until this process has heard of it, so who does not want to wait may be refused because of a lock that is given back already. If
 * another handle here may be the one that has it, that long is waited for its end.
 */
#define CLOSING_NS 100000000ull

struct flock_wait {
	struct lock_wait wait;
	int fd, operation;
	bool asked;
};

static int try_lock(int fd, int operation)
{
	return flock(fd, operation | LOCK_NB) ? -errno : 0;
}

static int attempt(struct lock_wait *wait)
{
	struct flock_wait *this = (struct flock_wait *)wait;
	int error = try_lock(this->fd, this->operation);

	/* to ask for another kind of lock gives the one back that is held, even if it is not had */
	if (!this->asked)
		lock_given_back(wait->node);
	this->asked = true;
	if (!error)
		lock_drop_cache(wait);
	return error;
}

static void discard(struct lock_wait *wait)
{
	free(wait);
}

/* Until `until_ns`; 0: for as long as it takes. 0: the request will be answered by others. */
static int wait_for_lock(fuse_req_t req, const struct node *node, int fd, int operation, uint64_t until_ns)
{
	struct flock_wait *this = calloc(1, sizeof(*this));

	if (!this)
		return -ENOMEM;
	*this = (struct flock_wait){
		.wait = {.req = req, .node = node, .attempt = attempt, .discard = discard, .until_ns = until_ns}, .fd = fd, .operation = operation};
	int error = lock_wait_begin(&this->wait);
	if (error)
		free(this);
	return error;
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

/* Who does not want to wait is answered after one more attempt, if no other handle here may be about to give it back. */
static uint64_t patience(fuse_req_t req, struct node *node, const struct handle *handle, int operation)
{
	if (!(operation & LOCK_NB))
		return 0;
	return locked_here(mount_of(req), node, handle) ? waiters_now_ns() + CLOSING_NS : 1;
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation)
{
	struct handle *handle = handle_of(fi);
	struct node *node = node_of(mount_of(req), ino);
	int fd = lock_descriptor(req, handle), error = fd < 0 ? fd : -EWOULDBLOCK;

	if (fd >= 0 && (operation & LOCK_UN || !lock_is_cached(handle))) {
		error = try_lock(fd, operation);
		lock_given_back(node); /* as in an attempt */
	}
	if (error == -EWOULDBLOCK) {
		error = wait_for_lock(req, node, fd, operation, patience(req, node, handle, operation));
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
	lock_given_back(handle->node);
}
