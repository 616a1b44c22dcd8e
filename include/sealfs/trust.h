/*
 * trust - whose signatures count on this machine
 *
 * The trust directory holds public keys, one a file NAME.pub; other names, and those that begin with a dot, are not looked at. It is local: the export is not
 * trusted for keys. To revoke a key, remove its file. Such a file is a PEM block, and before it any of these lines:
 *
 *     sealfs-name: the build host                  what messages call it; default: NAME
 *     sealfs-not-before: 2026-01-01T00:00:00Z      seals of an earlier time are refused
 *     sealfs-not-after: 2027-01-01T00:00:00Z       seals of a later time are refused
 *
 * The time is the one that the seal file says, not that of the check: what was sealed in time stays good, and the answer to a check
 * changes only when the folder does. Lines that do not contain "sealfs-" in any case, or begin with '#', are comments; any other that is not
 * exactly as above spoils the file, lest a slip of the pen makes a key good for ever.
 */
#ifndef SEALFS_TRUST_H
#define SEALFS_TRUST_H

#include "sealfs/digest.h"
#include "sealfs/key.h"

#define TRUST_NAME_MAX 255 /* bytes of a key's name */

struct trust_key {
	struct key_public key;
	char *name;
	int64_t not_before_ns, not_after_ns; /* CLOCK_REALTIME, both included; INT64_MIN and INT64_MAX: no limit */
};

/* True when it can stand in such a file: 1 to TRUST_NAME_MAX bytes of UTF-8 without control characters, no blank at either end. */
bool trust_name_valid(const char *name);
void trust_key_free(struct trust_key *key);
/* The text of a .pub file, allocated; name NULL: without. Times are cut to whole seconds. -EINVAL for a name or period that can not be, -ENOMEM. No I/O. */
int trust_key_format(const struct trust_key *key, char **text, size_t *size);
/* `name` is for a text that holds none. -EBADMSG with *why (a constant sentence, may be NULL); -ENOMEM. No I/O. On success: trust_key_free(). */
int trust_key_parse(const char *text, size_t size, const char *name, struct trust_key *out, const char **why);

struct trust; /* a trust directory; has its own lock, all functions may be called by any thread */

/*
 * Reads the folder `path`. It and its key files must not be writable by all. A key file that can not be used is reported and trusted
 * for nothing, the others serve. `report` (may be NULL) gets one sentence for each, here and in trust_refresh(), with the lock held: it must not call back.
 * -ENOENT, -EACCES, …; -EPERM when it is writable by all; *why is then an allocated sentence (free it), or NULL when memory is out. Blocks for the I/O.
 */
int trust_open(const char *path, void (*report)(void *arg, const char *sentence), void *arg, struct trust **out, char **why);
/* Also of NULL. */
void trust_close(struct trust *trust);

/*
 * Looks whether the folder or a key file in it has changed, also in place, and reads them anew then; one system call a file while nothing has. 1 when other
 * keys are trusted now, 0 when not. When it can not be read any more: its -errno, it is reported once, and nothing is trusted until
 * it can. Call it before trust_check(); whoever keeps the answer of a check keeps trust_generation() with it.
 */
int trust_refresh(struct trust *trust);
/* Grows whenever what is trusted changes. */
uint64_t trust_generation(struct trust *trust);
/* How many keys there are. */
size_t trust_count(struct trust *trust);

enum trust_verdict {
	TRUST_GOOD,
	TRUST_UNSIGNED,
	TRUST_UNREADABLE, /* the signature is no signature */
	TRUST_FORGED,	  /* a trusted key's, and wrong */
	TRUST_UNKNOWN,	  /* the key is not, or no longer, trusted */
	TRUST_EXPIRED,	  /* the seal is of a time after the key's, or … */
	TRUST_NOT_YET,	  /* … before it */
	TRUST_NOTHING,	  /* the folder can not be read */
};

/* "good", "unsigned", "unreadable", "forged", "unknown key", "expired", "not yet valid", "nothing trusted" */
const char *trust_verdict_name(enum trust_verdict verdict);

struct trust_finding {
	enum trust_verdict verdict;
	char *who; /* the key's name, escaped for a line of text; "ed25519:<64 hex>" of an unknown one; NULL when there is none */
	char *why; /* a sentence, unless good; may be NULL when memory is out */
};
void trust_finding_free(struct trust_finding *finding);

/*
 * Judges the signature of a seal: `seal` is the SHA-256 of the seal file's text and `time_ns` the time that it says (struct seal: digest, time_ns), `signature` the
 * text of the signature file, NULL when there is none. 0 when it is good; -EKEYREJECTED when not; -ENOMEM. `out` is filled in any case and to be
 * freed with trust_finding_free(). No I/O.
 */
int trust_check(struct trust *trust, const struct digest *seal, int64_t time_ns, const char *signature, size_t size,
		struct trust_finding *out);

#endif
