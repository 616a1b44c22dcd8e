/*
 * test_spin - when it is worth staying awake for the next request
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../fs/mount/spin.h"

#define MANY 10000

/* How often it was tried with so many requests. */
static unsigned int tries(struct spin *spin, unsigned int requests, bool worth)
{
	unsigned int tried = 0;

	for (unsigned int i = 0; i < requests; i++) {
		if (!spin_is_due(spin))
			continue;
		tried++;
		spin_ended(spin, worth);
	}
	return tried;
}

static void as_long_as_it_is_worth_it_it_is_always_tried(void **state)
{
	struct spin spin = {.pause = 0};

	assert_int_equal(tries(&spin, MANY, true), MANY);
}

static void what_brings_nothing_is_hardly_ever_tried(void **state)
{
	struct spin spin = {.pause = 0};

	assert_int_equal(tries(&spin, SPIN_TRIES, false), SPIN_TRIES);
	unsigned int later = tries(&spin, MANY, false);
	assert_in_range(later, MANY / (SPIN_PAUSE + 1), MANY / SPIN_PAUSE + 8);
}

static void what_is_worth_it_again_is_tried_again(void **state)
{
	struct spin spin = {.pause = 0};

	tries(&spin, MANY, false);
	assert_int_not_equal(tries(&spin, SPIN_PAUSE + 1, true), 0);
	assert_int_equal(tries(&spin, MANY, true), MANY);
}

static void a_few_in_vain_do_not_matter(void **state)
{
	struct spin spin = {.pause = 0};

	for (unsigned int i = 0; i < MANY; i++) {
		assert_true(spin_is_due(&spin));
		spin_ended(&spin, i % SPIN_TRIES == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_long_as_it_is_worth_it_it_is_always_tried),
		cmocka_unit_test(what_brings_nothing_is_hardly_ever_tried),
		cmocka_unit_test(what_is_worth_it_again_is_tried_again),
		cmocka_unit_test(a_few_in_vain_do_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
