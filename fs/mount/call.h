/* call - what tools ask by the ioctl: a call, the functions that carry it out, and its answer */
#ifndef SEALFS_CALL_H
#define SEALFS_CALL_H

#include <jansson.h>

#include "mount.h"
#include "sealfs/control.h"

/* A call, from its arrival to its answer. */
struct call {
	fuse_req_t req;
	struct mount *mount;
	struct handle *handle;
	struct gate_caller caller;
	uint32_t op;
	uint64_t offset;
	char *text; /* the four strings below stand in it */
	const char *path, *trial, *writer, *detail;
	struct gate_checkpoint *checkpoint;
	/* the end of a run: what is waited for, and what was found */
	struct gate_checkpoint **ending;
	size_t next;
	json_t *sealed, *failed, *joined;
};
void call_free(struct call *call);
/* The wrapper does not ask again for the end of its run. */
void call_run_forget(struct handle *handle);

/* ---- the calls, one a SEALFS_CALL_ (control.h); each answers and frees, at once or once its end is there ---- */
void call_info(struct call *call);
void call_reserve(struct call *call);
void call_claim(struct call *call);
void call_remove(struct call *call);
void call_more(struct call *call);
void call_end(struct call *call); /* seal and abandon */
void call_wait(struct call *call);
void call_run_begin(struct call *call);
void call_run_end(struct call *call);
void call_status(struct call *call);
void call_stats(struct call *call);

/* Parks the call until no end is under way at the checkpoint; true if `then` will be called. False: *outcome is filled, or *error is not 0. */
bool call_wait_for_end(struct call *call, struct gate_checkpoint *checkpoint, struct gate_outcome *outcome,
		       void (*then)(struct parked *parked, int result), int *error);

/* ---- call_waits.c ---- */
/* What waits on other mounts: {PATH: [waiter, …]}. Reads the export. */
json_t *other_waiters(struct mount *mount);
/* Those of one checkpoint, appended to the array `waiters`. */
void other_waiters_add(const json_t *others, const char *path, json_t *waiters);

/* ---- answering: the call is freed ---- */
/* The part of a text of `total` bytes that begins at `offset`. */
void reply_text(struct call *call, int result, const char *text, size_t total, size_t offset);
/* Takes the reference on `json`. */
void reply_json(struct call *call, int result, json_t *json);
/* `why` for people; NULL or "": what the error is called. */
void reply_failure(struct call *call, int error, const char *why);

/* ---- JSON ---- */
/* Bytes as they are, escaped (escape.h). */
json_t *text_json(const char *text);
json_t *root_json(const struct digest *root);
/* Text for people may hold anything: what is not UTF-8 is escaped. */
json_t *sentence_json(const char *text);
json_t *time_json(int64_t ns);
json_t *outcome_json(struct gate_checkpoint *checkpoint, const struct gate_outcome *outcome);

#endif
