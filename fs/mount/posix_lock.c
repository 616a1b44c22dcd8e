/*
 * posix_lock.c - fcntl(2) locks of open files, taken on the export (posix_locks=export): they hold between mounts of an export, with programs beside them, and between
 * machines where the export's locks do
 *
 * POSIX gives all locks of a process on a file back when it closes any descriptor of that file; taken by this process as it would take its own, those of all processes
 * would be one owner's, and end with the first close. So each owner has, for each file that he locks, an open file of his own on the export, with open file description
 * locks on it (F_OFD_SETLK): they split, merge and change as POSIX locks do, and end when that open file is closed. The kernel names the owner, in the request and in the
 * FLUSH that it sends for each close of a file (so files that may be locked are not opened with FOPEN_NOFLUSH). Open file description locks of programs come with the open
 * file as their owner: for those there is no FLUSH; they end with the handle.
 *
 * Nothing needs to be remembered of the ranges. Nobody looks for circles of owners who wait for each other.
 */
#include "posix_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uthash.h>

#include "lock_wait.h"

struct owner_key {
	const struct node *node; /* for comparison only: the handle that is locked refers to it */
	uint64_t owner;
};

struct owner {
	UT_hash_handle hh;
	struct owner_key key;
	const struct handle *first; /* through which it came; for comparison only; NULL: that is gone */
	int fd;
	pid_t pid;
	unsigned int refs; /* one is the table's */
	bool ended;	   /* it has no locks, as far as is known: it is gone once nobody uses it */
	struct owner *next_ended;
};

/* Of the process's one mount. Guards the table and all counts; nothing is asked of the export with it. */
static struct {
	pthread_mutex_t lock;
	struct owner *table;
} owners = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct posix_wait {
	struct lock_wait wait;
	struct owner *owner;
	struct flock range;
};

/* ---- owners ---- */

static struct owner *find_locked(const struct owner_key *key)
{
	struct owner *owner;

	HASH_FIND(hh, owners.table, key, sizeof(*key), owner);
	if (owner)
		owner->refs++;
	return owner;
}

/* It is about to lock something, or has. */
static void revive(struct owner *owner)
{
	pthread_mutex_lock(&owners.lock);
	owner->ended = false;
	pthread_mutex_unlock(&owners.lock);
}

static struct owner_key key_of(const struct node *node, uint64_t id)
{
	struct owner_key key;

	memset(&key, 0, sizeof(key)); /* it is hashed as it lies in memory */
	key.node = node;
	key.owner = id;
	return key;
}

static struct owner *find_owner(const struct node *node, uint64_t id)
{
	struct owner_key key = key_of(node, id);

	pthread_mutex_lock(&owners.lock);
	struct owner *owner = find_locked(&key);
	pthread_mutex_unlock(&owners.lock);
	return owner;
}

static void put_owner(struct owner *owner)
{
	if (!owner)
		return;
	pthread_mutex_lock(&owners.lock);
	bool last = --owner->refs == 1 && owner->ended;
	if (last)
		HASH_DEL(owners.table, owner);
	pthread_mutex_unlock(&owners.lock);
	if (!last)
		return;
	close(owner->fd);
	free(owner);
}

/* To read and to write if he may, whatever he locks first: all of his locks must be on one open file. */
static int open_for_locks(fuse_req_t req, const struct handle *handle)
{
	const int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int mode = fcntl(handle->fd, F_GETFL) & O_ACCMODE, fd;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", handle->fd);
	{
		AS_CALLER(req);
		fd = open(path, O_RDWR | flags);
		if (fd < 0)
			fd = open(path, mode | flags);
	}
	if (fd < 0)
		fd = open(path, mode | flags); /* what he has open he may lock, though he may not open it any more */
	return fd < 0 ? -errno : fd;
}

/* A reference. */
static int get_owner(fuse_req_t req, struct handle *handle, uint64_t id, pid_t pid, struct owner **out)
{
	struct owner *made = NULL;

	*out = find_owner(handle->node, id);
	if (*out) {
		revive(*out);
		return 0;
	}
	int fd = open_for_locks(req, handle);
	if (fd < 0)
		return fd;
	made = calloc(1, sizeof(*made));
	if (!made) {
		close(fd);
		return -ENOMEM;
	}
	*made = (struct owner){.key = key_of(handle->node, id), .first = handle, .fd = fd, .pid = pid, .refs = 2};
	pthread_mutex_lock(&owners.lock);
	*out = find_locked(&made->key);
	if (!*out) {
		HASH_ADD(hh, owners.table, key, sizeof(made->key), made);
		*out = made;
		made = NULL;
		handle->is_locked = true;
	}
	pthread_mutex_unlock(&owners.lock);
	if (made) { /* another thread of his was faster */
		close(fd);
		free(made);
	}
	return 0;
}

/* ---- asking the export ---- */

static int set_lock(int fd, const struct flock *range)
{
	struct flock lock = *range;

	lock.l_pid = 0;
	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int attempt(struct lock_wait *wait)
{
	struct posix_wait *this = (struct posix_wait *)wait;
	int error = set_lock(this->owner->fd, &this->range);

	if (!error)
		revive(this->owner); /* another thread of his may have closed a descriptor while this one waited */
	if (!error)
		lock_drop_cache(wait);
	return error;
}

static void discard(struct lock_wait *wait)
{
	put_owner(((struct posix_wait *)wait)->owner);
	free(wait);
}

/* Takes the owner's reference. 0: the request will be answered by others. */
static int let_wait(fuse_req_t req, const struct node *node, struct owner *owner, const struct flock *range, bool once)
{
	struct posix_wait *this = calloc(1, sizeof(*this));

	if (!this) {
		put_owner(owner);
		return -ENOMEM;
	}
	*this = (struct posix_wait){.wait = {.req = req, .node = node, .attempt = attempt, .discard = discard}, .owner = owner, .range = *range};
	if (once)
		this->wait.until_ns = 1;
	int error = lock_wait_begin(&this->wait);
	if (error)
		discard(&this->wait);
	return error;
}

/* ---- the requests ---- */

static void give_back(struct handle *handle, uint64_t id, const struct flock *range)
{
	struct owner *owner = find_owner(handle->node, id);

	if (!owner)
		return;
	set_lock(owner->fd, range);
	put_owner(owner);
	lock_given_back(handle->node);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int may_wait)
{
	struct handle *handle = handle_of(fi);
	struct owner *owner;

	/* nobody writes what is sealed, so nobody is kept from reading it */
	if (!handle->keeps_locks) {
		reply_status(req, lock->l_type == F_WRLCK ? -EBADF : 0);
		return;
	}
	if (lock->l_type == F_UNLCK) {
		give_back(handle, fi->lock_owner, lock);
		reply_status(req, 0);
		return;
	}
	int error = get_owner(req, handle, fi->lock_owner, lock->l_pid, &owner);
	if (error) {
		reply_status(req, error);
		return;
	}
	bool cached = lock_is_cached(handle);
	error = cached ? -EAGAIN : set_lock(owner->fd, lock);
	/* a lock to read in place of one to write lets others in */
	if (!error && lock->l_type == F_RDLCK)
		lock_given_back(handle->node);
	if (error == -EAGAIN && (may_wait || cached)) {
		error = let_wait(req, handle->node, owner, lock, !may_wait);
		if (!error)
			return;
	} else {
		put_owner(owner);
	}
	reply_status(req, error);
}

/* References to the owners of locks of the node's, NULL-terminated, allocated; NULL when memory is out. */
static struct owner **owners_of(const struct node *node)
{
	struct owner *owner, *next, **list;
	size_t count = 0;

	pthread_mutex_lock(&owners.lock);
	list = calloc(HASH_COUNT(owners.table) + 1, sizeof(struct owner *));
	HASH_ITER(hh, owners.table, owner, next)
	{
		if (list && owner->key.node == node) {
			owner->refs++;
			list[count++] = owner;
		}
	}
	pthread_mutex_unlock(&owners.lock);
	return list;
}

/* Whose lock is it? His for whom nothing is in the way there; 0 where that can not be told: another mount's, or one of several that read. */
static pid_t holder_of(const struct node *node, const struct flock *found)
{
	struct owner **list = owners_of(node);
	pid_t pid = 0;

	for (size_t i = 0; list && list[i]; i++) {
		struct flock probe = *found;
		probe.l_type = F_WRLCK;
		probe.l_pid = 0;
		if (!pid && !fcntl(list[i]->fd, F_OFD_GETLK, &probe) && probe.l_type == F_UNLCK)
			pid = list[i]->pid;
		put_owner(list[i]);
	}
	free(list);
	return pid;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	struct handle *handle = handle_of(fi);
	struct owner *owner = handle->keeps_locks ? find_owner(handle->node, fi->lock_owner) : NULL;
	struct flock found = *lock;
	int error = 0;

	found.l_pid = 0;
	if (!handle->keeps_locks)
		found.l_type = F_UNLCK;
	else if (fcntl(owner ? owner->fd : handle->fd, F_OFD_GETLK, &found))
		error = -errno;
	put_owner(owner);
	if (!error && found.l_type != F_UNLCK)
		found.l_pid = holder_of(handle->node, &found);
	if (error)
		reply_status(req, error);
	else
		fuse_reply_lock(req, &found);
}

/* ---- their end ---- */

static const struct flock whole_file = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

void posix_lock_closed(struct handle *handle, uint64_t id)
{
	struct owner *owner = handle->keeps_locks ? find_owner(handle->node, id) : NULL;

	if (!owner)
		return;
	set_lock(owner->fd, &whole_file);
	pthread_mutex_lock(&owners.lock);
	owner->ended = true;
	pthread_mutex_unlock(&owners.lock);
	put_owner(owner);
	lock_given_back(handle->node);
}

void posix_lock_release(struct handle *handle)
{
	struct owner *owner, *next, *ended = NULL;

	if (!handle->is_locked)
		return;
	pthread_mutex_lock(&owners.lock);
	HASH_ITER(hh, owners.table, owner, next)
	{
		if (owner->first != handle)
			continue;
		owner->first = NULL;
		owner->ended = true;
		owner->refs++;
		owner->next_ended = ended;
		ended = owner;
	}
	pthread_mutex_unlock(&owners.lock);
	while ((owner = ended)) {
		ended = owner->next_ended;
		put_owner(owner);
	}
	lock_given_back(handle->node);
}

void posix_lock_end(void)
{
	struct owner *owner, *next;

	HASH_ITER(hh, owners.table, owner, next)
	{
		HASH_DEL(owners.table, owner);
		close(owner->fd);
		free(owner);
	}
}
