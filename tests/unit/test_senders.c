/*
 * test_senders - when a second thread is called to carry requests out
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../fs/mount/senders.h"

static void one_alone_calls_nobody_however_fast_it_is(void **state)
{
	struct senders senders = {.last = 0};

	for (unsigned int i = 0; i < 1000; i++) {
		assert_false(senders_are_many(&senders, 7, true));
		assert_false(senders_are_many(&senders, 0, true)); /* the release of what it had open */
	}
}

static void several_call_somebody_when_they_are_faster(void **state)
{
	struct senders senders = {.last = 0};
	unsigned int calls = 0;

	for (uint32_t i = 0; i <= 3 * SENDERS_IN_A_ROW; i++)
		calls += senders_are_many(&senders, 7 + i % 2, true);
	assert_int_equal(calls, 3);
}

static void several_call_nobody_when_they_are_slower(void **state)
{
	struct senders senders = {.last = 0};

	for (uint32_t i = 0; i < 1000; i++)
		assert_false(senders_are_many(&senders, 7 + i % 3, i % SENDERS_IN_A_ROW != 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_alone_calls_nobody_however_fast_it_is),
		cmocka_unit_test(several_call_somebody_when_they_are_faster),
		cmocka_unit_test(several_call_nobody_when_they_are_slower),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
