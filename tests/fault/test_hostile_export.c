/*
 * test_hostile_export - whoever may write in the export leads nobody out of it
 *
 * A checkpoint is sealed, verified, listed and removed, by root as it may be, while somebody puts a symlink to a place outside, or a FIFO, where a directory or file
 * was: between any two operations, for every n. Nothing outside is ever opened or changed, and nothing hangs.
 */
#include "faulty.h"

#include <stdbool.h>

#include "../unit/scratch.h"
#include "sealfs/seal.h"

#define HANG 60 /* seconds */

static struct scratch scratch, outside;
static ino_t forbidden[4];
static dev_t forbidden_device;

/* What is put in place of what. */
static const struct swap {
	const char *what, *target; /* NULL: a FIFO */
} swaps[] = {
	{"c/sub", "sub"}, {"c/sub/b", "sub/b"}, {"c/a", "sub/b"}, {"c/a", NULL}, {"c/sub/b", NULL}, {"c/.seal", "seal"}, {"c/.seal/manifest", "sub/b"},
	{"c/.seal/manifest", NULL}, {"c", "sub"},
};
static const struct swap *swap;
static bool swapped;

static void put_away(void)
{
	char path[4096], kept[4200], target[4096];

	scratch_path(&scratch, swap->what, path);
	snprintf(kept, sizeof(kept), "%s.kept", path);
	if (rename(path, kept) != 0)
		return; /* not made yet */
	swapped = true;
	if (!swap->target) {
		assert_int_equal(mkfifo(path, 0666), 0);
		return;
	}
	scratch_path(&outside, swap->target, target);
	assert_int_equal(symlink(target, path), 0);
}

static void put_back(void)
{
	char path[4096], kept[4200];

	scratch_path(&scratch, swap->what, path);
	snprintf(kept, sizeof(kept), "%s.kept", path);
	if (swapped) {
		unlink(path);
		rename(kept, path);
	}
	swapped = false;
}

static int watched_openat(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	int fd = faulty_openat(ctx, dirfd, name, flags, mode);
	struct stat st;

	if (fd < 0)
		return fd;
	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		if (st.st_dev == forbidden_device && st.st_ino == forbidden[i])
			fail_msg("'%s' outside was opened, when '%s' led there", name, swap->what);
	return fd;
}

static ino_t inode_of(const char *name)
{
	char path[4096];
	struct stat st;

	scratch_path(&outside, name, path);
	assert_int_equal(stat(path, &st), 0);
	forbidden_device = st.st_dev;
	return st.st_ino;
}

static void prepare(void)
{
	scratch_open(&outside);
	scratch_mkdir(&outside, "sub");
	scratch_mkdir(&outside, "seal");
	scratch_write(&outside, "sub/b", "secret");
	scratch_write(&outside, "seal/manifest", "secret");
	forbidden[0] = inode_of("sub");
	forbidden[1] = inode_of("sub/b");
	forbidden[2] = inode_of("seal");
	forbidden[3] = inode_of("seal/manifest");
	scratch_open_export(&scratch);
	scratch_mkdir(&scratch, "c");
	scratch_mkdir(&scratch, "c/sub");
	scratch_write(&scratch, "c/a", "x");
	scratch_write(&scratch, "c/sub/b", "secrez");
}

static void claim(void)
{
	struct record record;

	scratch_make_record(&record, RECORD_CLAIM, "t");
	assert_int_equal(state_claim(&scratch.store, "c", &record), 0);
	record_free(&record);
}

static int seal(const struct store *store)
{
	struct seal_job job = {.path = "c", .generation = 1, .trial = "t", .threads = 1};
	int rc = seal_checkpoint(store, &job);

	free(job.error_path);
	return rc;
}

static void prepare_sealed(void)
{
	claim();
	assert_int_equal(seal(&scratch.store), 0);
}

static void run_verify(const struct store *store)
{
	struct manifest manifest;
	struct state state;

	if (state_read(store, "c", &state) < 0)
		return;
	if (state.kind == STATE_SEALED && seal_load(store, "c", &state, &manifest, NULL, NULL) == 0) {
		seal_verify(store, store->root, "c", &manifest, NULL, 1, NULL, NULL, NULL);
		manifest_free(&manifest);
	}
	state_free(&state);
}

static void run_seal(const struct store *store)
{
	seal(store);
}

static void run_remove(const struct store *store)
{
	state_remove(store, "c");
}

static void run_remove_tree(const struct store *store)
{
	store_remove_tree(store, store->root, "c");
}

static const struct scenario {
	const char *name;
	void (*prepare)(void);
	void (*run)(const struct store *store);
} scenarios[] = {
	{"verify", prepare_sealed, run_verify},
	{"seal", claim, run_seal},
	{"remove", prepare_sealed, run_remove},
	{"remove a tree", prepare_sealed, run_remove_tree},
};

/* False when it ended before the n-th operation. */
static bool run_once(const struct scenario *scenario, int at)
{
	struct faulty faulty = {.mode = FAULTY_MEET, .at = at, .meet = put_away};
	struct store_ops ops = faulty_ops;
	struct store store;
	char *secret;

	prepare();
	scenario->prepare();
	store = scratch.store;
	ops.openat = watched_openat;
	store.ops = &ops;
	store.ctx = &faulty;
	alarm(HANG);
	scenario->run(&store);
	alarm(0);
	put_back();
	secret = scratch_read(&outside, "sub/b");
	assert_string_equal(secret, "secret");
	free(secret);
	assert_true(scratch_exists(&outside, "seal/manifest"));
	scratch_close(&scratch);
	scratch_close(&outside);
	return faulty.count >= at;
}

static void nothing_outside_is_opened(void **state)
{
	const struct scenario *scenario = *state;

	for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
		int n = 1;

		swap = &swaps[i];
		while (run_once(scenario, n))
			n++;
		print_message("%s: '%s' is exchanged before each of %d operations\n", scenario->name, swap->what, n - 1);
	}
}

int main(void)
{
	struct CMUnitTest tests[sizeof(scenarios) / sizeof(scenarios[0])];

	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		tests[i] = (struct CMUnitTest){scenarios[i].name, nothing_outside_is_opened, NULL, NULL, (void *)&scenarios[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
