/*
 * test_seal_verify - many files at once, faults in order, where content differs, and what can not be read
 */
#include "sealfs/seal.h"

#include <sys/wait.h>

#include "scratch.h"

#define MANY 300

static struct scratch scratch;

static void setup(void)
{
	umask(022);
	scratch_open_export(&scratch);
	scratch_mkdir(&scratch, "c");
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
}

static void seal_it(void)
{
	struct seal_job job = {.path = "c", .generation = 1, .trial = "t", .pid = 1, .threads = 2};

	assert_int_equal(seal_checkpoint(&scratch.store, &job), 0);
	free(job.error_path);
}

static void write_pattern(const char *name, size_t size, size_t spoiled)
{
	uint8_t *data = malloc(size + 1);

	assert_non_null(data);
	scratch_pattern(data, size);
	if (spoiled < size)
		data[spoiled] ^= 1;
	scratch_write_bytes(&scratch, name, data, size);
	free(data);
}

struct faults {
	int count;
	char text[65536];
};

static void note_fault(void *arg, const struct seal_fault *fault)
{
	struct faults *faults = arg;
	char *end = faults->text + strlen(faults->text);

	faults->count++;
	end += sprintf(end, "%s: %s", fault->path, fault->why);
	if (fault->blocks_known)
		end += sprintf(end, " %d-%d", (int)fault->first_block, (int)fault->last_block);
	if (fault->error)
		end += sprintf(end, " (%d)", fault->error);
	strcpy(end, ";");
}

static int verify(unsigned int threads, bool quick, const struct digest_progress *progress, struct faults *faults)
{
	struct manifest manifest;
	struct state state;
	int rc;

	*faults = (struct faults){0};
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_int_equal(seal_load(&scratch.store, "c", &state, &manifest, NULL, NULL), 0);
	if (quick)
		rc = seal_verify_quick(&scratch.store, scratch.store.root, "c", &manifest, NULL, note_fault, faults);
	else
		rc = seal_verify(&scratch.store, scratch.store.root, "c", &manifest, NULL, threads, progress,
				 note_fault, faults);
	manifest_free(&manifest);
	state_free(&state);
	return rc;
}

static void make_many(void)
{
	char name[64];

	setup();
	for (int i = 0; i < MANY; i++) {
		sprintf(name, "c/f%03d", i);
		write_pattern(name, 1000 + (size_t)i, SIZE_MAX);
	}
	write_pattern("c/large", (9 << 20) + 5, SIZE_MAX);
	seal_it();
}

static void many_files_are_verified_by_any_number_of_threads(void **unused)
{
	static const unsigned int threads[] = {0, 1, 2, 7, 1000};
	struct faults faults;

	make_many();
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		atomic_uint_least64_t done = 0;
		struct digest_progress progress = {.bytes_done = &done};

		assert_int_equal(verify(threads[i], false, &progress, &faults), 0);
		assert_int_equal(done, (9 << 20) + 5 + 1000 * MANY + MANY * (MANY - 1) / 2);
	}
	scratch_close(&scratch);
}

static void faults_come_in_the_order_of_paths(void **unused)
{
	struct faults faults;
	char expected[16384] = "", name[64];
	int rc;

	make_many();
	for (int i = 0; i < MANY; i += 7) {
		sprintf(name, "c/f%03d", i);
		write_pattern(name, 1000 + (size_t)i, 999);
		sprintf(expected + strlen(expected), "f%03d: content differs 0-0;", i);
	}
	write_pattern("c/large", (9 << 20) + 5, 8192);
	scratch_write(&scratch, "c/more", "");
	strcat(expected, "large: content differs 2-2;more: not in the manifest;");
	rc = verify(4, false, NULL, &faults);
	assert_int_equal(rc, faults.count);
	assert_string_equal(faults.text, expected);
	scratch_close(&scratch);
}

static void blocks_that_differ_are_told_by_the_tree(void **unused)
{
	struct faults faults;
	char path[4096];
	FILE *file;

	setup();
	write_pattern("c/a", 5 * 4096, SIZE_MAX);
	write_pattern("c/b", 200 * 4096 + 1, SIZE_MAX);
	seal_it();
	write_pattern("c/b", 200 * 4096 + 1, 130 * 4096);
	scratch_path(&scratch, "c/b", path);
	file = fopen(path, "r+");
	assert_int_equal(fseek(file, 200 * 4096, SEEK_SET), 0);
	assert_int_equal(fputc('\1', file), '\1');
	fclose(file);
	assert_int_equal(verify(2, false, NULL, &faults), 1);
	assert_string_equal(faults.text, "b: content differs 130-200;");

	/* Without it, or with one that is wrong, it is only known that they differ. */
	scratch_write(&scratch, "c/.seal/tree", "nonsense");
	assert_int_equal(verify(2, false, NULL, &faults), 1);
	assert_string_equal(faults.text, "b: content differs;");
	scratch_path(&scratch, "c/.seal/tree", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(verify(2, false, NULL, &faults), 1);
	assert_string_equal(faults.text, "b: content differs;");
	scratch_close(&scratch);
}

static void quick_compares_all_but_content(void **unused)
{
	struct faults faults;
	char path[4096];

	setup();
	scratch_write(&scratch, "c/a", "1");
	scratch_write(&scratch, "c/b", "1");
	scratch_write(&scratch, "c/x", "1");
	seal_it();
	assert_int_equal(verify(1, true, NULL, &faults), 0);
	scratch_write(&scratch, "c/a", "2");
	assert_int_equal(verify(1, true, NULL, &faults), 0);
	scratch_write(&scratch, "c/b", "22");
	scratch_path(&scratch, "c/b", path);
	assert_int_equal(chmod(path, 0755), 0);
	scratch_path(&scratch, "c/x", path);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(verify(1, true, NULL, &faults), 3);
	assert_string_equal(faults.text, "b: mode differs;b: size differs;x: mode differs;");
	assert_int_equal(verify(1, false, NULL, &faults), 4);
	scratch_close(&scratch);
}

static void fifo_in_the_way_is_a_fault_and_no_trap(void **unused)
{
	struct faults faults;
	char path[4096];

	setup();
	scratch_write(&scratch, "c/a", "1");
	scratch_write(&scratch, "c/b", "1");
	seal_it();
	scratch_path(&scratch, "c/a", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(verify(2, false, NULL, &faults), 1);
	assert_string_equal(faults.text, "a: type differs;");
	assert_int_equal(verify(2, true, NULL, &faults), 1);
	assert_string_equal(faults.text, "a: type differs;");
	scratch_close(&scratch);
}

/* ---- a store of which one file can not be read ---- */

static int bad_fd = -1;

static int open_bad(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	int fd = store_system_ops.openat(ctx, dirfd, name, flags, mode);

	if (strcmp(name, "bad") == 0)
		bad_fd = fd;
	else if (fd == bad_fd)
		bad_fd = -1;
	return fd;
}

static ssize_t read_bad(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	return fd == bad_fd ? -EIO : store_system_ops.pread(ctx, fd, buf, size, offset);
}

static void file_that_can_not_be_read_does_not_end_it(void **unused)
{
	struct store_ops ops = store_system_ops;
	struct faults faults;

	setup();
	scratch_write(&scratch, "c/a", "1");
	scratch_write(&scratch, "c/bad", "1");
	scratch_write(&scratch, "c/x", "1");
	seal_it();
	scratch_write(&scratch, "c/x", "2");
	ops.openat = open_bad;
	ops.pread = read_bad;
	scratch.store.ops = &ops;
	assert_int_equal(verify(1, false, NULL, &faults), -EIO);
	assert_string_equal(faults.text, "bad: can not be read (5);x: content differs 0-0;");
	scratch.store.ops = &store_system_ops;
	scratch_close(&scratch);
}

static void verification_can_be_canceled(void **unused)
{
	atomic_bool cancel = true;
	struct digest_progress progress = {.cancel = &cancel};
	struct faults faults;

	make_many();
	assert_int_equal(verify(4, false, &progress, &faults), -ECANCELED);
	assert_int_equal(faults.count, 0);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_files_are_verified_by_any_number_of_threads),
		cmocka_unit_test(faults_come_in_the_order_of_paths),
		cmocka_unit_test(blocks_that_differ_are_told_by_the_tree),
		cmocka_unit_test(quick_compares_all_but_content),
		cmocka_unit_test(fifo_in_the_way_is_a_fault_and_no_trap),
		cmocka_unit_test(file_that_can_not_be_read_does_not_end_it),
		cmocka_unit_test(verification_can_be_canceled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
