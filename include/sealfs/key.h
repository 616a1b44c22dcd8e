/*
 * key - Ed25519 keys (RFC 8032): PEM text, key files, the primitive
 *
 * Private keys are PKCS#8, public keys SubjectPublicKeyInfo, both in PEM, as `openssl genpkey -algorithm ed25519` and
 * `openssl pkey -pubout` write them. Keys lie on this machine, not on the export, so nothing here goes through the store.
 */
#ifndef SEALFS_KEY_H
#define SEALFS_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_SIZE 32	       /* bytes of a public key, and of the seed of a private one */
#define KEY_SIGNATURE_SIZE 64  /* bytes */
#define KEY_TAG "ed25519:"
#define KEY_TEXT_SIZE (sizeof(KEY_TAG) + 2 * KEY_SIZE) /* characters of "ed25519:<64 hex>" with the NUL */
#define KEY_FILE_LIMIT 65536   /* bytes; a larger key file is refused */

struct key_public {
	uint8_t bytes[KEY_SIZE];
};

/* A private key with its public one. Never changes, so that any number of threads may sign with it at once. */
struct signing_key;

void key_to_text(const struct key_public *key, char text[KEY_TEXT_SIZE]);
/* The whole of `text`, lower-case hex; -EINVAL otherwise. */
int key_from_text(const char *text, struct key_public *out);
bool key_equal(const struct key_public *a, const struct key_public *b);

/* Signs a message. 0, -ENOMEM, or -EIO when the library refuses. */
int key_sign(const struct signing_key *key, const void *message, size_t size, uint8_t signature[KEY_SIGNATURE_SIZE]);
/* 0 when it is this key's signature of the message, -EKEYREJECTED when not, -ENOMEM. */
int key_check(const struct key_public *key, const void *message, size_t size, const uint8_t signature[KEY_SIGNATURE_SIZE]);

/* A new one from the system's random numbers; or that of a seed. The caller frees it. -ENOMEM, -EIO. */
int key_generate(struct signing_key **out);
int key_from_seed(const uint8_t seed[KEY_SIZE], struct signing_key **out);
/* Also of NULL. */
void key_free(struct signing_key *key);
void key_public_of(const struct signing_key *key, struct key_public *out);

/* No I/O. The text is allocated and NUL-terminated; that of a private key is to be freed with key_text_free(), which wipes it. -ENOMEM. */
int key_private_format(const struct signing_key *key, char **text, size_t *size);
int key_public_format(const struct key_public *key, char **text, size_t *size);
void key_text_free(char *text, size_t size);

/* No I/O. The one key in the text; what stands before and after its PEM block is ignored. -EBADMSG with *why (a constant sentence, may be NULL). */
int key_private_parse(const char *text, size_t size, struct signing_key **out, const char **why);
int key_public_parse(const char *text, size_t size, struct key_public *out, const char **why);

/*
 * Reads a private key's file. It must be a regular file (a symlink to one will do) that belongs to the effective user or
 * root, and on which group and others have no rights: else -EPERM. -EBADMSG when no key is in it, -EFBIG, or open(2)'s error.
 * On failure *why is an allocated sentence that names the file and what helps (free it), or NULL when memory is out. Blocks for the I/O.
 */
int key_private_load(const char *path, struct signing_key **out, char **why);

#endif
