/* remove.c - removing names */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

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
