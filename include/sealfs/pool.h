/*
 * pool - threads for work that may take long (sealing, verifying, looking at the export)
 *
 * Each kind of work has threads of its own, so that none is kept waiting by another: to read large files takes minutes. They are started when there is work
 * and none is idle, up to the limit; they stay until pool_destroy().
 */
#ifndef SEALFS_POOL_H
#define SEALFS_POOL_H

#include <stdbool.h>

enum pool_kind {
	POOL_LOOK,   /* a few requests to the export, or little content */
	POOL_SEAL,   /* content is read, and whoever awaits that checkpoint waits for it */
	POOL_VERIFY, /* content is read, and whoever opens that file waits for it, if anybody */
	POOL_KINDS
};

/* Embedded in what is to be worked on; owned by the pool from pool_submit() until `run` is called. */
struct pool_job {
	void (*run)(struct pool_job *job);
	struct pool_job *next;
	bool queued; /* under the pool's lock; false at first */
};

struct pool;

/* At most so many threads for each kind. NULL when memory is out. */
struct pool *pool_create(unsigned int max_threads);
/* Runs what is queued, waits for it and ends the threads. */
void pool_destroy(struct pool *pool);
/* First in, first out, within its kind. Does not block. If no thread can be started at all, the job waits for one that can. False when it is queued already (of
 * whatever kind): it is run once then. */
bool pool_submit(struct pool *pool, enum pool_kind kind, struct pool_job *job);

#endif
