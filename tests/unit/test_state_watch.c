/*
 * test_state_watch - the state is read when it may have changed, and else only seldom
 */
#include "sealfs/state_watch.h"

#include "scratch.h"

#define T0 UINT64_C(1000000000000) /* some moment */
#define SETTLED (T0 + STATE_SETTLED_NS)

static struct scratch scratch;
static struct state_watch watch;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	watch = (struct state_watch)STATE_WATCH_INIT;
	return scratch_claim(&scratch, "c", "t");
}

static int teardown(void **state)
{
	state_watch_close(&scratch.store, &watch);
	scratch_close(&scratch);
	return 0;
}

/* Who is told that it may differ reads the state. */
static bool reads(uint64_t now)
{
	if (!state_watch_differs(&scratch.store, "c", &watch, now))
		return false;
	watch.read_ns = now;
	return true;
}

static void settle(void)
{
	/* what comes now has a time of its own */
	usleep(20000);
	assert_true(reads(T0));
	assert_true(reads(SETTLED));
	assert_false(reads(SETTLED + 1));
}

static void what_does_not_change_is_read_once_more_when_it_has_settled(void **state)
{
	assert_false(state_watch_settled(&watch));
	assert_true(reads(T0));
	assert_true(reads(SETTLED - 1)); /* what happened in the same tick has not been seen */
	assert_false(state_watch_settled(&watch));
	assert_true(reads(SETTLED));
	assert_true(state_watch_settled(&watch));
	assert_false(reads(SETTLED + 1));
	assert_false(reads(SETTLED + STATE_READ_NS - 1));
}

static void all_is_read_every_few_minutes_whatever_the_folder_looks_like(void **state)
{
	settle();
	assert_true(reads(SETTLED + STATE_READ_NS));
	assert_false(reads(SETTLED + STATE_READ_NS + 1));
}

static void new_record_is_read(void **state)
{
	settle();
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_true(reads(SETTLED + 2));
	assert_true(reads(SETTLED + 3)); /* another may come in the same tick */
	assert_true(reads(SETTLED + 2 + STATE_SETTLED_NS));
	assert_false(reads(SETTLED + 3 + STATE_SETTLED_NS));
}

static void folder_that_was_removed_and_made_anew_is_read(void **state)
{
	settle();
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_true(reads(SETTLED + STATE_SETTLED_NS));
	assert_int_equal(state_remove(&scratch.store, "c"), 0);
	assert_true(reads(SETTLED + 2 * STATE_SETTLED_NS));
	assert_int_equal(watch.folder, -1);
	assert_true(reads(SETTLED + 3 * STATE_SETTLED_NS)); /* what is not there may come at any time */
	assert_int_equal(scratch_claim(&scratch, "c", "u"), 0);
	assert_true(reads(SETTLED + 4 * STATE_SETTLED_NS));
	assert_true(reads(SETTLED + 5 * STATE_SETTLED_NS));
	assert_false(reads(SETTLED + 5 * STATE_SETTLED_NS + 1));
}

static void lock_file_is_closed_with_the_folder(void **state)
{
	settle();
	watch.lock_file = dup(watch.folder);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_true(reads(SETTLED + 2));
	assert_int_equal(watch.lock_file, -1);
	state_watch_close(&scratch.store, &watch);
	assert_int_equal(watch.folder, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_does_not_change_is_read_once_more_when_it_has_settled, setup, teardown),
		cmocka_unit_test_setup_teardown(all_is_read_every_few_minutes_whatever_the_folder_looks_like, setup, teardown),
		cmocka_unit_test_setup_teardown(new_record_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(folder_that_was_removed_and_made_anew_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(lock_file_is_closed_with_the_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
