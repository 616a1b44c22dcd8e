/* publish - what waits on this mount, published for the others, and the search for cycles among all: shared by publish.c and deadlock.c */
#ifndef SEALFS_GATE_PUBLISH_H
#define SEALFS_GATE_PUBLISH_H

#include "internal.h"
#include "sealfs/waits.h"

struct gate_waits {
	struct pool_job job;
	struct gate *gate;
	atomic_bool off;      /* the export can not be written */
	pthread_mutex_t lock; /* guards the next three */
	bool running;
	uint64_t due_ns, changes;

	/* only the job's, and after the pool has ended the destroyer's */
	int64_t wall_ns;	/* CLOCK_REALTIME when CLOCK_MONOTONIC was 0: fixed, so that a wait always has the same beginning */
	struct waits published; /* as others see it */
	int alive;		/* the sign of life, or -1 */
	bool young;		/* somebody waits who is not published yet */
	/* deadlock.c */
	uint64_t check_ns;	/* when to search again */
	unsigned int checks;	/* since the waits here changed */
	unsigned int unchanged; /* searches since the folder looked like this */
	struct state_stamp stamp;
	char *suspected;	/* the cycle that was found last */
	uint64_t suspected_ns;
};

/* Under no lock. Searches if it is time; when it is time again is in check_ns. */
void gate_deadlock_check_(struct gate_waits *waits, uint64_t now);
/* What waits here has changed. */
void gate_deadlock_restart_(struct gate_waits *waits, uint64_t now);

#endif
