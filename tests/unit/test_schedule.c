/*
 * test_schedule - how often a waiting mount looks, judges and asks
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../fs/gate/schedule.h"
#include "sealfs/state_watch.h"

#define MS 1000000u

static void looks_back_off_from_20_ms_to_a_second(void **state)
{
	static const unsigned int expected[] = {20, 40, 80, 160, 320, 640, 1000, 1000};
	uint64_t last = 0;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		last = gate_poll_interval_(last, false, false, true);
		assert_int_equal(last / MS, expected[i]);
	}
	assert_int_equal(gate_poll_interval_(0, true, false, true) / MS, 1000);
}

static void looks_are_5_to_15_s_apart_where_a_mount_will_tell(void **state)
{
	static const unsigned int expected[] = {5000, 7500, 11250, 15000, 15000};
	uint64_t last = 20 * (uint64_t)MS;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		last = gate_poll_interval_(last, false, true, true);
		assert_int_equal(last / MS, expected[i]);
	}
	/* but what was read in the same tick of the server's clock is read once more first */
	assert_int_equal(gate_poll_interval_(last, false, true, false), STATE_SETTLED_NS);
	/* and from the first silence on they are a second apart */
	assert_int_equal(gate_poll_interval_(last, false, false, true) / MS, 1000);
}

static void writer_whose_mount_is_silent_is_judged_often(void **state)
{
	assert_int_equal(gate_judge_interval_(false, true) / MS, 3000);
	assert_int_equal(gate_judge_interval_(true, true) / MS, 300000);
	/* on a file system of this machine it costs nothing */
	assert_int_equal(gate_judge_interval_(false, false), 0);
}

static void questions_are_repeated_ever_more_seldom(void **state)
{
	static const unsigned int expected[] = {200, 400, 800, 1600, 3200, 5000, 5000};

	for (unsigned int i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(gate_ask_interval_(i) / MS, expected[i]);
	assert_int_equal(gate_ask_interval_(UINT32_MAX) / MS, 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_back_off_from_20_ms_to_a_second),
		cmocka_unit_test(looks_are_5_to_15_s_apart_where_a_mount_will_tell),
		cmocka_unit_test(writer_whose_mount_is_silent_is_judged_often),
		cmocka_unit_test(questions_are_repeated_ever_more_seldom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
