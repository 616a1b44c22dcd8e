/*
 * test_digest - file digests against the answers of the fsverity tool
 */
#include "sealfs/digest.h"

#include "scratch.h"

#include <pthread.h>
#include <time.h>

static struct scratch scratch;

/* The pattern of scratch_pattern(), digested by `fsverity digest --compact`. */
static const struct {
	size_t size;
	const char *digest;
} known[] = {
	{0, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"},
	{1, "b803429503d95915829b29fdbc8bbad142f3abfd11b1cadf5526582e685c0551"},
	{4095, "da56d676cb8a13fce0a85fcfe7a433e4b0e16975b9d10f8ba455df8aa6c2237c"},
	{4096, "fa92af10ee791a0e76ea19294552e736a9ebd0afc0b526264904e2aaf435e240"},
	{4097, "ffcb950bbe83f4d44946a9e24126ef5f8d28671b35c514f1067ac6014d9d3840"},
	{8192, "d081a4006ff43dd562d63ea8a094b3184f24f2177033941fc8751bffbfa5091d"},
	{524287, "b8c1c812381b56c15012a4096a9544c098c0e190784377dcdf0a400db18ed6bf"},
	{524288, "fa1f118a8a8eb6b0f44a9a2aa8c420334461f59aa9d1e385e8ed465cbe09c33f"},
	{524289, "63b5c44df8459fbf185f81572d239aefe9a983a780da88fe09577df3a9250427"},
	{1048576, "111b0714e01dd60c4a933bb921ed331df2e38ca53ea35dad1775a9423acb0a27"},
	{1048577, "9ca1b4f16fc2d4fec752272f52ff61b852750f96c6ebdd397b744c9a40eef2d2"},
	{2097153, "76683a159ee547c2c2cd6c192022b110cda6a90f0efc75818e60a3249bb6eb67"},
	{67108864, "43d6741049314c9877d73a284fc0fc43f581bf6afa712d580c6039236c2424ba"},
	{67108865, "3a2801edd7d7bdbbda7c760a2e1cd68b609932f98c1c209917eda69535b0c441"},
	{67633152, "6caee5966cee018142869a943bbd805c5c636acf0cf8b1e04ae946ebb015fe59"},
	{67637249, "0766a54b886e81cd2688db7fa6087c399c55fb276771d6ff24ed7ac6f79ae15e"},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))
#define LARGEST 67637249

static int setup(void **state)
{
	scratch_open(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static int open_data(const void *data, size_t size)
{
	char path[4096];
	int fd;

	scratch_write_bytes(&scratch, "data", data, size);
	scratch_path(&scratch, "data", path);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	return fd;
}

static void digest_equals_that_of_the_fsverity_tool(void **state)
{
	static const unsigned int threads[] = {0, 1, 2, 3, 8, 1000};
	uint8_t *data = malloc(LARGEST);

	scratch_pattern(data, LARGEST);
	for (size_t i = 0; i < KNOWN; i++) {
		int fd = open_data(data, known[i].size);
		char hex[DIGEST_HEX_SIZE];
		struct digest digest;

		assert_int_equal(digest_buffer(data, known[i].size, &digest), 0);
		digest_to_hex(&digest, hex);
		assert_string_equal(hex, known[i].digest);
		for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++) {
			struct digest of_file;

			assert_int_equal(digest_file(&scratch.store, fd, known[i].size, threads[t], NULL, &of_file), 0);
			assert_true(digest_equal(&digest, &of_file));
		}
		close(fd);
	}
	free(data);
}

/* Skips itself where the tool is not installed. */
#define FILES 1000

static size_t random_size(unsigned int *seed, int file)
{
	static const size_t borders[] = {0, 4096, 8192, 128 * 4096, 1 << 20, 2 << 20, 128 * 4096 * 3};
	size_t near = borders[rand_r(seed) % 7];

	/* half of them around a border of blocks, groups or chunks */
	if (file % 2)
		return (size_t)rand_r(seed) % (file % 20 == 1 ? 4 << 20 : 200000);
	return near + (size_t)rand_r(seed) % 5 - (near ? 2 : 0);
}

/* Files 000 to 999, every tenth with a hole; their digests in `ours`. */
static void make_random_files(const uint8_t *data, char (*ours)[DIGEST_HEX_SIZE])
{
	unsigned int seed = 1;

	for (int i = 0; i < FILES; i++) {
		size_t size = random_size(&seed, i);
		char name[16], path[4096];
		struct digest digest;
		int fd;

		snprintf(name, sizeof(name), "r/%03d", i);
		scratch_path(&scratch, name, path);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, data + rand_r(&seed) % 4096, i % 10 ? size : size / 2), i % 10 ? size : size / 2);
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
		assert_int_equal(digest_file(&scratch.store, fd, size, 1 + (unsigned int)i % 3, NULL, &digest), 0);
		digest_to_hex(&digest, ours[i]);
		close(fd);
	}
}

static void compare_with_the_tool(const char *files, char (*ours)[DIGEST_HEX_SIZE], int count)
{
	char command[4200], line[128];
	FILE *tool;

	snprintf(command, sizeof(command), "cd %s && fsverity digest --compact %s", scratch.dir, files);
	tool = popen(command, "r");
	assert_non_null(tool);
	for (int i = 0; i < count; i++) {
		assert_non_null(fgets(line, sizeof(line), tool));
		line[64] = '\0';
		assert_string_equal(line, ours[i]);
	}
	assert_int_equal(pclose(tool), 0);
}

static void digests_of_a_thousand_files_equal_those_of_the_tool(void **state)
{
	static char ours[FILES][DIGEST_HEX_SIZE];
	uint8_t *data = malloc((4 << 20) + 8192);

	if (system("command -v fsverity >/dev/null 2>&1") != 0)
		skip();
	scratch_pattern(data, (4 << 20) + 8192);
	scratch_mkdir(&scratch, "r");
	make_random_files(data, ours);
	compare_with_the_tool("r/*", ours, FILES);
	free(data);
}

static void digest_of_a_file_larger_than_four_gib_equals_that_of_the_tool(void **state)
{
	static char ours[1][DIGEST_HEX_SIZE];
	const off_t size = (5ll << 30) + 123;
	struct digest digest;
	char path[4096];
	int fd;

	if (system("command -v fsverity >/dev/null 2>&1") != 0)
		skip();
	scratch_path(&scratch, "data", path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, size / 2), 6);
	assert_int_equal(pwrite(fd, "end", 3, size - 3), 3);
	assert_int_equal(digest_file(&scratch.store, fd, (uint64_t)size, 2, NULL, &digest), 0);
	close(fd);
	digest_to_hex(&digest, ours[0]);
	compare_with_the_tool("data", ours, 1);
	unlink(path);
}

static void file_that_ends_early_is_no_file_of_that_size(void **state)
{
	uint8_t *data = calloc(1, 3 << 20);
	int fd = open_data(data, 3 << 20);
	struct digest digest;

	assert_int_equal(digest_file(&scratch.store, fd, (3 << 20) + 1, 1, NULL, &digest), -EBADMSG);
	assert_int_equal(digest_file(&scratch.store, fd, 64 << 20, 4, NULL, &digest), -EBADMSG);
	/* What lies beyond the size that was asked for does not count. */
	assert_int_equal(digest_file(&scratch.store, fd, 1, 4, NULL, &digest), 0);
	close(fd);
	free(data);
}

static void computation_counts_and_is_cancelled(void **state)
{
	uint8_t *data = calloc(1, 5 << 20);
	int fd = open_data(data, 5 << 20);
	atomic_uint_least64_t done = 0;
	atomic_bool cancel = false;
	struct digest_progress progress = {.bytes_done = &done, .cancel = &cancel};
	struct digest digest;

	assert_int_equal(digest_file(&scratch.store, fd, 5 << 20, 3, &progress, &digest), 0);
	assert_int_equal(done, 5 << 20);
	cancel = true;
	assert_int_equal(digest_file(&scratch.store, fd, 5 << 20, 3, &progress, &digest), -ECANCELED);
	assert_int_equal(digest_file(&scratch.store, fd, 5 << 20, 1, &progress, &digest), -ECANCELED);
	close(fd);
	free(data);
}

static int failing_countdown;

static ssize_t pread_that_fails(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	/* Short, too: a read may always give less. */
	if (__atomic_sub_fetch(&failing_countdown, 1, __ATOMIC_SEQ_CST) < 0)
		return -EIO;
	return store_system_ops.pread(NULL, fd, buf, size > 100000 ? 100000 : size, offset);
}

static void short_reads_are_continued_and_errors_passed_on(void **state)
{
	struct store_ops ops = store_system_ops;
	struct store store = {.ops = &ops, .root = -1};
	uint8_t *data = malloc(2097153);
	int fd;
	struct digest digest;
	char hex[DIGEST_HEX_SIZE];

	ops.pread = pread_that_fails;
	scratch_pattern(data, 2097153);
	fd = open_data(data, 2097153);
	failing_countdown = 1000;
	assert_int_equal(digest_file(&store, fd, 2097153, 2, NULL, &digest), 0);
	digest_to_hex(&digest, hex);
	assert_string_equal(hex, "76683a159ee547c2c2cd6c192022b110cda6a90f0efc75818e60a3249bb6eb67");
	for (int n = 0; n < 23; n++) {
		failing_countdown = n;
		assert_int_equal(digest_file(&store, fd, 2097153, 1 + (unsigned int)n % 3, NULL, &digest), -EIO);
	}
	close(fd);
	free(data);
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int now, most, wanted;
} under_way = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* A server that answers nobody before so many ask. */
static ssize_t pread_of_a_far_server(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&under_way.lock);
	if (++under_way.now > under_way.most)
		under_way.most = under_way.now;
	pthread_cond_broadcast(&under_way.changed);
	while (under_way.most < under_way.wanted && pthread_cond_timedwait(&under_way.changed, &under_way.lock, &until) == 0)
		;
	under_way.now--;
	pthread_mutex_unlock(&under_way.lock);
	return store_system_ops.pread(NULL, fd, buf, size, offset);
}

static void several_reads_are_under_way_at_once(void **state)
{
	struct store_ops ops = store_system_ops;
	struct store store = {.ops = &ops, .root = -1};
	struct digest digest, again;
	uint8_t *data = malloc(16 << 20);
	int fd;

	scratch_pattern(data, 16 << 20);
	fd = open_data(data, 16 << 20);
	assert_true(digest_threads() >= 8);
	ops.pread = pread_of_a_far_server;
	under_way.wanted = 8;
	assert_int_equal(digest_file(&store, fd, 16 << 20, digest_threads(), NULL, &digest), 0);
	assert_true(under_way.most >= 8);
	assert_int_equal(digest_buffer(data, 16 << 20, &again), 0);
	assert_true(digest_equal(&digest, &again));
	close(fd);
	free(data);
}

static void sha256_is_that_of_fips_180(void **state)
{
	struct digest digest;
	char hex[DIGEST_HEX_SIZE];

	digest_sha256("", 0, &digest);
	digest_to_hex(&digest, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_sha256("abc", 3, &digest);
	digest_to_hex(&digest, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void hex_is_lower_case_and_complete(void **state)
{
	char hex[DIGEST_HEX_SIZE + 4] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015adzz";
	char again[DIGEST_HEX_SIZE];
	struct digest digest;

	assert_int_equal(digest_from_hex(hex, &digest), 0);
	digest_to_hex(&digest, again);
	assert_memory_equal(hex, again, 64);
	for (size_t i = 0; i < 64; i++) {
		static const char bad[] = "Ag/:`\0 ";

		for (size_t b = 0; b < sizeof(bad) - 1; b++) {
			char kept = hex[i];

			hex[i] = bad[b];
			assert_int_equal(digest_from_hex(hex, &digest), -EINVAL);
			hex[i] = kept;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_equals_that_of_the_fsverity_tool),
		cmocka_unit_test(digests_of_a_thousand_files_equal_those_of_the_tool),
		cmocka_unit_test(digest_of_a_file_larger_than_four_gib_equals_that_of_the_tool),
		cmocka_unit_test(file_that_ends_early_is_no_file_of_that_size),
		cmocka_unit_test(computation_counts_and_is_cancelled),
		cmocka_unit_test(short_reads_are_continued_and_errors_passed_on),
		cmocka_unit_test(several_reads_are_under_way_at_once),
		cmocka_unit_test(sha256_is_that_of_fips_180),
		cmocka_unit_test(hex_is_lower_case_and_complete),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
