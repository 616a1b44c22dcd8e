/*
 * waiters - requests that are kept until something happens, without a thread and without a poll
 *
 * A waiter is linked to a wait point (a checkpoint) and taken off exactly once: by the wake of its point, by its time limit, or by its interruption. Whoever took it
 * off calls `resume`; nobody else touches it afterwards. One lock guards all; `resume` is called without it.
 *
 * The order of locks: a checkpoint's lock (gate.h) → the lock in here → libfuse's own.
 */
#ifndef SEALFS_WAITERS_H
#define SEALFS_WAITERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uthash.h>

struct waiters;
struct wait_point;
struct wait_trial;

struct waiter {
	/* set by the caller before waiters_park() */
	const void *key;  /* what an interruption names it by: the request */
	void (*resume)(struct waiter *waiter, int result);
	pid_t tid;
	uid_t uid;
	gid_t gid;
	bool reads; /* it wants content, and will read it */
	unsigned int generation; /* of the checkpoint when it began to wait */
	/* private */
	UT_hash_handle hh;
	struct waiter *prev, *next;	  /* of its point */
	struct waiter *t_prev, *t_next;	  /* of the time limits, soonest first */
	struct waiter *a_prev, *a_next;	  /* of its trial */
	struct wait_point *point;
	struct wait_trial *trial;
	uint64_t since_ns, deadline_ns;	  /* CLOCK_MONOTONIC; deadline 0: none */
};

/* Embedded in a checkpoint. Zero-initialised. */
struct wait_point {
	struct waiter *first; /* guarded by the waiters' lock */
	unsigned int count;   /* likewise */
	char *awaited;	      /* the trial that writes here, if known; likewise */
};

/* `wake_timer` is called, without the lock, when the soonest time limit became sooner. */
struct waiters *waiters_create(void (*wake_timer)(void *arg), void *arg);
void waiters_destroy(struct waiters *waiters);

/*
 * Links the waiter. `trial` (copied) waits for `awaited` (copied to the point; NULL if nobody is known to write). limit_ns 0: no time limit. `interrupted` is asked under the lock.
 * 0: linked, and the caller must not touch the waiter or its request again; -EINTR, -EDEADLK (the wait would close a cycle of trials),
 * -ENOMEM: not linked. The caller holds the checkpoint's lock, so that no wake is lost.
 */
int waiters_park(struct waiters *waiters, struct waiter *waiter, struct wait_point *point, const char *trial, const char *awaited,
		 uint64_t limit_ns, bool (*interrupted)(const void *key));

/* Takes off all of a point and resumes them with `result`; with `below` > 0 only those whose generation is below it. Not under the checkpoint's lock. Returns how many. */
unsigned int waiters_wake(struct waiters *waiters, struct wait_point *point, int result, unsigned int below);

/* Takes off those of `trial` that wait at the point for generation `of`, and resumes them with `result`. Returns how many. */
unsigned int waiters_refuse(struct waiters *waiters, struct wait_point *point, const char *trial, unsigned int of, int result);

/* Takes off the waiter with this key and resumes it with -EINTR; false if there is none. */
bool waiters_interrupt(struct waiters *waiters, const void *key);

/* Resumes with -ETIMEDOUT all whose time has come; returns the ns (CLOCK_MONOTONIC) of the next limit, 0 if none. */
uint64_t waiters_expire(struct waiters *waiters, uint64_t now_ns);

/* Resumes everything with `result`: the file system goes away. */
void waiters_abort(struct waiters *waiters, int result);

/* Another number whenever somebody began to wait or was taken off. */
uint64_t waiters_changes(struct waiters *waiters);

unsigned int waiters_count(struct waiters *waiters, const struct wait_point *point);
/* Calls `each` under the lock for every waiter of the point. */
void waiters_each(struct waiters *waiters, const struct wait_point *point,
		  void (*each)(void *arg, const struct waiter *waiter, const char *trial), void *arg);
/* Forgets the point's `awaited`; no waiter may be linked. */
void waiters_point_clear(struct waiters *waiters, struct wait_point *point);

uint64_t waiters_now_ns(void);

#endif
