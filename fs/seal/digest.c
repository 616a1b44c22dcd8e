/*
 * digest - file digests by all cores at once
 *
 * Threads take the next chunk of the file and reduce it to the hashes of its level-1 blocks (32 bytes for 512 KiB). Each has a read of its own under way.
 * These must go into the tree in order; chunks that are done early wait in a small window, and nobody runs ahead of it,
 * so memory stays bounded.
 */
#include "sealfs/digest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest_tree.h"
#include "internal.h"

#define GROUP_SIZE ((size_t)DIGEST_TREE_ARITY * DIGEST_BLOCK_SIZE) /* data below one level-1 block */
#define CHUNK_GROUPS 1
#define CHUNK_SIZE (CHUNK_GROUPS * GROUP_SIZE)
#define THREADS_MAX 256
#define WINDOW_PER_THREAD 4
#define USUAL_THREADS_LEAST 8 /* reads at once, on however few cores */
#define USUAL_THREADS_MOST 40

/* A chunk, reduced: hashes of its whole groups, and the leaves of the file's last, incomplete one. */
struct reduced {
	bool ready;
	unsigned int groups, leaves;
	uint8_t group[CHUNK_GROUPS][DIGEST_SIZE];
	uint8_t leaf[DIGEST_TREE_ARITY][DIGEST_SIZE];
};

struct computation {
	const struct store *store;
	const struct digest_progress *progress;
	const struct digest_sink *sink;
	int fd;
	uint64_t size, chunks;
	pthread_mutex_t lock;
	pthread_cond_t moved; /* `folded` or `error` */
	/* under `lock` */
	uint64_t next, folded;
	int error;
	struct digest_tree tree;
	struct reduced *window; /* a slot belongs to the thread that took its chunk until `ready` is set */
	unsigned int slots;
};

unsigned int digest_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (cores < USUAL_THREADS_LEAST)
		return USUAL_THREADS_LEAST;
	return cores < USUAL_THREADS_MOST ? (unsigned int)cores : USUAL_THREADS_MOST;
}

void digest_sha256(const void *data, size_t size, struct digest *out)
{
	EVP_MD_CTX *ctx = digest_tree_context();

	/* There is no way to say no, and a digest that is not one would be believed. */
	if (!ctx || digest_tree_hash(ctx, data, size, out->bytes) < 0)
		abort();
	EVP_MD_CTX_free(ctx);
}

static void context_free(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_MD_CTX *

static int hash_leaf(EVP_MD_CTX *ctx, const uint8_t *data, size_t size, uint8_t out[DIGEST_SIZE])
{
	uint8_t padded[DIGEST_BLOCK_SIZE];

	if (size >= DIGEST_BLOCK_SIZE)
		return digest_tree_hash(ctx, data, DIGEST_BLOCK_SIZE, out);
	memcpy(padded, data, size);
	memset(padded + size, 0, sizeof(padded) - size);
	return digest_tree_hash(ctx, padded, sizeof(padded), out);
}

/* Up to one chunk, of which `first` groups are before it. */
static int reduce(EVP_MD_CTX *ctx, const uint8_t *data, size_t size, uint64_t first, const struct digest_sink *sink,
		  struct reduced *out)
{
	int rc = 0;

	out->groups = out->leaves = 0;
	for (size_t at = 0; rc == 0 && at < size; at += DIGEST_BLOCK_SIZE) {
		rc = hash_leaf(ctx, data + at, size - at, out->leaf[out->leaves++]);
		if (rc == 0 && out->leaves == DIGEST_TREE_ARITY) {
			if (sink)
				rc = sink->block(sink->arg, 0, first + out->groups, out->leaf[0], sizeof(out->leaf));
			if (rc == 0)
				rc = digest_tree_hash(ctx, out->leaf, sizeof(out->leaf), out->group[out->groups]);
			out->groups++;
			out->leaves = 0;
		}
	}
	return rc;
}

static int fold(struct digest_tree *tree, const struct reduced *chunk)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < chunk->groups; i++)
		rc = digest_tree_push(tree, 1, chunk->group[i]);
	for (unsigned int i = 0; rc == 0 && i < chunk->leaves; i++)
		rc = digest_tree_push(tree, 0, chunk->leaf[i]);
	return rc;
}

static size_t chunk_size(const struct computation *c, uint64_t chunk)
{
	uint64_t left = c->size - chunk * CHUNK_SIZE;

	return left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE;
}

static bool cancelled(const struct computation *c)
{
	return c->progress && c->progress->cancel && atomic_load_explicit(c->progress->cancel, memory_order_relaxed);
}

static int read_chunk(const struct computation *c, uint64_t chunk, uint8_t *buffer)
{
	size_t size = chunk_size(c, chunk);

	for (size_t have = 0; have < size;) {
		ssize_t got;

		if (cancelled(c))
			return -ECANCELED;
		got = c->store->ops->pread(c->store->ctx, c->fd, buffer + have, size - have,
					   (off_t)(chunk * CHUNK_SIZE + have));
		if (got <= 0)
			return got < 0 ? (int)got : -EBADMSG;
		have += (size_t)got;
	}
	return 0;
}

static int process(const struct computation *c, uint64_t chunk, EVP_MD_CTX *ctx, uint8_t *buffer, struct reduced *out)
{
	int rc = read_chunk(c, chunk, buffer);

	if (rc == 0)
		rc = cancelled(c) ? -ECANCELED : reduce(ctx, buffer, chunk_size(c, chunk), chunk * CHUNK_GROUPS, c->sink, out);
	if (rc == 0 && c->progress && c->progress->bytes_done)
		atomic_fetch_add_explicit(c->progress->bytes_done, chunk_size(c, chunk), memory_order_relaxed);
	return rc;
}

/* Called with the lock held. */
static int fold_ready(struct computation *c)
{
	int rc = 0;

	while (rc == 0 && c->folded < c->chunks && c->window[c->folded % c->slots].ready) {
		struct reduced *slot = &c->window[c->folded++ % c->slots];

		slot->ready = false;
		rc = fold(&c->tree, slot);
	}
	return rc;
}

/* The next chunk to work at; false when there is none, or no sense in it. Called with the lock held. */
static bool take(struct computation *c, uint64_t *chunk)
{
	while (c->error == 0 && c->next < c->chunks && c->next - c->folded >= c->slots)
		pthread_cond_wait(&c->moved, &c->lock);
	if (c->error != 0 || c->next == c->chunks)
		return false;
	*chunk = c->next++;
	return true;
}

static void finish(struct computation *c, int rc)
{
	if (rc == 0)
		rc = fold_ready(c);
	if (rc < 0 && c->error == 0)
		c->error = rc;
	pthread_cond_broadcast(&c->moved);
}

static void work_with(struct computation *c, EVP_MD_CTX *ctx, uint8_t *buffer)
{
	uint64_t chunk;

	pthread_mutex_lock(&c->lock);
	while (take(c, &chunk)) {
		struct reduced *slot = &c->window[chunk % c->slots];
		int rc;

		pthread_mutex_unlock(&c->lock);
		rc = process(c, chunk, ctx, buffer, slot);
		pthread_mutex_lock(&c->lock);
		slot->ready = rc == 0;
		finish(c, rc);
	}
	pthread_mutex_unlock(&c->lock);
}

static void *work(void *arg)
{
	struct computation *c = arg;
	AUTO_CONTEXT ctx = digest_tree_context();
	AUTO_FREE uint8_t *buffer = malloc(c->size < CHUNK_SIZE ? (size_t)c->size : CHUNK_SIZE);

	if (ctx && buffer) {
		work_with(c, ctx, buffer);
		return NULL;
	}
	pthread_mutex_lock(&c->lock);
	finish(c, -ENOMEM);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Signals are for the process's own threads, not for these. Fewer threads than wished are no error: the caller's does
 * the rest. */
static unsigned int start_threads(struct computation *c, pthread_t *threads, unsigned int count)
{
	sigset_t all, before;
	unsigned int started = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < count && pthread_create(&threads[started], NULL, work, c) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static void run(struct computation *c, unsigned int threads)
{
	pthread_t helpers[THREADS_MAX];
	unsigned int started = start_threads(c, helpers, threads - 1);

	work(c);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(helpers[i], NULL);
}

static unsigned int useful_threads(uint64_t chunks, unsigned int threads)
{
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads > chunks)
		threads = (unsigned int)chunks;
	return threads > 0 ? threads : 1;
}

int digest_file_tree(const struct store *store, int fd, uint64_t size, unsigned int threads,
		     const struct digest_progress *progress, const struct digest_sink *sink, struct digest *out)
{
	AUTO_CONTEXT ctx = digest_tree_context();
	AUTO_FREE struct computation *c = calloc(1, sizeof(*c));
	AUTO_FREE struct reduced *window = NULL;

	if (!ctx || !c)
		return -ENOMEM;
	c->store = store;
	c->progress = progress;
	c->sink = sink;
	c->fd = fd;
	c->size = size;
	c->chunks = size / CHUNK_SIZE + (size % CHUNK_SIZE != 0);
	threads = useful_threads(c->chunks, threads);
	c->slots = threads > 1 ? WINDOW_PER_THREAD * threads : 1;
	c->window = window = calloc(c->slots, sizeof(*window));
	if (!window)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->moved, NULL);
	digest_tree_init(&c->tree, ctx, sink);
	if (c->chunks > 0)
		run(c, threads);
	pthread_cond_destroy(&c->moved);
	pthread_mutex_destroy(&c->lock);
	return c->error < 0 ? c->error : digest_tree_finish(&c->tree, size, out);
}

int digest_file(const struct store *store, int fd, uint64_t size, unsigned int threads,
		const struct digest_progress *progress, struct digest *out)
{
	return digest_file_tree(store, fd, size, threads, progress, NULL, out);
}

int digest_buffer(const void *data, size_t size, struct digest *out)
{
	AUTO_CONTEXT ctx = digest_tree_context();
	AUTO_FREE struct digest_tree *tree = malloc(sizeof(*tree));
	AUTO_FREE struct reduced *chunk = malloc(sizeof(*chunk));
	int rc = 0;

	if (!ctx || !tree || !chunk)
		return -ENOMEM;
	digest_tree_init(tree, ctx, NULL);
	for (size_t at = 0; rc == 0 && at < size; at += CHUNK_SIZE) {
		size_t part = size - at < CHUNK_SIZE ? size - at : CHUNK_SIZE;

		rc = reduce(ctx, (const uint8_t *)data + at, part, 0, NULL, chunk);
		if (rc == 0)
			rc = fold(tree, chunk);
	}
	return rc < 0 ? rc : digest_tree_finish(tree, size, out);
}

void digest_to_hex(const struct digest *digest, char hex[DIGEST_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		hex[2 * i] = digits[digest->bytes[i] >> 4];
		hex[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	hex[DIGEST_HEX_SIZE - 1] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int digest_from_hex(const char *hex, struct digest *out)
{
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (low < 0)
			return -EINVAL;
		out->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}
