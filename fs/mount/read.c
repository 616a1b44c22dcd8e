/* read.c - content that the kernel does not pass through */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>

/* Whole blocks around what is asked for, checked before any of it is given away. */
static int read_checked(struct mount *mount, struct handle *handle, off_t offset, uint8_t *blocks, size_t span)
{
	const struct manifest_entry *entry = &handle->sealed->manifest.entries[handle->index];
	uint64_t start = (uint64_t)offset / DIGEST_BLOCK_SIZE * DIGEST_BLOCK_SIZE, bad = 0;
	uint64_t left = entry->size - start;
	size_t expected = left < span ? (size_t)left : span;
	enum tree_fault fault = TREE_FAULT_DATA;

	ssize_t got = store_pread(gate_store(mount->gate), handle->fd, blocks, expected, (off_t)start);
	if (got < 0)
		return (int)got;
	int error = (size_t)got < expected ? -EBADMSG
					   : tree_check(handle->reader, start / DIGEST_BLOCK_SIZE, blocks, expected, &bad, &fault);
	if (error == -EBADMSG)
		error = gate_read_fault(mount->gate, handle->sealed, handle->index, bad, fault);
	/* what was opened once is what was sealed then, whatever became of the name */
	return error == -ESTALE ? -EBADMSG : error;
}

static void op_read_checked(fuse_req_t req, struct handle *handle, size_t size, off_t off)
{
	uint64_t file_size = handle->sealed->manifest.entries[handle->index].size;
	size_t skip = (size_t)off % DIGEST_BLOCK_SIZE;

	if ((uint64_t)off >= file_size) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	size = file_size - (uint64_t)off < size ? (size_t)(file_size - (uint64_t)off) : size;
	size_t span = (skip + size + DIGEST_BLOCK_SIZE - 1) / DIGEST_BLOCK_SIZE * DIGEST_BLOCK_SIZE;
	uint8_t *blocks = malloc(span);
	int error = blocks ? read_checked(mount_of(req), handle, off, blocks, span) : -ENOMEM;
	if (error)
		reply_status(req, error);
	else
		fuse_reply_buf(req, (const char *)blocks + skip, size);
	free(blocks);
}

/* A small file is checked as a whole once more: what the kernel keeps of it then is what was sealed, whatever becomes of the file. */
static int read_kept(struct mount *mount, struct handle *handle, char content[IO_KEPT_SIZE], size_t *size)
{
	ssize_t got = store_pread(gate_store(mount->gate), handle->fd, content, IO_KEPT_SIZE, 0);
	if (got < 0)
		return (int)got;
	*size = (size_t)got;
	int error = gate_check_content(mount->gate, handle->sealed, handle->index, content, *size);
	return error == -ESTALE ? -EBADMSG : error;
}

static void op_read_kept(fuse_req_t req, struct handle *handle, size_t size, off_t off)
{
	char content[IO_KEPT_SIZE];
	size_t whole = 0;

	int error = read_kept(mount_of(req), handle, content, &whole);
	size_t from = (uint64_t)off < whole ? (size_t)off : whole;
	if (error)
		reply_status(req, error);
	else
		fuse_reply_buf(req, content + from, whole - from < size ? whole - from : size);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec buffer = FUSE_BUFVEC_INIT(size);
	struct handle *handle = handle_of(fi);

	if (handle->reader || handle->kept) {
		(handle->reader ? op_read_checked : op_read_kept)(req, handle, size, off);
		return;
	}
	buffer.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buffer.buf[0].fd = handle->fd;
	buffer.buf[0].pos = off;
	fuse_reply_data(req, &buffer, FUSE_BUF_SPLICE_MOVE);
}
