/*
 * fuzz_tree - no tree, whatever is in it, makes other data pass than those of the digest
 *
 * Input: 2 bytes for the file's length in units of 16 bytes, 2 for the block that is asked for, then what replaces the beginning of the tree; and the data are a pattern, of which one
 * byte may be flipped (the last byte of the input, if odd).
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "sealfs/tree.h"

static int filled(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", 0);

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store store = {.ops = &store_system_ops, .root = -1};
	struct tree_writer writer = {.store = &store};
	struct digest_sink sink = tree_writer_sink(&writer);
	struct tree_reader *reader = NULL;
	struct digest digest;
	enum tree_fault fault;
	uint64_t bad;

	if (size < 5)
		return 0;
	size_t length = (size_t)(data[0] | data[1] << 8) * 16, replaced = size - 4;
	uint64_t blocks = (length + DIGEST_BLOCK_SIZE - 1) / DIGEST_BLOCK_SIZE, block = blocks ? (uint64_t)(data[2] | data[3] << 8) % blocks : 0;
	uint8_t *content = malloc(length + 1);
	MUST(content);
	for (size_t i = 0; i < length; i++)
		content[i] = (uint8_t)(i * 31 >> 4);
	int file = filled(content, length), tree = filled("", 0);
	tree_shape_of(length, &writer.shape);
	writer.fd = tree;
	MUST(digest_file_tree(&store, file, length, 1, NULL, &sink, &digest) == 0);
	MUST(pwrite(tree, data + 4, replaced, 0) == (ssize_t)replaced);
	bool flipped = length > 0 && data[size - 1] & 1;
	if (flipped)
		content[block * DIGEST_BLOCK_SIZE] ^= 1;
	if (tree_reader_open(&store, tree, 0, length, &digest, &reader) == 0) {
		size_t at = (size_t)block * DIGEST_BLOCK_SIZE, part = length - at < DIGEST_BLOCK_SIZE ? length - at : DIGEST_BLOCK_SIZE;
		int rc = tree_check(reader, block, content + at, part, &bad, &fault);
		MUST(!(flipped && rc == 0));
		tree_reader_free(reader);
	}
	close(file);
	close(tree);
	free(content);
	return 0;
}
