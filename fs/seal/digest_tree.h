/*
 * digest_tree - the Merkle tree of fs-verity, built from left to right in the memory of one block a level
 *
 * Level 0 takes the hashes of data blocks; 128 hashes fill a block, whose hash goes one level up. Internal to the seal
 * library.
 */
#ifndef SEAL_DIGEST_TREE_H
#define SEAL_DIGEST_TREE_H

#include <openssl/evp.h>

#include "sealfs/digest.h"

#define DIGEST_TREE_ARITY (DIGEST_BLOCK_SIZE / DIGEST_SIZE)
#define DIGEST_TREE_LEVELS 10 /* 128^9 blocks are more than 2^64 bytes, and the root is a hash at the level above */

struct digest_tree {
	EVP_MD_CTX *ctx;
	const struct digest_sink *sink;	 /* or NULL: gets every block that is closed */
	uint64_t pushed[DIGEST_TREE_LEVELS]; /* hashes so far */
	unsigned int fill[DIGEST_TREE_LEVELS]; /* hashes in the block */
	uint8_t block[DIGEST_TREE_LEVELS][DIGEST_BLOCK_SIZE];
};

/* A context for digest_tree_hash(), reused for any number of hashes; NULL when memory is out. One thread at a time. */
EVP_MD_CTX *digest_tree_context(void);
int digest_tree_hash(EVP_MD_CTX *ctx, const void *data, size_t size, uint8_t out[DIGEST_SIZE]);

/* `ctx` stays the caller's. */
void digest_tree_init(struct digest_tree *tree, EVP_MD_CTX *ctx, const struct digest_sink *sink);
/* Appends a hash. Level 1 only while no block at level 0 is half full. */
int digest_tree_push(struct digest_tree *tree, unsigned int level, const uint8_t hash[DIGEST_SIZE]);
/* The file digest of a file of `size` bytes, once all its blocks are in. */
int digest_tree_finish(struct digest_tree *tree, uint64_t size, struct digest *out);

#endif
