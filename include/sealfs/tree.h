/*
 * tree - the Merkle trees of a checkpoint's files, kept beside the seal
 *
 * <seal folder>/tree holds, for every file of the manifest in its order, the hashes that lie between the file's blocks and its digest: so one
 * block can be checked without reading the others. Per file, without gaps: the levels from the topmost down, each the 32-byte hashes of what is
 * below it (lowest: of the file's 4096-byte blocks) without padding; a level of one hash, the root, is left out, since the digest stands for
 * it. So a file of at most one block has nothing in there, and all others 1/128 of their size.
 * Nobody need trust the file: each block of hashes is checked against the hash above it, the topmost against the digest in the manifest.
 * Source: Linux, Documentation/filesystems/fsverity.rst, which has the same levels in the same order, padded.
 */
#ifndef SEALFS_TREE_H
#define SEALFS_TREE_H

#include <stdbool.h>

#include "sealfs/digest.h"
#include "sealfs/manifest.h"
#include "sealfs/store.h"

#define TREE_FILE "tree"
#define TREE_LEVELS 9 /* 128^9 blocks are more than 2^64 bytes */

/* Where a file's hashes are. Level 0 is the lowest. Bytes, relative to the file's own beginning in the tree file. */
struct tree_shape {
	unsigned int levels;
	uint64_t offset[TREE_LEVELS], size[TREE_LEVELS];
	uint64_t total;
};
void tree_shape_of(uint64_t file_size, struct tree_shape *out);

/* Where entry `index` begins in the tree file; with index = count, the size of the whole. */
uint64_t tree_offset(const struct manifest *manifest, size_t index);

/* ---- writing: as the sink of digest_file_tree() ---- */
struct tree_writer {
	const struct store *store;
	int fd;
	uint64_t base; /* the file's beginning in the tree file */
	struct tree_shape shape;
};
struct digest_sink tree_writer_sink(struct tree_writer *writer);

/* ---- reading ---- */

/* One file whose content is checked piece by piece. Any number of threads. */
struct tree_reader;

/*
 * `tree_fd` stays the caller's, and open for as long as the reader lives; it is not used for a file of at most one block. Reads and checks the topmost
 * block of hashes. -EBADMSG when it does not belong to the digest (the tree is damaged or of something else), -errno of the read, -ENOMEM.
 */
int tree_reader_open(const struct store *store, int tree_fd, uint64_t base, uint64_t file_size, const struct digest *digest,
		     struct tree_reader **out);
void tree_reader_free(struct tree_reader *reader);

enum tree_fault { TREE_FAULT_NONE, TREE_FAULT_DATA, TREE_FAULT_TREE };
/*
 * Is this what was sealed? `data` begins at block `first` (4096 bytes each) and holds whole blocks, or ends where the file does. 0; -EBADMSG with *bad the block and *fault
 * whether it or the tree differs; -errno. Reads no more of the tree than the way from these blocks to the top, less what it remembers.
 */
int tree_check(struct tree_reader *reader, uint64_t first, const void *data, size_t size, uint64_t *bad, enum tree_fault *fault);

/* Which blocks of an open file differ from what was sealed. 0: *first and *last are set (first > last: none); -EBADMSG when the tree itself, which is
 * checked on the way, does not belong to the digest, or the file ends before its size. Blocks for as long as reading the file takes. */
int tree_compare(const struct store *store, int fd, int tree_fd, uint64_t base, uint64_t file_size, const struct digest *digest,
		 unsigned int threads, const struct digest_progress *progress, uint64_t *first, uint64_t *last);

#endif
