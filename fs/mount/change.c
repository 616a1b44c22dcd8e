/* change.c - making, removing and renaming names */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/log.h"

/* ---- admission of a change at parent/name ---- */

/* One end of a change: a name in a directory, admitted by the gate. */
struct spot {
	struct mount *mount;
	struct node *parent;
	const char *name;
	bool above;			    /* above checkpoints: plain */
	bool top;			    /* the name is a checkpoint's own */
	struct gate_checkpoint *checkpoint; /* top: a reference */
	struct gate_view view;		    /* top */
	struct admission admission;	    /* inside */
};

static void spot_end(struct spot *spot)
{
	if (spot->top && spot->view.changing)
		gate_change_done(spot->mount->gate, spot->checkpoint);
	gate_sealed_put(spot->view.sealed);
	spot->view.sealed = NULL;
	gate_checkpoint_put(spot->checkpoint);
	spot->checkpoint = NULL;
	if (spot->admission.mount)
		admission_end(&spot->admission);
}

static enum gate_answer spot_answer(const struct spot *spot)
{
	return spot->top ? spot->view.answer : spot->above ? GATE_PLAIN : spot->admission.view.answer;
}

static int spot_top(struct spot *spot, const struct gate_caller *caller, enum gate_want want)
{
	char path[PATH_MAX];

	int error = node_path(&spot->mount->nodes, spot->parent, spot->name, path);
	if (error)
		return error;
	spot->checkpoint = gate_checkpoint_get(spot->mount->gate, path);
	if (!spot->checkpoint)
		return -ENOMEM;
	return gate_enter(spot->mount->gate, spot->checkpoint, caller, want, "", NULL, NULL, &spot->view);
}

/* `top` is what is wanted when the name is a checkpoint's own, `inside` when it is in one. */
static int spot_begin(struct spot *spot, struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller,
		      enum gate_want top, enum gate_want inside)
{
	memset(spot, 0, sizeof(*spot));
	spot->mount = mount;
	spot->parent = parent;
	spot->name = name;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (name_hidden(mount, parent, name))
		return -EPERM;
	if (parent->promise)
		return -EBUSY;
	spot->above = parent->depth + 1 < mount->depth;
	spot->top = parent->depth + 1 == mount->depth;
	if (spot->above)
		return 0;
	if (spot->top)
		return spot_top(spot, caller, top);
	int error = admit(mount, parent, name, caller, inside, &spot->admission);
	return error;
}

/* Not every name at that depth is a checkpoint: symlinks, FIFOs, sockets and devices are plain, wherever nothing is sealed, open or reserved. */
static int spot_begin_plain(struct spot *spot, struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller)
{
	int error = spot_begin(spot, mount, parent, name, caller, GATE_LOOK, GATE_CREATE);
	if (error || !spot->top || spot->view.answer == GATE_PLAIN)
		return error;
	return spot->view.answer == GATE_SEALED ? -EROFS : -EBUSY;
}

static void reply_made(fuse_req_t req, int error, const struct fuse_entry_param *entry)
{
	if (error)
		reply_status(req, error);
	else
		fuse_reply_entry(req, entry);
}

/* ---- making ---- */

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
			error = entry_made(mount, parent, name, &entry);
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
			error = entry_made(mount, parent, name, &entry);
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
			error = entry_made(mount, parent, name, &entry);
		spot_end(&spot);
	}
	reply_made(req, error, &entry);
}

/* Opens the file for writing or makes it. The handle is counted as a writer's before the file is touched. */
static int create_file(struct mount *mount, struct node *parent, const char *name, mode_t mode, int flags, const struct spot *spot,
		       const struct gate_caller *caller, struct fuse_entry_param *entry, struct handle **out)
{
	struct handle *handle = handle_new(mount, NULL, -1);
	struct gate_checkpoint *checkpoint = spot->top ? spot->checkpoint : spot->admission.home.checkpoint;

	if (!handle)
		return -ENOMEM;
	if (spot_answer(spot) == GATE_WRITER)
		gate_write_opened(mount->gate, checkpoint, caller->tid, &handle->writing);
	handle->fd = openat(parent->directory, name, (flags & ~(O_NOCTTY | O_DIRECT)) | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
	int error = handle->fd < 0 ? -errno : 0;
	if (!error)
		error = entry_made(mount, parent, name, entry);
	if (error) {
		handle_free(mount, handle);
		return error;
	}
	handle->node = node_ref(&mount->nodes, node_of(mount, entry->ino));
	*out = handle;
	return 0;
}

void op_create(fuse_req_t req, fuse_ino_t parent_number, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct node *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	struct handle *handle;
	struct spot spot;
	uint32_t open_flags = 0;
	int32_t backing_id = 0;
	int error;

	{
		AS_CALLER(req);
		error = spot_begin(&spot, mount, parent, name, &caller, GATE_CLAIM, GATE_CREATE);
		CREDS_UMASK_SCOPE(fuse_req_ctx(req)->umask);
		if (!error)
			error = create_file(mount, parent, name, mode, fi->flags, &spot, &caller, &entry, &handle);
		if (!error)
			io_attach(mount, handle, false, &open_flags, &backing_id);
		spot_end(&spot);
	}
	if (error)
		reply_status(req, error);
	else
		reply_create(req, mount, &entry, handle, open_flags, backing_id);
}

/* ---- linking ---- */

/* Both ends in the same checkpoint, or both above all. */
static bool same_side(struct mount *mount, struct node *node, struct node *parent)
{
	struct node_home a, b;

	node_home(&mount->nodes, node, &a);
	node_home(&mount->nodes, parent, &b);
	bool same = a.checkpoint == b.checkpoint && (a.checkpoint || (parent->depth + 1 < mount->depth && !a.orphan));
	/* a one-file checkpoint has no inside */
	if (a.checkpoint && !*a.path)
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
		if (!same_side(mount, node, parent))
			error = -EXDEV;
		else
			error = spot_begin(&spot, mount, parent, name, &caller, GATE_LOOK, GATE_CREATE);
		if (!error)
			error = make_link(mount, node, parent, name);
		if (!error)
			error = entry_made(mount, parent, name, &entry);
		spot_end(&spot);
	}
	reply_made(req, error, &entry);
}

/* ---- removing ---- */

/* A directory above checkpoints whose checkpoints have records can not be renamed: the records go by path. */
static bool has_records(struct mount *mount, struct node *parent, const char *name)
{
	char path[PATH_MAX], records[PATH_MAX + 32];
	struct stat attributes;
	struct timespec born;

	if (node_path(&mount->nodes, parent, name, path))
		return true;
	snprintf(records, sizeof(records), STATE_DIR "/%s", path);
	return node_attributes(gate_store(mount->gate)->root, records, &attributes, &born) == 0;
}

static void remove_name(fuse_req_t req, fuse_ino_t parent_number, const char *name, int flags)
{
	struct mount *mount = mount_of(req);
	struct node *parent = node_of(mount, parent_number);
	struct gate_caller caller = caller_of(req);
	struct spot spot;
	int error;

	{
		AS_CALLER(req);
		error = spot_begin(&spot, mount, parent, name, &caller, GATE_CHANGE, GATE_CHANGE);
		if (error == -EPERM)
			error = -ENOENT; /* hidden: not there */
		if (!error && unlinkat(parent->directory, name, flags))
			error = -errno;
		if (!error)
			node_unlinked(&mount->nodes, parent, name);
		if (!error && spot.top)
			gate_vacated(spot.checkpoint);
		spot_end(&spot);
	}
	reply_status(req, error);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, 0);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, AT_REMOVEDIR);
}

/* ---- renaming ---- */

struct renaming {
	struct mount *mount;
	const struct gate_caller *caller;
	struct node *old_parent, *new_parent;
	const char *old_name, *new_name;
	unsigned int flags;
	struct spot from, to;
};

/* The target of a checkpoint that is renamed as a whole: it must be the same trial's, which opens it if need be. */
static int rename_into_checkpoint(struct renaming *renaming)
{
	struct spot *from = &renaming->from, *to = &renaming->to;
	struct mount *mount = renaming->mount;

	bool writes = spot_answer(from) == GATE_WRITER;
	int error = spot_begin(to, mount, renaming->new_parent, renaming->new_name, renaming->caller, GATE_LOOK, GATE_LOOK);
	if (error)
		return error;
	enum gate_answer answer = spot_answer(to);
	if (answer == GATE_SEALED)
		return -EROFS;
	if (answer == GATE_WAIT && to->view.state != STATE_FAILED)
		return to->view.state == STATE_PENDING && writes ? 0 : -EBUSY;
	if (renaming->flags & RENAME_EXCHANGE && (answer == GATE_WRITER) != writes)
		return -EXDEV;
	return 0;
}

static int claim_target(struct renaming *renaming)
{
	struct spot *to = &renaming->to;
	struct mount *mount = renaming->mount;
	bool plain_target = to->view.answer == GATE_PLAIN && to->view.has_data;
	bool writes = spot_answer(&renaming->from) == GATE_WRITER;

	/* plain onto nothing or plain stays plain */
	if (!writes && to->view.answer == GATE_PLAIN)
		return 0;
	if (plain_target) {
		int error = gate_claim(mount->gate, to->checkpoint, renaming->caller, NULL, &to->view);
		if (error)
			return error;
	}
	struct gate_view view;
	int error = gate_enter(mount->gate, to->checkpoint, renaming->caller, GATE_CLAIM, "", NULL, NULL, &view);
	if (!error)
		to->view = view;
	return error;
}

/* Which sides of the checkpoints' border the two ends are on. */
static int check_border(struct renaming *renaming)
{
	struct mount *mount = renaming->mount;
	unsigned int from = renaming->old_parent->depth + 1, to = renaming->new_parent->depth + 1;
	struct node_home a, b;

	if (from < mount->depth && to < mount->depth)
		return from == to || !has_records(mount, renaming->old_parent, renaming->old_name) ? 0 : -EXDEV;
	if (from == mount->depth && to == mount->depth)
		return 0;
	if (from <= mount->depth || to <= mount->depth)
		return -EXDEV;
	node_home(&mount->nodes, renaming->old_parent, &a);
	node_home(&mount->nodes, renaming->new_parent, &b);
	int error = a.checkpoint && a.checkpoint == b.checkpoint ? 0 : -EXDEV;
	node_home_put(&a);
	node_home_put(&b);
	return error;
}

static int admit_rename(struct renaming *renaming)
{
	struct mount *mount = renaming->mount;
	unsigned int depth = renaming->old_parent->depth + 1;

	int error = check_border(renaming);
	if (error)
		return error;
	if (depth < mount->depth && has_records(mount, renaming->old_parent, renaming->old_name)) {
		log_warning("'%s': can not be renamed: checkpoints below it have records, which go by path; copy it instead", renaming->old_name);
		return -EBUSY;
	}
	error = spot_begin(&renaming->from, mount, renaming->old_parent, renaming->old_name, renaming->caller, GATE_CHANGE, GATE_CHANGE);
	if (error)
		return error;
	if (depth != mount->depth)
		return spot_begin(&renaming->to, mount, renaming->new_parent, renaming->new_name, renaming->caller, GATE_LOOK, GATE_CHANGE);
	error = rename_into_checkpoint(renaming);
	return error ? error : claim_target(renaming);
}

static void note_rename(struct renaming *renaming)
{
	bool exchange = renaming->flags & RENAME_EXCHANGE;

	node_renamed(&renaming->mount->nodes, renaming->old_parent, renaming->old_name, renaming->new_parent, renaming->new_name, exchange);
	if (!renaming->from.top)
		return;
	if (exchange)
		gate_set_content(renaming->from.checkpoint, 0, 0);
	else
		gate_vacated(renaming->from.checkpoint);
	gate_set_content(renaming->to.checkpoint, 0, 0);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct mount *mount = mount_of(req);
	struct gate_caller caller = caller_of(req);
	struct renaming renaming = {.mount = mount,
				    .caller = &caller,
				    .old_parent = node_of(mount, parent),
				    .new_parent = node_of(mount, newparent),
				    .old_name = name,
				    .new_name = newname,
				    .flags = flags};
	int error;

	{
		AS_CALLER(req);
		error = admit_rename(&renaming);
		if (!error && renameat2(renaming.old_parent->directory, name, renaming.new_parent->directory, newname, flags))
			error = -errno;
		if (!error)
			note_rename(&renaming);
		spot_end(&renaming.from);
		spot_end(&renaming.to);
	}
	reply_status(req, error);
}
