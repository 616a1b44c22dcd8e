/*
 * state_watch - whether a checkpoint's state may have changed, for one request to the file server
 *
 * Who waits for an end reads the whole state only when the state folder has another stamp (state.h) than before, when the state was read too soon after that stamp was first
 * seen, and every few minutes whatever it looks like.
 */
#ifndef SEALFS_STATE_WATCH_H
#define SEALFS_STATE_WATCH_H

#include "sealfs/state.h"

#define STATE_SETTLED_NS 200000000u /* far more than a tick of any server's clock */
#define STATE_READ_NS 300000000000u /* so often all is read, whatever the folder looks like */

/* What one waiter has seen of one checkpoint. Times are CLOCK_MONOTONIC, in ns. One thread at a time. */
struct state_watch {
	int folder, lock_file; /* -1: not open; the second is the caller's for lease_watch() or liveness_judge(), while the first is open */
	struct state_stamp stamp;
	uint64_t stamp_ns, read_ns; /* when that stamp was first seen; when the caller last read the state, 0: never. The caller sets it when he does */
};
#define STATE_WATCH_INIT {.folder = -1, .lock_file = -1}

/* May the state differ from what was read last? What can not be looked at may. Blocks for the export's I/O: one request, a few more the first time and after a change. */
bool state_watch_differs(const struct store *store, const char *path, struct state_watch *watch, uint64_t now_ns);
/* Was the state read when no later change could look like the one before? */
bool state_watch_settled(const struct state_watch *watch);
/* Closes what is open; the rest stays known. */
void state_watch_close(const struct store *store, struct state_watch *watch);

#endif
