/* make.c - making names: directories, files, symlinks, hard links */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void reply_made(fuse_req_t req, int error, const struct fuse_entry_param *entry)
{
	if (error)
		reply_status(req, error);
	else
		fuse_reply_entry(req, entry);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent_number, const char *name, mode_t mode)
{
	struct mount *mount = mount_of(req);
	struct node *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	struct spot spot;
	int error;

	{
		AS_CALLER(req);
		error = spot_begin(&spot, mount, parent, name, &caller, GATE_CLAIM, GATE_CREATE);
		CREDS_UMASK_SCOPE(fuse_req_ctx(req)->umask);
		if (!error && mkdirat(parent->directory, name, mode))
			error = -errno;
		if (!error)
			error = entry_made(mount, parent, name, -1, &entry);
		spot_end(&spot);
	}
	reply_made(req, error, &entry);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent_number, const char *name, mode_t mode, dev_t rdev)
{
	struct mount *mount = mount_of(req);
	struct node *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	struct spot spot;
	int error;

	{
		AS_CALLER(req);
		if (S_ISREG(mode))
			error = spot_begin(&spot, mount, parent, name, &caller, GATE_CLAIM, GATE_CREATE);
		else
			error = spot_begin_plain(&spot, mount, parent, name, &caller);
		CREDS_UMASK_SCOPE(fuse_req_ctx(req)->umask);
		if (!error && mknodat(parent->directory, name, mode, rdev))
			error = -errno;
		if (!error)
			error = entry_made(mount, parent, name, -1, &entry);
		spot_end(&spot);
	}
	reply_made(req, error, &entry);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent_number, const char *name)
{
	struct mount *mount = mount_of(req);
	struct node *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	struct spot spot;
	int error;

	{
		AS_CALLER(req);
		error = spot_begin_plain(&spot, mount, parent, name, &caller);
		if (!error && symlinkat(target, parent->directory, name))
			error = -errno;
		if (!error)
			error = entry_made(mount, parent, name, -1, &entry);
		spot_end(&spot);
	}
	reply_made(req, error, &entry);
}

/* A checkpoint of one file is made by name in a directory that is nobody's, so the file may be that of a generation which another machine began while this one
 * was cut off: then nothing may come into it, nor be cut from it. */
static int confirm_made(struct mount *mount, const struct spot *spot, int fd, int flags)
{
	int error = gate_confirm_writer(mount->gate, spot->checkpoint);
	bool cut = flags & O_TRUNC && (flags & O_ACCMODE) != O_RDONLY;
	return !error && cut && ftruncate(fd, 0) ? -errno : error;
}

/* Opens the file for writing or makes it. The handle is counted as a writer's before the file is touched. */
static int create_file(fuse_req_t req, struct node *parent, const char *name, mode_t mode, int flags, const struct spot *spot,
		       const struct gate_caller *caller, struct fuse_entry_param *entry, struct handle **out)
{
	struct mount *mount = mount_of(req);
	struct handle *handle = handle_new(mount, NULL, -1);
	struct gate_checkpoint *checkpoint = spot->top ? spot->checkpoint : spot->admission.home.checkpoint;

	if (!handle)
		return -ENOMEM;
	if (checkpoint && !(spot->admission.mount && spot->admission.live))
		gate_write_opened(mount->gate, checkpoint, caller->tid, (flags & O_ACCMODE) == O_RDWR, &handle->writing);
	bool confirmed = spot->top && spot_answer(spot) == GATE_WRITER;
	int left_out = confirmed && (flags & O_ACCMODE) != O_RDONLY ? O_TRUNC : 0;
	handle->fd = open_or_make(parent, name, flags & ~left_out, mode);
	int error = handle->fd < 0 ? handle->fd : 0;
	if (!error && confirmed)
		error = confirm_made(mount, spot, handle->fd, flags);
	if (!error)
		error = entry_made(mount, parent, name, handle->fd, entry);
	if (error) {
		handle_free(mount, handle);
		return error;
	}
	handle->node = node_ref(&mount->nodes, node_of(mount, entry->ino));
	/* whose inode has not been touched since it came to be; a network file system's clock is another */
	if (!mount->remote && !memcmp(&handle->node->born, &entry->attr.st_ctim, sizeof(struct timespec)))
		handle->made_ns = waiters_now_ns();
	*out = handle;
	return 0;
}

void op_create(fuse_req_t req, fuse_ino_t parent_number, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct node *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	struct handle *handle = NULL;
	struct spot spot;
	uint32_t open_flags = 0;
	int32_t backing_id = 0;
	int error;

	{
		AS_CALLER(req);
		error = spot_begin(&spot, mount, parent, name, &caller, GATE_CLAIM, GATE_CREATE);
		CREDS_UMASK_SCOPE(fuse_req_ctx(req)->umask);
		if (!error)
			error = create_file(req, parent, name, mode, fi->flags, &spot, &caller, &entry, &handle);
		if (!error) {
			io_attach(mount, handle, false, &open_flags, &backing_id);
			entry.attr_timeout = CREATED_TIMEOUT;
		}
		spot_end(&spot);
	}
	if (error)
		reply_status(req, error);
	else
		reply_create(req, mount, &entry, handle, open_flags, backing_id);
}

/* ---- linking ---- */

/* Both ends in the same checkpoint, or both above all; and both names are live, or none: what is sealed can be written by no other name. */
static bool same_side(struct mount *mount, struct node *node, struct node *parent, const char *name)
{
	struct node_home a, b;

	node_home(&mount->nodes, node, &a);
	node_home(&mount->nodes, parent, &b);
	bool same = a.checkpoint == b.checkpoint && (a.checkpoint || (parent->depth + 1 < mount->depth && !a.orphan));
	/* a one-file checkpoint has no inside */
	if (a.checkpoint && (!*a.path || path_is_live(mount, a.path) != path_is_live(mount, name)))
		same = false;
	node_home_put(&a);
	node_home_put(&b);
	return same;
}

static int make_link(struct mount *mount, struct node *node, struct node *parent, const char *name)
{
	struct place place;

	int error = node_place(&mount->nodes, node, &place);
	if (error)
		return error == -ESTALE ? -ENOENT : error;
	if (linkat(place.directory, place.name, parent->directory, name, 0))
		error = -errno;
	place_put(&place);
	return error;
}

void op_link(fuse_req_t req, fuse_ino_t number, fuse_ino_t parent_number, const char *name)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, number), *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	struct spot spot;
	int error;

	{
		AS_CALLER(req);
		memset(&spot, 0, sizeof(spot));
		if (!same_side(mount, node, parent, name))
			error = -EXDEV;
		else
			error = spot_begin(&spot, mount, parent, name, &caller, GATE_LOOK, GATE_CREATE);
		if (!error)
			error = make_link(mount, node, parent, name);
		if (!error)
			error = entry_made(mount, parent, name, -1, &entry);
		spot_end(&spot);
	}
	reply_made(req, error, &entry);
}
