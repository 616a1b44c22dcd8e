/*
 * signature - who says that a seal is his
 *
 * Signed is a statement about the seal file (seal.h), which in turn names everything: root digest, checkpoint, generation, trial, host,
 * time, parents. The statement is these 86 bytes, the digest being the SHA-256 of the seal file's whole text:
 *
 *     sealfs seal 1
 *     sha256:<64 hex>
 *
 * The signature is <seal folder>/signature, a text of record_lines (record.h):
 *
 *     sealfs signature 1
 *     key: ed25519:<64 hex of the public key>
 *     signature: <128 hex>
 *     sha256: <64 hex>
 *
 * There is one text for a signature, and a reader takes no other: no further keys, no other order. An empty file stands for none: it is
 * put in place of what an earlier attempt with a key has left (seal_sign.c).
 */
#ifndef SEALFS_SIGNATURE_H
#define SEALFS_SIGNATURE_H

#include "sealfs/digest.h"
#include "sealfs/key.h"
#include "sealfs/state.h"
#include "sealfs/store.h"

#define SIGNATURE_NAME "signature"
#define SIGNATURE_SIZE_LIMIT 4096 /* bytes; a larger signature file is refused */

struct signature {
	struct key_public key;
	uint8_t bytes[KEY_SIGNATURE_SIZE];
};

#define SIGNATURE_STATEMENT_SIZE 86 /* bytes, without the NUL */
/* `seal` is the SHA-256 of the seal file. */
void signature_statement(const struct digest *seal, char statement[SIGNATURE_STATEMENT_SIZE + 1]);

/* No I/O. -EIO when the library refuses, -ENOMEM. */
int signature_sign(const struct signing_key *key, const struct digest *seal, struct signature *out);
/* 0 when it is the signature of that seal by signature->key, else -EKEYREJECTED. Says nothing of whether the key is trusted: trust.h does. */
int signature_check(const struct signature *signature, const struct digest *seal);

/* The text, allocated. -ENOMEM. */
int signature_format(const struct signature *signature, char **text, size_t *size);
/* -EPROTO for an unknown version, -EBADMSG for all else that is not such a text; *why (if not NULL) is a constant sentence then. -ENOMEM. */
int signature_parse(const char *text, size_t size, struct signature *out, const char **why);

/*
 * Reads the signature file of a sealed checkpoint, as trust_check() takes it. *text is NULL when there is none: it is not signed;
 * else freed by the caller. -EKEYREJECTED with *why allocated (free it) when what is there can not be one: too large, or not a regular
 * file. Otherwise the export's -errno. Blocks for the export's I/O.
 */
int signature_load(const struct store *store, const char *path, const struct state *state, char **text, size_t *size, char **why);

#endif
