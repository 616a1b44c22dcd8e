/*
 * tree - where hashes are in the tree file, and writing them
 */
#include "sealfs/tree.h"


#include "digest_tree.h"
#include "internal.h"

static uint64_t units(uint64_t count, uint64_t unit)
{
	return count / unit + (count % unit != 0);
}

void tree_shape_of(uint64_t file_size, struct tree_shape *out)
{
	uint64_t hashes = units(file_size, DIGEST_BLOCK_SIZE);

	*out = (struct tree_shape){0};
	while (hashes > 1) {
		out->size[out->levels++] = hashes * DIGEST_SIZE;
		hashes = units(hashes, DIGEST_TREE_ARITY);
	}
	for (unsigned int level = out->levels; level-- > 0;) {
		out->offset[level] = out->total;
		out->total += out->size[level];
	}
}

uint64_t tree_offset(const struct manifest *manifest, size_t index)
{
	struct tree_shape shape;
	uint64_t offset = 0;

	for (size_t i = 0; i < index; i++) {
		if (manifest->entries[i].type != MANIFEST_FILE)
			continue;
		tree_shape_of(manifest->entries[i].size, &shape);
		offset += shape.total;
	}
	return offset;
}

static int write_block(void *arg, unsigned int level, uint64_t index, const uint8_t *hashes, size_t size)
{
	const struct tree_writer *writer = arg;
	uint64_t at = index * DIGEST_BLOCK_SIZE;

	/* A file that grows while it is hashed: the sealing finds that out by itself. */
	if (level >= writer->shape.levels || at + size > writer->shape.size[level])
		return -EAGAIN;
	return store_pwrite(writer->store, writer->fd, hashes, size,
			    (off_t)(writer->base + writer->shape.offset[level] + at));
}

struct digest_sink tree_writer_sink(struct tree_writer *writer)
{
	return (struct digest_sink){write_block, writer};
}
