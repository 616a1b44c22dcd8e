/*
 * pool - threads for work that may take long (sealing, verifying, looking at the export)
 *
 * Threads are started when there is work and none is idle, up to the limit; they stay until pool_destroy().
 */
#ifndef SEALFS_POOL_H
#define SEALFS_POOL_H

#include <stdbool.h>

/* Embedded in what is to be worked on; owned by the pool from pool_submit() until `run` is called. */
struct pool_job {
	void (*run)(struct pool_job *job);
	struct pool_job *next;
	bool queued; /* under the pool's lock; false at first */
};

struct pool;

/* NULL when memory is out. */
struct pool *pool_create(unsigned int max_threads);
/* Runs what is queued, waits for it and ends the threads. */
void pool_destroy(struct pool *pool);
/* First in, first out. Does not block. If no thread can be started at all, the job waits for one that can. False when it is in the queue already: it is
 * run once then. */
bool pool_submit(struct pool *pool, struct pool_job *job);

#endif
