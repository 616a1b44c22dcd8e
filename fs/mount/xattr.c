/* xattr.c - extended attributes, and two of our own on a checkpoint: user.sealfs.seal starts its seal, user.sealfs.state tells how it stands */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sealfs/log.h"

#define OWN_PREFIX "user.sealfs."
#define OWN_STATE OWN_PREFIX "state"
#define OWN_SEAL OWN_PREFIX "seal"

static bool is_own(const char *name)
{
	return !strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX));
}

/* The path of system calls that leads to exactly this inode and no other; fd is to be closed. For symlinks user.* does not exist anyhow. */
static int reach(struct mount *mount, struct node *node, int *fd, char path[64])
{
	struct place place;
	struct stat attributes;

	if (node->promise)
		return -ENODATA;
	if (node->directory >= 0) {
		*fd = fcntl(node->directory, F_DUPFD_CLOEXEC, 0);
	} else {
		int error = node_place(&mount->nodes, node, &place);
		if (error)
			return error;
		*fd = openat(place.directory, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		place_put(&place);
	}
	if (*fd < 0)
		return -errno;
	if (fstat(*fd, &attributes) || attributes.st_ino != node->key.inode || attributes.st_dev != node->key.device) {
		close(*fd);
		return -ESTALE;
	}
	snprintf(path, 64, "/proc/self/fd/%d", *fd);
	return S_ISLNK(node->type) ? -EOPNOTSUPP : 0;
}

static void reply_value(fuse_req_t req, size_t size, const char *value, ssize_t length)
{
	if (length < 0)
		reply_status(req, errno);
	else if (!size)
		fuse_reply_xattr(req, (size_t)length);
	else if ((size_t)length > size)
		reply_status(req, ERANGE);
	else
		fuse_reply_buf(req, value, (size_t)length);
}

static void reply_state(fuse_req_t req, struct node *node, size_t size)
{
	struct mount *mount = mount_of(req);
	struct node_home home;
	struct gate_status status;
	const char *state = NULL;
	int error = -ENODATA;

	node_home(&mount->nodes, node, &home);
	if (home.checkpoint && !*home.path) {
		AS_CALLER(req);
		error = gate_status(mount->gate, home.checkpoint, &status);
	}
	if (!error) {
		state = status.sealing ? "sealing" : state_name(status.state.kind);
		state_free(&status.state);
	}
	node_home_put(&home);
	if (error)
		reply_status(req, error);
	else
		reply_value(req, size, state, (ssize_t)strlen(state));
}

/* Only starts it: hashing here would hold the inode's lock. How it ended is in user.sealfs.state. */
static int start_seal(struct mount *mount, struct node *node, const struct gate_caller *caller)
{
	struct node_home home;
	char why[256] = "";

	node_home(&mount->nodes, node, &home);
	int error = home.checkpoint && !*home.path ? gate_seal(mount->gate, home.checkpoint, caller, why, sizeof(why)) : -EINVAL;
	if (error && *why)
		log_warning("'%s': can not be sealed: %s", gate_checkpoint_path(home.checkpoint), why);
	node_home_put(&home);
	return error;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct gate_caller caller = caller_of(req);
	struct admission admission;
	char path[64];
	int fd, error;

	{
		AS_CALLER(req);
		if (is_own(name)) {
			error = strcmp(name, OWN_SEAL) ? -EPERM : start_seal(mount, node, &caller);
		} else {
			error = admit(mount, node, NULL, &caller, GATE_CHANGE, &admission);
			if (!error && !(error = reach(mount, node, &fd, path))) {
				error = setxattr(path, name, value, size, flags) ? -errno : 0;
				close(fd);
			}
			admission_end(&admission);
		}
	}
	reply_status(req, error);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct gate_caller caller = caller_of(req);
	struct admission admission;
	char path[64];
	int fd, error;

	{
		AS_CALLER(req);
		error = is_own(name) ? -EPERM : 0;
		if (!error) {
			error = admit(mount, node, NULL, &caller, GATE_CHANGE, &admission);
			if (!error && !(error = reach(mount, node, &fd, path))) {
				error = removexattr(path, name) ? -errno : 0;
				close(fd);
			}
			admission_end(&admission);
		}
	}
	reply_status(req, error);
}

static void read_attribute(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	char *value = size ? malloc(size) : NULL;
	ssize_t length = -1;
	char path[64];
	int fd, error;

	{
		AS_CALLER(req);
		error = size && !value ? -ENOMEM : reach(mount, node, &fd, path);
		if (!error) {
			length = name ? getxattr(path, name, value, size) : listxattr(path, value, size);
			error = length < 0 ? -errno : 0;
			close(fd);
		}
	}
	if (error)
		reply_status(req, error);
	else
		reply_value(req, size, value, length);
	free(value);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (!strcmp(name, OWN_STATE))
		reply_state(req, node_of(mount_of(req), ino), size);
	else if (is_own(name))
		reply_status(req, ENODATA);
	else
		read_attribute(req, ino, name, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	read_attribute(req, ino, NULL, size);
}
