/*
 * verify - the parts of `sealctl verify`: checking one checkpoint, and what is printed of it
 */
#ifndef SEALCTL_VERIFY_H
#define SEALCTL_VERIFY_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sealfs/seal.h"
#include "sealfs/trust.h"
#include "subject.h"

struct verify {
	bool quick;
	char **live; /* more globs of names that are not sealed: NULL-terminated, or NULL */
	struct trust *trust; /* whose signatures count; NULL: a signature must only be right, and may be missing */
	unsigned int threads;
	const atomic_bool *cancel;
	atomic_uint_least64_t bytes_done, bytes_total; /* of content */

	/* the sum */
	json_t *skipped;               /* {state: how many} */
	uint64_t good, failed, errors; /* checkpoints */
	uint64_t files, bytes;
};

/* ---- verify_one.c ---- */

/*
 * Checks one checkpoint. *out (the caller's; NULL when it was skipped): {"path", "export" | "mount" | "copy", "ok",
 * "against", "root", "signed_by", "files", "bytes", "error", "faults": [{"path", "why", "first_block", "last_block"}]}, whose
 * members are null when they are not known. One that is not sealed is an error, or skipped where a whole export was
 * named. Returns the exit status; nothing is printed.
 */
int verify_one(struct verify *verify, const struct subject *subject, const char *path, json_t **out);

/* The bytes of content that verify_one() will read; 0 where it cannot be told. */
uint64_t verify_measure(const struct subject *subject, const char *path);

/* ---- verify_signed.c ---- */

/*
 * Judges a checkpoint's signature and adds "signed_by" to `out`: the key's name, or with no trust directory the key. 0; -EKEYREJECTED with *why (the
 * caller's, may be NULL); -errno.
 */
int verify_signed(const struct verify *verify, const struct store *store, const char *path, const struct state *state,
		  const struct seal *seal, json_t *out, char **why);

/* ---- verify_print.c ---- */

/* One checkpoint for people on stdout: a line, then one for each fault. An error goes to stderr. */
void verify_print_one(const json_t *checkpoint);
void verify_print_sum(const struct verify *verify, double seconds);
/* All as one object. Returns the exit status of printing. Takes over `checkpoints`. */
int verify_print_json(const struct verify *verify, json_t *checkpoints, double seconds);

#endif
