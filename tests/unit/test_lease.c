/*
 * test_lease - who holds it, who is refused, and what becomes of the dead
 */
#include "sealfs/lease.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

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

/* Another process that takes the lease shared and holds it until the pipe is closed or it is killed. */
struct holder {
	pid_t pid;
	int release;
};

static void start_holder(struct holder *holder)
{
	int ready[2], release[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(release), 0);
	holder->pid = fork();
	if (holder->pid == 0) {
		struct lease lease = LEASE_INIT;
		int rc = lease_share(&scratch.store, "c", &lease);

		close(release[1]);
		if (rc == 0 && write(ready[1], "x", 1) == 1 && read(release[0], &c, 1) == 0)
			lease_drop(&scratch.store, &lease);
		_exit(rc ? 1 : 0);
	}
	close(ready[1]);
	close(release[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	holder->release = release[1];
}

static void end_holder(struct holder *holder, int signal)
{
	int status;

	if (signal)
		kill(holder->pid, signal);
	close(holder->release);
	assert_int_equal(waitpid(holder->pid, &status, 0), holder->pid);
	if (!signal)
		assert_int_equal(status, 0);
}

static void lease_is_shared_by_many_and_exclusive_for_one(void **unused)
{
	struct lease one = LEASE_INIT, two = LEASE_INIT, three = LEASE_INIT;

	setup(NULL);
	assert_int_equal(lease_held(&scratch.store, "c"), 0);
	assert_int_equal(lease_share(&scratch.store, "c", &one), 0);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/state/c/lock"), 0644);
	assert_int_equal(lease_share(&scratch.store, "c", &two), 0);
	assert_int_equal(lease_held(&scratch.store, "c"), 1);
	assert_int_equal(lease_exclude(&scratch.store, &one), -EBUSY);
	/* Refused, and still held. */
	assert_int_equal(lease_held(&scratch.store, "c"), 1);
	lease_drop(&scratch.store, &two);
	assert_int_equal(two.fd, -1);
	assert_int_equal(lease_held(&scratch.store, "c"), 1);
	assert_int_equal(lease_exclude(&scratch.store, &one), 0);
	assert_int_equal(lease_share(&scratch.store, "c", &three), -EBUSY);
	assert_int_equal(three.fd, -1);
	assert_int_equal(lease_seize(&scratch.store, "c", &three), -EBUSY);
	assert_int_equal(lease_downgrade(&scratch.store, &one), 0);
	assert_int_equal(lease_share(&scratch.store, "c", &three), 0);
	lease_drop(&scratch.store, &one);
	lease_drop(&scratch.store, &three);
	lease_drop(&scratch.store, &three);
	assert_int_equal(lease_held(&scratch.store, "c"), 0);
	assert_int_equal(lease_seize(&scratch.store, "c", &three), 0);
	lease_drop(&scratch.store, &three);
	teardown(NULL);
}

static void lease_of_another_process_is_seen_and_ends_with_it(void **unused)
{
	static const int signals[] = {0, SIGKILL};
	struct lease lease = LEASE_INIT;
	struct holder holder;

	setup(NULL);
	for (size_t i = 0; i < 2; i++) {
		start_holder(&holder);
		assert_int_equal(lease_held(&scratch.store, "c"), 1);
		assert_int_equal(lease_share(&scratch.store, "c", &lease), 0);
		assert_int_equal(lease_exclude(&scratch.store, &lease), -EBUSY);
		end_holder(&holder, signals[i]);
		assert_int_equal(lease_exclude(&scratch.store, &lease), 0);
		lease_drop(&scratch.store, &lease);
		assert_int_equal(lease_held(&scratch.store, "c"), 0);
	}
	teardown(NULL);
}

static void claimer_that_died_is_seen_though_one_that_joined_lives(void **unused)
{
	struct lease joined = LEASE_INIT, claimer = LEASE_INIT;
	struct holder holder;

	setup(NULL);
	start_holder(&holder);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_int_equal(lease_join(&scratch.store, "c", &joined), 0);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "reader", "owner died"), -EBUSY);
	end_holder(&holder, SIGKILL);
	assert_int_equal(lease_held(&scratch.store, "c"), 0);
	assert_int_equal(lease_joined(&scratch.store, "c"), 1);
	/* What is still written keeps the checkpoint from being sealed and from being removed, not from being ended. */
	assert_int_equal(lease_share(&scratch.store, "c", &claimer), 0);
	assert_int_equal(lease_exclude(&scratch.store, &claimer), -EBUSY);
	lease_drop(&scratch.store, &claimer);
	assert_int_equal(lease_seize(&scratch.store, "c", &claimer), -EBUSY);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "reader", "owner died"), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_FAILED);
	lease_drop(&scratch.store, &joined);
	assert_int_equal(lease_joined(&scratch.store, "c"), 0);
	teardown(NULL);
}

static void lease_that_is_watched_is_seen_to_go_and_to_come_back(void **unused)
{
	struct holder holder;
	int fd = -1, opened;

	setup(NULL);
	assert_int_equal(lease_watch(&scratch.store, "c", &fd), 0);
	assert_int_equal(fd, -1);
	for (int turn = 0; turn < 2; turn++) {
		start_holder(&holder);
		assert_int_equal(lease_watch(&scratch.store, "c", &fd), 1);
		opened = fd;
		assert_true(fd >= 0);
		assert_int_equal(lease_watch(&scratch.store, "c", &fd), 1);
		assert_int_equal(fd, opened);
		end_holder(&holder, SIGKILL);
		assert_int_equal(lease_watch(&scratch.store, "c", &fd), 0);
		assert_int_equal(fd, -1);
		assert_int_equal(fcntl(opened, F_GETFD), -1);
		/* Another lock file than before. */
		assert_int_equal(unlinkat(scratch.store.root, ".sealfs/state/c/lock", 0), 0);
	}
	teardown(NULL);
}

static void writer_that_died_is_ended_as_failed_and_one_that_lives_is_not(void **unused)
{
	struct holder holder;
	struct state state;

	setup(NULL);
	start_holder(&holder);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "reader", "owner died"), -EBUSY);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	end_holder(&holder, SIGKILL);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "reader", "owner died"), 0);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_int_equal(state.kind, STATE_FAILED);
	assert_string_equal(state.end.reason, "owner died");
	assert_string_equal(state.end.trial, "reader");
	assert_int_equal(state.end.uid, getuid());
	state_free(&state);
	/* Once more is no error. */
	assert_int_equal(lease_end_dead(&scratch.store, "c", "reader", "owner died"), 0);
	assert_int_equal(lease_held(&scratch.store, "c"), 0);
	teardown(NULL);
}

static void only_open_checkpoints_have_a_dead_owner(void **unused)
{
	setup(NULL);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "r", "owner died"), 0);
	assert_false(scratch_exists(&scratch, ".sealfs/state/c"));
	assert_int_equal(scratch_reserve(&scratch, "c", "tuner", "w"), 0);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "r", "owner died"), -EINVAL);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_PENDING);
	assert_int_equal(scratch_claim(&scratch, "c", "w"), 0);
	scratch_mkdir(&scratch, "c");
	assert_int_equal(scratch_end_sealed(&scratch, "c", 1), 0);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "r", "owner died"), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_SEALED);
	teardown(NULL);
}

static void of_several_who_find_a_dead_owner_all_agree(void **unused)
{
	for (int round = 0; round < 20; round++) {
		setup(NULL);
		assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
		for (int i = 0; i < 4; i++) {
			if (fork() == 0) {
				int rc;

				/* Refused while another one is at it: he looks again, as a waiter does. */
				do
					rc = lease_end_dead(&scratch.store, "c", "r", "owner died");
				while (rc == -EBUSY);
				_exit(rc == 0 ? 0 : 1);
			}
		}
		for (int i = 0; i < 4; i++) {
			int status;

			assert_true(wait(&status) > 0);
			assert_int_equal(status, 0);
		}
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_FAILED);
		teardown(NULL);
	}
}

static void refusal_by_a_prober_is_waited_out(void **unused)
{
	struct lease lease = LEASE_INIT;
	struct lease prober = LEASE_INIT;
	pid_t pid;
	int ready[2];
	char c;
	int status;

	setup(NULL);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct timespec pause = {.tv_nsec = 20000000};

		if (lease_seize(&scratch.store, "c", &prober) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		nanosleep(&pause, NULL);
		lease_drop(&scratch.store, &prober);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(lease_share(&scratch.store, "c", &lease), 0);
	lease_drop(&scratch.store, &lease);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
	teardown(NULL);
}

static void removal_waits_for_no_writer_but_is_refused(void **unused)
{
	struct holder holder;

	setup(NULL);
	scratch_mkdir(&scratch, "c");
	start_holder(&holder);
	/* He has the lease and is about to claim. */
	assert_int_equal(state_remove(&scratch.store, "c"), -EBUSY);
	assert_true(scratch_exists(&scratch, "c"));
	end_holder(&holder, 0);
	assert_int_equal(state_remove(&scratch.store, "c"), 0);
	teardown(NULL);
}

static void lease_is_taken_on_the_folder_that_is_there_now(void **unused)
{
	struct lease old = LEASE_INIT, new = LEASE_INIT;

	setup(NULL);
	assert_int_equal(lease_share(&scratch.store, "c", &old), 0);
	lease_drop(&scratch.store, &old);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(state_remove(&scratch.store, "c"), 0);
	assert_int_equal(lease_share(&scratch.store, "c", &new), 0);
	assert_int_equal(lease_held(&scratch.store, "c"), 1);
	lease_drop(&scratch.store, &new);
	teardown(NULL);
}

static void lock_file_that_is_a_symlink_is_not_followed(void **unused)
{
	struct lease lease = LEASE_INIT;
	char path[4096];

	setup(NULL);
	scratch_mkdir(&scratch, ".sealfs/state/c");
	scratch_path(&scratch, ".sealfs/state/c/lock", path);
	assert_int_equal(symlink("../../../target", path), 0);
	assert_int_equal(lease_share(&scratch.store, "c", &lease), -EINVAL);
	assert_int_equal(lease_held(&scratch.store, "c"), -EINVAL);
	assert_false(scratch_exists(&scratch, "target"));
	teardown(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lease_is_shared_by_many_and_exclusive_for_one),
		cmocka_unit_test(lease_of_another_process_is_seen_and_ends_with_it),
		cmocka_unit_test(claimer_that_died_is_seen_though_one_that_joined_lives),
		cmocka_unit_test(lease_that_is_watched_is_seen_to_go_and_to_come_back),
		cmocka_unit_test(writer_that_died_is_ended_as_failed_and_one_that_lives_is_not),
		cmocka_unit_test(only_open_checkpoints_have_a_dead_owner),
		cmocka_unit_test(of_several_who_find_a_dead_owner_all_agree),
		cmocka_unit_test(refusal_by_a_prober_is_waited_out),
		cmocka_unit_test(removal_waits_for_no_writer_but_is_refused),
		cmocka_unit_test(lease_is_taken_on_the_folder_that_is_there_now),
		cmocka_unit_test(lock_file_that_is_a_symlink_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
