/*
 * record - the text of a checkpoint's state files
 *
 * A record is created once and never changed. It is "key: value" lines, values escaped (escape.h, but a blank stands for itself), closed by a line
 * with the SHA-256 of everything before it, so a torn or edited record is never taken for a whole one:
 *
 *     sealfs claim 1
 *     checkpoint: run1/t4
 *     generation: 1
 *     trial: t4
 *     …
 *     sha256: <64 hex>
 *
 * Unknown keys are ignored (a newer version may add some); an unknown kind or version is -EPROTO; anything else that is not so is -EBADMSG.
 * No I/O.
 */
#ifndef SEALFS_RECORD_H
#define SEALFS_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sealfs/digest.h"
#include "sealfs/store.h"

#define RECORD_SIZE_LIMIT 65536 /* bytes; a larger file is refused */
#define RECORD_HEARTBEAT_MAX 86400 /* seconds */

/* The last two: another mount of the writing trial has begun to write in the generation; it is done with that. */
enum record_kind { RECORD_RESERVE, RECORD_CLAIM, RECORD_END, RECORD_JOIN, RECORD_LEFT };

struct record {
	enum record_kind kind;
	char *checkpoint;    /* path below the export's root */
	unsigned int generation;
	char *trial;	     /* reserve: who reserves; claim: the writer; end: who ended it. Never NULL. */
	char *writer;	     /* reserve only: the trial that will write, or NULL */
	char *host;
	char *boot;	     /* the machine's boot id (/proc/sys/kernel/random/boot_id) */
	uint64_t uptime_ns;  /* CLOCK_BOOTTIME of that machine when the record was made */
	int64_t time_ns;     /* CLOCK_REALTIME, ns since the epoch; for people, nothing depends on it */
	int64_t pid;	     /* of the process that asked for it, or 0 */
	uid_t uid;
	gid_t gid;
	char token[STORE_TOKEN_SIZE]; /* makes a retransmitted link recognisable */
	char mount[STORE_TOKEN_SIZE]; /* the mount that made it, or "" */
	char *hint;	     /* where that mount may be asked to tell of the end (hint.h), or NULL */
	unsigned int heartbeat; /* seconds between the heartbeats of that mount while it writes (liveness.h); 0: it has none */
	bool no_lease;	     /* its lock says nothing of whether it lives: only its heartbeats do */
	/* claim only */
	int plain;	     /* it takes over plain data, which are plain again if this generation fails */
	/* end only */
	int sealed;	     /* 1 sealed, 0 failed */
	struct digest root;  /* sealed: the root digest */
	struct digest seal;  /* sealed: the SHA-256 of the seal file (seal.h) */
	char *reason;	     /* failed: why, for people */
};

/* Fills host, boot, the times and a fresh token; the rest is zero. -ENOMEM. */
int record_init(struct record *record, enum record_kind kind);
void record_free(struct record *record);

/* The text, allocated; -EINVAL when a string that must be there is not. */
int record_format(const struct record *record, char **text, size_t *size);
/* *why (if not NULL) points to a constant sentence when it fails. On success the caller frees *out with record_free(). */
int record_parse(const char *text, size_t size, struct record *out, const char **why);

/* A time for people, "2026-11-24T04:21:40.123456789Z", and back; -EINVAL when it is not of that form. */
#define RECORD_TIME_SIZE 40 /* characters with the NUL */
void record_time_format(int64_t time_ns, char text[RECORD_TIME_SIZE]);
int record_time_parse(const char *text, int64_t *time_ns);

/*
 * The "key: value" layer under it, for the seal file and the like. record_lines_parse() checks the first line ("sealfs <word> <version>", version
 * equal to `version`) and the closing sha256 line, then calls `each` with decoded values in order; a value never holds a NUL.
 */
int record_lines_parse(const char *text, size_t size, const char *word, unsigned int version,
		       int (*each)(void *arg, const char *key, const char *value), void *arg, const char **why);

/* Builds such a text: begin, any number of lines (printf style, escaped as a whole), end. Errors are kept and given by record_lines_end(). */
struct record_lines {
	char *text;
	size_t size, capacity;
	int error;
};
void record_lines_begin(struct record_lines *lines, const char *word, unsigned int version);
void record_lines_add(struct record_lines *lines, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
int record_lines_end(struct record_lines *lines, char **text, size_t *size);

#endif
