/*
 * test_waits - what a mount publishes is found, by mount and by trial, for as long as it lives
 */
#include "sealfs/waits.h"

#include <sys/wait.h>
#include <time.h>

#include "scratch.h"

#define MOUNT "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static struct scratch scratch;
static int dir;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	dir = waits_open_dir(&scratch.store);
	return dir < 0;
}

static int teardown(void **state)
{
	close(dir);
	scratch_close(&scratch);
	return 0;
}

static struct waits sample(const char *mount, size_t count)
{
	struct waits waits = {.host = strdup("node 7"), .time_ns = 1700000000123456789};

	strcpy(waits.mount, mount);
	for (size_t i = 0; i < count; i++) {
		struct waits_entry *entry = waits_add(&waits);

		assert_non_null(entry);
		entry->checkpoint = strdup("run \\1\n");
		entry->generation = (unsigned int)i + 1;
		entry->trial = strdup("t 4");
		entry->awaited = i % 2 ? NULL : strdup("t3\xff");
		entry->pid = 4711;
		entry->command = strdup("python3");
		entry->since_ns = 1700000000000000000 + (int64_t)i;
	}
	return waits;
}

static void write_waits(const char *mount, size_t count)
{
	struct waits waits = sample(mount, count);
	char *text;
	size_t size;

	assert_int_equal(waits_format(&waits, &text, &size), 0);
	assert_int_equal(waits_write(&scratch.store, dir, mount, text, size), 0);
	free(text);
	waits_free(&waits);
}

static void waits_come_back_whole(void **state)
{
	for (size_t count = 0; count < 4; count++) {
		struct waits waits = sample(MOUNT, count), again;
		char *text;
		size_t size;

		assert_int_equal(waits_format(&waits, &text, &size), 0);
		assert_int_equal(waits_parse(text, size, &again, NULL), 0);
		assert_string_equal(again.mount, MOUNT);
		assert_string_equal(again.host, "node 7");
		assert_int_equal(again.time_ns, waits.time_ns);
		assert_int_equal(again.count, count);
		for (size_t i = 0; i < count; i++) {
			assert_string_equal(again.entries[i].checkpoint, "run \\1\n");
			assert_int_equal(again.entries[i].generation, i + 1);
			assert_string_equal(again.entries[i].trial, "t 4");
			assert_int_equal(!again.entries[i].awaited, i % 2);
			assert_int_equal(again.entries[i].pid, 4711);
			assert_string_equal(again.entries[i].command, "python3");
			assert_int_equal(again.entries[i].since_ns, waits.entries[i].since_ns);
		}
		waits_free(&again);
		waits_free(&waits);
		free(text);
	}
}

static void what_lacks_something_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"mount: " MOUNT "\nhost: h\n",
		"mount: " MOUNT "\ntime: 2026-01-01T00:00:00.000000000Z\n",
		"mount: 0123\nhost: h\ntime: 2026-01-01T00:00:00.000000000Z\n",
		"mount: " MOUNT "\nhost: h\nhost: h\ntime: 2026-01-01T00:00:00.000000000Z\n",
		"mount: " MOUNT "\nhost: h\ntime: 2026-01-01T00:00:00.000000000Z\ncheckpoint: c\n",
		"mount: " MOUNT "\nhost: h\ntime: 2026-01-01T00:00:00.000000000Z\ncheckpoint: c\ngeneration: 0\ntrial: t\npid: 1\ncommand: x\nsince: "
		"2026-01-01T00:00:00.000000000Z\n",
		"mount: " MOUNT "\nhost: h\ntime: 2026-01-01T00:00:00.000000000Z\ncheckpoint: c\ngeneration: 1\ngeneration: 1\ntrial: t\npid: 1\ncommand: "
		"x\nsince: 2026-01-01T00:00:00.000000000Z\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[1000], hex[DIGEST_HEX_SIZE];
		struct digest digest;
		struct waits waits;
		const char *why = NULL;
		int size = snprintf(text, sizeof(text), "sealfs waits 1\n%s", bad[i]);

		digest_sha256(text, (size_t)size, &digest);
		digest_to_hex(&digest, hex);
		size += snprintf(text + size, sizeof(text) - (size_t)size, "sha256: %s\n", hex);
		if (waits_parse(text, (size_t)size, &waits, &why) != -EBADMSG)
			fail_msg("taken: %s", text);
		assert_non_null(why);
	}
}

static void trial_is_found_by_its_name_until_it_waits_no_more(void **state)
{
	char mount[STORE_TOKEN_SIZE];
	struct waits waits;

	assert_int_equal(waits_find(&scratch.store, dir, "t 4", mount), -ENOENT);
	assert_int_equal(waits_read(&scratch.store, dir, MOUNT, &waits), -ENOENT);
	write_waits(MOUNT, 2);
	assert_int_equal(waits_link(&scratch.store, dir, "t 4", MOUNT), 0);
	assert_int_equal(waits_find(&scratch.store, dir, "t 4", mount), 0);
	assert_string_equal(mount, MOUNT);
	assert_int_equal(waits_read(&scratch.store, dir, mount, &waits), 0);
	assert_int_equal(waits.count, 2);
	waits_free(&waits);
	/* it waits elsewhere by now: only that mount takes the link away */
	assert_int_equal(waits_link(&scratch.store, dir, "t 4", OTHER), 0);
	waits_unlink(&scratch.store, dir, "t 4", MOUNT);
	assert_int_equal(waits_find(&scratch.store, dir, "t 4", mount), 0);
	assert_string_equal(mount, OTHER);
	waits_unlink(&scratch.store, dir, "t 4", OTHER);
	assert_int_equal(waits_find(&scratch.store, dir, "t 4", mount), -ENOENT);
	assert_int_equal(waits_write(&scratch.store, dir, MOUNT, "", 0), 0);
	assert_int_equal(waits_read(&scratch.store, dir, MOUNT, &waits), -ENOENT);
	assert_int_equal(waits_write(&scratch.store, dir, MOUNT, "", 0), 0);
}

static void link_that_leads_out_is_none(void **state)
{
	char mount[STORE_TOKEN_SIZE], name[] = "0000000000000000000000000000000000000000.trial";
	struct digest digest;
	char hex[DIGEST_HEX_SIZE];

	digest_sha256("evil", 4, &digest);
	digest_to_hex(&digest, hex);
	snprintf(name, sizeof(name), "%.32s.trial", hex);
	assert_int_equal(symlinkat("../../../etc/passwd", dir, name), 0);
	assert_int_equal(waits_find(&scratch.store, dir, "evil", mount), -ENOENT);
	assert_int_equal(unlinkat(dir, name, 0), 0);
	assert_int_equal(symlinkat("../3456789abcdef0123456789abcdef", dir, name), 0);
	assert_int_equal(waits_find(&scratch.store, dir, "evil", mount), -ENOENT);
	assert_int_equal(unlinkat(dir, name, 0), 0);
	assert_int_equal(mkdirat(dir, name, 0755), 0);
	assert_int_equal(waits_find(&scratch.store, dir, "evil", mount), -ENOENT);
	assert_int_equal(unlinkat(dir, name, AT_REMOVEDIR), 0);
}

static int count_each(void *arg, const struct waits *waits, int alive)
{
	int *counts = arg;

	counts[alive]++;
	return 0;
}

static void mount_lives_while_it_holds_its_lock(void **state)
{
	int counts[2] = {0}, status, ready[2];
	char c;

	assert_int_equal(waits_alive(&scratch.store, dir, MOUNT), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		int alive = waits_begin(&scratch.store, dir, MOUNT);

		if (alive < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	write_waits(MOUNT, 1);
	assert_int_equal(waits_alive(&scratch.store, dir, MOUNT), 1);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(waits_alive(&scratch.store, dir, MOUNT), 0);
	assert_int_equal(waits_each(&scratch.store, count_each, counts), 0);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[1], 0);
	close(ready[0]);
	close(ready[1]);
}

static void make_old(const char *name, int seconds)
{
	struct timespec times[2];

	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= seconds;
	times[1] = times[0];
	assert_int_equal(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static bool is_there(const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void what_the_dead_left_is_swept_and_nothing_else(void **state)
{
	const char *const own = "11111111111111111111111111111111", *const young = "22222222222222222222222222222222";
	int mine = waits_begin(&scratch.store, dir, own), living = waits_begin(&scratch.store, dir, OTHER);

	close(waits_begin(&scratch.store, dir, MOUNT));
	close(waits_begin(&scratch.store, dir, young));
	write_waits(MOUNT, 1);
	write_waits(OTHER, 1);
	write_waits(young, 1);
	assert_int_equal(waits_link(&scratch.store, dir, "dead", MOUNT), 0);
	make_old(MOUNT ".mount", 3700);
	make_old(MOUNT ".waits", 3700);
	make_old(OTHER ".mount", 3700);
	make_old(OTHER ".waits", 3700);
	close(openat(dir, "README", O_CREAT | O_WRONLY, 0644));
	make_old("README", 1000000);
	waits_sweep(&scratch.store, dir, own);
	assert_false(is_there(MOUNT ".mount"));
	assert_false(is_there(MOUNT ".waits"));
	assert_true(is_there(OTHER ".mount") && is_there(OTHER ".waits") && is_there("README"));
	assert_true(is_there("22222222222222222222222222222222.mount") && is_there("22222222222222222222222222222222.waits"));
	waits_end(&scratch.store, dir, OTHER, living);
	assert_false(is_there(OTHER ".mount") || is_there(OTHER ".waits"));
	waits_end(&scratch.store, dir, own, mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_come_back_whole),
		cmocka_unit_test(what_lacks_something_is_refused),
		cmocka_unit_test_setup_teardown(trial_is_found_by_its_name_until_it_waits_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(link_that_leads_out_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(mount_lives_while_it_holds_its_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_dead_left_is_swept_and_nothing_else, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
