/* file.c - open files */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flock.h"
#include "posix_lock.h"
#include "sealfs/log.h"

/* ---- opening ---- */

static bool opens_for_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static void open_for_writing(fuse_req_t req, struct node *node, int flags)
{
	struct mount *mount = mount_of(req);
	struct gate_caller caller = caller_of(req);
	struct admission admission;
	struct stat attributes;
	struct handle *handle = NULL;
	uint32_t open_flags = 0;
	int32_t backing_id = 0;
	int error;

	{
		AS_CALLER(req);
		error = admit(mount, node, NULL, &caller, GATE_CREATE, &admission);
		if (!error && node->promise)
			error = -ESTALE; /* a new generation has begun meanwhile */
		if (!error && !(handle = handle_new(mount, node, -1)))
			error = -ENOMEM;
		if (!error && admission.home.checkpoint && !admission.live)
			gate_write_opened(mount->gate, admission.home.checkpoint, caller.tid, (flags & O_ACCMODE) == O_RDWR, &handle->writing);
		if (!error) {
			handle->fd = open_node(req, node, flags, &attributes);
			error = handle->fd < 0 ? handle->fd : 0;
		}
		if (!error)
			io_attach(mount, handle, false, &open_flags, &backing_id);
		else if (handle)
			handle_free(mount, handle);
		admission_end(&admission);
	}
	if (error)
		reply_status(req, error);
	else
		reply_open(req, mount, handle, open_flags, backing_id);
}

/* Answers an open whose content needs no (more) checking. */
static void finish_reading(fuse_req_t req, struct mount *mount, struct handle *handle, bool keep_cache)
{
	uint32_t open_flags = 0;
	int32_t backing_id = 0;

	{
		/* the kernel reads a backing file with the ids that the thread has now */
		AS_CALLER(req);
		io_attach(mount, handle, keep_cache, &open_flags, &backing_id);
	}
	reply_open(req, mount, handle, open_flags, backing_id);
}

/* With verify=read: each block is checked as it is read, so nothing need be read now. -EAGAIN: the whole file must be verified instead. */
static int attach_reader(struct mount *mount, struct handle *handle, struct gate_sealed *sealed, size_t index, const struct stat *attributes)
{
	/* who had it open already when it was sealed has the kernel read it by itself */
	if (!mount->verify_blocks || io_is_passed_through(mount, handle->node))
		return -EAGAIN;
	int error = gate_reader(mount->gate, sealed, index, attributes, &handle->reader);
	if (error)
		return error;
	handle->sealed = gate_sealed_ref(sealed);
	handle->index = index;
	return 0;
}

static void verified(struct parked *parked, int result);

/* Asks whether the content is what was sealed; answers the request, at once or when the content has been read. Takes handle and sealed; the attributes are fresh. */
static void verify_and_finish(fuse_req_t req, struct mount *mount, struct handle *handle, struct gate_sealed *sealed, size_t index,
			      struct stat *attributes)
{
	const struct manifest_entry *entry = &sealed->manifest.entries[index];
	struct gate_caller caller = caller_of(req);
	struct parked *parked = NULL;
	int error = 0;

	/* an NFS client may not have asked for them now */
	if (!sealed_looks_like(entry, attributes)) {
		store_refresh(gate_store(mount->gate), handle->fd);
		error = fstat(handle->fd, attributes) ? -errno : 0;
	}
	if (!error)
		error = sealed_matches(mount, sealed, entry, attributes);
	if (!error)
		error = attach_reader(mount, handle, sealed, index, attributes);
	if (error == -EAGAIN)
		error = gate_verify(mount->gate, sealed, index, handle->fd, attributes, &caller, NULL, NULL);
	if (error == -EAGAIN) {
		parked = parked_new(req, handle->node, verified);
		error = parked ? -EAGAIN : -ENOMEM;
	}
	if (parked) {
		parked->handle = handle;
		parked->sealed = gate_sealed_ref(sealed);
		parked->index = index;
		parked_arm(parked);
		error = gate_verify(mount->gate, sealed, index, handle->fd, attributes, &caller, &parked->waiter, parked_interrupted);
		if (error == 1) {
			gate_sealed_put(sealed);
			return;
		}
		parked_free(parked);
	}
	bool keep_cache = !error && io_keep_sealed(mount, handle, sealed, index, attributes);
	gate_sealed_put(sealed);
	if (error) {
		handle_free(mount, handle);
		reply_status(req, error);
	} else {
		finish_reading(req, mount, handle, keep_cache);
	}
}

static void verified(struct parked *parked, int result)
{
	struct mount *mount = parked->mount;
	struct handle *handle = parked->handle;
	struct gate_sealed *sealed = parked->sealed;
	fuse_req_t req = parked->req;
	size_t index = parked->index;
	struct stat attributes;

	parked->sealed = NULL;
	parked_free(parked);
	if (!result && fstat(handle->fd, &attributes))
		result = -errno;
	if (!result) {
		verify_and_finish(req, mount, handle, sealed, index, &attributes);
		return;
	}
	gate_sealed_put(sealed);
	handle_free(mount, handle);
	reply_status(req, result);
}

/* An open of a sealed file: which manifest entry? Takes the view's reference on success. */
static int sealed_index(const struct node *node, struct admission *admission, struct gate_sealed **sealed, size_t *index)
{
	*sealed = NULL;
	if (admission->view.answer != GATE_SEALED || admission->live)
		return 0;
	if (admission->home.ambiguous)
		return -ESTALE; /* which of its names was opened, and so what it must be, only another look at the name can tell */
	struct manifest_entry *entry = sealed_entry_of(admission->view.sealed, node, admission->home.path);
	if (!entry)
		return -ENOENT;
	if (entry->type != MANIFEST_FILE)
		return -EBADMSG;
	*sealed = admission->view.sealed;
	*index = (size_t)(entry - (*sealed)->manifest.entries);
	admission->view.sealed = NULL;
	return 0;
}

static void open_for_reading(fuse_req_t req, struct node *node, int flags)
{
	struct mount *mount = mount_of(req);
	struct gate_caller caller = caller_of(req);
	struct admission admission;
	struct stat attributes;
	struct gate_sealed *sealed = NULL;
	struct handle *handle = NULL;
	size_t index = 0;
	int error;

	{
		AS_CALLER(req);
		error = admit_reader(req, node, GATE_READ, !(flags & O_NONBLOCK), &admission);
		if (!error && node->promise)
			error = -ESTALE;
		int fd = error ? -1 : open_node(req, node, flags, &attributes);
		if (!error && fd < 0)
			error = fd;
		if (!error && !(handle = handle_new(mount, node, fd))) {
			close(fd);
			error = -ENOMEM;
		}
		if (!error)
			error = sealed_index(node, &admission, &sealed, &index);
		admission_end(&admission);
	}
	if (error == 1)
		return; /* parked */
	if (error) {
		if (handle)
			handle_free(mount, handle);
		reply_status(req, error);
	} else if (sealed) {
		gate_opened_sealed(mount->gate, sealed, &caller);
		verify_and_finish(req, mount, handle, sealed, index, &attributes);
	} else {
		finish_reading(req, mount, handle, false);
	}
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = node_of(mount_of(req), ino);

	if (opens_for_writing(fi->flags))
		open_for_writing(req, node, fi->flags);
	else
		open_for_reading(req, node, fi->flags);
}

/* ---- what is written, and closing ---- */

/*
 * The error that a network file system reports late is the writer's to see; but he may not look, and it is reported once: whoever opens the file to seal it
 * would find no error any more, and holes where the data were. So the gate is told.
 */
static void report_lost_write(struct mount *mount, struct handle *handle, int error)
{
	struct node_home home;

	if (!handle->writing.checkpoint)
		return;
	node_home(&mount->nodes, handle->node, &home);
	gate_write_failed(mount->gate, &handle->writing, home.path, error);
	node_home_put(&home);
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t written;

	out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	out.buf[0].fd = handle_of(fi)->fd;
	out.buf[0].pos = off;
	{
		/* as root a write would leave set-id bits standing */
		AS_CALLER(req);
		written = fuse_buf_copy(&out, in, 0);
	}
	/* of a mapping, nobody is told; and an I/O error may be that of an earlier write */
	if (written < 0 && (fi->writepage || written == -EIO))
		report_lost_write(mount_of(req), handle_of(fi), (int)written);
	if (written < 0)
		reply_status(req, (int)written);
	else
		fuse_reply_write(req, (size_t)written);
}

static int flush_handle(struct mount *mount, struct handle *handle)
{
	int copy = dup(handle->fd);
	if (copy < 0)
		return -errno;
	if (!close(copy))
		return 0;
	int error = -errno;
	report_lost_write(mount, handle, error);
	return error;
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct handle *handle = handle_of(fi);

	posix_lock_closed(handle, fi->lock_owner);
	reply_status(req, mount->remote ? flush_handle(mount, handle) : 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct handle *handle = handle_of(fi);

	flock_release(handle);
	posix_lock_release(handle);
	io_detach(mount, handle);
	/* a mapping may have written since the last flush */
	if (handle->writing.checkpoint && mount->remote)
		flush_handle(mount, handle);
	handle_free(mount, handle);
	fuse_reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = handle_of(fi)->fd;
	int error = (datasync ? fdatasync(fd) : fsync(fd)) ? -errno : 0;
	if (error)
		report_lost_write(mount_of(req), handle_of(fi), error);
	reply_status(req, error);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
	int error;

	{
		/* of root the export takes no set-id bits away, and it may have what is kept in reserve */
		AS_CALLER(req);
		error = fallocate(handle_of(fi)->fd, mode, offset, length) ? errno : 0;
	}
	reply_status(req, error);
}

/* A hole is not read by who copies the file, and so would not be checked: all of what is sealed is data. */
static off_t seek_in_checked(const struct handle *handle, off_t off, int whence)
{
	off_t size = (off_t)handle->sealed->manifest.entries[handle->index].size;

	errno = off < 0 || off >= size ? ENXIO : EINVAL;
	if (errno == EINVAL && whence == SEEK_DATA)
		return off;
	return errno == EINVAL && whence == SEEK_HOLE ? size : -1;
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);

	off_t result = handle->reader ? seek_in_checked(handle, off, whence) : lseek(handle->fd, off, whence);
	if (result < 0)
		reply_status(req, errno);
	else
		fuse_reply_lseek(req, result);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	ssize_t copied;

	/* blocks that are to be checked have to come by here: the kernel reads and writes them by itself then */
	if (handle_of(fi_in)->reader) {
		reply_status(req, EOPNOTSUPP);
		return;
	}
	{
		AS_CALLER(req);
		copied = copy_file_range(handle_of(fi_in)->fd, &off_in, handle_of(fi_out)->fd, &off_out, len, (unsigned int)flags);
		copied = copied < 0 ? -errno : copied;
	}
	if (copied < 0)
		reply_status(req, (int)copied);
	else
		fuse_reply_write(req, (size_t)copied);
}
