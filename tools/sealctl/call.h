/*
 * call - one request to a mount or to an export, one JSON reply
 *
 * The same requests and replies whether they go to a mount's ioctl (sealfs/control.h says which there are and what they
 * answer) or are done here with the seal library straight on an export (export.h), so that the sub-commands need not
 * know.
 */
#ifndef SEALCTL_CALL_H
#define SEALCTL_CALL_H

#include <jansson.h>
#include <signal.h>
#include <stdint.h>

#include "sealfs/control.h"
#include "sealfs/key.h"

/* Members that are NULL are sent as "". */
struct call {
	enum sealfs_call_op op;
	const char *path; /* below the mount or export */
	const char *trial, *writer, *detail;
	int64_t deadline_ns; /* CLOCK_MONOTONIC; then -ETIMEDOUT. 0: none */
	const struct signing_key *key; /* SEAL on an export: signs; or NULL. Mounts have their own */
};

/*
 * Issues `call` on an open directory of a mount. 0 or -errno, be it the call's result or the ioctl's; *reply, which the
 * caller releases, is the parsed answer or NULL. A signal does not end it. Uses SIGALRM when there is a deadline.
 * Blocks.
 */
int call_mount(int fd, const struct call *call, json_t **reply);

/*
 * Blocks the signals that stop a process (^Z). Every call but WAIT does so for its own thread; a process that makes
 * calls in several threads must do so in all, since a stop would interrupt the requests in the middle of what they do,
 * and their answers would be lost. `before` may be NULL.
 */
void call_block_stops(sigset_t *before);

/* What is said of a wait whose time is over. */
#define CALL_LATE "it has not ended in time"

/* What to tell people after a failure: the reply's sentence or the error's own. Owned by `reply` or static. */
const char *call_why(const json_t *reply, int result);

/* {"error": <the formatted sentence>}, for whoever makes such a reply. NULL when memory is out. */
json_t *call_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* CLOCK_MONOTONIC in ns. */
int64_t call_now_ns(void);

#endif
