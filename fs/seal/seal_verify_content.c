/*
 * seal_verify_content - hashing what is there, many small files at once, large ones with all threads
 */
#include "seal_verify.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define SMALL_FILE (8u << 20) /* bytes: up to here one thread a file, since starting threads costs more than it saves  \
			       */
#define HELPERS_MAX 255

struct pool {
	const struct seal_content *content;
	pthread_mutex_t lock;
	size_t next; /* below: taken */
	int error;   /* ends all */
};

/* Which blocks? Where there is no tree, or one of something else, that stays unknown. */
static void locate_difference(const struct seal_content *content, struct seal_item *item, int fd, unsigned int threads)
{
	const struct manifest_entry *sealed = item->sealed;
	/* Its bytes were counted once already. */
	struct digest_progress quiet = {.cancel = content->progress ? content->progress->cancel : NULL};
	uint64_t first, last;

	/* A single block needs no tree. */
	if (content->tree < 0 && sealed->size > DIGEST_BLOCK_SIZE)
		return;
	if (tree_compare(content->place.store, fd, content->tree, item->tree_base, sealed->size, &sealed->digest,
			 threads, &quiet, &first, &last) < 0 ||
	    first > last)
		return;
	item->blocks_known = true;
	item->first_block = first;
	item->last_block = last;
}

/* Negative: nothing can be said of any file any more. */
static int unreadable(struct seal_item *item, int error)
{
	if (error == -ECANCELED || error == -ENOMEM)
		return error;
	item->why = "can not be read";
	item->error = -error;
	return 0;
}

static int found(struct seal_item *item, const char *why)
{
	item->why = why;
	return 0;
}

static int compare_open(const struct seal_content *content, struct seal_item *item, int fd, unsigned int threads)
{
	const struct manifest_entry *sealed = item->sealed;
	struct digest digest;
	int rc = digest_file(content->place.store, fd, sealed->size, threads, content->progress, &digest);

	if (rc == -EBADMSG)
		return found(item, "size differs");
	if (rc < 0)
		return unreadable(item, rc);
	if (digest_equal(&digest, &sealed->digest))
		return 0;
	locate_difference(content, item, fd, threads);
	return found(item, "content differs");
}

static int compare_file(const struct seal_content *content, struct seal_item *item, unsigned int threads)
{
	AUTO_FD(fd, content->place.store);
	struct statx st;

	fd.fd = seal_place_open_file(&content->place, item->path, &st);
	if (fd.fd == -ENOENT || fd.fd == -ENOTDIR)
		return found(item, "missing");
	if (fd.fd == -EINVAL)
		return found(item, "type differs");
	if (fd.fd < 0)
		return unreadable(item, fd.fd);
	if (st.stx_size != item->sealed->size)
		return found(item, "size differs");
	return compare_open(content, item, fd.fd, threads);
}

static bool is_canceled(const struct seal_content *content)
{
	return content->progress && content->progress->cancel && atomic_load(content->progress->cancel);
}

/* The next small file, or NULL. */
static struct seal_item *take(struct pool *pool)
{
	const struct seal_content *content = pool->content;
	struct seal_item *item = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->error == 0 && is_canceled(content))
		pool->error = -ECANCELED;
	while (pool->error == 0 && !item && pool->next < content->count) {
		struct seal_item *candidate = &content->items[pool->next++];

		if (candidate->sealed && candidate->sealed->size <= SMALL_FILE)
			item = candidate;
	}
	pthread_mutex_unlock(&pool->lock);
	return item;
}

static void *work(void *arg)
{
	struct pool *pool = arg;
	struct seal_item *item;

	while ((item = take(pool))) {
		int rc = compare_file(pool->content, item, 1);

		if (rc == 0)
			continue;
		pthread_mutex_lock(&pool->lock);
		pool->error = rc;
		pthread_mutex_unlock(&pool->lock);
	}
	return NULL;
}

/* Signals are for the process's own threads. Fewer helpers than wished are no error: the caller's thread does the rest.
 */
static unsigned int start_helpers(struct pool *pool, pthread_t helpers[HELPERS_MAX], size_t count)
{
	sigset_t all, before;
	unsigned int started = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < count && started < HELPERS_MAX && pthread_create(&helpers[started], NULL, work, pool) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static int compare_small(const struct seal_content *content)
{
	struct pool pool = {.content = content};
	pthread_t helpers[HELPERS_MAX];
	unsigned int started;
	size_t small = 0, wanted = content->threads > 1 ? content->threads : 1;

	for (size_t i = 0; i < content->count; i++)
		small += content->items[i].sealed && content->items[i].sealed->size <= SMALL_FILE;
	if (small == 0)
		return 0;
	pthread_mutex_init(&pool.lock, NULL);
	started = start_helpers(&pool, helpers, (wanted < small ? wanted : small) - 1);
	work(&pool);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(helpers[i], NULL);
	pthread_mutex_destroy(&pool.lock);
	return pool.error;
}

int seal_verify_content(struct seal_content *content)
{
	int rc = compare_small(content);

	for (size_t i = 0; rc == 0 && i < content->count; i++) {
		struct seal_item *item = &content->items[i];

		if (item->sealed && item->sealed->size > SMALL_FILE)
			rc = compare_file(content, item, content->threads);
	}
	return rc;
}
