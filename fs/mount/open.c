/* open.c - files of the export are opened: the right ones, and nothing that holds up a thread for long */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 2000000

/*
 * Never waits in the export: a FIFO may have been put where a file was. Where somebody has a lease on the file (an NFS server that has delegated it), the kernel has
 * it called back then, but says EAGAIN; who did not ask for that waits here, until it is given back or taken away (/proc/sys/fs/lease-break-time), and can be killed.
 */
static int open_patiently(fuse_req_t req, int directory, const char *name, int flags)
{
	struct timespec pause = {.tv_nsec = PAUSE_NS};

	for (;;) {
		int fd = openat(directory, name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != EAGAIN || flags & O_NONBLOCK)
			return -errno;
		if (fuse_req_interrupted(req))
			return -EINTR;
		nanosleep(&pause, NULL);
	}
}

/* A descriptor for reading does not do for that; but who may write the file may open it so. */
static int cut(int fd, int flags)
{
	char path[64];

	if ((flags & O_ACCMODE) != O_RDONLY)
		return ftruncate(fd, 0) ? -errno : 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return truncate(path, 0) ? -errno : 0;
}

/* Of one that was unlinked, but is open somewhere: by way of that descriptor. */
static int open_unlinked(struct mount *mount, const struct node *node, int flags, struct stat *attributes)
{
	char path[64];

	pthread_mutex_lock(&mount->nodes.lock);
	int fd = node->handles ? node->handles->fd : -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = fd < 0 ? -1 : open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	pthread_mutex_unlock(&mount->nodes.lock);
	if (fd >= 0 && fstat(fd, attributes)) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? -ESTALE : fd;
}

/* Another file has come to the name, or something that is none: then the kernel walks the path again. */
static int left_to_the_kernel(int error)
{
	return error == -ELOOP || error == -ENXIO ? -ESTALE : error;
}

int open_node(fuse_req_t req, struct node *node, int flags, struct stat *attributes)
{
	struct mount *mount = mount_of(req);
	struct place place;

	flags &= ~(O_CREAT | O_EXCL | O_DIRECT);
	int error = node_place(&mount->nodes, node, &place);
	if (error)
		return open_unlinked(mount, node, flags, attributes);
	/* what is not the node's file must not be truncated */
	int fd = open_patiently(req, place.directory, place.name, (flags & ~O_TRUNC) | O_NOFOLLOW);
	place_put(&place);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : left_to_the_kernel(fd);
	if (fstat(fd, attributes))
		error = -errno;
	else if (attributes->st_ino != node->key.inode || attributes->st_dev != node->key.device)
		error = -ESTALE;
	else if (flags & O_TRUNC)
		error = cut(fd, flags);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int open_or_make(struct node *parent, const char *name, int flags, mode_t mode)
{
	struct stat attributes;

	int fd = openat(parent->directory, name, (flags & ~O_DIRECT) | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
	/* the kernel has the directory locked meanwhile: a lease on a file that came under the name is waited for when the kernel opens that one */
	if (fd < 0)
		return errno == EAGAIN ? -ESTALE : left_to_the_kernel(-errno);
	if (!fstat(fd, &attributes) && S_ISREG(attributes.st_mode))
		return fd;
	close(fd);
	return -ESTALE;
}
