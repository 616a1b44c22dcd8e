#include "sealfs/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* The work of one kind. */
struct queue {
	struct pool *pool;
	pthread_cond_t changed;
	struct pool_job *first, *last;
	unsigned int threads;
	unsigned int idle;    /* those that were called, and have not come yet, are among them, … */
	unsigned int waiting; /* … as the jobs that they come for are among these */
	pthread_t *ids;
};

struct pool {
	pthread_mutex_t lock; /* guards all below, and the queues */
	unsigned int max_threads, running;
	bool stopping;
	struct queue queues[POOL_KINDS];
};

/* What runs may bring more work, of any kind: all threads stay until nothing runs. */
static bool is_over(const struct pool *pool)
{
	if (!pool->stopping || pool->running)
		return false;
	for (unsigned int kind = 0; kind < POOL_KINDS; kind++)
		if (pool->queues[kind].first && pool->queues[kind].threads)
			return false;
	return true;
}

static void call_all(struct pool *pool)
{
	for (unsigned int kind = 0; kind < POOL_KINDS; kind++)
		pthread_cond_broadcast(&pool->queues[kind].changed);
}

/* Under the lock, which it gives up meanwhile. */
static void run_first(struct queue *queue)
{
	struct pool *pool = queue->pool;
	struct pool_job *job = queue->first;

	queue->first = job->next;
	queue->waiting--;
	job->queued = false;
	if (!queue->first)
		queue->last = NULL;
	pool->running++;
	pthread_mutex_unlock(&pool->lock);
	job->run(job);
	pthread_mutex_lock(&pool->lock);
	pool->running--;
}

static void *work(void *arg)
{
	struct queue *queue = arg;
	struct pool *pool = queue->pool;

	pthread_mutex_lock(&pool->lock);
	while (!is_over(pool)) {
		if (queue->first) {
			run_first(queue);
			continue;
		}
		queue->idle++;
		pthread_cond_wait(&queue->changed, &pool->lock);
		queue->idle--;
	}
	call_all(pool);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct pool *pool_create(unsigned int max_threads)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	bool complete = true;
	if (!pool)
		return NULL;
	pool->max_threads = max_threads;
	pthread_mutex_init(&pool->lock, NULL);
	for (unsigned int kind = 0; kind < POOL_KINDS; kind++) {
		struct queue *queue = &pool->queues[kind];
		queue->pool = pool;
		pthread_cond_init(&queue->changed, NULL);
		queue->ids = calloc(max_threads, sizeof(*queue->ids));
		complete &= queue->ids != NULL;
	}
	if (complete)
		return pool;
	pool_destroy(pool);
	return NULL;
}

/* Signals are for the thread that runs the session. */
static int start_thread(struct queue *queue)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&queue->ids[queue->threads], NULL, work, queue);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

bool pool_submit(struct pool *pool, enum pool_kind kind, struct pool_job *job)
{
	struct queue *queue = &pool->queues[kind];

	pthread_mutex_lock(&pool->lock);
	bool is_new = !job->queued;
	if (!is_new)
		goto out;
	job->queued = true;
	job->next = NULL;
	if (queue->last)
		queue->last->next = job;
	else
		queue->first = job;
	queue->last = job;
	if (++queue->waiting > queue->idle && queue->threads < pool->max_threads && !start_thread(queue))
		queue->threads++;
	pthread_cond_signal(&queue->changed);
out:
	pthread_mutex_unlock(&pool->lock);
	return is_new;
}

/* Under the lock, which it gives up meanwhile. While one is waited for, others may be started. */
static void join_all(struct pool *pool)
{
	unsigned int joined[POOL_KINDS] = {0};
	unsigned int kind = 0;

	while (kind < POOL_KINDS) {
		struct queue *queue = &pool->queues[kind];
		if (joined[kind] == queue->threads) {
			kind++;
			continue;
		}
		pthread_t id = queue->ids[joined[kind]++];
		pthread_mutex_unlock(&pool->lock);
		pthread_join(id, NULL);
		pthread_mutex_lock(&pool->lock);
		kind = 0;
	}
}

void pool_destroy(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	call_all(pool);
	join_all(pool);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int kind = 0; kind < POOL_KINDS; kind++) {
		pthread_cond_destroy(&pool->queues[kind].changed);
		free(pool->queues[kind].ids);
	}
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
