/* io.c - handles, and how the kernel reads and writes them: by passthrough where it can */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "kernel.h"
#include "sealfs/log.h"

void tell_no_descriptors(int error)
{
	static _Atomic time_t told;
	struct rlimit limit = {.rlim_cur = 0};
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	time_t last = told;
	if ((last && now.tv_sec - last < 60) || !atomic_compare_exchange_strong(&told, &last, now.tv_sec))
		return;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (error == ENFILE)
		log_error("this machine has no descriptors left (ENFILE): raise /proc/sys/fs/file-max");
	else
		log_error("this mount has no descriptors left (EMFILE; it may have %llu, and each directory that the kernel remembers takes one): mount it with a higher limit (ulimit -n; LimitNOFILE= in a unit), or as root; what is sealed or written is not affected",
			  (unsigned long long)limit.rlim_cur);
}

struct handle *handle_new(struct mount *mount, struct node *node, int fd)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	if (!handle)
		return NULL;
	pthread_mutex_init(&handle->lock, NULL);
	handle->fd = fd;
	handle->flock_fd = -1;
	if (node)
		handle->node = node_ref(&mount->nodes, node);
	pthread_mutex_lock(&mount->nodes.lock);
	DL_APPEND2(mount->handles, handle, all_prev, all_next);
	pthread_mutex_unlock(&mount->nodes.lock);
	return handle;
}

void handle_free(struct mount *mount, struct handle *handle)
{
	pthread_mutex_lock(&mount->nodes.lock);
	DL_DELETE2(mount->handles, handle, all_prev, all_next);
	pthread_mutex_unlock(&mount->nodes.lock);
	if (handle->fd >= 0)
		close(handle->fd);
	gate_write_closed(mount->gate, &handle->writing);
	control_release(mount, handle);
	tree_reader_free(handle->reader);
	gate_sealed_put(handle->sealed);
	free(handle->sealed_path);
	node_put(&mount->nodes, handle->node);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

void handles_free_all(struct mount *mount)
{
	while (mount->handles)
		handle_free(mount, mount->handles);
}

static bool is_writable(const struct handle *handle)
{
	return handle->writing.checkpoint || (fcntl(handle->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* A backing id of the kernel's for the handle's file. Under io_lock. */
static bool backing_open(struct mount *mount, struct node *node, int fd)
{
	struct kernel_backing_map map = {.fd = fd};

	int id = ioctl(mount->device, KERNEL_BACKING_OPEN, &map);
	if (id > 0) {
		node->backing_id = id;
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return false; /* this file through the daemon, later ones perhaps not */
	if (atomic_exchange(&mount->passthrough, false))
		log_notice("the kernel can not pass this export through (%s): content goes through the daemon", strerror(errno));
	return false;
}

/*
 * May the kernel keep what it has of the content? What was read after the file was changed behind the mount, by who had it open, must not outlive that it was put
 * right again.
 */
static bool cache_is_of(struct mount *mount, struct node *node, const struct stat *attributes)
{
	pthread_mutex_lock(&mount->nodes.io_lock);
	bool same = node->cached_of.tv_sec == attributes->st_ctim.tv_sec && node->cached_of.tv_nsec == attributes->st_ctim.tv_nsec;
	node->cached_of = attributes->st_ctim;
	pthread_mutex_unlock(&mount->nodes.io_lock);
	return same;
}

bool io_keep_sealed(struct mount *mount, struct handle *handle, struct gate_sealed *sealed, size_t index, const struct stat *attributes)
{
	/* the pages of a node from before the seal may be of a state from before it */
	if (!handle->node->key.entry)
		return false;
	handle->kept = !handle->reader && attributes->st_size <= IO_KEPT_SIZE;
	if (handle->kept) {
		handle->sealed = gate_sealed_ref(sealed);
		handle->index = index;
	}
	return cache_is_of(mount, handle->node, attributes);
}

void io_attach(struct mount *mount, struct handle *handle, bool keep_cache, uint32_t *open_flags, int32_t *backing_id)
{
	struct node *node = handle->node;

	pthread_mutex_lock(&mount->nodes.lock);
	DL_APPEND(node->handles, handle);
	pthread_mutex_unlock(&mount->nodes.lock);

	/* all that have an inode open must be of one kind, so the first decides */
	pthread_mutex_lock(&mount->nodes.io_lock);
	if (node->io_count++ == 0) {
		bool through = mount->passthrough && !handle->reader && !handle->kept && backing_open(mount, node, handle->fd);
		node->io = through ? NODE_IO_PASSTHROUGH : NODE_IO_DAEMON;
	}
	handle->passthrough = node->io == NODE_IO_PASSTHROUGH;
	*backing_id = handle->passthrough ? node->backing_id : 0;
	pthread_mutex_unlock(&mount->nodes.io_lock);

	*open_flags = handle->passthrough ? KERNEL_FOPEN_PASSTHROUGH : keep_cache ? KERNEL_FOPEN_KEEP_CACHE : 0;
	/* what is sealed nobody writes, so its locks are of no use to anybody */
	handle->keeps_locks = mount->posix_locks && !node->key.entry;
	if (!handle->keeps_locks && (!mount->remote || !is_writable(handle)))
		*open_flags |= KERNEL_FOPEN_NOFLUSH;
}

bool io_is_passed_through(struct mount *mount, struct node *node)
{
	pthread_mutex_lock(&mount->nodes.io_lock);
	bool through = node->io_count && node->io == NODE_IO_PASSTHROUGH;
	pthread_mutex_unlock(&mount->nodes.io_lock);
	return through;
}

void io_detach(struct mount *mount, struct handle *handle)
{
	struct node *node = handle->node;
	uint32_t id = 0;

	pthread_mutex_lock(&mount->nodes.io_lock);
	if (--node->io_count == 0) {
		if (node->io == NODE_IO_PASSTHROUGH)
			id = (uint32_t)node->backing_id;
		node->io = NODE_IO_CLOSED;
		node->backing_id = 0;
	}
	if (id && ioctl(mount->device, KERNEL_BACKING_CLOSE, &id))
		log_error("can not close backing file %u: %s", id, strerror(errno));
	pthread_mutex_unlock(&mount->nodes.io_lock);

	pthread_mutex_lock(&mount->nodes.lock);
	DL_DELETE(node->handles, handle);
	pthread_mutex_unlock(&mount->nodes.lock);
}

static struct kernel_open_out open_out(const struct handle *handle, uint32_t open_flags, int32_t backing_id)
{
	return (struct kernel_open_out){.fh = (uint64_t)(uintptr_t)handle, .open_flags = open_flags, .backing_id = backing_id};
}

/* An error of the answer means that the caller has gone: nobody will release what was opened. */
static void undo_open(struct mount *mount, struct handle *handle)
{
	io_detach(mount, handle);
	handle_free(mount, handle);
}

/* The answers are made by hand: libfuse 3.14 knows nothing of backing ids. */
void reply_open(fuse_req_t req, struct mount *mount, struct handle *handle, uint32_t open_flags, int32_t backing_id)
{
	struct kernel_open_out out = open_out(handle, open_flags, backing_id);
	if (fuse_reply_buf(req, (const char *)&out, sizeof(out)))
		undo_open(mount, handle);
}

static void seconds_of(double timeout, uint64_t *seconds, uint32_t *nanoseconds)
{
	*seconds = (uint64_t)timeout;
	*nanoseconds = (uint32_t)((timeout - (double)*seconds) * 1e9);
}

static void fill_attributes(const struct stat *from, struct fuse_attr *to)
{
	to->ino = from->st_ino;
	to->mode = from->st_mode;
	to->nlink = (uint32_t)from->st_nlink;
	to->uid = from->st_uid;
	to->gid = from->st_gid;
	to->rdev = (uint32_t)from->st_rdev;
	to->size = (uint64_t)from->st_size;
	to->blksize = (uint32_t)from->st_blksize;
	to->blocks = (uint64_t)from->st_blocks;
	to->atime = (uint64_t)from->st_atim.tv_sec;
	to->mtime = (uint64_t)from->st_mtim.tv_sec;
	to->ctime = (uint64_t)from->st_ctim.tv_sec;
	to->atimensec = (uint32_t)from->st_atim.tv_nsec;
	to->mtimensec = (uint32_t)from->st_mtim.tv_nsec;
	to->ctimensec = (uint32_t)from->st_ctim.tv_nsec;
}

void reply_create(fuse_req_t req, struct mount *mount, const struct fuse_entry_param *entry, struct handle *handle, uint32_t open_flags,
		  int32_t backing_id)
{
	struct {
		struct fuse_entry_out entry;
		struct kernel_open_out open;
	} out;

	memset(&out, 0, sizeof(out));
	out.entry.nodeid = entry->ino;
	out.entry.generation = entry->generation;
	seconds_of(entry->entry_timeout, &out.entry.entry_valid, &out.entry.entry_valid_nsec);
	seconds_of(entry->attr_timeout, &out.entry.attr_valid, &out.entry.attr_valid_nsec);
	fill_attributes(&entry->attr, &out.entry.attr);
	out.open = open_out(handle, open_flags, backing_id);
	struct node *node = handle->node;
	if (fuse_reply_buf(req, (const char *)&out, sizeof(out))) {
		node_ref(&mount->nodes, node);
		undo_open(mount, handle);
		node_forget(&mount->nodes, node, 1);
		node_put(&mount->nodes, node);
	}
}
