/*
 * cycle - trials of several mounts that wait for each other in a circle
 *
 * The graph: a trial waits, on some mount, for the trial that writes a checkpoint. Whoever follows it from trial to trial and comes back has found a cycle.
 * All who find the same one choose the same wait to be refused: the one that began last. No I/O, no state.
 */
#ifndef SEALFS_CYCLE_H
#define SEALFS_CYCLE_H

#include <stddef.h>
#include <stdint.h>

#include "sealfs/store.h"

#define CYCLE_MAX 64	/* trials in a cycle; longer ones are not found */
#define CYCLE_VISITS 1024 /* trials looked at in one search */

/* One trial's wait. The strings are the caller's. */
struct cycle_wait {
	const char *trial, *awaited; /* the trial that waits; the one that it waits for */
	const char *checkpoint;
	const char *mount, *host;    /* where it waits */
	unsigned int generation;
	int64_t since_ns;
};

/*
 * Calls `each` for every wait of `trial` whose awaited trial is known, as far as they can be found; the strings live until the search ends. A return other than 0
 * ends the search.
 */
typedef int cycle_waits_fn(void *arg, const char *trial, int (*each)(void *walk, const struct cycle_wait *wait), void *walk);

/* The waits of the first cycle that is found from `trial` on, in its order: the first is one of `trial`'s. Their number, 0 if there is none, -errno. */
int cycle_find(const char *trial, cycle_waits_fn *waits, void *arg, struct cycle_wait out[CYCLE_MAX]);

/* Which of them is to be refused: its index. The same for everybody, from whichever trial the cycle was found. */
size_t cycle_victim(const struct cycle_wait *waits, size_t count);

#endif
