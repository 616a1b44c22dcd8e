#include "sealfs/waiters.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

/* A trial that waits for something. */
struct wait_trial {
	UT_hash_handle hh;
	struct waiter *first; /* by a_prev, a_next */
	unsigned int visit;
	char name[];
};

struct waiters {
	pthread_mutex_t lock;
	struct waiter *by_key;
	struct waiter *timed; /* soonest limit first */
	struct wait_trial *trials;
	unsigned int visit;
	uint64_t changes;
	void (*wake_timer)(void *arg);
	void *arg;
};

uint64_t waiters_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct waiters *waiters_create(void (*wake_timer)(void *arg), void *arg)
{
	struct waiters *waiters = calloc(1, sizeof(*waiters));
	if (!waiters)
		return NULL;
	pthread_mutex_init(&waiters->lock, NULL);
	waiters->wake_timer = wake_timer;
	waiters->arg = arg;
	return waiters;
}

void waiters_destroy(struct waiters *waiters)
{
	if (!waiters)
		return;
	waiters_abort(waiters, -ENOTCONN);
	pthread_mutex_destroy(&waiters->lock);
	free(waiters);
}

static struct wait_trial *trial_find(struct waiters *waiters, const char *name)
{
	struct wait_trial *trial;
	HASH_FIND_STR(waiters->trials, name, trial);
	return trial;
}

static struct wait_trial *trial_get(struct waiters *waiters, const char *name)
{
	struct wait_trial *trial = trial_find(waiters, name);
	if (trial)
		return trial;
	trial = calloc(1, sizeof(*trial) + strlen(name) + 1);
	if (!trial)
		return NULL;
	memcpy(trial->name, name, strlen(name) + 1);
	HASH_ADD_STR(waiters->trials, name, trial);
	return trial;
}

static void trial_put(struct waiters *waiters, struct wait_trial *trial)
{
	if (trial->first)
		return;
	HASH_DEL(waiters->trials, trial);
	free(trial);
}

/* Does `from` wait, over any number of trials, for `target`? The graph holds no cycle yet, so recursion ends; `visit` spares repeats. */
static bool waits_for(struct waiters *waiters, const char *from, const char *target)
{
	struct wait_trial *trial = trial_find(waiters, from);
	struct waiter *waiter;

	if (!strcmp(from, target))
		return true;
	if (!trial || trial->visit == waiters->visit)
		return false;
	trial->visit = waiters->visit;
	DL_FOREACH2(trial->first, waiter, a_next)
	{
		const char *awaited = waiter->point->awaited;
		if (awaited && waits_for(waiters, awaited, target))
			return true;
	}
	return false;
}

/* Limits of one mount are alike, so the place is found at the end at once. */
static void timed_insert(struct waiters *waiters, struct waiter *waiter)
{
	if (!waiters->timed) {
		DL_APPEND2(waiters->timed, waiter, t_prev, t_next);
		return;
	}
	struct waiter *after = waiters->timed->t_prev;
	while (after->deadline_ns > waiter->deadline_ns && after != waiters->timed)
		after = after->t_prev;
	if (after->deadline_ns > waiter->deadline_ns)
		DL_PREPEND2(waiters->timed, waiter, t_prev, t_next);
	else
		DL_APPEND_ELEM2(waiters->timed, after, waiter, t_prev, t_next);
}

static int set_awaited(struct wait_point *point, const char *awaited)
{
	if (point->awaited && awaited && !strcmp(point->awaited, awaited))
		return 0;
	char *copy = awaited ? strdup(awaited) : NULL;
	if (awaited && !copy)
		return -ENOMEM;
	free(point->awaited);
	point->awaited = copy;
	return 0;
}

static int link_waiter(struct waiters *waiters, struct waiter *waiter, struct wait_point *point, const char *trial)
{
	waiter->trial = trial_get(waiters, trial);
	if (!waiter->trial)
		return -ENOMEM;
	waiter->point = point;
	DL_APPEND(point->first, waiter);
	point->count++;
	DL_APPEND2(waiter->trial->first, waiter, a_prev, a_next);
	HASH_ADD_PTR(waiters->by_key, key, waiter);
	waiters->changes++;
	if (waiter->deadline_ns)
		timed_insert(waiters, waiter);
	return 0;
}

static void unlink_waiter(struct waiters *waiters, struct waiter *waiter)
{
	DL_DELETE(waiter->point->first, waiter);
	waiter->point->count--;
	DL_DELETE2(waiter->trial->first, waiter, a_prev, a_next);
	trial_put(waiters, waiter->trial);
	HASH_DEL(waiters->by_key, waiter);
	waiters->changes++;
	if (waiter->deadline_ns)
		DL_DELETE2(waiters->timed, waiter, t_prev, t_next);
}

int waiters_park(struct waiters *waiters, struct waiter *waiter, struct wait_point *point, const char *trial, const char *awaited,
		 uint64_t limit_ns, bool (*interrupted)(const void *key))
{
	bool sooner = false;
	int error;

	waiter->since_ns = waiters_now_ns();
	waiter->deadline_ns = limit_ns ? waiter->since_ns + limit_ns : 0;
	pthread_mutex_lock(&waiters->lock);
	waiters->visit++;
	if (interrupted && interrupted(waiter->key))
		error = -EINTR;
	else if (awaited && waits_for(waiters, awaited, trial))
		error = -EDEADLK;
	else
		error = set_awaited(point, awaited);
	if (!error)
		error = link_waiter(waiters, waiter, point, trial);
	if (!error)
		sooner = waiters->timed == waiter;
	pthread_mutex_unlock(&waiters->lock);
	if (sooner)
		waiters->wake_timer(waiters->arg);
	return error;
}

/* The list is private by now: each is freed by its resume. */
static unsigned int resume_all(struct waiter *list, int result)
{
	unsigned int count = 0;
	while (list) {
		struct waiter *waiter = list;
		list = waiter->next;
		waiter->resume(waiter, result);
		count++;
	}
	return count;
}

unsigned int waiters_wake(struct waiters *waiters, struct wait_point *point, int result, unsigned int below)
{
	struct waiter *waiter, *next, *woken = NULL, **tail = &woken;

	pthread_mutex_lock(&waiters->lock);
	DL_FOREACH_SAFE(point->first, waiter, next)
	{
		if (below && waiter->generation >= below)
			continue;
		unlink_waiter(waiters, waiter);
		waiter->next = NULL;
		*tail = waiter;
		tail = &waiter->next;
	}
	pthread_mutex_unlock(&waiters->lock);
	return resume_all(woken, result);
}

unsigned int waiters_refuse(struct waiters *waiters, struct wait_point *point, const char *trial, unsigned int of, int result)
{
	struct waiter *waiter, *next, *refused = NULL;

	pthread_mutex_lock(&waiters->lock);
	DL_FOREACH_SAFE(point->first, waiter, next)
	{
		if (waiter->generation != of || strcmp(waiter->trial->name, trial))
			continue;
		unlink_waiter(waiters, waiter);
		waiter->next = refused;
		refused = waiter;
	}
	pthread_mutex_unlock(&waiters->lock);
	return resume_all(refused, result);
}

bool waiters_interrupt(struct waiters *waiters, const void *key)
{
	struct waiter *waiter;

	pthread_mutex_lock(&waiters->lock);
	HASH_FIND_PTR(waiters->by_key, &key, waiter);
	if (waiter)
		unlink_waiter(waiters, waiter);
	pthread_mutex_unlock(&waiters->lock);
	if (waiter)
		waiter->resume(waiter, -EINTR);
	return waiter != NULL;
}

uint64_t waiters_expire(struct waiters *waiters, uint64_t now_ns)
{
	struct waiter *expired = NULL, **tail = &expired;

	pthread_mutex_lock(&waiters->lock);
	while (waiters->timed && waiters->timed->deadline_ns <= now_ns) {
		struct waiter *waiter = waiters->timed;
		unlink_waiter(waiters, waiter);
		waiter->next = NULL;
		*tail = waiter;
		tail = &waiter->next;
	}
	uint64_t next = waiters->timed ? waiters->timed->deadline_ns : 0;
	pthread_mutex_unlock(&waiters->lock);
	resume_all(expired, -ETIMEDOUT);
	return next;
}

void waiters_abort(struct waiters *waiters, int result)
{
	struct waiter *waiter, *next, *all = NULL;

	pthread_mutex_lock(&waiters->lock);
	HASH_ITER(hh, waiters->by_key, waiter, next)
	{
		unlink_waiter(waiters, waiter);
		waiter->next = all;
		all = waiter;
	}
	pthread_mutex_unlock(&waiters->lock);
	resume_all(all, result);
}

uint64_t waiters_changes(struct waiters *waiters)
{
	pthread_mutex_lock(&waiters->lock);
	uint64_t changes = waiters->changes;
	pthread_mutex_unlock(&waiters->lock);
	return changes;
}

unsigned int waiters_count(struct waiters *waiters, const struct wait_point *point)
{
	pthread_mutex_lock(&waiters->lock);
	unsigned int count = point->count;
	pthread_mutex_unlock(&waiters->lock);
	return count;
}

void waiters_each(struct waiters *waiters, const struct wait_point *point,
		  void (*each)(void *arg, const struct waiter *waiter, const char *trial), void *arg)
{
	struct waiter *waiter;

	pthread_mutex_lock(&waiters->lock);
	DL_FOREACH(point->first, waiter)
	{
		each(arg, waiter, waiter->trial->name);
	}
	pthread_mutex_unlock(&waiters->lock);
}

void waiters_point_clear(struct waiters *waiters, struct wait_point *point)
{
	pthread_mutex_lock(&waiters->lock);
	free(point->awaited);
	point->awaited = NULL;
	pthread_mutex_unlock(&waiters->lock);
}
