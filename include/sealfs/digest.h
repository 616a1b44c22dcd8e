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

/* How many threads a large computation wants: one a core, but enough to have several reads under way where the server is far away, and not more than
 * memory is worth (24 MiB). */
unsigned int digest_threads(void);

/* The plain SHA-256 of a buffer. */
void digest_sha256(const void *data, size_t size, struct digest *out);

/* The file digest of `size` bytes read from `fd` with positional reads of large chunks. With `threads` > 1 the chunks are hashed by as many threads
 * at once (the caller's is one of them); memory is bounded whatever the size: about 0.6 MiB a thread.
 * A file that ends before `size` gives -EBADMSG. Blocks. -errno of the read, -ECANCELED, -ENOMEM. */
int digest_file(const struct store *store, int fd, uint64_t size, unsigned int threads, const struct digest_progress *progress,
		struct digest *out);

/* Where the blocks of hashes of a Merkle tree go while it is computed: block `index` of `level` (0: hashes of data blocks) holds `size` bytes of hashes, 4096 but
 * for the last of a level. Not called for the root. Called by several threads at once, each block once, in no order; -errno ends the computation. */
struct digest_sink {
	int (*block)(void *arg, unsigned int level, uint64_t index, const uint8_t *hashes, size_t size);
	void *arg;
};
/* As digest_file(), and hands the tree to `sink` (may be NULL). */
int digest_file_tree(const struct store *store, int fd, uint64_t size, unsigned int threads, const struct digest_progress *progress,
		     const struct digest_sink *sink, struct digest *out);

/* The file digest of a file of `size` bytes from its root hash (that of its only block, or of its topmost block of hashes). -ENOMEM. */
int digest_from_root(const uint8_t root[DIGEST_SIZE], uint64_t size, struct digest *out);

/* The same of a buffer in memory. */
int digest_buffer(const void *data, size_t size, struct digest *out);

void digest_to_hex(const struct digest *digest, char hex[DIGEST_HEX_SIZE]);
/* 64 lower-case hex digits, no more looked at; -EINVAL otherwise. */
int digest_from_hex(const char *hex, struct digest *out);
int digest_equal(const struct digest *a, const struct digest *b);

#endif
