/*
 * digest - the fs-verity file digest
 *
 * SHA-256, 4096-byte blocks, no salt: a Merkle tree over the content, its root hashed with a descriptor that holds the file's
 * size. It equals `fsverity digest FILE`. Source: Linux, Documentation/filesystems/fsverity.rst, and the
 * fsverity-utils manual.
 */
#ifndef SEALFS_DIGEST_H
#define SEALFS_DIGEST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "sealfs/store.h"

#define DIGEST_SIZE 32	      /* bytes */
#define DIGEST_HEX_SIZE 65    /* characters with the NUL */
#define DIGEST_BLOCK_SIZE 4096 /* bytes */

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

/* How a long computation tells where it is and is told to stop. All members may be NULL. Shared by several threads. */
struct digest_progress {
	atomic_uint_least64_t *bytes_done; /* counts up, in bytes */
	const atomic_bool *cancel;	   /* set: the computation ends soon with -ECANCELED */
};

/* The plain SHA-256 of a buffer. */
void digest_sha256(const void *data, size_t size, struct digest *out);

/* The file digest of `size` bytes read from `fd` with positional reads of large chunks. With `threads` > 1 the chunks are hashed by as many threads
 * at once (the caller's is one of them); memory is bounded whatever the size: about 2 MiB a thread.
 * A file that ends before `size` gives -EBADMSG. Blocks. -errno of the read, -ECANCELED, -ENOMEM. */
int digest_file(const struct store *store, int fd, uint64_t size, unsigned int threads, const struct digest_progress *progress,
		struct digest *out);

/* The same of a buffer in memory. */
int digest_buffer(const void *data, size_t size, struct digest *out);

void digest_to_hex(const struct digest *digest, char hex[DIGEST_HEX_SIZE]);
/* 64 lower-case hex digits, no more looked at; -EINVAL otherwise. */
int digest_from_hex(const char *hex, struct digest *out);
int digest_equal(const struct digest *a, const struct digest *b);

#endif
