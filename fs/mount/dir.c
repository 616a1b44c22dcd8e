/* dir.c - listings */
#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"
#include "sealfs/log.h"

#define LISTING_SIZE 32768 /* bytes of directory entries read at once */
#define SETTLED_NS 200000000 /* far more than a tick of any file server's clock */

struct raw_entry {
	uint64_t ino;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

/* A sealed directory shows what its manifest has, and live files. */
static bool shown(struct mount *mount, const struct handle *handle, const char *name)
{
	char path[NODE_PATH_MAX];

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	if (name_hidden(mount, handle->node, name))
		return false;
	if (!handle->sealed || manifest_name_live(gate_config(mount->gate)->live, name))
		return true;
	const char *below = handle->sealed_path;
	if (snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "", name) >= (int)sizeof(path))
		return false;
	return sealed_entry(handle->sealed, path) != NULL;
}

/* Of one that is shown: is it there because the manifest has it? */
static bool is_sealed_name(struct mount *mount, const char *name)
{
	return strcmp(name, ".") && strcmp(name, "..") && !manifest_name_live(gate_config(mount->gate)->live, name);
}

/* How many entries of the manifest stand directly in this directory. */
static size_t expected_count(const struct handle *handle)
{
	size_t first, end, count = 0, prefix = strlen(handle->sealed_path);

	manifest_range(&handle->sealed->manifest, handle->sealed_path, &first, &end);
	for (size_t i = first; i < end; i++) {
		const char *rest = handle->sealed->manifest.entries[i].path + (prefix ? prefix + 1 : 0);
		count += !strchr(rest, '/');
	}
	return count;
}

/* Is everything there that was sealed? Asked at an open: what is missing then is missing from the first name on. */
static int check_complete(struct mount *mount, struct handle *handle)
{
	char buffer[LISTING_SIZE] __attribute__((aligned(8)));
	size_t found = 0;
	ssize_t size;

	while ((size = syscall(SYS_getdents64, handle->fd, buffer, sizeof(buffer))) > 0) {
		for (char *at = buffer; at < buffer + size; at += ((struct raw_entry *)at)->size) {
			const char *name = ((struct raw_entry *)at)->name;
			found += shown(mount, handle, name) && is_sealed_name(mount, name);
		}
	}
	if (size < 0 || lseek(handle->fd, 0, SEEK_SET) < 0)
		return -errno;
	if (found == expected_count(handle))
		return 0;
	return sealed_contradicted(mount, handle->sealed, handle->sealed_path, "names are missing in it");
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static int64_t since(clockid_t clock, const struct timespec *then)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)(now.tv_sec - then->tv_sec) * 1000000000 + now.tv_nsec - then->tv_nsec;
}

/* A directory with this change time, looked at for a seal. */
struct look {
	struct timespec changed;
	uint64_t seal; /* the beginning of its root digest */
	bool complete; /* it was found complete, and what the kernel has kept of it was read since then */
	bool settled;  /* what is found now is what there is for as long as it has this time: a change would be given a later one, be the clock ever so coarse */
};

static void look_at(struct mount *mount, struct node *node, const struct stat *attributes, struct look *look)
{
	uint64_t now = (uint64_t)since(CLOCK_MONOTONIC, &(struct timespec){0, 0});

	look->changed = attributes->st_ctim;
	pthread_mutex_lock(&mount->nodes.io_lock);
	if (!same_time(&node->cached_of, &look->changed)) {
		node->cached_of = look->changed;
		node->cached_ns = now;
		node->complete = 0;
	}
	look->complete = node->complete == look->seal;
	look->settled = now - node->cached_ns > SETTLED_NS;
	pthread_mutex_unlock(&mount->nodes.io_lock);
	/* a file server's clock is another one */
	if (!mount->remote && since(CLOCK_REALTIME, &look->changed) > SETTLED_NS)
		look->settled = true;
}

static void remember_complete(struct mount *mount, struct node *node, const struct look *look)
{
	if (!look->settled)
		return;
	pthread_mutex_lock(&mount->nodes.io_lock);
	if (same_time(&node->cached_of, &look->changed))
		node->complete = look->seal;
	pthread_mutex_unlock(&mount->nodes.io_lock);
}

/* A directory that has not changed since it was found complete need not be asked again, and the kernel may show what it has kept. */
static int open_sealed(struct mount *mount, struct handle *handle)
{
	struct stat attributes;
	struct look look;

	if (fstat(handle->fd, &attributes))
		return -errno;
	memcpy(&look.seal, handle->sealed->root.bytes, sizeof(look.seal));
	look_at(mount, handle->node, &attributes, &look);
	handle->kept = look.complete;
	if (look.complete)
		return 0;
	int error = check_complete(mount, handle);
	if (!error)
		remember_complete(mount, handle->node, &look);
	return error;
}

static int open_directory(struct mount *mount, struct node *node, struct admission *admission, struct handle **out)
{
	int fd = openat(node->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct handle *handle = handle_new(mount, node, fd);
	if (!handle) {
		close(fd);
		return -ENOMEM;
	}
	int error = 0;
	if (admission->view.answer == GATE_SEALED && !admission->live) {
		handle->sealed = admission->view.sealed;
		admission->view.sealed = NULL;
		handle->sealed_path = strdup(admission->home.path);
		error = handle->sealed_path ? open_sealed(mount, handle) : -ENOMEM;
	}
	if (error)
		handle_free(mount, handle);
	else
		*out = handle;
	return error;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct node *node = node_of(mount, ino);
	struct admission admission;
	struct handle *handle = NULL;
	int error;

	/* glibc's opendir() always sets O_NONBLOCK, and O_DIRECTORY with it: only a plain open() may ask not to wait */
	bool may_wait = !(fi->flags & O_NONBLOCK) || fi->flags & O_DIRECTORY;
	{
		AS_CALLER(req);
		error = admit_reader(req, node, GATE_READ, may_wait, &admission);
		if (!error && node->promise)
			error = -ESTALE; /* it has come true */
		if (!error)
			error = open_directory(mount, node, &admission, &handle);
		admission_end(&admission);
	}
	if (error == 1)
		return; /* parked */
	if (error) {
		reply_status(req, error);
		return;
	}
	uint32_t flags = (handle->sealed ? KERNEL_FOPEN_CACHE_DIR : 0) | (handle->kept ? KERNEL_FOPEN_KEEP_CACHE : 0);
	struct kernel_open_out out = {.fh = (uint64_t)(uintptr_t)handle, .open_flags = flags};
	if (fuse_reply_buf(req, (const char *)&out, sizeof(out)))
		handle_free(mount, handle);
}

/* Copies what is shown of one buffer of entries into the answer; false when it is full. */
static bool add_entries(fuse_req_t req, struct mount *mount, struct handle *handle, char *buffer, ssize_t size, char *answer,
			size_t answer_size, size_t *used)
{
	for (char *at = buffer; at < buffer + size; at += ((struct raw_entry *)at)->size) {
		struct raw_entry *raw = (struct raw_entry *)at;
		struct stat attributes = {.st_ino = raw->ino, .st_mode = (mode_t)raw->type << 12};
		if (!shown(mount, handle, raw->name))
			continue;
		size_t need = fuse_add_direntry(req, answer + *used, answer_size - *used, raw->name, &attributes, raw->next);
		if (need > answer_size - *used)
			return false;
		*used += need;
		handle->listed += is_sealed_name(mount, raw->name);
		if (handle->listed_to >= 0)
			handle->listed_to = raw->next;
	}
	return true;
}

/* At the end of a sealed listing: the directory may have been removed while it was read, and a listing is never silently shorter. */
static int check_listed(struct mount *mount, const struct handle *handle)
{
	if (!handle->sealed || handle->listed_to < 0 || handle->listed == handle->expected)
		return 0;
	return sealed_contradicted(mount, handle->sealed, handle->sealed_path, "names vanished from it while it was listed");
}

/* Offsets are those of the export's directory, so they are as stable as its. */
static int read_directory(fuse_req_t req, struct mount *mount, struct handle *handle, off_t off, char *answer, size_t answer_size, size_t *used)
{
	char buffer[LISTING_SIZE] __attribute__((aligned(8)));
	size_t chunk = answer_size < sizeof(buffer) ? answer_size : sizeof(buffer);

	if (lseek(handle->fd, off, SEEK_SET) < 0)
		return -errno;
	if (!off) {
		handle->listed = 0;
		handle->expected = handle->sealed ? expected_count(handle) : 0;
	}
	if (!off || off != handle->listed_to)
		handle->listed_to = off ? -1 : 0;
	for (;;) {
		ssize_t size = syscall(SYS_getdents64, handle->fd, buffer, chunk < 1024 ? 1024 : chunk);
		/* a directory that was removed answers ENOENT, which readdir(3) takes for the end */
		if (size < 0 && (errno != ENOENT || !handle->sealed))
			return -errno;
		if (size <= 0)
			return *used ? 0 : check_listed(mount, handle);
		if (!add_entries(req, mount, handle, buffer, size, answer, answer_size, used))
			return 0;
	}
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *mount = mount_of(req);
	struct handle *handle = handle_of(fi);
	size_t used = 0;
	char *answer = malloc(size);
	int error = -ENOMEM;

	if (answer) {
		AS_CALLER(req);
		pthread_mutex_lock(&handle->lock);
		error = read_directory(req, mount, handle, off, answer, size, &used);
		pthread_mutex_unlock(&handle->lock);
	}
	if (error)
		reply_status(req, error);
	else
		fuse_reply_buf(req, answer, used);
	free(answer);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	handle_free(mount_of(req), handle_of(fi));
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	reply_status(req, fsync(handle_of(fi)->fd) ? errno : 0);
}
