/* rename.c - renaming: within a checkpoint, of a checkpoint as a whole, and above them */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <limits.h>
#include <stdio.h>

#include "sealfs/log.h"

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

/*
 * Who has a live file open is not known, and its other names stay open to all: it can not become one that is sealed. Another file becomes a live one if that is its
 * only name: so a live file is replaced at a stroke. No directory is live.
 */
static int check_liveness(const struct renaming *renaming)
{
	const struct admission *from = &renaming->from.admission, *to = &renaming->to.admission;
	struct stat attributes;

	if (!from->mount || !to->mount || from->live == to->live)
		return 0;
	if (fstatat(renaming->old_parent->directory, renaming->old_name, &attributes, AT_SYMLINK_NOFOLLOW))
		return -errno;
	bool exchange = renaming->flags & RENAME_EXCHANGE;
	return !exchange && (S_ISDIR(attributes.st_mode) || (to->live && attributes.st_nlink == 1)) ? 0 : -EXDEV;
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
	if (depth != mount->depth) {
		error = spot_begin(&renaming->to, mount, renaming->new_parent, renaming->new_name, renaming->caller, GATE_LOOK, GATE_CHANGE);
		return error ? error : check_liveness(renaming);
	}
	error = rename_into_checkpoint(renaming);
	return error ? error : claim_target(renaming);
}

static void note_rename(struct renaming *renaming)
{
	bool exchange = renaming->flags & RENAME_EXCHANGE;

	node_renamed(&renaming->mount->nodes, renaming->old_parent, renaming->old_name, renaming->new_parent, renaming->new_name, exchange);
	if (!renaming->from.top)
		return;
	gate_renamed(renaming->mount->gate, renaming->from.checkpoint, renaming->to.checkpoint, exchange);
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
