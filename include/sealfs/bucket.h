/*
 * bucket - how often something may happen
 *
 * `burst` times at once, after that once every `interval_ns`. Zero-initialised, it is full. Not thread-safe.
 */
#ifndef SEALFS_BUCKET_H
#define SEALFS_BUCKET_H

#include <stdint.h>

struct bucket {
	uint64_t next_ns; /* when it would be full again, were it now to give */
};

/* 0: it may happen now, and is counted. Otherwise it may not, and the ns until it may. */
uint64_t bucket_take(struct bucket *bucket, uint64_t now_ns, uint64_t interval_ns, unsigned int burst);

#endif
