/*
 * test_join - a trial through several mounts: nobody joins behind the back of the one who seals, whatever fails or crashes
 *
 * SEALFS_TEST_DIR, SEALFS_TEST_OTHER_DIR and SEALFS_TEST_PAUSE as in test_state_overtaken.
 */
#include <sys/wait.h>
#include <time.h>

#include "../unit/scratch.h"
#include "faulty.h"

#define MOUNT "00112233445566778899aabbccddeeff"
#define MANY 200 /* more operations than any of these has */

static struct scratch scratch, other; /* the same export, as the one who seals and the one who joins have it */

static void pause_a_tick(void)
{
	const char *text = getenv("SEALFS_TEST_PAUSE");
	long ms = text ? atol(text) : 0;
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

static void setup(void)
{
	const char *dir = getenv("SEALFS_TEST_OTHER_DIR");

	scratch_open_export(&scratch);
	other = scratch;
	if (dir)
		snprintf(other.dir, sizeof(other.dir), "%s%s", dir, strrchr(scratch.dir, '/'));
	assert_int_equal(store_open(&other.store, other.dir), 0);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	pause_a_tick();
}

static void teardown(void)
{
	store_close(&other.store);
	scratch_close(&scratch);
}

static void make_join(struct record *join)
{
	scratch_make_record(join, RECORD_JOIN, "t");
	join->generation = 1;
	strcpy(join->mount, MOUNT);
	join->heartbeat = 5;
	join->no_lease = true;
}

static struct store faulty_store(struct faulty *faulty, const struct scratch *from)
{
	return (struct store){.ops = &faulty_ops, .ctx = faulty, .root = from->store.root};
}

/* How many have joined and not left. */
static size_t unleft(const struct store *store)
{
	struct record *joined;
	size_t count;

	assert_int_equal(state_joined(store, "c", 1, &joined, &count), 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(joined[i].kind, RECORD_JOIN);
		assert_string_equal(joined[i].mount, MOUNT);
		assert_int_equal(joined[i].heartbeat, 5);
		assert_true(joined[i].no_lease);
	}
	state_joined_free(joined, count);
	return count;
}

static void seal_waits_for_all_who_joined(void **state)
{
	struct record one, two;

	setup();
	make_join(&one);
	make_join(&two);
	assert_int_equal(unleft(&scratch.store), 0);
	assert_int_equal(state_join(&other.store, "c", &one), 0);
	assert_int_equal(state_join(&other.store, "c", &two), 0);
	assert_int_equal(unleft(&scratch.store), 2);
	assert_int_equal(state_leave(&other.store, "c", &one), 0);
	assert_int_equal(state_leave(&other.store, "c", &one), 0);
	assert_int_equal(unleft(&scratch.store), 1);
	assert_int_equal(state_leave(&other.store, "c", &two), 0);
	assert_int_equal(unleft(&scratch.store), 0);
	record_free(&one);
	/* The same mount once more. */
	make_join(&one);
	assert_int_equal(state_join(&other.store, "c", &one), 0);
	assert_int_equal(unleft(&scratch.store), 1);
	record_free(&one);
	record_free(&two);
	teardown();
}

static void who_comes_after_the_seal_began_is_refused(void **state)
{
	struct record join;

	setup();
	make_join(&join);
	assert_int_equal(state_close(&scratch.store, "c", 1), 0);
	assert_int_equal(state_close(&scratch.store, "c", 1), 0);
	assert_int_equal(state_join(&other.store, "c", &join), -EBUSY);
	assert_int_equal(unleft(&scratch.store), 0);
	assert_int_equal(state_reopen(&scratch.store, "c", 1), 0);
	assert_int_equal(state_reopen(&scratch.store, "c", 1), 0);
	assert_int_equal(state_join(&other.store, "c", &join), 0);
	assert_int_equal(unleft(&scratch.store), 1);
	record_free(&join);
	teardown();
}

static void only_the_open_generation_of_the_own_trial_is_joined(void **state)
{
	struct record join;

	setup();
	make_join(&join);
	free(join.trial);
	join.trial = strdup("another");
	assert_int_equal(state_join(&other.store, "c", &join), -EEXIST);
	strcpy(join.trial, "t");
	join.generation = 2;
	assert_int_equal(state_join(&other.store, "c", &join), -EEXIST);
	join.generation = 1;
	assert_int_equal(state_join(&other.store, "nothing", &join), -EEXIST);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	pause_a_tick();
	assert_int_equal(state_join(&other.store, "c", &join), -EEXIST);
	assert_int_equal(unleft(&scratch.store), 0);
	record_free(&join);
	teardown();
}

static void removal_takes_all_of_it_along(void **state)
{
	struct record join;

	setup();
	make_join(&join);
	assert_int_equal(state_join(&other.store, "c", &join), 0);
	assert_int_equal(state_close(&scratch.store, "c", 1), 0);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(state_remove(&scratch.store, "c"), 0);
	assert_false(scratch_exists(&scratch, ".sealfs/state/c"));
	pause_a_tick();
	/* Late, and nobody waits for it any more. */
	assert_int_equal(state_leave(&other.store, "c", &join), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_ABSENT);
	record_free(&join);
	teardown();
}

static void join_that_can_not_be_read_keeps_from_sealing(void **state)
{
	struct record *joined, join;
	char name[100];
	size_t count;

	setup();
	make_join(&join);
	snprintf(name, sizeof(name), ".sealfs/state/c/1.join.%s", join.token);
	scratch_write(&scratch, name, "sealfs join 1\n");
	assert_int_equal(state_joined(&scratch.store, "c", 1, &joined, &count), -EBADMSG);
	record_free(&join);
	teardown();
}

/* --- between any two operations --- */

static size_t seen;
static int joined_with;
static struct record late;

static void meet_sealer(void)
{
	pause_a_tick();
	assert_int_equal(state_close(&scratch.store, "c", 1), 0);
	seen = unleft(&scratch.store);
	pause_a_tick();
}

static void meet_joiner(void)
{
	pause_a_tick();
	joined_with = state_join(&other.store, "c", &late);
	pause_a_tick();
}

static void either_the_joiner_sees_that_it_is_closed_or_the_sealer_sees_him(void **state)
{
	bool was_seen = false, was_refused = false, met = true;

	for (int at = 1; met; at++) {
		struct faulty faulty = {.mode = FAULTY_MEET, .at = at, .meet = meet_sealer};
		struct record join;
		int rc;

		setup();
		make_join(&join);
		struct store slow = faulty_store(&faulty, &other);
		rc = state_join(&slow, "c", &join);
		met = faulty.count >= at;
		if (met && rc == 0)
			assert_int_equal(seen, 1);
		if (rc < 0)
			assert_int_equal(rc, -EBUSY);
		assert_int_equal(unleft(&scratch.store), rc == 0);
		was_seen |= met && rc == 0;
		was_refused |= rc < 0;
		record_free(&join);
		teardown();
		assert_in_range(at, 1, MANY);
	}
	assert_true(was_seen && was_refused);
}

static void sealer_who_is_overtaken_sees_the_joiner_or_has_refused_him(void **state)
{
	bool was_seen = false, was_refused = false, met = true;

	for (int at = 1; met; at++) {
		struct faulty faulty = {.mode = FAULTY_MEET, .at = at, .meet = meet_joiner};
		size_t count;

		setup();
		make_join(&late);
		struct store slow = faulty_store(&faulty, &scratch);
		assert_int_equal(state_close(&slow, "c", 1), 0);
		count = unleft(&slow);
		met = faulty.count >= at;
		if (met) {
			assert_true(joined_with == 0 || joined_with == -EBUSY);
			/* He is still listed when he is refused and has not left yet: then the seal waits a moment. */
			if (joined_with == 0)
				assert_int_equal(count, 1);
			was_seen |= joined_with == 0;
			was_refused |= joined_with < 0;
		}
		record_free(&late);
		teardown();
		assert_in_range(at, 1, MANY);
	}
	assert_true(was_seen && was_refused);
}

/* --- every operation fails, or its answer is lost, or it is the last --- */

static void fail_each(enum faulty_mode mode, int error)
{
	bool hit = true;

	for (int at = 1; hit; at++) {
		struct faulty faulty = {.mode = mode, .at = at, .error = error};
		struct record join;
		int rc;

		setup();
		make_join(&join);
		struct store store = faulty_store(&faulty, &other);
		rc = state_join(&store, "c", &join);
		hit = faulty.count >= at;
		/* Whoever was told that he has not joined is not waited for. */
		if (unleft(&scratch.store) != (rc == 0))
			fail_msg("operation %d with error %d: joined %d, and %zu are waited for", at, error, rc,
				 unleft(&scratch.store));
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
		record_free(&join);
		teardown();
		assert_in_range(at, 1, MANY);
	}
	hit = true;
	for (int at = 1; hit; at++) {
		struct faulty faulty = {.mode = mode, .at = at, .error = error};
		struct record join;
		int rc;

		setup();
		make_join(&join);
		assert_int_equal(state_join(&other.store, "c", &join), 0);
		struct store store = faulty_store(&faulty, &other);
		rc = state_leave(&store, "c", &join);
		hit = faulty.count >= at;
		if (rc == 0)
			assert_int_equal(unleft(&scratch.store), 0);
		assert_int_equal(state_leave(&other.store, "c", &join), 0);
		assert_int_equal(unleft(&scratch.store), 0);
		record_free(&join);
		teardown();
		assert_in_range(at, 1, MANY);
	}
}

static void error_anywhere_makes_nobody_wait_for_one_who_has_not_joined(void **state)
{
	fail_each(FAULTY_ERROR, EIO);
	fail_each(FAULTY_ERROR, ENOSPC);
	fail_each(FAULTY_LOST, EIO);
}

static bool crash_at(int at, bool leave, struct record *join)
{
	struct faulty faulty = {.mode = FAULTY_CRASH, .at = at};
	struct store store = faulty_store(&faulty, &other);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int rc = leave ? state_leave(&store, "c", join) : state_join(&store, "c", join);

		_exit(rc == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == FAULTY_CRASHED);
	return WEXITSTATUS(status) == FAULTY_CRASHED;
}

/* Dead in the middle of joining: he is there, and will be found dead, or has never been there. Dead in the middle of leaving: likewise. */
static void crash_anywhere_leaves_one_who_is_there_or_one_who_is_not(void **state)
{
	for (int leave = 0; leave < 2; leave++) {
		size_t counts[2] = {0, 0};
		bool crashed = true;

		for (int at = 1; crashed; at++) {
			struct record join;
			size_t count;

			setup();
			make_join(&join);
			if (leave)
				assert_int_equal(state_join(&other.store, "c", &join), 0);
			crashed = crash_at(at, leave, &join);
			pause_a_tick();
			assert_int_equal(state_close(&scratch.store, "c", 1), 0);
			count = unleft(&scratch.store);
			assert_in_range(count, 0, 1);
			counts[count]++;
			if (!crashed)
				assert_int_equal(count, leave ? 0 : 1);
			assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
			record_free(&join);
			teardown();
			assert_in_range(at, 1, MANY);
		}
		assert_true(counts[0] > 1 && counts[1] > 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seal_waits_for_all_who_joined),
		cmocka_unit_test(who_comes_after_the_seal_began_is_refused),
		cmocka_unit_test(only_the_open_generation_of_the_own_trial_is_joined),
		cmocka_unit_test(removal_takes_all_of_it_along),
		cmocka_unit_test(join_that_can_not_be_read_keeps_from_sealing),
		cmocka_unit_test(either_the_joiner_sees_that_it_is_closed_or_the_sealer_sees_him),
		cmocka_unit_test(sealer_who_is_overtaken_sees_the_joiner_or_has_refused_him),
		cmocka_unit_test(error_anywhere_makes_nobody_wait_for_one_who_has_not_joined),
		cmocka_unit_test(crash_anywhere_leaves_one_who_is_there_or_one_who_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
