/*
 * test_tree - Merkle trees beside the seal: against the fsverity tool's own, and against every flipped bit
 */
#include "scratch.h"

#include "sealfs/digest.h"
#include "sealfs/tree.h"

#define BLOCK DIGEST_BLOCK_SIZE
#define GROUP (128 * BLOCK)

static struct scratch scratch;

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

static const size_t sizes[] = {0,	  1,	     BLOCK - 1,	    BLOCK,	   BLOCK + 1,	 GROUP - 1,
			       GROUP,	  GROUP + 1, 3 * GROUP + 5, 2 * GROUP * 2, 7 * GROUP + 9, 128 * GROUP,
			       128 * GROUP + 1};

/* A file with its tree, which begins at `base` of the tree file. */
struct sample {
	uint8_t *data;
	size_t size;
	int fd, tree;
	uint64_t base;
	struct tree_shape shape;
	struct digest digest;
};

static int open_file(const char *name)
{
	char path[4096];
	int fd;

	scratch_path(&scratch, name, path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void sample_make(struct sample *sample, size_t size, unsigned int threads)
{
	struct tree_writer writer = {.store = &scratch.store};
	struct digest_sink sink = tree_writer_sink(&writer);

	*sample = (struct sample){.data = malloc(size + 1), .size = size, .fd = open_file("data"), .tree = open_file("tree"), .base = 96};
	scratch_pattern(sample->data, size);
	assert_int_equal(write(sample->fd, sample->data, size), size);
	tree_shape_of(size, &sample->shape);
	writer.fd = sample->tree;
	writer.base = sample->base;
	writer.shape = sample->shape;
	assert_int_equal(digest_file_tree(&scratch.store, sample->fd, size, threads, NULL, &sink, &sample->digest), 0);
}

static void sample_free(struct sample *sample)
{
	close(sample->fd);
	close(sample->tree);
	free(sample->data);
}

static struct tree_reader *reader_of(const struct sample *sample)
{
	struct tree_reader *reader = NULL;

	assert_int_equal(tree_reader_open(&scratch.store, sample->tree, sample->base, sample->size, &sample->digest, &reader), 0);
	return reader;
}

static int check(struct tree_reader *reader, const struct sample *sample, uint64_t first, uint64_t blocks, uint64_t *bad,
		 enum tree_fault *fault)
{
	size_t at = (size_t)first * BLOCK, left = sample->size - at;

	return tree_check(reader, first, sample->data + at, left < blocks * BLOCK ? left : (size_t)blocks * BLOCK, bad, fault);
}

static void digest_is_the_same_with_a_tree(void **state)
{
	struct digest plain;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sample sample;
		struct stat st;

		sample_make(&sample, sizes[i], 1 + i % 3);
		assert_int_equal(digest_file(&scratch.store, sample.fd, sizes[i], 1, NULL, &plain), 0);
		assert_true(digest_equal(&plain, &sample.digest));
		assert_int_equal(fstat(sample.tree, &st), 0);
		assert_int_equal(st.st_size, sample.shape.total ? sample.base + sample.shape.total : 0);
		assert_true(sample.shape.total <= sizes[i] / 128 + sizes[i] / 8192 + 128);
		sample_free(&sample);
	}
}

/* The tool pads each level to whole blocks. */
static void tree_is_that_of_the_fsverity_tool(void **state)
{
	char command[9000], data[4096], tree[4096];

	if (system("command -v fsverity >/dev/null 2>&1") != 0)
		skip();
	scratch_path(&scratch, "data", data);
	scratch_path(&scratch, "theirs", tree);
	snprintf(command, sizeof(command), "fsverity digest --out-merkle-tree=%s %s >/dev/null", tree, data);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sample sample;
		uint64_t at = 0;
		int fd;

		sample_make(&sample, sizes[i], 2);
		assert_int_equal(system(command), 0);
		fd = open(tree, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		for (unsigned int level = sample.shape.levels; level-- > 0;) {
			size_t size = (size_t)sample.shape.size[level];
			uint8_t *ours = malloc(size), *theirs = malloc(size);

			assert_int_equal(pread(sample.tree, ours, size, (off_t)(sample.base + sample.shape.offset[level])), size);
			assert_int_equal(pread(fd, theirs, size, (off_t)at), size);
			assert_memory_equal(ours, theirs, size);
			at += (size + BLOCK - 1) / BLOCK * BLOCK;
			free(ours);
			free(theirs);
		}
		assert_int_equal(lseek(fd, 0, SEEK_END), at);
		close(fd);
		sample_free(&sample);
	}
}

static void every_range_of_blocks_checks(void **state)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sample sample;
		struct tree_reader *reader;
		uint64_t bad, blocks = (sizes[i] + BLOCK - 1) / BLOCK;
		enum tree_fault fault;

		sample_make(&sample, sizes[i], 2);
		reader = reader_of(&sample);
		for (int n = 0; n < 200; n++) {
			uint64_t first = blocks ? (uint64_t)rand() % blocks : 0;

			assert_int_equal(check(reader, &sample, first, 1 + (uint64_t)rand() % 300, &bad, &fault), 0);
			assert_int_equal(fault, TREE_FAULT_NONE);
		}
		tree_reader_free(reader);
		sample_free(&sample);
	}
}

static void flipped_bit_of_the_data_is_found_in_its_block(void **state)
{
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sample sample;

		sample_make(&sample, sizes[i], 2);
		for (int n = 0; n < 100; n++) {
			struct tree_reader *reader = reader_of(&sample);
			size_t at = (size_t)(((uint64_t)rand() << 31 ^ (uint64_t)rand()) % sizes[i]);
			uint64_t bad, first = at / BLOCK;
			enum tree_fault fault;

			sample.data[at] ^= (uint8_t)(1 << n % 8);
			first -= first < 3 ? first : 3;
			assert_int_equal(check(reader, &sample, first, 7, &bad, &fault), -EBADMSG);
			assert_int_equal(bad, at / BLOCK);
			assert_int_equal(fault, TREE_FAULT_DATA);
			sample.data[at] ^= (uint8_t)(1 << n % 8);
			tree_reader_free(reader);
		}
		sample_free(&sample);
	}
}

/* A tree that was edited never makes wrong data pass, and is told from them. */
static void flipped_bit_of_the_tree_is_found(void **state)
{
	struct sample sample;

	sample_make(&sample, 128 * GROUP + 1, 2);
	assert_int_equal(sample.shape.levels, 3);
	for (int n = 0; n < 300; n++) {
		off_t at = (off_t)(sample.base + (uint64_t)rand() % sample.shape.total);
		struct tree_reader *reader = NULL;
		uint64_t bad, first, last;
		enum tree_fault fault = TREE_FAULT_NONE;
		uint8_t byte;
		int rc;

		/* each level in its turn */
		if (n % 3 < 2)
			at = (off_t)(sample.base + (uint64_t)rand() % sample.shape.offset[n % 3]);
		assert_int_equal(pread(sample.tree, &byte, 1, at), 1);
		byte ^= 4;
		assert_int_equal(pwrite(sample.tree, &byte, 1, at), 1);
		rc = tree_reader_open(&scratch.store, sample.tree, sample.base, sample.size, &sample.digest, &reader);
		for (uint64_t block = 0; rc == 0 && block < sample.size / BLOCK; block += 128)
			rc = check(reader, &sample, block, 128, &bad, &fault);
		if (rc == 0)
			rc = check(reader, &sample, sample.size / BLOCK, 1, &bad, &fault);
		assert_int_equal(rc, -EBADMSG);
		assert_int_not_equal(fault, TREE_FAULT_DATA);
		tree_reader_free(reader);
		if (n < 5)
			assert_int_equal(tree_compare(&scratch.store, sample.fd, sample.tree, sample.base, sample.size, &sample.digest, 2,
						      NULL, &first, &last),
					 -EBADMSG);
		byte ^= 4;
		assert_int_equal(pwrite(sample.tree, &byte, 1, at), 1);
	}
	sample_free(&sample);
}

static void tree_of_other_content_or_length_is_refused(void **state)
{
	struct sample sample;
	struct tree_reader *reader = NULL;

	sample_make(&sample, 7 * GROUP + 9, 2);
	assert_int_equal(tree_reader_open(&scratch.store, sample.tree, sample.base + 32, sample.size, &sample.digest, &reader), -EBADMSG);
	assert_int_equal(tree_reader_open(&scratch.store, sample.tree, sample.base, sample.size + 1, &sample.digest, &reader), -EBADMSG);
	assert_int_equal(ftruncate(sample.tree, (off_t)(sample.base + 31)), 0);
	assert_int_equal(tree_reader_open(&scratch.store, sample.tree, sample.base, sample.size, &sample.digest, &reader), -EBADMSG);
	assert_null(reader);
	sample_free(&sample);
}

static void pieces_that_cannot_be_are_refused(void **state)
{
	struct sample sample;
	struct tree_reader *reader;
	enum tree_fault fault;
	uint64_t bad;

	sample_make(&sample, GROUP + 100, 1);
	reader = reader_of(&sample);
	assert_int_equal(tree_check(reader, 0, sample.data, 100, &bad, &fault), -EBADMSG);
	assert_int_equal(tree_check(reader, 128, sample.data + GROUP, 99, &bad, &fault), -EBADMSG);
	assert_int_equal(tree_check(reader, 129, sample.data, BLOCK, &bad, &fault), -EBADMSG);
	assert_int_equal(tree_check(reader, 128, sample.data + GROUP, 100, &bad, &fault), 0);
	tree_reader_free(reader);
	sample_free(&sample);
}

static void comparison_names_the_first_and_last_block(void **state)
{
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sample sample;
		uint64_t first, last;

		sample_make(&sample, sizes[i], 2);
		assert_int_equal(tree_compare(&scratch.store, sample.fd, sample.tree, sample.base, sample.size, &sample.digest, 2, NULL,
					      &first, &last),
				 0);
		assert_true(first > last);
		for (int n = 0; n < 10; n++) {
			size_t a = (size_t)(((uint64_t)rand() << 31 ^ (uint64_t)rand()) % sizes[i]);
			size_t b = (size_t)(((uint64_t)rand() << 31 ^ (uint64_t)rand()) % sizes[i]);
			uint8_t one = sample.data[a] ^ 1, other = sample.data[b] ^ 1;

			assert_int_equal(pwrite(sample.fd, &one, 1, (off_t)a), 1);
			assert_int_equal(pwrite(sample.fd, &other, 1, (off_t)b), 1);
			assert_int_equal(tree_compare(&scratch.store, sample.fd, sample.tree, sample.base, sample.size, &sample.digest, 2,
						      NULL, &first, &last),
					 0);
			assert_int_equal(first, (a < b ? a : b) / BLOCK);
			assert_int_equal(last, (a < b ? b : a) / BLOCK);
			assert_int_equal(pwrite(sample.fd, &sample.data[a], 1, (off_t)a), 1);
			assert_int_equal(pwrite(sample.fd, &sample.data[b], 1, (off_t)b), 1);
		}
		sample_free(&sample);
	}
}

/* Reads of the tree file are counted. */
static _Atomic uint64_t bytes_read;

static ssize_t counting_pread(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	ssize_t got = store_system_ops.pread(NULL, fd, buf, size, offset);

	if (got > 0)
		bytes_read += (uint64_t)got;
	return got;
}

static void one_block_reads_no_more_than_its_way_to_the_top(void **state)
{
	struct store_ops ops = store_system_ops;
	struct store store = {.ops = &ops, .root = -1};
	struct sample sample;
	struct tree_reader *reader;
	enum tree_fault fault;
	uint64_t bad;

	sample_make(&sample, 128 * GROUP + 1, 2);
	ops.pread = counting_pread;
	bytes_read = 0;
	assert_int_equal(tree_reader_open(&store, sample.tree, sample.base, sample.size, &sample.digest, &reader), 0);
	assert_int_equal(check(reader, &sample, 5000, 1, &bad, &fault), 0);
	assert_in_range(bytes_read, BLOCK, 4 * BLOCK);
	bytes_read = 0;
	assert_int_equal(check(reader, &sample, 5001, 1, &bad, &fault), 0);
	assert_int_equal(bytes_read, 0);
	tree_reader_free(reader);
	sample_free(&sample);
}

static void offsets_follow_the_manifest(void **state)
{
	struct manifest_entry entries[] = {
		{.type = MANIFEST_DIR, .path = "a"},
		{.type = MANIFEST_FILE, .size = BLOCK + 1, .path = "a/b"},
		{.type = MANIFEST_SYMLINK, .size = 5000, .path = "c", .target = "d"},
		{.type = MANIFEST_FILE, .size = 3, .path = "d"},
		{.type = MANIFEST_FILE, .size = GROUP + 1, .path = "e"},
	};
	struct manifest manifest = {.entries = entries, .count = 5};

	assert_int_equal(tree_offset(&manifest, 1), 0);
	assert_int_equal(tree_offset(&manifest, 3), 64);
	assert_int_equal(tree_offset(&manifest, 4), 64);
	assert_int_equal(tree_offset(&manifest, 5), 64 + 2 * 32 + 129 * 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_is_the_same_with_a_tree),
		cmocka_unit_test(tree_is_that_of_the_fsverity_tool),
		cmocka_unit_test(every_range_of_blocks_checks),
		cmocka_unit_test(flipped_bit_of_the_data_is_found_in_its_block),
		cmocka_unit_test(flipped_bit_of_the_tree_is_found),
		cmocka_unit_test(tree_of_other_content_or_length_is_refused),
		cmocka_unit_test(pieces_that_cannot_be_are_refused),
		cmocka_unit_test(comparison_names_the_first_and_last_block),
		cmocka_unit_test(one_block_reads_no_more_than_its_way_to_the_top),
		cmocka_unit_test(offsets_follow_the_manifest),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
