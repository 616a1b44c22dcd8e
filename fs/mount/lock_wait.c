/*
 * lock_wait - requests that wait for a lock on the export
 *
 * They are tried again and again, by one thread for all: at once when a lock of this mount's is given back, else ever less often. (To block in the export would take
 * a thread each, and servers of some kernels notify nobody.) They can be killed like all that waits.
 */
#include "lock_wait.h"

#include <errno.h>
#include <utlist.h>

#include "sealfs/waiters.h"

#define FIRST_PAUSE_NS 1000000ull
#define LONGEST_PAUSE_NS 100000000ull
#define LONGEST_CLOSING_PAUSE_NS 4000000ull
#define LONGEST_REMOTE_PAUSE_NS 1000000000ull

/* Of the process's one mount. All but `count` under `lock`, with which nothing is asked of the export. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool running, stopping;
	struct lock_wait *first;
	atomic_uint count;
} waits = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void take_off(struct lock_wait *wait)
{
	DL_DELETE(waits.first, wait);
	waits.count--;
}

static void answer(struct lock_wait *wait, int result)
{
	fuse_req_t req = wait->req;

	wait->discard(wait);
	reply_status(req, result);
}

/* As for all that is parked: libfuse may call it inside fuse_req_interrupt_func(), so it looks the wait up by its request. */
static void interrupted(fuse_req_t req, void *data)
{
	struct lock_wait *wait;

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

static struct lock_wait *soonest(void)
{
	struct lock_wait *wait, *found = NULL;

	DL_FOREACH(waits.first, wait)
		if (!found || wait->next_ns < found->next_ns)
			found = wait;
	return found;
}

static void try_again_later(struct lock_wait *wait)
{
	uint64_t longest = wait->until_ns ? LONGEST_CLOSING_PAUSE_NS : mount_of(wait->req)->remote ? LONGEST_REMOTE_PAUSE_NS : LONGEST_PAUSE_NS;

	wait->next_ns = waiters_now_ns() + wait->pause_ns;
	wait->pause_ns = wait->pause_ns * 2 < longest ? wait->pause_ns * 2 : longest;
}

/* Under the lock, which it gives up meanwhile. A lock that was had is told even if an interruption came in between: who is killed gives it back by closing the file. */
static void try_one(struct lock_wait *wait)
{
	wait->trying = true;
	pthread_mutex_unlock(&waits.lock);
	int result = wait->attempt(wait);
	pthread_mutex_lock(&waits.lock);
	wait->trying = false;
	bool may_go_on = !wait->interrupted && (!wait->until_ns || waiters_now_ns() < wait->until_ns);
	if (result == -EWOULDBLOCK && may_go_on) {
		try_again_later(wait);
		return;
	}
	take_off(wait);
	pthread_mutex_unlock(&waits.lock);
	answer(wait, result && wait->interrupted ? -EINTR : result);
	pthread_mutex_lock(&waits.lock);
}

static void *try_all(void *arg)
{
	pthread_mutex_lock(&waits.lock);
	while (!waits.stopping) {
		struct lock_wait *wait = soonest();
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

int lock_wait_begin(struct lock_wait *wait)
{
	fuse_req_t req = wait->req;
	int error;

	wait->pause_ns = FIRST_PAUSE_NS;
	fuse_req_interrupt_func(req, interrupted, NULL);
	pthread_mutex_lock(&waits.lock);
	error = fuse_req_interrupted(req) ? -EINTR : waits.stopping ? -ENOTCONN : run_thread();
	if (!error) {
		DL_APPEND(waits.first, wait);
		waits.count++;
		pthread_cond_signal(&waits.changed);
	}
	pthread_mutex_unlock(&waits.lock);
	return error;
}

void lock_given_back(const struct node *node)
{
	struct lock_wait *wait;

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

bool lock_is_cached(const struct handle *handle)
{
	return !handle->passthrough && !handle->node->key.entry;
}

void lock_drop_cache(const struct lock_wait *wait)
{
	struct mount *mount = mount_of(wait->req);

	if (!io_is_passed_through(mount, (struct node *)wait->node))
		fuse_lowlevel_notify_inval_inode(mount->session, number_of(mount, wait->node), 0, 0);
}

void lock_wait_end(void)
{
	struct lock_wait *wait, *next;

	pthread_mutex_lock(&waits.lock);
	waits.stopping = true;
	bool running = waits.running;
	if (running)
		pthread_cond_signal(&waits.changed);
	pthread_mutex_unlock(&waits.lock);
	if (running)
		pthread_join(waits.thread, NULL);
	pthread_mutex_lock(&waits.lock);
	struct lock_wait *left = waits.first;
	waits.first = NULL;
	pthread_mutex_unlock(&waits.lock);
	DL_FOREACH_SAFE(left, wait, next)
		answer(wait, -ENOTCONN);
}
