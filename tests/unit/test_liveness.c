/*
 * test_liveness - whose locks are believed, and after what silence somebody is dead
 */
#include "sealfs/liveness.h"

#include <time.h>

#include "../fault/faulty.h"
#include "scratch.h"
#include "sealfs/lease.h"

#define MOUNT "00112233445566778899aabbccddeeff"
#define S UINT64_C(1000000000)

static struct scratch scratch;
static struct faulty faulty;
static struct store store; /* the same export, on operations that can be made to fail */

/* The waiter's clock, which a slow request moves. */
static uint64_t now_ns, slow_ns;

static uint64_t clock_ns(void)
{
	return now_ns;
}

static void be_slow(void)
{
	now_ns += slow_ns;
}

static void setup(void)
{
	umask(022);
	scratch_open_export(&scratch);
	faulty = (struct faulty){0};
	store = (struct store){.ops = &faulty_ops, .ctx = &faulty, .root = scratch.store.root};
	now_ns = 1000 * S;
}

static void beat(uint64_t count)
{
	/* Times are as coarse as the kernel's tick; the next beat must have another one. */
	const struct timespec pause = {.tv_nsec = 12000000};

	nanosleep(&pause, NULL);
	assert_int_equal(liveness_beat(&scratch.store, MOUNT, count), 0);
}

static int look(struct liveness_watch *watch)
{
	watch->clock = clock_ns;
	return liveness_look(&store, MOUNT, 5, watch);
}

static int look_after(struct liveness_watch *watch, uint64_t seconds)
{
	now_ns += seconds * S;
	return look(watch);
}

static const struct {
	const char *type, *options;
	bool leases, probes;
} mounts[] = {
	{"ext4", "rw", true, true},
	{"tmpfs", "rw,size=1024k", true, true},
	{"overlay", "rw,lowerdir=/nolock", true, true},
	{"nfs4", "rw,vers=4.2,rsize=262144,hard,proto=tcp,local_lock=none,addr=10.0.0.1", true, true},
	{"nfs4", "rw,vers=4.0,local_lock=none", true, true},
	{"nfs4", "rw,vers=4.2,local_lock=all", false, false},
	{"nfs4", "rw,vers=4.2,local_lock=posix", false, false},
	{"nfs4", "rw,vers=4.2,local_lock=flock", true, true},
	{"nfs", "rw,vers=3,hard,proto=tcp,local_lock=none", false, true},
	{"nfs", "rw,vers=3,hard,nolock,local_lock=all", false, false},
	{"nfs", "rw,vers=4.1", true, true},
	{"nfs", NULL, false, false},
	{"ceph", "rw,acl", true, true},
	{"lustre", "rw,flock,lazystatfs", true, true},
	{"lustre", "rw,localflock", false, false},
	{"lustre", "rw", false, false},
	{"fuse.sshfs", "rw", false, false},
	{"fuse", "rw", false, false},
	{"cifs", "rw,vers=3.1.1", false, false},
	{"virtiofs", "rw", false, false},
};

static void locks_are_believed_where_they_have_leases(void **state)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		struct liveness liveness = {0};

		liveness_of_mount(mounts[i].type, mounts[i].options, &liveness);
		if (liveness.leases != mounts[i].leases || liveness.probes != mounts[i].probes || !*liveness.why)
			fail_msg("%s %s: leases %d, probes %d (%s)", mounts[i].type,
				 mounts[i].options ? mounts[i].options : "-", liveness.leases, liveness.probes,
				 liveness.why);
	}
}

static void options_decide_and_locks_are_tried(void **state)
{
	struct liveness liveness;

	setup();
	assert_int_equal(liveness_detect(&store, LIVENESS_LOCKS_AUTO, 0, &liveness), 0);
	assert_true(liveness.leases && liveness.probes);
	assert_int_equal(liveness.heartbeat, LIVENESS_HEARTBEAT * LIVENESS_SLOWER);
	assert_int_equal(liveness_detect(&store, LIVENESS_LOCKS_OFF, 0, &liveness), 0);
	assert_false(liveness.leases || liveness.probes);
	assert_int_equal(liveness.heartbeat, LIVENESS_HEARTBEAT);
	assert_int_equal(liveness_detect(&store, LIVENESS_LOCKS_OFF, 7, &liveness), 0);
	assert_int_equal(liveness.heartbeat, 7);
	/* A file system whose locks fail has none. */
	faulty = (struct faulty){.mode = FAULTY_LOCKS, .error = ENOLCK};
	assert_int_equal(liveness_detect(&store, LIVENESS_LOCKS_AUTO, 0, &liveness), 0);
	assert_false(liveness.leases || liveness.probes);
	assert_non_null(strstr(liveness.why, "No locks available"));
	assert_int_equal(liveness_detect(&store, LIVENESS_LOCKS_ON, 0, &liveness), -ENOLCK);
	scratch_close(&scratch);
}

static void mount_that_beats_lives(void **state)
{
	struct liveness_watch watch = {0};

	setup();
	for (uint64_t i = 0; i < 3 * LIVENESS_MISSES; i++) {
		/* Now and then one comes late. */
		if (i % 3 != 2)
			beat(i);
		assert_int_equal(look_after(&watch, 5), 0);
	}
	assert_in_range(watch.missed, 0, 1);
	scratch_close(&scratch);
}

static void silent_mount_is_dead_after_so_many_intervals_and_not_before(void **state)
{
	struct liveness_watch watch = {0};

	setup();
	beat(1);
	assert_int_equal(look(&watch), 0);
	for (int i = 1; i < LIVENESS_MISSES; i++)
		assert_int_equal(look_after(&watch, 5), 0);
	/* Looks that follow each other sooner than it beats do not count. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(look(&watch), 0);
	assert_int_equal(look_after(&watch, 5), 1);
	assert_int_equal(look(&watch), 1);
	/* Should it come back, whoever looks first sees it alive. */
	beat(2);
	assert_int_equal(look_after(&watch, 5), 0);
	scratch_close(&scratch);
}

static void what_was_missed_before_a_claim_is_not_held_against_it(void **state)
{
	struct liveness_watch watch = {0};

	setup();
	beat(1);
	look(&watch);
	/* It writes nothing, and so gives no heartbeat. */
	for (int i = 0; i < LIVENESS_MISSES; i++)
		look_after(&watch, 5);
	assert_int_equal(look(&watch), 1);
	watch.since_ns = now_ns;
	assert_int_equal(look(&watch), 0);
	for (int i = 1; i < LIVENESS_MISSES; i++)
		assert_int_equal(look_after(&watch, 5), 0);
	assert_int_equal(look_after(&watch, 5), 1);
	/* What was claimed before it fell silent is another matter. */
	watch.since_ns = 1;
	assert_int_equal(look(&watch), 1);
	scratch_close(&scratch);
}

static void mount_without_a_file_is_silent_like_any_other(void **state)
{
	struct liveness_watch watch = {0};

	setup();
	assert_int_equal(look(&watch), 0);
	for (int i = 1; i < LIVENESS_MISSES; i++)
		assert_int_equal(look_after(&watch, 5), 0);
	assert_int_equal(look_after(&watch, 5), 1);
	beat(1);
	assert_int_equal(look_after(&watch, 5), 0);
	scratch_close(&scratch);
}

static void long_sleep_of_the_waiter_counts_as_one_interval(void **state)
{
	struct liveness_watch watch = {0};

	setup();
	beat(1);
	assert_int_equal(look(&watch), 0);
	assert_int_equal(look_after(&watch, 86400), 0);
	assert_int_equal(watch.missed, 1);
	scratch_close(&scratch);
}

/* A server that was away answers the waiter first, and the writer as much later as it was away. */
static void time_in_which_the_waiter_could_not_ask_does_not_count(void **state)
{
	struct liveness_watch watch = {0};
	int looks = 0;

	setup();
	beat(1);
	look(&watch);
	for (int i = 1; i < LIVENESS_MISSES; i++)
		assert_int_equal(look_after(&watch, 5), 0);
	/* A hard mount: the request takes two minutes. */
	slow_ns = 120 * S;
	faulty = (struct faulty){.mode = FAULTY_MEET, .at = 1, .meet = be_slow};
	assert_int_equal(look_after(&watch, 5), 0);
	while (look_after(&watch, 5) == 0)
		looks++;
	assert_in_range(looks, 120 / 5 + LIVENESS_MISSES - 1, 120 / 5 + LIVENESS_MISSES + 1);
	scratch_close(&scratch);
}

static void error_is_never_a_missed_beat(void **state)
{
	static const int errors[] = {EIO, ETIMEDOUT, EACCES, ENOMEM};
	struct liveness_watch watch = {0};

	setup();
	beat(1);
	look(&watch);
	for (int i = 1; i < LIVENESS_MISSES; i++)
		assert_int_equal(look_after(&watch, 5), 0);
	for (size_t i = 0; i < 40; i++) {
		faulty = (struct faulty){.mode = FAULTY_ALL, .error = errors[i % 4]};
		assert_int_equal(look_after(&watch, 5), -errors[i % 4]);
	}
	/* A soft mount that works again: 200 s were lost. */
	faulty = (struct faulty){0};
	for (int i = 0; i < 200 / 5; i++)
		assert_int_equal(look_after(&watch, 5), 0);
	scratch_close(&scratch);
}

static void make_claim(struct record *claim, const char *path)
{
	assert_int_equal(record_init(claim, RECORD_CLAIM), 0);
	claim->trial = strdup("t");
	claim->uid = getuid();
	claim->gid = getgid();
	strcpy(claim->mount, MOUNT);
	claim->heartbeat = 5;
	claim->no_lease = true;
	assert_int_equal(state_claim(&scratch.store, path, claim), 0);
}

static void claim_says_which_sign_counts(void **state)
{
	struct liveness sees = {.leases = true, .probes = true}, blind = {.heartbeat = 5};
	struct liveness_watch watch = {.clock = clock_ns};
	struct lease lease = LEASE_INIT;
	struct record claim;

	setup();
	beat(1);
	make_claim(&claim, "c");
	/* Nobody holds the lock, which says nothing of one that has heartbeats only. */
	for (int i = 0; i < LIVENESS_MISSES; i++) {
		assert_int_equal(liveness_judge(&store, &sees, "c", &claim, &watch, NULL), 0);
		now_ns += 5 * S;
	}
	assert_int_equal(liveness_judge(&store, &sees, "c", &claim, &watch, NULL), 1);
	/* Of one that has a lease the lock counts, for those who see it. */
	claim.no_lease = false;
	assert_int_equal(lease_share(&scratch.store, "c", &lease), 0);
	assert_int_equal(liveness_judge(&store, &sees, "c", &claim, &watch, NULL), 0);
	assert_int_equal(liveness_judge(&store, &blind, "c", &claim, &watch, NULL), 1);
	lease_drop(&scratch.store, &lease);
	assert_int_equal(liveness_judge(&store, &sees, "c", &claim, &watch, NULL), 1);
	/* An older program's: who sees no locks can not tell. */
	claim.mount[0] = '\0';
	claim.heartbeat = 0;
	assert_int_equal(liveness_judge(&store, &blind, "c", &claim, &watch, NULL), -ENOLCK);
	assert_int_equal(liveness_judge(&store, &sees, "c", &claim, &watch, NULL), 1);
	record_free(&claim);
	scratch_close(&scratch);
}

static void error_of_the_lock_never_means_that_nobody_lives(void **state)
{
	static const int errors[] = {ENOLCK, EIO, EAGAIN, EOPNOTSUPP, ESTALE, ETIMEDOUT, EACCES};
	struct liveness sees = {.leases = true, .probes = true};
	struct liveness_watch watch = {0};
	struct lease lease = LEASE_INIT;
	struct record claim;

	setup();
	make_claim(&claim, "c");
	claim.no_lease = false;
	assert_int_equal(lease_share(&scratch.store, "c", &lease), 0);
	lease_drop(&scratch.store, &lease);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		faulty = (struct faulty){.mode = FAULTY_LOCKS, .error = errors[i]};
		assert_int_equal(liveness_judge(&store, &sees, "c", &claim, &watch, NULL), -errors[i]);
		/* Nor is the exclusive lock that could not be had taken for one that was. */
		assert_true(liveness_end_dead(&store, &sees, "c", &claim, "reader", "owner died") < 0);
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	}
	faulty = (struct faulty){0};
	assert_int_equal(liveness_end_dead(&store, &sees, "c", &claim, "reader", "owner died"), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_FAILED);
	record_free(&claim);
	scratch_close(&scratch);
}

static void dead_is_ended_only_in_the_generation_that_was_judged(void **state)
{
	struct liveness sees = {.leases = true, .probes = true};
	struct record claim, other;

	setup();
	make_claim(&claim, "c");
	make_claim(&other, "d");
	assert_int_equal(liveness_end_dead(&store, &sees, "c", &other, "reader", "owner died"), -EBUSY);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	/* A lock that an NFSv3 client has left behind holds nobody up. */
	assert_int_equal(liveness_end_dead(&store, &sees, "c", &claim, "reader", "owner died"), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_FAILED);
	assert_int_equal(liveness_end_dead(&store, &sees, "c", &claim, "reader", "owner died"), 0);
	record_free(&claim);
	record_free(&other);
	scratch_close(&scratch);
}

static void lease_without_locks_is_everybody_s(void **state)
{
	struct lease one = LEASE_INIT, two = LEASE_INIT;

	setup();
	store.no_locks = true;
	faulty = (struct faulty){.mode = FAULTY_LOCKS, .error = ENOLCK};
	assert_int_equal(lease_share(&store, "c", &one), 0);
	assert_int_equal(lease_share(&store, "c", &two), 0);
	assert_int_equal(lease_exclude(&store, &one), 0);
	assert_int_equal(lease_held(&store, "c"), -ENOLCK);
	lease_drop(&store, &two);
	lease_drop(&store, &one);
	assert_int_equal(one.fd, -1);
	scratch_close(&scratch);
}

static void files_of_mounts_long_gone_are_swept_away(void **state)
{
	static const char old[] = STATE_MOUNTS_DIR "/ffffffffffffffffffffffffffffffff.beat";
	static const char waits[] = STATE_MOUNTS_DIR "/ffffffffffffffffffffffffffffffff.waits";
	struct timespec times[2] = {{.tv_sec = time(NULL) - 2 * 86400}, {.tv_sec = time(NULL) - 2 * 86400}};
	char path[4096];

	setup();
	beat(1);
	scratch_write(&scratch, old, "0\n");
	scratch_write(&scratch, waits, "0\n");
	liveness_sweep(&store, MOUNT);
	assert_true(scratch_exists(&scratch, old));
	scratch_path(&scratch, old, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	scratch_path(&scratch, waits, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	liveness_sweep(&store, MOUNT);
	assert_false(scratch_exists(&scratch, old));
	assert_true(scratch_exists(&scratch, waits));
	assert_true(scratch_exists(&scratch, STATE_MOUNTS_DIR "/" MOUNT ".beat"));
	liveness_stop(&store, MOUNT);
	assert_false(scratch_exists(&scratch, STATE_MOUNTS_DIR "/" MOUNT ".beat"));
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks_are_believed_where_they_have_leases),
		cmocka_unit_test(options_decide_and_locks_are_tried),
		cmocka_unit_test(mount_that_beats_lives),
		cmocka_unit_test(silent_mount_is_dead_after_so_many_intervals_and_not_before),
		cmocka_unit_test(what_was_missed_before_a_claim_is_not_held_against_it),
		cmocka_unit_test(mount_without_a_file_is_silent_like_any_other),
		cmocka_unit_test(long_sleep_of_the_waiter_counts_as_one_interval),
		cmocka_unit_test(time_in_which_the_waiter_could_not_ask_does_not_count),
		cmocka_unit_test(error_is_never_a_missed_beat),
		cmocka_unit_test(claim_says_which_sign_counts),
		cmocka_unit_test(error_of_the_lock_never_means_that_nobody_lives),
		cmocka_unit_test(dead_is_ended_only_in_the_generation_that_was_judged),
		cmocka_unit_test(lease_without_locks_is_everybody_s),
		cmocka_unit_test(files_of_mounts_long_gone_are_swept_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
