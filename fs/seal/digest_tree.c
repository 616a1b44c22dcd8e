/*
 * digest_tree - the Merkle tree of fs-verity
 */
#include "digest_tree.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/* struct fsverity_descriptor of Linux, Documentation/filesystems/fsverity.rst */
struct descriptor {
	uint8_t version;
	uint8_t hash_algorithm; /* 1: SHA-256 */
	uint8_t log_blocksize;
	uint8_t salt_size;
	uint32_t reserved_0x04;
	uint64_t data_size; /* little-endian */
	uint8_t root_hash[64];
	uint8_t salt[32];
	uint8_t reserved[144];
};
_Static_assert(sizeof(struct descriptor) == 256, "the descriptor is hashed as it lies in memory");

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* Looking an algorithm up costs more than hashing a block with it. */
static void fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

EVP_MD_CTX *digest_tree_context(void)
{
	pthread_once(&sha256_once, fetch_sha256);
	return sha256 ? EVP_MD_CTX_new() : NULL;
}

int digest_tree_hash(EVP_MD_CTX *ctx, const void *data, size_t size, uint8_t out[DIGEST_SIZE])
{
	if (!EVP_DigestInit_ex(ctx, sha256, NULL) || !EVP_DigestUpdate(ctx, data, size) ||
	    !EVP_DigestFinal_ex(ctx, out, NULL))
		return -ENOMEM;
	return 0;
}

void digest_tree_init(struct digest_tree *tree, EVP_MD_CTX *ctx, const struct digest_sink *sink)
{
	tree->ctx = ctx;
	tree->sink = sink;
	memset(tree->fill, 0, sizeof(tree->fill));
	memset(tree->pushed, 0, sizeof(tree->pushed));
}

static int close_block(struct digest_tree *tree, unsigned int level)
{
	uint8_t hash[DIGEST_SIZE];
	size_t used = (size_t)tree->fill[level] * DIGEST_SIZE;
	int rc = 0;

	/* Each block has one hash in the level above, those before it have theirs there already. */
	if (tree->sink)
		rc = tree->sink->block(tree->sink->arg, level, tree->pushed[level + 1], tree->block[level], used);
	if (rc < 0)
		return rc;
	memset(tree->block[level] + used, 0, DIGEST_BLOCK_SIZE - used);
	rc = digest_tree_hash(tree->ctx, tree->block[level], DIGEST_BLOCK_SIZE, hash);
	tree->fill[level] = 0;
	return rc < 0 ? rc : digest_tree_push(tree, level + 1, hash);
}

int digest_tree_push(struct digest_tree *tree, unsigned int level, const uint8_t hash[DIGEST_SIZE])
{
	/* A full block is closed only when one more comes: so the top level never is, and a lone hash in it is the
	 * root. */
	if (tree->fill[level] == DIGEST_TREE_ARITY) {
		int rc = close_block(tree, level);

		if (rc < 0)
			return rc;
	}
	memcpy(tree->block[level] + (size_t)tree->fill[level] * DIGEST_SIZE, hash, DIGEST_SIZE);
	tree->fill[level]++;
	tree->pushed[level]++;
	return 0;
}

static unsigned int top_level(const struct digest_tree *tree)
{
	unsigned int level = DIGEST_TREE_LEVELS - 1;

	while (level > 0 && tree->fill[level] == 0)
		level--;
	return level;
}

static int find_root(struct digest_tree *tree, uint8_t root[64])
{
	for (unsigned int level = 0; level < top_level(tree) || tree->fill[level] > 1; level++) {
		int rc = tree->fill[level] > 0 ? close_block(tree, level) : 0;

		if (rc < 0)
			return rc;
	}
	/* A file without a byte has no block: its root is all zeros. */
	if (tree->fill[top_level(tree)] == 1)
		memcpy(root, tree->block[top_level(tree)], DIGEST_SIZE);
	return 0;
}

static int hash_descriptor(EVP_MD_CTX *ctx, const struct descriptor *descriptor, struct digest *out)
{
	return digest_tree_hash(ctx, descriptor, sizeof(*descriptor), out->bytes);
}

#define DESCRIPTOR(size)                                                                                               \
	{                                                                                                              \
		.version = 1, .hash_algorithm = 1, .log_blocksize = 12, .data_size = htole64(size)                     \
	}

int digest_tree_finish(struct digest_tree *tree, uint64_t size, struct digest *out)
{
	struct descriptor descriptor = DESCRIPTOR(size);
	int rc = find_root(tree, descriptor.root_hash);

	return rc < 0 ? rc : hash_descriptor(tree->ctx, &descriptor, out);
}

int digest_from_root(const uint8_t root[DIGEST_SIZE], uint64_t size, struct digest *out)
{
	struct descriptor descriptor = DESCRIPTOR(size);
	EVP_MD_CTX *ctx = digest_tree_context();
	int rc = -ENOMEM;

	memcpy(descriptor.root_hash, root, DIGEST_SIZE);
	if (ctx)
		rc = hash_descriptor(ctx, &descriptor, out);
	EVP_MD_CTX_free(ctx);
	return rc;
}
