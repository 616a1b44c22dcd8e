/*
 * test_state_race - several processes do the same at once, and one wins
 */
#include "sealfs/state.h"

#include <sys/wait.h>

#include "scratch.h"

static struct scratch scratch;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

/* Something at the path "c", claimed. */
static void make_open(void)
{
	scratch_mkdir(&scratch, "c");
	scratch_write(&scratch, "c/model", "old");
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
}

static void make_failed(void)
{
	make_open();
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
}

static int do_claim(void)
{
	return scratch_claim(&scratch, "c", "u");
}

static int do_reserve(void)
{
	return scratch_reserve(&scratch, "c", "tuner", NULL);
}

static int do_fail(void)
{
	return scratch_fail(&scratch, "c", 1);
}

static int do_seal(void)
{
	return scratch_end_sealed(&scratch, "c", 1);
}

static int do_remove(void)
{
	return state_remove(&scratch.store, "c");
}

/* `count` processes do the same at once; how many of them got `rc`. */
static int race(int count, int (*what)(void), int rc)
{
	int gate[2], winners = 0;
	char go = 0;

	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < count; i++) {
		if (fork() == 0) {
			close(gate[1]);
			if (read(gate[0], &go, 1) < 0)
				_exit(2);
			_exit(what() == rc ? 0 : 1);
		}
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < count; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		winners += WEXITSTATUS(status) == 0;
	}
	return winners;
}

static int claim_and_fill(void)
{
	int rc = do_claim();

	/* The winner's content, made at once: it must be there when all is over. */
	if (rc == 0) {
		scratch_mkdir(&scratch, "c");
		scratch_write(&scratch, "c/model", "new");
	}
	return rc;
}

static void of_several_claimers_one_wins(void **unused)
{
	for (int round = 0; round < 30; round++) {
		struct state state;
		char *text;

		setup(NULL);
		if (round % 2)
			make_failed();
		assert_int_equal(race(4, claim_and_fill, 0), 1);
		assert_int_equal(state_read(&scratch.store, "c", &state), 0);
		assert_int_equal(state.kind, STATE_OPEN);
		assert_int_equal(state.generation, 1 + round % 2);
		state_free(&state);
		text = scratch_read(&scratch, "c/model");
		assert_non_null(text);
		assert_string_equal(text, "new");
		free(text);
		teardown(NULL);
	}
}

static void of_several_reservers_one_wins(void **unused)
{
	for (int round = 0; round < 20; round++) {
		setup(NULL);
		if (round % 2)
			make_failed();
		assert_int_equal(race(4, do_reserve, 0), 1);
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_PENDING);
		assert_true(scratch_exists(&scratch, "c"));
		assert_false(scratch_exists(&scratch, "c/model"));
		teardown(NULL);
	}
}

static int end_either_way(void)
{
	return getpid() % 2 ? do_fail() : do_seal();
}

static void of_several_ends_one_wins(void **unused)
{
	for (int round = 0; round < 30; round++) {
		enum state_kind kind;

		setup(NULL);
		make_open();
		assert_int_equal(race(4, end_either_way, 0), 1);
		kind = scratch_kind(&scratch, "c");
		assert_true(kind == STATE_SEALED || kind == STATE_FAILED);
		teardown(NULL);
	}
}

static int remove_or_claim(void)
{
	return getpid() % 2 ? do_remove() : claim_and_fill();
}

/* Whoever claims here holds no lease: safety rests on the links and renames alone. */
static void claim_that_meets_a_removal_is_whole_or_not_at_all(void **unused)
{
	for (int round = 0; round < 30; round++) {
		enum state_kind kind;

		setup(NULL);
		make_failed();
		race(2, remove_or_claim, 0);
		kind = scratch_kind(&scratch, "c");
		assert_true(kind == STATE_OPEN || kind == STATE_ABSENT);
		assert_int_equal(scratch_exists(&scratch, "c/model"), kind == STATE_OPEN);
		teardown(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_several_claimers_one_wins),
		cmocka_unit_test(of_several_reservers_one_wins),
		cmocka_unit_test(of_several_ends_one_wins),
		cmocka_unit_test(claim_that_meets_a_removal_is_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
