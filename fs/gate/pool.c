#include "sealfs/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct pool {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct pool_job *first, *last;
	unsigned int threads, max_threads;
	unsigned int idle;    /* those that were called, and have not come yet, are among them, … */
	unsigned int waiting; /* … as the jobs that they come for are among these */
	bool stopping;
	pthread_t *ids;
};

static void *work(void *arg)
{
	struct pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->first && !pool->stopping) {
			pool->idle++;
			pthread_cond_wait(&pool->changed, &pool->lock);
			pool->idle--;
		}
		struct pool_job *job = pool->first;
		if (!job)
			break;
		pool->first = job->next;
		pool->waiting--;
		job->queued = false;
		if (!pool->first)
			pool->last = NULL;
		pthread_mutex_unlock(&pool->lock);
		job->run(job);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct pool *pool_create(unsigned int max_threads)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->ids = calloc(max_threads, sizeof(*pool->ids));
	if (!pool->ids) {
		free(pool);
		return NULL;
	}
	pool->max_threads = max_threads;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	return pool;
}

/* Signals are for the thread that runs the session. */
static int start_thread(struct pool *pool)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&pool->ids[pool->threads], NULL, work, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

bool pool_submit(struct pool *pool, struct pool_job *job)
{
	pthread_mutex_lock(&pool->lock);
	bool is_new = !job->queued;
	if (!is_new)
		goto out;
	job->queued = true;
	job->next = NULL;
	if (pool->last)
		pool->last->next = job;
	else
		pool->first = job;
	pool->last = job;
	if (++pool->waiting > pool->idle && pool->threads < pool->max_threads && !start_thread(pool))
		pool->threads++;
	pthread_cond_signal(&pool->changed);
out:
	pthread_mutex_unlock(&pool->lock);
	return is_new;
}

void pool_destroy(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->changed);
	unsigned int threads = pool->threads;
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(pool->ids[i], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->changed);
	free(pool->ids);
	free(pool);
}
