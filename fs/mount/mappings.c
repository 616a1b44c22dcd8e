/*
 * mappings.c - files that are mapped so that they can still be written, though they are closed
 *
 * Where the kernel passes content through, a mapping is one of the export's file: it does not keep the file of the mount open, and its release comes when the
 * last descriptor is closed. That a process goes on storing is to be seen in /proc/PID/maps, which names such a mapping by the mount's device. To read those of all
 * processes takes a while; where the export's file system has leases, it says first whether anybody has a file open for writing, as a mapping does.
 */
#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sealfs/identity.h"

#define PASSES 8 /* for processes that are started while we look */

struct search {
	struct mount *mount;
	const struct gate_checkpoint *checkpoint;
	pid_t *seen; /* sorted: /proc is listed in order */
	size_t count, capacity;
	int untold; /* -errno: why it can not be told of all of them; 0 */
};

/* *error: -ESRCH when it is gone, or has no memory (any more). */
static FILE *open_of_thread(pid_t pid, pid_t tid, const char *name, int *error)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	FILE *file = fopen(path, "re");
	*error = file ? 0 : errno == ENOENT || errno == ESRCH ? -ESRCH : -errno;
	return file;
}

/* "7f50d0400000-7f50d0600000 rw-s 00000000 00:2a 627705  /mnt/seal/t1/model": shared, of this mount and checkpoint? */
static bool is_shared_with(const struct search *search, const char *rights)
{
	unsigned int major_number, minor_number;
	uint64_t inode;

	if (strlen(rights) < 6 || rights[4] != 's')
		return false;
	if (sscanf(rights + 6, "%*x %x:%x %" SCNu64, &major_number, &minor_number, &inode) != 3)
		return false;
	return makedev(major_number, minor_number) == search->mount->number && node_is_in(&search->mount->nodes, inode, search->checkpoint);
}

/* After getline() gave nothing: 0 at the end of the file, or -errno. */
static int end_of(FILE *file)
{
	return feof(file) ? 0 : errno ? -errno : -EIO;
}

/* A mapping of a file that was open for writing can be made writable later (mprotect): "mw" among the flags of the one at this address. 1, 0, -errno. */
static int may_write(pid_t pid, pid_t tid, const char *address, size_t length)
{
	char *line = NULL;
	size_t size = 0;
	bool here = false;
	int found = 0;
	FILE *file = open_of_thread(pid, tid, "smaps", &found);

	if (!file)
		return found;
	for (;;) {
		if (getline(&line, &size, file) < 0) {
			found = end_of(file);
			break;
		}
		if (!strncmp(line, address, length))
			here = true;
		else if (here && !strncmp(line, "VmFlags:", 8)) {
			found = strstr(line, " mw") != NULL;
			break;
		}
	}
	fclose(file);
	free(line);
	return found;
}

/* What one thread shows of the memory that it shares with the others of its process: 1: it can write; 0; -ESRCH: it has none (any more); -errno: it can not be told. */
static int thread_writes(const struct search *search, pid_t pid, pid_t tid)
{
	char *line = NULL;
	size_t size = 0;
	int found = 0;
	bool empty = true;
	FILE *file = open_of_thread(pid, tid, "maps", &found);

	if (!file)
		return found;
	while (!found) {
		if (getline(&line, &size, file) < 0) {
			found = end_of(file);
			break;
		}
		const char *rights = strchr(line, ' ');
		empty = false;
		if (rights && is_shared_with(search, rights))
			found = rights[2] == 'w' ? 1 : may_write(pid, tid, line, (size_t)(rights - line));
	}
	fclose(file);
	free(line);
	return !found && empty ? -ESRCH : found;
}

/* The same, of the threads but the main one; *any: there are some. */
static int others_write(const struct search *search, pid_t pid, bool *any)
{
	char path[40];
	struct dirent *entry;
	int found = -ESRCH;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *directory = opendir(path);
	*any = !directory && errno != ENOENT && errno != ESRCH;
	if (!directory)
		return *any ? -errno : -ESRCH;
	while (found == -ESRCH && (entry = readdir(directory))) {
		pid_t tid = atoi(entry->d_name);
		if (tid <= 0 || tid == pid)
			continue;
		*any = true;
		found = thread_writes(search, pid, tid);
	}
	closedir(directory);
	return found;
}

/* 1: it can write; 0; -errno: it can not be told. */
static int memory_writes(const struct search *search, pid_t pid)
{
	int found = thread_writes(search, pid, pid);
	bool any = true;

	/* a main thread that has ended shows no memory, while the process lives on in its other threads; those may come and go while we look */
	for (int pass = 0; pass < PASSES && any && found == -ESRCH; pass++)
		found = others_write(search, pid, &any);
	return found == -ESRCH ? 0 : found; /* it is gone, or the kernel's own */
}

static int user_of(pid_t pid, uid_t *uid, gid_t *gid)
{
	char *line = NULL;
	size_t size = 0;
	unsigned int fields = 0;
	int error;
	FILE *file = open_of_thread(pid, pid, "status", &error);

	while (file && fields < 2 && getline(&line, &size, file) > 0)
		fields += sscanf(line, "Uid: %u", uid) == 1 || sscanf(line, "Gid: %u", gid) == 1;
	if (file)
		fclose(file);
	free(line);
	return file && fields < 2 ? -EIO : error;
}

static int process_writes(const struct search *search, pid_t pid)
{
	int found = memory_writes(search, pid);
	uid_t uid = 0;
	gid_t gid = 0;

	if (found != -EACCES)
		return found;
	/* root without CAP_SYS_PTRACE sees another user's process as that user */
	int error = user_of(pid, &uid, &gid);
	if (error)
		return error == -ESRCH ? 0 : error;
	CREDS_SCOPE(uid, gid, 0);
	found = memory_writes(search, pid);
	/* whom we may not see even so (it has more rights than sealfs) could not say which trial it is, either, so no checkpoint was opened for it */
	return found == -EACCES ? 0 : found;
}

static int by_number(const void *a, const void *b)
{
	const pid_t *left = a, *right = b;
	return *left < *right ? -1 : *left > *right;
}

static bool was_seen(const struct search *search, pid_t pid, size_t known)
{
	return known && bsearch(&pid, search->seen, known, sizeof(pid), by_number);
}

static void note_seen(struct search *search, pid_t pid)
{
	if (search->count == search->capacity) {
		size_t capacity = search->capacity ? search->capacity * 2 : 1024;
		pid_t *seen = reallocarray(search->seen, capacity, sizeof(*seen));
		if (!seen)
			return; /* it is looked at twice */
		search->seen = seen;
		search->capacity = capacity;
	}
	search->seen[search->count++] = pid;
}

/* Looks at the processes that were not there before; *fresh: there were some. The process, or 0. */
static pid_t look_at_new(struct search *search, bool *fresh)
{
	size_t known = search->count;
	DIR *directory = opendir("/proc");
	pid_t found = 0;

	*fresh = false;
	if (!directory) {
		search->untold = -errno;
		return 0;
	}
	while (!found) {
		errno = 0;
		struct dirent *entry = readdir(directory);
		if (!entry) {
			search->untold = errno ? -errno : search->untold;
			break;
		}
		pid_t pid = atoi(entry->d_name);
		if (pid <= 0 || was_seen(search, pid, known))
			continue;
		*fresh = true;
		note_seen(search, pid);
		int writes = process_writes(search, pid);
		if (writes > 0)
			found = pid;
		else if (writes < 0)
			search->untold = writes;
	}
	closedir(directory);
	if (search->count)
		qsort(search->seen, search->count, sizeof(*search->seen), by_number);
	return found;
}

/* A mapping goes to a process that is forked while its parent ends: so until there is no new one. */
static pid_t look_at_all(struct search *search)
{
	bool fresh = true;
	pid_t found = 0;

	for (int pass = 0; pass < PASSES && fresh && !found; pass++)
		found = look_at_new(search, &fresh);
	free(search->seen);
	if (!found && !search->untold && fresh)
		search->untold = -EAGAIN;
	return found ? found : search->untold;
}

/* A read lease is had only on a file that nobody has open for writing. Who wants to open it meanwhile waits for these two calls. */
static bool has_no_writer(struct node *node, struct nodes *nodes)
{
	struct place place;
	struct stat attributes;

	int error = node_place(nodes, node, &place);
	if (error)
		return error == -ESTALE; /* it has no name, so it is not sealed */
	int fd = openat(place.directory, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	place_put(&place);
	if (fd < 0)
		return false;
	/* another file may have its name by now */
	bool same = !fstat(fd, &attributes) && attributes.st_ino == node->key.inode && attributes.st_dev == node->key.device;
	bool alone = same && !fcntl(fd, F_SETLEASE, F_RDLCK) && !fcntl(fd, F_SETLEASE, F_UNLCK);
	close(fd);
	return alone;
}

static bool have_no_writer(struct nodes *nodes, const struct gate_checkpoint *checkpoint)
{
	struct node **list = nodes_of(nodes, checkpoint);
	bool alone = list != NULL;

	for (size_t i = 0; list && list[i]; i++) {
		alone = alone && has_no_writer(list[i], nodes);
		node_put(nodes, list[i]);
	}
	free(list);
	return alone;
}

pid_t mappings_find(void *arg, struct gate_checkpoint *checkpoint, pid_t only)
{
	struct search search = {.mount = arg, .checkpoint = checkpoint};
	struct identity_process process;

	if (have_no_writer(&search.mount->nodes, checkpoint))
		return 0;
	if (!search.mount->number)
		return -ENODEV;
	if (!only)
		return look_at_all(&search);
	int error = identity_process(only, &process);
	if (error)
		return error == -ESRCH ? 0 : error;
	int writes = process_writes(&search, process.pid);
	return writes > 0 ? process.pid : writes;
}
