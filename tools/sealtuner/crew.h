/*
 * crew - the launcher's loop: up to so many trials at once, begun in the order in which they were given out
 *
 * It always makes progress: a parent is begun before its children, so among those that run at least one waits for nobody
 * here; and a trial whose parent runs, but not here, is not begun before that has ended.
 */
#ifndef SEALTUNER_CREW_H
#define SEALTUNER_CREW_H

#include "board.h"
#include "launch.h"

struct crew_slot {
	char *id;         /* NULL: free */
	pid_t pid;        /* of our child; 0: an earlier launcher's, watched by its lock */
	int64_t began_ns; /* CLOCK_MONOTONIC */
};

struct crew {
	struct place *place;
	struct experiment *experiment;
	struct launch launch;
	struct board board;
	unsigned int wanted; /* how many trials there are to be in all */
	struct crew_slot *slots;
	size_t jobs;
	int signals;      /* signalfd */
	int stopping;     /* the signal that asked for it, or 0 */
	bool killed;      /* … and again */
	bool active;      /* something was begun, or taken in */
	int status;       /* worst of what went wrong with the launcher's own work */
	const char *noted; /* the foreign trial that was last said to be waited for */
};

/* Runs until all wanted trials have ended or a signal came. The exit status. */
int crew_run(struct crew *crew);

/* ---- crew_end.c ---- */

/* The trial of this slot has ended with this exit status: takes in its result, frees the slot. */
void crew_finish(struct crew *crew, struct crew_slot *slot, int status);

/* ---- crew_next.c ---- */

/* The next trial to be begun: one that was given out before and is not running, or a new one. 0 with *out; -EAGAIN when there is none now, -ENOENT when there
 * will be none; -errno with the failure printed. What has ended meanwhile is taken in, what still runs is put in a slot. */
int crew_next(struct crew *crew, struct trial **out);

struct crew_slot *crew_find(struct crew *crew, const char *id);
struct crew_slot *crew_free_slot(struct crew *crew);

#endif
