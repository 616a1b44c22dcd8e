/* test_pool.c - work is done once each, in order, and none is forgotten */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "sealfs/pool.h"

#define TURNS 50
#define LIMIT_S 20

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned int runs[4];

/* The pool's only thread stays here until the test lets it go on. */
static void wait_for_gate(struct pool_job *job)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
}

struct counted {
	struct pool_job job;
	unsigned int number;
};

static void count(struct pool_job *job)
{
	runs[((struct counted *)job)->number]++;
}

static void job_that_is_queued_already_is_run_once_and_those_behind_it_too(void **state)
{
	struct pool_job blocker = {.run = wait_for_gate};
	struct counted jobs[4];
	struct pool *pool = pool_create(1);

	assert_non_null(pool);
	pthread_mutex_lock(&gate);
	assert_true(pool_submit(pool, POOL_LOOK, &blocker));
	for (unsigned int i = 0; i < 4; i++) {
		jobs[i] = (struct counted){{.run = count}, i};
		assert_true(pool_submit(pool, POOL_LOOK, &jobs[i].job));
	}
	assert_false(pool_submit(pool, POOL_LOOK, &jobs[1].job)); /* with others behind it */
	assert_false(pool_submit(pool, POOL_LOOK, &jobs[3].job)); /* the last one */
	pthread_mutex_unlock(&gate);
	pool_destroy(pool);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(runs[i], 1);
}

struct posted {
	struct pool_job job;
	sem_t done;
};

static void post(struct pool_job *job)
{
	sem_post(&((struct posted *)job)->done);
}

static bool is_done(struct posted *posted)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += LIMIT_S;
	return !sem_timedwait(&posted->done, &limit);
}

/* The pool has one thread, which has nothing to do, and may start another. */
static bool second_job_is_done_beside_the_first(void)
{
	struct pool_job blocker = {.run = wait_for_gate};
	struct posted first = {.job.run = post}, second = {.job.run = post};
	struct timespec moment = {.tv_nsec = 2000000};
	struct pool *pool = pool_create(2);

	assert_non_null(pool);
	sem_init(&first.done, 0, 0);
	sem_init(&second.done, 0, 0);
	pool_submit(pool, POOL_LOOK, &first.job);
	assert_true(is_done(&first));
	nanosleep(&moment, NULL); /* until it waits for work: if it does not yet, this turn finds nothing */
	pthread_mutex_lock(&gate);
	pool_submit(pool, POOL_LOOK, &blocker);
	pool_submit(pool, POOL_LOOK, &second.job);
	bool done = is_done(&second);
	pthread_mutex_unlock(&gate);
	pool_destroy(pool);
	sem_destroy(&first.done);
	sem_destroy(&second.done);
	return done;
}

static void job_does_not_wait_for_a_long_one_that_came_just_before_it(void **state)
{
	for (unsigned int turn = 0; turn < TURNS; turn++)
		assert_true(second_job_is_done_beside_the_first());
}

static void work_of_one_kind_does_not_wait_for_that_of_another(void **state)
{
	struct pool_job blockers[] = {{.run = wait_for_gate}, {.run = wait_for_gate}};
	struct posted job = {.job.run = post};
	struct pool *pool = pool_create(1);

	assert_non_null(pool);
	sem_init(&job.done, 0, 0);
	pthread_mutex_lock(&gate);
	pool_submit(pool, POOL_SEAL, &blockers[0]);
	pool_submit(pool, POOL_VERIFY, &blockers[1]);
	pool_submit(pool, POOL_LOOK, &job.job);
	bool done = is_done(&job);
	pthread_mutex_unlock(&gate);
	pool_destroy(pool);
	sem_destroy(&job.done);
	assert_true(done);
}

struct bringing {
	struct pool_job job;
	struct pool *pool;
	enum pool_kind kind;
	struct bringing *next;
	unsigned int runs;
};

static void bring(struct pool_job *job)
{
	struct bringing *bringing = (struct bringing *)job;
	struct timespec moment = {.tv_nsec = 2000000};

	nanosleep(&moment, NULL); /* until the pool is being destroyed, most likely */
	bringing->runs++;
	if (bringing->next)
		pool_submit(bringing->pool, bringing->next->kind, &bringing->next->job);
}

static void what_is_brought_while_it_ends_is_done_of_whatever_kind(void **state)
{
	static const enum pool_kind kinds[] = {POOL_SEAL, POOL_VERIFY, POOL_LOOK, POOL_VERIFY, POOL_SEAL};
	enum { COUNT = sizeof(kinds) / sizeof(kinds[0]) };
	struct bringing jobs[COUNT];
	struct pool *pool = pool_create(2);

	assert_non_null(pool);
	for (unsigned int i = 0; i < COUNT; i++)
		jobs[i] = (struct bringing){{.run = bring}, pool, kinds[i], i + 1 < COUNT ? &jobs[i + 1] : NULL, 0};
	pool_submit(pool, jobs[0].kind, &jobs[0].job);
	pool_destroy(pool);
	for (unsigned int i = 0; i < COUNT; i++)
		assert_int_equal(jobs[i].runs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_that_is_queued_already_is_run_once_and_those_behind_it_too),
		cmocka_unit_test(job_does_not_wait_for_a_long_one_that_came_just_before_it),
		cmocka_unit_test(work_of_one_kind_does_not_wait_for_that_of_another),
		cmocka_unit_test(what_is_brought_while_it_ends_is_done_of_whatever_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
