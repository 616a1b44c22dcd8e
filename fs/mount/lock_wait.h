/* lock_wait - requests that wait for a lock on the export: kept, without a thread of their own; see lock_wait.c */
#ifndef SEALFS_MOUNT_LOCK_WAIT_H
#define SEALFS_MOUNT_LOCK_WAIT_H

#include "mount.h"

struct lock_wait {
	/* set by who makes it */
	fuse_req_t req;
	const struct node *node; /* for comparison only */
	/* Asks for the lock, without waiting. 0: it is had; -EWOULDBLOCK; any other error ends the wait. In a thread that is none of the requests', without locks. */
	int (*attempt)(struct lock_wait *wait);
	void (*discard)(struct lock_wait *wait);
	uint64_t until_ns; /* then EWOULDBLOCK is the answer (CLOCK_MONOTONIC); 0: never */
	/* private */
	struct lock_wait *prev, *next;
	uint64_t next_ns, pause_ns;
	bool trying;	  /* the thread is at it, without the lock */
	bool interrupted; /* meanwhile */
};

/* Takes the wait, which is attempted soon, and again and again; then its request is answered and it is discarded. Or -errno: it is the caller's still. */
int lock_wait_begin(struct lock_wait *wait);
/* A lock of the node's may have been given back: whoever waits for it is next. */
void lock_given_back(const struct node *node);
/*
 * What the kernel keeps of the content may be older than what was written on another mount, or machine, under a lock until now; neither size nor time need tell. Then
 * that is dropped by lock_drop_cache() once the lock is had: in an attempt, since the kernel may have to wait for other requests. What it passes through it does not
 * keep, and what is sealed does not change.
 */
bool lock_is_cached(const struct handle *handle);
void lock_drop_cache(const struct lock_wait *wait);

/* Answers all that wait with ENOTCONN, and ends the thread. The session must be there still, and no request may come any more. */
void lock_wait_end(void);

#endif
