/* test_pool.c - work is done once each, in order, and none is forgotten */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "sealfs/pool.h"

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
	assert_true(pool_submit(pool, &blocker));
	for (unsigned int i = 0; i < 4; i++) {
		jobs[i] = (struct counted){{.run = count}, i};
		assert_true(pool_submit(pool, &jobs[i].job));
	}
	assert_false(pool_submit(pool, &jobs[1].job)); /* with others behind it */
	assert_false(pool_submit(pool, &jobs[3].job)); /* the last one */
	pthread_mutex_unlock(&gate);
	pool_destroy(pool);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(runs[i], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_that_is_queued_already_is_run_once_and_those_behind_it_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
