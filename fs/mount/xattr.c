/* xattr.c - extended attributes, and two of our own on a checkpoint: user.sealfs.seal starts its seal, user.sealfs.state tells how it stands */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/log.h"

#define OWN_PREFIX "user.sealfs."
#define OWN_STATE OWN_PREFIX "state"
#define OWN_SEAL OWN_PREFIX "seal"

static bool is_own(const char *name)
{
	return !strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX));
}

/* The path of system calls that leads to exactly this inode and no other; fd is to be closed. Of a symlink it leads to the symlink itself. */
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
	return 0;
}

static void reply_value(fuse_req_t req, size_t size, const char *value, ssize_t length)
{
	if (!size)
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

/* From now on what the file was made with says nothing about its attributes. */
static void forget_made(struct mount *mount, struct node *node)
{
	struct handle *handle;

	pthread_mutex_lock(&mount->nodes.lock);
	DL_FOREACH(node->handles, handle)
	{
		handle->made_ns = 0;
	}
	pthread_mutex_unlock(&mount->nodes.lock);
}

/* Of a file that the mount has just made nobody need be asked what the kernel asks before the first write to it: it has no attributes yet. */
static bool was_just_made(struct mount *mount, struct node *node)
{
	struct handle *handle;
	bool made = false;

	pthread_mutex_lock(&mount->nodes.lock);
	DL_FOREACH(node->handles, handle)
	{
		made |= handle->made_ns && waiters_now_ns() - handle->made_ns < CREATED_NS;
	}
	pthread_mutex_unlock(&mount->nodes.lock);
	return made;
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
			forget_made(mount, node);
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

/* What anybody may set is content and waits as that does. The rest (security.*, system.*) the kernel asks for in the middle of other things. */
static bool is_content(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8);
}

/* Leaves only the names in a list that are no content; returns its new length. */
static ssize_t without_content(char *names, ssize_t length)
{
	ssize_t kept = 0;

	for (ssize_t at = 0, size; at < length; at += size) {
		size = (ssize_t)strnlen(names + at, (size_t)(length - at)) + 1;
		if (is_content(names + at))
			continue;
		memmove(names + kept, names + at, (size_t)size);
		kept += size;
	}
	return kept;
}

/* Whoever may not pass is shown what a directory shows to everybody. */
static bool may_pass(struct mount *mount, struct node *node, const struct gate_caller *caller)
{
	struct admission admission;

	bool passes = !admit(mount, node, NULL, caller, GATE_LOOK, &admission) && admission.view.answer != GATE_WAIT;
	admission_end(&admission);
	return passes;
}

/*
 * A duplicate of a descriptor that is open on the node, or -1. By it the kernel's question for security.capability before the first write to each new file costs no
 * walk of its path. Of a network file system, closing the duplicate would write back what is in its cache, and take the error away from the writer.
 */
static int copy_of_open(struct mount *mount, struct node *node)
{
	int fd = -1;

	if (mount->remote)
		return fd;
	pthread_mutex_lock(&mount->nodes.lock);
	if (node->handles)
		fd = fcntl(node->handles->fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&mount->nodes.lock);
	return fd;
}

static ssize_t value_by_path(const char *path, const char *name, char *value, size_t room)
{
	ssize_t length = name ? getxattr(path, name, value, room) : listxattr(path, value, room);
	return length < 0 ? -errno : length;
}

static ssize_t value_by_descriptor(int fd, const char *name, char *value, size_t room)
{
	ssize_t length = name ? fgetxattr(fd, name, value, room) : flistxattr(fd, value, room);
	return length < 0 ? -errno : length;
}

/* `name` NULL: the list of names; with `hide` without those that are content. *value is allocated. */
static int read_attribute(struct mount *mount, struct node *node, const char *name, size_t size, bool hide, char **value, ssize_t *length)
{
	size_t room = hide ? XATTR_LIST_MAX : size;
	char path[64];

	if (room && !(*value = malloc(room)))
		return -ENOMEM;
	int fd = copy_of_open(mount, node);
	bool open = fd >= 0;
	int error = open ? 0 : reach(mount, node, &fd, path);
	if (error)
		return error;
	*length = open ? value_by_descriptor(fd, name, *value, room) : value_by_path(path, name, *value, room);
	error = *length < 0 ? (int)*length : 0;
	close(fd);
	if (!error && hide)
		*length = without_content(*value, *length);
	return error;
}

static void answer_attribute(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct gate_caller caller = caller_of(req);
	struct admission admission;
	bool directory = S_ISDIR(node->type) && !node->promise, hide = false;
	ssize_t length = 0;
	char *value = NULL;
	int error = 0;

	admission_none(mount, &admission);
	{
		AS_CALLER(req);
		/* directories show themselves to everybody at once: `ls -l` of what is above them must not wait */
		if (directory && !name)
			hide = !may_pass(mount, node, &caller);
		else if (!name || is_content(name))
			error = admit_reader(req, node, GATE_STAT, true, &admission);
		if (!error && admission.home.checkpoint && node->promise)
			error = -ESTALE; /* it has come true */
		if (!error)
			error = read_attribute(mount, node, name, size, hide, &value, &length);
		admission_end(&admission);
	}
	if (error == 1)
		return; /* parked */
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
	else if (is_own(name) || (!strcmp(name, XATTR_NAME_CAPS) && was_just_made(mount_of(req), node_of(mount_of(req), ino))))
		reply_status(req, ENODATA);
	else
		answer_attribute(req, ino, name, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	answer_attribute(req, ino, NULL, size);
}
