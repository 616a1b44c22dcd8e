/*
 * liveness - does the mount that writes still live?
 *
 * Two signs of life are known, and each claim and join says which of them its mount gives:
 *
 *     lease      the lock (lease.h), where the file system takes the lock of a machine that vanished away: local file systems at once, NFSv4 after its
 *                lease. A mount with a lease also has a slow heartbeat, for machines that can not see its lock.
 *     heartbeat  where locks are no such sign (NFSv3 never frees those of a vanished machine; nolock, locks=off, file systems whose locks stay on their
 *                machine): while it writes, the mount changes .sealfs/mounts/<mount>.beat every so many seconds. Whoever waits looks at it as often, and
 *                when it was the same LIVENESS_MISSES times in a row, it is dead.
 *
 * No two clocks are compared: the waiter counts intervals of its own clock, in each of which it could ask the server itself; the file's times and size are
 * only compared for being the same. Safety does not rest on any of this (state.h): whoever is declared dead and is not has lost its generation, and
 * finds that out when it goes on. An error never means that nobody lives.
 *
 * All functions: 0 or more, or -errno. They block for the export's I/O.
 */
#ifndef SEALFS_LIVENESS_H
#define SEALFS_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

#include "sealfs/record.h"
#include "sealfs/store.h"

#define LIVENESS_HEARTBEAT 5	    /* seconds between two heartbeats, unless said otherwise */
#define LIVENESS_HEARTBEAT_MAX 3600 /* seconds */
#define LIVENESS_MISSES 6	    /* heartbeats missed in a row, and it is dead */
#define LIVENESS_SLOWER 12	    /* so many times as rare are those of a mount that has a lease as well */

enum liveness_locks { LIVENESS_LOCKS_AUTO, LIVENESS_LOCKS_ON, LIVENESS_LOCKS_OFF };

/* What one mount goes by. */
struct liveness {
	bool leases;	       /* its own sign of life is the lock; else only its heartbeat is, and it takes no locks at all */
	bool probes;	       /* it sees the locks of other machines */
	unsigned int heartbeat; /* seconds between its heartbeats while it writes */
	char type[32];	       /* the export's file system, as the kernel calls it */
	char why[160];	       /* how that was decided, for people */
};

/* By the file system of the export and how it is mounted, and by trying. `heartbeat` is in seconds, 0 for the default. -errno when locks must be on (LOCKS_ON) and
 * can not be had; `out` then says why. The caller sets store->no_locks to !out->leases. */
int liveness_detect(const struct store *store, enum liveness_locks locks, unsigned int heartbeat, struct liveness *out);
/* The same by what stands in /proc/self/mountinfo: a type and its options (NULL: it does not say). No I/O. */
void liveness_of_mount(const char *type, const char *options, struct liveness *out);

/* A heartbeat of the mount named so; the first makes its file. To be called before anything is claimed. */
int liveness_beat(const struct store *store, const char *mount, uint64_t count);
/* The mount ends in good order: its file goes. */
void liveness_stop(const struct store *store, const char *mount);
/* Removes the files of mounts that are long gone, and which this user may remove. `mount` is one that has just given a heartbeat. */
void liveness_sweep(const struct store *store, const char *mount);

/* What one waiter has seen of one mount's heartbeats. Zero-initialised; owned by the caller, one thread at a time. */
struct liveness_watch {
	bool seen;
	uint64_t inode, size;
	int64_t changed[4];	/* mtime and ctime */
	int missed;		/* in a row; below 0 for a while after a time in which we could not ask */
	uint64_t looked_ns;	/* when it was last looked at */
	uint64_t cut_off_ns;	/* since when we can not ask; 0: we can */
	uint64_t since_ns;	/* since when the caller knows of the claim or join that he asks about: who made it was alive then, whatever was missed of his mount
				   before. 0: he asks about no other than before */
	uint64_t (*clock)(void); /* CLOCK_MONOTONIC in ns when NULL */
};

/* Looks at the heartbeat if it is time for that. 1: dead; 0: it lives, or that is not known yet; -errno: it could not be looked at. */
int liveness_look(const struct store *store, const char *mount, unsigned int heartbeat, struct liveness_watch *watch);

/* Does the mount that made this claim of `path` live, by the sign that the claim names? As above; -ENOLCK: this machine can not tell. Without a lease it is to be
 * asked again and again. `lock`: as in lease_watch(); NULL: it is asked once. */
int liveness_judge(const struct store *store, const struct liveness *liveness, const char *path, const struct record *claim,
		   struct liveness_watch *watch, int *lock);
/* Ends the generation of this claim, which was judged dead. 0 when it is ended now, whoever did it; -EBUSY: it lives after all, or is another one's by now;
 * -EACCES when this user may not decide it. */
int liveness_end_dead(const struct store *store, const struct liveness *liveness, const char *path, const struct record *claim,
		      const char *trial, const char *reason);
/* The same of a claim that the caller knows to be dead whatever locks there are: he made it himself. It ended at `when` (uptime_ns of record.h); NULL: now. */
int liveness_end_by_link(const struct store *store, const char *path, const struct record *claim, const char *trial, const char *reason,
			 const uint64_t *when);

/* After how many seconds, at most, a dead mount of this kind is noticed by its heartbeat. */
unsigned int liveness_limit(unsigned int heartbeat);

#endif
