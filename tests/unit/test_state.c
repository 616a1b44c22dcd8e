/*
 * test_state - states, transitions, and who wins
 */
#include "sealfs/state.h"

#include <dirent.h>
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

/* Brings the path "c" into a state. */
static void make_state(enum state_kind kind)
{
	switch (kind) {
	case STATE_ABSENT:
		break;
	case STATE_PLAIN:
		scratch_mkdir(&scratch, "c");
		scratch_write(&scratch, "c/model", "old");
		break;
	case STATE_PENDING:
		assert_int_equal(scratch_reserve(&scratch, "c", "tuner", NULL), 0);
		break;
	case STATE_OPEN:
		scratch_mkdir(&scratch, "c");
		scratch_write(&scratch, "c/model", "old");
		assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
		break;
	case STATE_SEALED:
		make_state(STATE_OPEN);
		assert_int_equal(scratch_end_sealed(&scratch, "c", 1), 0);
		break;
	case STATE_FAILED:
		make_state(STATE_OPEN);
		assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
		break;
	case STATE_DAMAGED:
		make_state(STATE_OPEN);
		scratch_write(&scratch, ".sealfs/state/c/1.end", "garbage");
		break;
	}
	assert_int_equal(scratch_kind(&scratch, "c"), kind);
}

static int do_reserve(void)
{
	return scratch_reserve(&scratch, "c", "tuner", NULL);
}

static int do_claim(void)
{
	return scratch_claim(&scratch, "c", "u");
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

static const struct {
	const char *what;
	enum state_kind from;
	int (*transition)(void);
	int rc;
	enum state_kind to;
	unsigned int generation;
} transitions[] = {
	{"reserve absent", STATE_ABSENT, do_reserve, 0, STATE_PENDING, 1},
	{"reserve plain", STATE_PLAIN, do_reserve, -EEXIST, STATE_PLAIN, 0},
	{"reserve pending", STATE_PENDING, do_reserve, -EEXIST, STATE_PENDING, 1},
	{"reserve open", STATE_OPEN, do_reserve, -EEXIST, STATE_OPEN, 1},
	{"reserve sealed", STATE_SEALED, do_reserve, -EROFS, STATE_SEALED, 1},
	{"reserve failed", STATE_FAILED, do_reserve, 0, STATE_PENDING, 2},
	{"reserve damaged", STATE_DAMAGED, do_reserve, -EBADMSG, STATE_DAMAGED, 1},
	{"claim absent", STATE_ABSENT, do_claim, 0, STATE_OPEN, 1},
	{"claim plain", STATE_PLAIN, do_claim, 0, STATE_OPEN, 1},
	{"claim pending", STATE_PENDING, do_claim, 0, STATE_OPEN, 1},
	{"claim open", STATE_OPEN, do_claim, -EBUSY, STATE_OPEN, 1},
	{"claim sealed", STATE_SEALED, do_claim, -EROFS, STATE_SEALED, 1},
	{"claim failed", STATE_FAILED, do_claim, 0, STATE_OPEN, 2},
	{"claim damaged", STATE_DAMAGED, do_claim, -EBADMSG, STATE_DAMAGED, 1},
	{"fail absent", STATE_ABSENT, do_fail, -ENOENT, STATE_ABSENT, 0},
	{"fail plain", STATE_PLAIN, do_fail, -ENOENT, STATE_PLAIN, 0},
	{"fail pending", STATE_PENDING, do_fail, 0, STATE_FAILED, 1},
	{"fail open", STATE_OPEN, do_fail, 0, STATE_FAILED, 1},
	{"fail sealed", STATE_SEALED, do_fail, -EEXIST, STATE_SEALED, 1},
	{"fail failed", STATE_FAILED, do_fail, -EEXIST, STATE_FAILED, 1},
	{"fail damaged", STATE_DAMAGED, do_fail, -EBADMSG, STATE_DAMAGED, 1},
	{"seal absent", STATE_ABSENT, do_seal, -ENOENT, STATE_ABSENT, 0},
	{"seal pending", STATE_PENDING, do_seal, -EINVAL, STATE_PENDING, 1},
	{"seal open", STATE_OPEN, do_seal, 0, STATE_SEALED, 1},
	{"seal sealed", STATE_SEALED, do_seal, -EEXIST, STATE_SEALED, 1},
	{"seal failed", STATE_FAILED, do_seal, -EEXIST, STATE_FAILED, 1},
	{"remove absent", STATE_ABSENT, do_remove, -ENOENT, STATE_ABSENT, 0},
	{"remove plain", STATE_PLAIN, do_remove, 0, STATE_ABSENT, 0},
	{"remove pending", STATE_PENDING, do_remove, 0, STATE_ABSENT, 0},
	{"remove open", STATE_OPEN, do_remove, -EBUSY, STATE_OPEN, 1},
	{"remove sealed", STATE_SEALED, do_remove, 0, STATE_ABSENT, 0},
	{"remove failed", STATE_FAILED, do_remove, 0, STATE_ABSENT, 0},
	{"remove damaged", STATE_DAMAGED, do_remove, -EBADMSG, STATE_DAMAGED, 1},
};

static int count_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	++*(int *)arg;
	return 0;
}

static int count_entries(const char *dir)
{
	int fd = store_open_dir(&scratch.store, scratch.store.root, dir);
	int count = 0;

	assert_true(fd >= 0);
	assert_int_equal(store_each_entry(&scratch.store, fd, count_entry, &count), 0);
	close(fd);
	return count;
}

static void every_transition_from_every_state(void **unused)
{
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		struct state state;
		int rc;

		setup(NULL);
		make_state(transitions[i].from);
		rc = transitions[i].transition();
		if (rc != transitions[i].rc)
			fail_msg("%s: %d instead of %d", transitions[i].what, rc, transitions[i].rc);
		assert_int_equal(state_read(&scratch.store, "c", &state), 0);
		if (state.kind != transitions[i].to)
			fail_msg("%s: %s instead of %s", transitions[i].what, state_name(state.kind),
				 state_name(transitions[i].to));
		assert_int_equal(state.generation, transitions[i].generation);
		state_free(&state);
		if (transitions[i].transition == do_remove && rc == 0) {
			assert_false(scratch_exists(&scratch, "c"));
			assert_false(scratch_exists(&scratch, ".sealfs/state/c"));
			assert_int_equal(count_entries(".sealfs/failed"), 0);
		}
		teardown(NULL);
	}
}

static void reading_tells_records_and_data(void **unused)
{
	struct state state;

	setup(NULL);
	assert_int_equal(scratch_reserve(&scratch, "c", "tuner", "t4"), 0);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_int_equal(state.kind, STATE_PENDING);
	assert_true(state.has_reserve && !state.has_claim && !state.has_end && !state.has_data);
	assert_string_equal(state_writer(&state), "t4");
	assert_true(state_is_writer(&state, "t4"));
	assert_false(state_is_writer(&state, "tuner"));
	assert_false(state_is_writer(&state, NULL));
	assert_string_equal(state.reserve.checkpoint, "c");
	state_free(&state);

	scratch_write(&scratch, "c", "one file");
	assert_int_equal(scratch_claim(&scratch, "c", "t4"), 0);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_true(state.has_reserve && state.has_claim && !state.has_end && state.has_data && state.is_file);
	assert_int_equal(state.claim.pid, getpid());
	state_free(&state);

	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_true(state.has_end);
	assert_string_equal(state.end.reason, "exit status 1");
	state_free(&state);
	/* A later generation does not show what was before. */
	assert_int_equal(scratch_claim(&scratch, "c", "t5"), 0);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_true(!state.has_reserve && state.has_claim && !state.has_end && !state.has_data);
	assert_int_equal(state.generation, 2);
	state_free(&state);
	teardown(NULL);
}

static void reservation_with_a_writer_makes_no_directory_and_without_one_does(void **unused)
{
	setup(NULL);
	assert_int_equal(scratch_reserve(&scratch, "named", "tuner", "t4"), 0);
	assert_false(scratch_exists(&scratch, "named"));
	assert_int_equal(scratch_reserve(&scratch, "unnamed", "tuner", NULL), 0);
	assert_int_equal(scratch_mode(&scratch, "unnamed"), 0755);
	scratch_mkdir(&scratch, "empty");
	assert_int_equal(scratch_kind(&scratch, "empty"), STATE_PLAIN);
	assert_int_equal(scratch_reserve(&scratch, "empty", "tuner", NULL), 0);
	assert_int_equal(scratch_reserve(&scratch, "run1/t4", "tuner", NULL), 0);
	assert_true(scratch_exists(&scratch, "run1/t4"));
	assert_int_equal(scratch_mode(&scratch, ".sealfs/state/run1"), 01777);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/state/run1/t4"), 0755);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/state/run1/t4/1.reserve"), 0644);
	teardown(NULL);
}

static char *find_failed(const char *name)
{
	char path[4096];
	struct dirent *entry;
	char *found = NULL;
	DIR *dir;

	scratch_path(&scratch, ".sealfs/failed", path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char *candidate;

		assert_true(asprintf(&candidate, ".sealfs/failed/%s/%s", entry->d_name, name) > 0);
		if (entry->d_name[0] != '.' && scratch_exists(&scratch, candidate)) {
			assert_null(found);
			found = candidate;
		} else {
			free(candidate);
		}
	}
	closedir(dir);
	return found;
}

static void new_generation_has_new_inodes_and_the_old_are_aside(void **unused)
{
	ino_t old;
	char *aside;

	setup(NULL);
	make_state(STATE_FAILED);
	old = scratch_inode(&scratch, "c");
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_false(scratch_exists(&scratch, "c"));
	aside = find_failed("c");
	assert_non_null(aside);
	assert_int_equal(scratch_inode(&scratch, aside), old);
	free(aside);
	aside = find_failed("c/model");
	assert_non_null(aside);
	free(aside);
	teardown(NULL);
}

static void sidecar_goes_aside_with_its_file(void **unused)
{
	char *aside;

	setup(NULL);
	scratch_write(&scratch, "one.pt", "x");
	scratch_mkdir(&scratch, ".one.pt.seal");
	scratch_write(&scratch, ".one.pt.seal/manifest", "x");
	assert_int_equal(scratch_claim(&scratch, "one.pt", "t"), 0);
	assert_int_equal(scratch_fail(&scratch, "one.pt", 1), 0);
	assert_int_equal(scratch_claim(&scratch, "one.pt", "t"), 0);
	assert_false(scratch_exists(&scratch, "one.pt"));
	assert_false(scratch_exists(&scratch, ".one.pt.seal"));
	aside = find_failed("one.pt");
	assert_non_null(aside);
	free(aside);
	aside = find_failed(".one.pt.seal/manifest");
	assert_non_null(aside);
	free(aside);
	teardown(NULL);
}

static void folder_for_failed_content_may_have_been_deleted(void **unused)
{
	char path[4096];

	setup(NULL);
	make_state(STATE_FAILED);
	scratch_path(&scratch, ".sealfs/failed", path);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/failed"), 01777);
	teardown(NULL);
}

/* Someone copied something there, behind the mount, after the old content had gone. */
static void stray_content_after_a_failure_is_not_mixed_into_the_next_generation(void **unused)
{
	struct state state;
	char path[4096];
	struct dirent *entry;
	char *aside;
	DIR *dir;

	setup(NULL);
	make_state(STATE_FAILED);
	/* As if the one before had crashed when all was moved and the door closed, just before its link. */
	scratch_path(&scratch, ".sealfs/state/c", path);
	dir = opendir(path);
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "aside.", 6) == 0)
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR), 0);
	}
	closedir(dir);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_false(scratch_exists(&scratch, "c"));
	aside = find_failed("c");
	assert_non_null(aside);
	free(aside);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_int_equal(state.kind, STATE_OPEN);
	assert_int_equal(state.generation, 3);
	assert_string_equal(state.claim.trial, "t");
	state_free(&state);
	teardown(NULL);
}

static void plain_content_stays_and_becomes_the_checkpoint(void **unused)
{
	ino_t inode;

	setup(NULL);
	make_state(STATE_PLAIN);
	inode = scratch_inode(&scratch, "c/model");
	assert_int_equal(do_claim(), 0);
	assert_int_equal(scratch_inode(&scratch, "c/model"), inode);
	teardown(NULL);
}

static int claim_to_seal(const char *trial)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_CLAIM, trial);
	record.plain = 1;
	rc = state_claim(&scratch.store, "c", &record);
	record_free(&record);
	return rc;
}

static void plain_data_whose_seal_is_broken_off_are_plain_again(void **unused)
{
	struct state state;
	ino_t inode;

	setup(NULL);
	make_state(STATE_PLAIN);
	inode = scratch_inode(&scratch, "c/model");
	for (unsigned int generation = 1; generation <= 2; generation++) {
		assert_int_equal(claim_to_seal("t"), 0);
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
		assert_int_equal(scratch_fail(&scratch, "c", generation), 0);
		assert_int_equal(state_read(&scratch.store, "c", &state), 0);
		assert_int_equal(state.kind, STATE_PLAIN);
		assert_int_equal(state.generation, generation);
		assert_null(state_writer(&state));
		state_free(&state);
		assert_int_equal(scratch_inode(&scratch, "c/model"), inode);
		assert_int_equal(do_reserve(), -EEXIST);
	}
	/* a trial that claims them may change them: then they are not what they were */
	assert_int_equal(scratch_claim(&scratch, "c", "u"), 0);
	assert_int_equal(scratch_inode(&scratch, "c/model"), inode);
	assert_int_equal(scratch_fail(&scratch, "c", 3), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_FAILED);
	assert_int_equal(claim_to_seal("t"), 0);
	assert_false(scratch_exists(&scratch, "c"));
	assert_int_equal(scratch_fail(&scratch, "c", 4), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_FAILED);
	teardown(NULL);
}

static void plain_data_can_be_sealed_after_a_seal_that_was_broken_off(void **unused)
{
	setup(NULL);
	make_state(STATE_PLAIN);
	assert_int_equal(claim_to_seal("t"), 0);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(claim_to_seal("t"), 0);
	assert_int_equal(scratch_end_sealed(&scratch, "c", 2), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_SEALED);
	teardown(NULL);
}

static void plain_data_whose_seal_was_broken_off_can_be_removed(void **unused)
{
	setup(NULL);
	make_state(STATE_PLAIN);
	assert_int_equal(claim_to_seal("t"), 0);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(do_remove(), 0);
	assert_false(scratch_exists(&scratch, "c"));
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_ABSENT);
	teardown(NULL);
}

static void what_is_neither_file_nor_directory_is_never_claimed(void **unused)
{
	char path[4096];

	setup(NULL);
	scratch_path(&scratch, "c", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_PLAIN);
	assert_int_equal(do_claim(), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_PLAIN);
	assert_int_equal(do_claim(), -EINVAL);
	teardown(NULL);
}

static void end_of_another_is_told_and_ones_own_is_recognised(void **unused)
{
	struct record mine, other, there;

	setup(NULL);
	make_state(STATE_OPEN);
	scratch_make_record(&mine, RECORD_END, "t");
	mine.reason = strdup("mine");
	mine.generation = 1;
	scratch_make_record(&other, RECORD_END, "u");
	other.sealed = 1;
	other.generation = 1;
	assert_int_equal(state_end(&scratch.store, "c", &mine, &there), 0);
	assert_null(there.reason);
	/* The answer to the link was lost, say, and it is tried again. */
	assert_int_equal(state_end(&scratch.store, "c", &mine, &there), 0);
	assert_int_equal(state_end(&scratch.store, "c", &other, &there), -EEXIST);
	assert_int_equal(there.sealed, 0);
	assert_string_equal(there.reason, "mine");
	record_free(&there);
	other.generation = 2;
	assert_int_equal(state_end(&scratch.store, "c", &other, NULL), -EINVAL);
	/* It is so as well when another generation has begun since. */
	assert_int_equal(scratch_claim(&scratch, "c", "v"), 0);
	other.generation = 1;
	assert_int_equal(state_end(&scratch.store, "c", &other, &there), -EEXIST);
	assert_string_equal(there.reason, "mine");
	record_free(&there);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	record_free(&mine);
	record_free(&other);
	teardown(NULL);
}

static void quick_look_tells_whether_a_generation_has_ended(void **unused)
{
	setup(NULL);
	make_state(STATE_OPEN);
	assert_int_equal(state_has_ended(&scratch.store, "c", 1), 0);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(state_has_ended(&scratch.store, "c", 1), 1);
	assert_int_equal(do_claim(), 0);
	assert_int_equal(state_has_ended(&scratch.store, "c", 1), 1);
	assert_int_equal(state_has_ended(&scratch.store, "c", 2), 0);
	assert_int_equal(scratch_fail(&scratch, "c", 2), 0);
	assert_int_equal(do_remove(), 0);
	assert_int_equal(state_has_ended(&scratch.store, "c", 2), 1);
	teardown(NULL);
}

static const char *const damages[] = {"", "garbage", "sealfs end 1\n", "sealfs end 2\nx: y\n"};

static void record_that_can_not_be_read_is_damage_and_nothing_else(void **unused)
{
	static const char *const names[] = {"1.end", "1.claim", "1.reserve", "2.claim", "4294967295.end"};
	char path[4096], *text;
	struct state state;

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
			char name[64];

			setup(NULL);
			make_state(STATE_OPEN);
			snprintf(name, sizeof(name), ".sealfs/state/c/%s", names[n]);
			scratch_write(&scratch, name, damages[i]);
			assert_int_equal(state_read(&scratch.store, "c", &state), 0);
			assert_int_equal(state.kind, STATE_DAMAGED);
			assert_memory_equal(state.damage, names[n], strlen(names[n]));
			state_free(&state);
			teardown(NULL);
		}
	}
	/* A whole record in the wrong place. */
	setup(NULL);
	make_state(STATE_OPEN);
	text = scratch_read(&scratch, ".sealfs/state/c/1.claim");
	scratch_write(&scratch, ".sealfs/state/c/2.claim", text);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_DAMAGED);
	scratch_mkdir(&scratch, ".sealfs/state/d");
	scratch_write(&scratch, ".sealfs/state/d/1.claim", text);
	assert_int_equal(scratch_kind(&scratch, "d"), STATE_DAMAGED);
	scratch_path(&scratch, ".sealfs/state/e", path);
	assert_int_equal(mkdir(path, 0755), 0);
	scratch_path(&scratch, ".sealfs/state/e/1.claim", path);
	assert_int_equal(symlink("../c/1.claim", path), 0);
	assert_int_equal(scratch_kind(&scratch, "e"), STATE_DAMAGED);
	free(text);
	teardown(NULL);
}

static void other_files_in_the_folder_are_no_records(void **unused)
{
	static const char *const names[] = {"0.claim",   "01.end",  "1.end~",       ".1.end.swp", "1.END",
					    "x.claim",   "2",       "2.",           "-2.claim",   "4294967296.claim",
					    "1.end.end", ".tmp.00", ".nfs0000.end", "2.claims",   "lock"};
	char name[64];

	setup(NULL);
	make_state(STATE_OPEN);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), ".sealfs/state/c/%s", names[i]);
		scratch_write(&scratch, name, "x");
	}
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	teardown(NULL);
}

static void end_without_a_claim_is_failed_or_damage(void **unused)
{
	char *text, *at;
	char path[4096];

	setup(NULL);
	make_state(STATE_SEALED);
	scratch_path(&scratch, ".sealfs/state/c/1.claim", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_DAMAGED);
	/* And the bit that makes it sealed can not be had by editing. */
	text = scratch_read(&scratch, ".sealfs/state/c/1.end");
	at = strstr(text, "sealed\n");
	memcpy(at, "failed\n", 7);
	scratch_write(&scratch, ".sealfs/state/c/1.end", text);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_DAMAGED);
	free(text);
	teardown(NULL);
}

static void state_folder_that_is_a_symlink_is_not_followed(void **unused)
{
	char path[4096];

	setup(NULL);
	make_state(STATE_SEALED);
	scratch_path(&scratch, ".sealfs/state/d", path);
	assert_int_equal(symlink("c", path), 0);
	assert_int_equal(scratch_kind(&scratch, "d"), STATE_DAMAGED);
	assert_int_equal(scratch_claim(&scratch, "d", "t"), -EBADMSG);
	teardown(NULL);
}

static void removal_leaves_open_files_their_data(void **unused)
{
	char path[4096], data[4] = "";
	int fd;

	setup(NULL);
	make_state(STATE_SEALED);
	scratch_path(&scratch, "c/model", path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(do_remove(), 0);
	assert_int_equal(read(fd, data, 3), 3);
	assert_string_equal(data, "old");
	close(fd);
	/* And the name is free again, from the first generation. */
	assert_int_equal(do_claim(), 0);
	teardown(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_transition_from_every_state),
		cmocka_unit_test(reading_tells_records_and_data),
		cmocka_unit_test(reservation_with_a_writer_makes_no_directory_and_without_one_does),
		cmocka_unit_test(new_generation_has_new_inodes_and_the_old_are_aside),
		cmocka_unit_test(sidecar_goes_aside_with_its_file),
		cmocka_unit_test(folder_for_failed_content_may_have_been_deleted),
		cmocka_unit_test(stray_content_after_a_failure_is_not_mixed_into_the_next_generation),
		cmocka_unit_test(plain_content_stays_and_becomes_the_checkpoint),
		cmocka_unit_test(plain_data_whose_seal_is_broken_off_are_plain_again),
		cmocka_unit_test(plain_data_can_be_sealed_after_a_seal_that_was_broken_off),
		cmocka_unit_test(plain_data_whose_seal_was_broken_off_can_be_removed),
		cmocka_unit_test(what_is_neither_file_nor_directory_is_never_claimed),
		cmocka_unit_test(end_of_another_is_told_and_ones_own_is_recognised),
		cmocka_unit_test(quick_look_tells_whether_a_generation_has_ended),
		cmocka_unit_test(record_that_can_not_be_read_is_damage_and_nothing_else),
		cmocka_unit_test(other_files_in_the_folder_are_no_records),
		cmocka_unit_test(end_without_a_claim_is_failed_or_damage),
		cmocka_unit_test(state_folder_that_is_a_symlink_is_not_followed),
		cmocka_unit_test(removal_leaves_open_files_their_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
