/*
 * test_tamper - a flipped bit anywhere in a sealed checkpoint, its seal or its records is noticed
 *
 * SEALFS_TEST_SEED chooses other places than the usual ones.
 */
#include "scratch.h"

#include <time.h>

#include "sealfs/seal.h"
#include "sealfs/state.h"

#define FLIPS 1000

static struct scratch scratch;
static unsigned int seed = 20261125;

static void claim_and_seal(const char *name)
{
	struct seal_job job = {.path = name, .generation = 1, .trial = "t"};
	struct record record;

	scratch_make_record(&record, RECORD_CLAIM, "t");
	assert_int_equal(state_claim(&scratch.store, name, &record), 0);
	record_free(&record);
	assert_int_equal(seal_checkpoint(&scratch.store, &job), 0);
	free(job.error_path);
}

static int setup(void **state)
{
	static uint8_t data[700000];

	if (getenv("SEALFS_TEST_SEED"))
		seed = (unsigned int)strtoul(getenv("SEALFS_TEST_SEED"), NULL, 10);
	print_message("SEALFS_TEST_SEED=%u\n", seed);
	srand(seed);
	scratch_open_export(&scratch);
	scratch_mkdir(&scratch, "c");
	scratch_mkdir(&scratch, "c/sub");
	scratch_pattern(data, sizeof(data));
	scratch_write_bytes(&scratch, "c/large", data, sizeof(data));
	scratch_write_bytes(&scratch, "c/sub/block", data, 4096);
	scratch_write(&scratch, "c/small", "x");
	claim_and_seal("c");
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

/* Number of contradictions; -1 when the state or the seal can not be read. */
static int faults(void)
{
	struct manifest manifest;
	struct state state;
	char *why = NULL;
	int found = -1;

	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	if (state.kind == STATE_SEALED && seal_load(&scratch.store, "c", &state, &manifest, NULL, &why) == 0) {
		found = seal_verify(&scratch.store, scratch.store.root, "c", &manifest, NULL, 2, NULL, NULL, NULL);
		manifest_free(&manifest);
	}
	free(why);
	state_free(&state);
	return found;
}

static void flip(int fd, off_t at, int bit)
{
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= (uint8_t)(1 << bit);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void flip_in(const char *name, int times)
{
	char path[4096];
	struct stat st;
	int fd;

	scratch_path(&scratch, name, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (int i = 0; i < times; i++) {
		off_t at = (off_t)(((uint64_t)rand() << 20 ^ (uint64_t)rand()) % (uint64_t)st.st_size);
		int bit = rand() % 8;

		flip(fd, at, bit);
		if (faults() == 0)
			fail_msg("bit %d of byte %ld of '%s' was not noticed", bit, (long)at, name);
		flip(fd, at, bit);
	}
	assert_int_equal(faults(), 0);
	close(fd);
}

static void flipped_bit_of_the_data_is_noticed(void **state)
{
	flip_in("c/large", FLIPS / 2);
	flip_in("c/sub/block", FLIPS / 4);
	flip_in("c/small", FLIPS / 4);
}

static void flipped_bit_of_the_manifest_is_noticed(void **state)
{
	flip_in("c/.seal/manifest", FLIPS);
}

static void flipped_bit_of_the_seal_file_is_noticed(void **state)
{
	flip_in("c/.seal/seal", FLIPS);
}

static void flipped_bit_of_the_record_is_noticed(void **state)
{
	flip_in(".sealfs/state/c/1.end", FLIPS);
	flip_in(".sealfs/state/c/1.claim", FLIPS / 2);
}

/* Without the tree nothing is lost; with a wrong one nothing is believed. */
static void flipped_bit_of_the_tree_changes_no_verdict(void **state)
{
	char path[4096];
	struct stat st;
	int fd;

	scratch_path(&scratch, "c/.seal/tree", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (int i = 0; i < 50; i++) {
		off_t at = rand() % st.st_size;

		flip(fd, at, i % 8);
		assert_int_equal(faults(), 0);
		flip(fd, at, i % 8);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flipped_bit_of_the_data_is_noticed),
		cmocka_unit_test(flipped_bit_of_the_manifest_is_noticed),
		cmocka_unit_test(flipped_bit_of_the_seal_file_is_noticed),
		cmocka_unit_test(flipped_bit_of_the_record_is_noticed),
		cmocka_unit_test(flipped_bit_of_the_tree_changes_no_verdict),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
