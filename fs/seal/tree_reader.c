/*
 * tree_reader - checking a file block by block, against the hashes kept beside the seal
 *
 * A block of hashes that was checked once is remembered until another one needs its place; sequential reads find theirs there,
 * and memory stays bounded: SLOTS blocks a level.
 */
#include "sealfs/tree.h"

#include <pthread.h>

#include "digest_tree.h"
#include "internal.h"

#define SLOTS 16

/* A checked block of hashes. */
struct slot {
	bool filled;
	uint64_t index;
	uint8_t hashes[DIGEST_BLOCK_SIZE];
};

struct tree_reader {
	const struct store *store;
	int fd;
	uint64_t base, file_size, blocks;
	struct tree_shape shape;
	uint8_t root[DIGEST_SIZE]; /* of the topmost block of hashes, or of the only block */
	struct digest digest;
	pthread_mutex_t lock;
	struct slot *slots[TREE_LEVELS][SLOTS]; /* lock; made when needed */
};

static void context_free(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_MD_CTX *

static int read_block(const struct tree_reader *reader, unsigned int level, uint64_t index, uint8_t *hashes)
{
	uint64_t at = index * DIGEST_BLOCK_SIZE, left = reader->shape.size[level] - at;
	size_t size = left < DIGEST_BLOCK_SIZE ? (size_t)left : DIGEST_BLOCK_SIZE;
	ssize_t got = store_pread(reader->store, reader->fd, hashes, size,
				  (off_t)(reader->base + reader->shape.offset[level] + at));

	if (got < 0)
		return (int)got;
	if ((size_t)got < size)
		return -EBADMSG;
	memset(hashes + size, 0, DIGEST_BLOCK_SIZE - size);
	return 0;
}

/* The topmost block's hash, by which the digest tells that the tree is this file's. */
static int check_top(struct tree_reader *reader, EVP_MD_CTX *ctx)
{
	uint8_t hashes[DIGEST_BLOCK_SIZE];
	struct digest digest;
	int rc;

	if (reader->shape.levels == 0)
		return 0;
	rc = read_block(reader, reader->shape.levels - 1, 0, hashes);
	if (rc == 0)
		rc = digest_tree_hash(ctx, hashes, sizeof(hashes), reader->root);
	if (rc == 0)
		rc = digest_from_root(reader->root, reader->file_size, &digest);
	if (rc < 0)
		return rc;
	return digest_equal(&digest, &reader->digest) ? 0 : -EBADMSG;
}

int tree_reader_open(const struct store *store, int tree_fd, uint64_t base, uint64_t file_size,
		     const struct digest *digest, struct tree_reader **out)
{
	AUTO_CONTEXT ctx = digest_tree_context();
	struct tree_reader *reader = calloc(1, sizeof(*reader));
	int rc = -ENOMEM;

	if (reader && ctx) {
		reader->store = store;
		reader->fd = tree_fd;
		reader->base = base;
		reader->file_size = file_size;
		reader->blocks = file_size / DIGEST_BLOCK_SIZE + (file_size % DIGEST_BLOCK_SIZE != 0);
		reader->digest = *digest;
		tree_shape_of(file_size, &reader->shape);
		rc = check_top(reader, ctx);
	}
	if (rc < 0) {
		free(reader);
		return rc;
	}
	pthread_mutex_init(&reader->lock, NULL);
	*out = reader;
	return 0;
}

void tree_reader_free(struct tree_reader *reader)
{
	if (!reader)
		return;
	for (unsigned int level = 0; level < TREE_LEVELS; level++)
		for (unsigned int i = 0; i < SLOTS; i++)
			free(reader->slots[level][i]);
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}

static int known_block(struct tree_reader *reader, unsigned int level, uint64_t index, EVP_MD_CTX *ctx,
		       const uint8_t **hashes);

/* What the block `index` of `level` must have as its hash. Under the lock. */
static int expected_hash(struct tree_reader *reader, unsigned int level, uint64_t index, EVP_MD_CTX *ctx,
			 uint8_t out[DIGEST_SIZE])
{
	const uint8_t *above;
	int rc;

	if (level + 1 >= reader->shape.levels) {
		memcpy(out, reader->root, DIGEST_SIZE);
		return 0;
	}
	rc = known_block(reader, level + 1, index / DIGEST_TREE_ARITY, ctx, &above);
	if (rc == 0)
		memcpy(out, above + index % DIGEST_TREE_ARITY * DIGEST_SIZE, DIGEST_SIZE);
	return rc;
}

static int fill_slot(struct tree_reader *reader, unsigned int level, uint64_t index, EVP_MD_CTX *ctx, struct slot *slot)
{
	uint8_t expected[DIGEST_SIZE], hash[DIGEST_SIZE];
	int rc = expected_hash(reader, level, index, ctx, expected);

	slot->filled = false;
	if (rc == 0)
		rc = read_block(reader, level, index, slot->hashes);
	if (rc == 0)
		rc = digest_tree_hash(ctx, slot->hashes, DIGEST_BLOCK_SIZE, hash);
	if (rc == 0 && memcmp(hash, expected, DIGEST_SIZE) != 0)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	slot->index = index;
	slot->filled = true;
	return 0;
}

/* A block of hashes that belongs to the digest. Under the lock, and valid as long as that is held. */
static int known_block(struct tree_reader *reader, unsigned int level, uint64_t index, EVP_MD_CTX *ctx,
		       const uint8_t **hashes)
{
	struct slot **place = &reader->slots[level][index % SLOTS];
	int rc = 0;

	if (!*place)
		*place = calloc(1, sizeof(**place));
	if (!*place)
		return -ENOMEM;
	if (!(*place)->filled || (*place)->index != index)
		rc = fill_slot(reader, level, index, ctx, *place);
	*hashes = (*place)->hashes;
	return rc;
}

/* What the data blocks from `first` on must have as their hashes: at most those of one block of hashes. */
static int leaf_hashes(struct tree_reader *reader, uint64_t first, size_t count, EVP_MD_CTX *ctx, uint8_t *out)
{
	const uint8_t *hashes;
	int rc;

	pthread_mutex_lock(&reader->lock);
	rc = known_block(reader, 0, first / DIGEST_TREE_ARITY, ctx, &hashes);
	if (rc == 0)
		memcpy(out, hashes + first % DIGEST_TREE_ARITY * DIGEST_SIZE, count * DIGEST_SIZE);
	pthread_mutex_unlock(&reader->lock);
	return rc;
}

static int check_only_block(const struct tree_reader *reader, const void *data, size_t size)
{
	struct digest digest;
	int rc = size == reader->file_size ? digest_buffer(data, size, &digest) : -EBADMSG;

	if (rc < 0)
		return rc;
	return digest_equal(&digest, &reader->digest) ? 0 : -EBADMSG;
}

/* Blocks whose hashes lie in one block of hashes. *bad counts from the first. */
static int check_group(EVP_MD_CTX *ctx, const uint8_t *data, size_t size, const uint8_t *hashes, uint64_t *bad)
{
	uint8_t block[DIGEST_BLOCK_SIZE], hash[DIGEST_SIZE];

	for (size_t at = 0; at < size; at += DIGEST_BLOCK_SIZE) {
		size_t part = size - at < DIGEST_BLOCK_SIZE ? size - at : DIGEST_BLOCK_SIZE;
		const uint8_t *whole = data + at;
		int rc;

		if (part < DIGEST_BLOCK_SIZE) {
			memcpy(block, whole, part);
			memset(block + part, 0, DIGEST_BLOCK_SIZE - part);
			whole = block;
		}
		rc = digest_tree_hash(ctx, whole, DIGEST_BLOCK_SIZE, hash);
		*bad = at / DIGEST_BLOCK_SIZE;
		if (rc < 0)
			return rc;
		if (memcmp(hash, hashes + at / DIGEST_BLOCK_SIZE * DIGEST_SIZE, DIGEST_SIZE) != 0)
			return -EBADMSG;
	}
	return 0;
}

static bool is_possible(const struct tree_reader *reader, uint64_t first, size_t size)
{
	uint64_t end = first * DIGEST_BLOCK_SIZE + size;

	return first <= reader->blocks && (end == reader->file_size || (end < reader->file_size && size % DIGEST_BLOCK_SIZE == 0));
}

int tree_check(struct tree_reader *reader, uint64_t first, const void *data, size_t size, uint64_t *bad,
	       enum tree_fault *fault)
{
	AUTO_CONTEXT ctx = digest_tree_context();
	uint8_t hashes[DIGEST_BLOCK_SIZE];

	*bad = first;
	*fault = TREE_FAULT_DATA;
	if (!ctx)
		return -ENOMEM;
	if (!is_possible(reader, first, size))
		return -EBADMSG;
	if (reader->shape.levels == 0) {
		int rc = check_only_block(reader, data, size);

		*fault = rc == 0 ? TREE_FAULT_NONE : TREE_FAULT_DATA;
		return rc;
	}
	for (size_t at = 0; at < size;) {
		uint64_t block = first + at / DIGEST_BLOCK_SIZE;
		size_t count = (size_t)(DIGEST_TREE_ARITY - block % DIGEST_TREE_ARITY);
		size_t part = size - at < count * DIGEST_BLOCK_SIZE ? size - at : count * DIGEST_BLOCK_SIZE;
		int rc;

		count = (part + DIGEST_BLOCK_SIZE - 1) / DIGEST_BLOCK_SIZE;
		*fault = TREE_FAULT_TREE;
		*bad = block;
		rc = leaf_hashes(reader, block, count, ctx, hashes);
		if (rc < 0)
			return rc;
		*fault = TREE_FAULT_DATA;
		rc = check_group(ctx, (const uint8_t *)data + at, part, hashes, bad);
		*bad += block;
		if (rc < 0)
			return rc;
		at += part;
	}
	*fault = TREE_FAULT_NONE;
	return 0;
}

/* ---- which blocks differ ---- */

struct comparison {
	struct tree_reader *reader;
	pthread_mutex_t lock;
	uint64_t first, last; /* lock */
};

/* Under the lock. */
static void note_difference(struct comparison *c, uint64_t block)
{
	if (block < c->first)
		c->first = block;
	if (block > c->last)
		c->last = block;
}

static int compare_block(void *arg, unsigned int level, uint64_t index, const uint8_t *hashes, size_t size)
{
	struct comparison *c = arg;
	AUTO_CONTEXT ctx = digest_tree_context();
	uint8_t expected[DIGEST_BLOCK_SIZE];
	int rc;

	if (level > 0)
		return 0;
	rc = ctx ? leaf_hashes(c->reader, index * DIGEST_TREE_ARITY, size / DIGEST_SIZE, ctx, expected) : -ENOMEM;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&c->lock);
	for (size_t at = 0; at < size; at += DIGEST_SIZE)
		if (memcmp(hashes + at, expected + at, DIGEST_SIZE) != 0)
			note_difference(c, index * DIGEST_TREE_ARITY + at / DIGEST_SIZE);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int tree_compare(const struct store *store, int fd, int tree_fd, uint64_t base, uint64_t file_size,
		 const struct digest *digest, unsigned int threads, const struct digest_progress *progress,
		 uint64_t *first, uint64_t *last)
{
	struct comparison c = {.first = UINT64_MAX, .last = 0};
	struct digest_sink sink = {compare_block, &c};
	struct digest there;
	int rc = tree_reader_open(store, tree_fd, base, file_size, digest, &c.reader);

	if (rc < 0)
		return rc;
	pthread_mutex_init(&c.lock, NULL);
	rc = digest_file_tree(store, fd, file_size, threads, progress, &sink, &there);
	/* The only block has no hash of its own: the digest speaks for it. */
	if (rc == 0 && c.reader->shape.levels == 0 && !digest_equal(&there, digest))
		c.first = c.last = 0;
	pthread_mutex_destroy(&c.lock);
	tree_reader_free(c.reader);
	*first = c.first;
	*last = c.last;
	return rc;
}
