/*
 * export - the requests of sealfs/control.h done straight on an export, with the seal library
 *
 * They act in the name "sealctl:<host>:<pid>". What only a mount can know (who waits, who has files open) is missing in
 * the replies.
 */
#ifndef SEALCTL_EXPORT_H
#define SEALCTL_EXPORT_H

#include "call.h"
#include "sealfs/config.h"
#include "sealfs/liveness.h"
#include "sealfs/record.h"
#include "sealfs/state.h"
#include "sealfs/store.h"

/* An export that is open; owns nothing. */
struct export_dir {
	const struct store *store;
	const char *root; /* its directory, for people */
	const struct config *config;
	struct liveness liveness; /* what this machine can tell of writers */
};

/* Does RESERVE, SEAL, ABANDON, WAIT, STATUS or REMOVE; -EOPNOTSUPP for another. 0 or -errno, *reply as call_mount(). */
int export_call(const struct store *store, const char *root, const struct config *config, const struct call *call,
		json_t **reply);

/* One function for each; the dispatch table is in export.c. */
int export_seal(const struct export_dir *export, const struct call *call, json_t **reply);
int export_wait(const struct export_dir *export, const struct call *call, json_t **reply);
int export_status(const struct export_dir *export, const struct call *call, json_t **reply);

/*
 * What was pending or open as `state` says has been ended here: the mount that reserved or claimed it is told to look, so that it tells those who wait
 * (hint.h). Waits a moment for its answer; without one they find out by themselves.
 */
void export_hint(const struct state *state);

/* A new record of ours: record_init() plus who we are. The caller frees it. -ENOMEM. */
int export_record(struct record *record, enum record_kind kind);

/* What the state is, as a sentence for people ("it is open, being written by 't4' on node7"); allocated. */
char *export_describe(const struct state *state);
/* `result` with that sentence as the reply. */
int export_refuse(const struct state *state, int result, json_t **reply);
/* -ETIMEDOUT with it. */
int export_late(const struct state *state, json_t **reply);

/* "sha256:<hex>" of a sealed checkpoint into `text`, or "" when it cannot be told. */
#define EXPORT_ROOT_SIZE (sizeof("sha256:") + DIGEST_HEX_SIZE)
void export_root(const struct export_dir *export, const char *path, const struct state *state,
		 char text[EXPORT_ROOT_SIZE]);

/* Is a lock that nobody holds a proof that its holder is gone, and one that is held a proof that he lives? Not over
 * NFSv3, nor where locks do not leave their machine (sealfs/liveness.h). */
bool export_locks_tell(const char *root);

#endif
