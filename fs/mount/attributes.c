/* attributes.c - attributes and links' targets, shown and changed */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/intent.h"
#include "sealfs/log.h"

void promise_attributes(const struct node *node, struct stat *out)
{
	memset(out, 0, sizeof(*out));
	out->st_ino = node->key.inode;
	out->st_mode = node->type | (S_ISDIR(node->type) ? 0555 : 0666);
	out->st_nlink = S_ISDIR(node->type) ? 2 : 1;
}

/* By a file that is open on the node: it may have no name any more. */
static int stat_open(struct mount *mount, struct node *node, struct stat *out)
{
	pthread_mutex_lock(&mount->nodes.lock);
	int fd = node->handles ? node->handles->fd : -1;
	int error = fd < 0 ? -ESTALE : fstat(fd, out) ? -errno : 0;
	pthread_mutex_unlock(&mount->nodes.lock);
	return error;
}

int node_stat(struct mount *mount, struct node *node, struct stat *out)
{
	struct timespec born;
	struct place place;

	if (node->directory >= 0)
		return fstat(node->directory, out) ? -errno : 0;
	int error = node_place(&mount->nodes, node, &place);
	if (!error) {
		error = node_attributes(place.directory, place.name, out, &born);
		place_put(&place);
	}
	/* another file has taken the name behind our back */
	if (!error && (out->st_ino != node->key.inode || out->st_dev != node->key.device))
		error = -ESTALE;
	if (error == -ESTALE || error == -ENOENT)
		error = stat_open(mount, node, out);
	return error;
}

static double attribute_timeout(const struct node *node, const struct admission *admission)
{
	if (admission->view.answer != GATE_SEALED || admission->live)
		return S_ISDIR(node->type) ? DIRECTORY_TIMEOUT : 0;
	return *admission->home.path ? SEALED_TIMEOUT : CHECKPOINT_TIMEOUT;
}

/* Of what a failed generation has left: the kernel's permission checks need the mode, and nobody needs the rest. */
static void hide_wreck(struct stat *attributes)
{
	attributes->st_size = 0;
	attributes->st_blocks = 0;
	attributes->st_atim = attributes->st_mtim = attributes->st_ctim = (struct timespec){0, 0};
}

/* Attributes of a file that its reader may not see yet, or never. Those that only serve to check an open's permissions are given: OPEN decides. */
static int refused_attributes(fuse_req_t req, struct node *node, int refusal, struct stat *attributes)
{
	struct mount *mount = mount_of(req);
	bool failed = refusal == -EOWNERDEAD;
	enum intent intent = intent_of(fuse_req_ctx(req)->pid);

	if (intent == INTENT_OTHER || (intent == INTENT_UNKNOWN && !failed))
		return refusal;
	if (node->promise) {
		promise_attributes(node, attributes);
		return 0;
	}
	int error = node_stat(mount, node, attributes);
	if (!error && failed)
		hide_wreck(attributes);
	return error;
}

static int file_attributes(fuse_req_t req, struct node *node, struct admission *admission, struct stat *attributes)
{
	struct mount *mount = mount_of(req);

	int error = admit_reader(req, node, GATE_STAT, false, admission);
	if (error == -EAGAIN || error == -EOWNERDEAD) {
		int refused = refused_attributes(req, node, error, attributes);
		if (refused != -EAGAIN)
			return refused;
	}
	if (error == -EAGAIN) {
		admission_end(admission);
		error = admit_reader(req, node, GATE_STAT, true, admission);
	}
	if (!error && node->promise)
		error = -ESTALE; /* it has come true */
	return error ? error : node_stat(mount, node, attributes);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct gate_caller anybody = {.tid = 0};
	struct admission admission;
	struct stat attributes;
	double timeout = 0;
	int error;

	admission_none(mount, &admission);
	{
		AS_CALLER(req);
		/* a real directory is answered at once: the kernel may ask with that directory's lock held */
		bool directory = S_ISDIR(node->type) && !node->promise;
		if (directory)
			admit(mount, node, NULL, &anybody, GATE_LOOK, &admission); /* for the time-out alone, which is the same for all */
		error = directory || fi ? node_stat(mount, node, &attributes) : file_attributes(req, node, &admission, &attributes);
		if (!error)
			timeout = attribute_timeout(node, &admission);
		admission_end(&admission);
	}
	if (error == 1)
		return; /* parked */
	if (error)
		reply_status(req, error);
	else
		fuse_reply_attr(req, &attributes, timeout);
}

static int read_link(struct mount *mount, struct node *node, const struct admission *admission, char *target, size_t size)
{
	struct place place;

	int error = node_place(&mount->nodes, node, &place);
	if (error)
		return error;
	ssize_t length = readlinkat(place.directory, place.name, target, size - 1);
	error = length < 0 ? -errno : 0;
	place_put(&place);
	bool sealed = admission->view.answer == GATE_SEALED && !admission->live;
	if (sealed && (error == -ENOENT || error == -EINVAL))
		return sealed_contradicted(mount, admission->view.sealed, admission->home.path, "it is no symlink any more");
	if (length < 0)
		return error;
	target[length] = '\0';
	if (!sealed)
		return 0;
	const struct manifest_entry *entry = sealed_entry(admission->view.sealed, admission->home.path);
	if (entry && entry->type == MANIFEST_SYMLINK && !strcmp(entry->target, target))
		return 0;
	return sealed_contradicted(mount, admission->view.sealed, admission->home.path, "its target differs");
}

/* A path that leads through a link which its reader may not see yet. Who wants to change something at its end is refused at
 * once, who does not want to wait need not, all others wait. */
static int admit_link(fuse_req_t req, struct node *node, struct admission *admission)
{
	struct gate_caller caller = caller_of(req);

	int error = admit_reader(req, node, GATE_READ, false, admission);
	if (error != -EAGAIN)
		return error;
	enum intent intent = intent_of(caller.tid);
	if (intent == INTENT_OPEN_AT_ONCE)
		return error;
	admission_end(admission);
	if (intent == INTENT_CREATE || intent == INTENT_CHANGE) {
		error = admit(mount_of(req), node, NULL, &caller, GATE_CHANGE, admission);
		return error == -EROFS ? -ESTALE : error; /* sealed meanwhile: that it may be read is enough */
	}
	return admit_reader(req, node, GATE_READ, true, admission);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct admission admission;
	char target[PATH_MAX];
	int error;

	{
		AS_CALLER(req);
		error = admit_link(req, node, &admission);
		if (!error)
			error = read_link(mount, node, &admission, target, sizeof(target));
		admission_end(&admission);
	}
	if (error == 1)
		return; /* parked */
	if (error)
		reply_status(req, error);
	else
		fuse_reply_readlink(req, target);
}

/* ---- changing them ---- */

/* A path through which system calls that have no variant for descriptors reach exactly this inode. */
static void magic_path(int fd, char path[64])
{
	snprintf(path, 64, "/proc/self/fd/%d", fd);
}

/* An O_PATH descriptor of the node itself (never of what a symlink points to), or a duplicate of one that is open on it. */
static int open_path(struct mount *mount, struct node *node)
{
	struct place place;
	struct stat attributes;
	int fd;

	if (node->directory >= 0) {
		fd = fcntl(node->directory, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	int error = node_place(&mount->nodes, node, &place);
	if (!error) {
		fd = openat(place.directory, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		error = fd < 0 ? -errno : 0;
		place_put(&place);
		if (!error && !fstat(fd, &attributes) && attributes.st_ino == node->key.inode && attributes.st_dev == node->key.device)
			return fd;
		if (!error)
			close(fd);
	}
	pthread_mutex_lock(&mount->nodes.lock);
	fd = node->handles ? fcntl(node->handles->fd, F_DUPFD_CLOEXEC, 0) : -1;
	pthread_mutex_unlock(&mount->nodes.lock);
	return fd >= 0 ? fd : error ? error : -ESTALE;
}

#define SET_SOMETHING (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)

static int set_owner_and_mode(int fd, const struct stat *attr, int to_set)
{
	char path[64];

	magic_path(fd, path);
	/* to change nothing is how the kernel asks for what a change of the content or of the owner does to the set-id bits, and chown(-1, -1) does it */
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) || !(to_set & SET_SOMETHING)) {
		uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
		gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
		if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH))
			return -errno;
	}
	if (to_set & FUSE_SET_ATTR_MODE && chmod(path, attr->st_mode))
		return -errno;
	return 0;
}

static int set_size(int fd, const struct handle *handle, off_t size)
{
	char path[64];

	if (handle)
		return ftruncate(handle->fd, size) ? -errno : 0;
	magic_path(fd, path);
	return truncate(path, size) ? -errno : 0;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (!(to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)))
		return 0;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (to_set & FUSE_SET_ATTR_MTIME)
		times[1] = attr->st_mtim;
	return utimensat(fd, "", times, AT_EMPTY_PATH) ? -errno : 0;
}

static int set_attributes(struct mount *mount, struct node *node, const struct stat *attr, int to_set, const struct handle *handle,
			  struct stat *out)
{
	int fd = open_path(mount, node);
	if (fd < 0)
		return fd;
	int error = to_set & FUSE_SET_ATTR_SIZE ? set_size(fd, handle, attr->st_size) : 0;
	if (!error)
		error = set_owner_and_mode(fd, attr, to_set);
	if (!error)
		error = set_times(fd, attr, to_set);
	close(fd);
	return error ? error : node_stat(mount, node, out);
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct gate_caller caller = caller_of(req);
	struct admission admission;
	struct stat attributes;
	int error;

	{
		AS_CALLER(req);
		error = admit(mount, node, NULL, &caller, GATE_CHANGE, &admission);
		if (!error && node->promise)
			error = -EBUSY;
		if (!error)
			error = set_attributes(mount, node, attr, to_set, fi ? handle_of(fi) : NULL, &attributes);
		admission_end(&admission);
	}
	if (error)
		reply_status(req, error);
	else
		fuse_reply_attr(req, &attributes, 0);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *mount = mount_of(req);
	struct statvfs out;

	if (fstatvfs(mount->nodes.root->directory, &out))
		reply_status(req, errno);
	else
		fuse_reply_statfs(req, &out);
}
