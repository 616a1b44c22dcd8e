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

#define PASSES 4 /* for processes that are started while we look */

struct search {
	struct mount *mount;
	const struct gate_checkpoint *checkpoint;
	pid_t *seen; /* sorted: /proc is listed in order */
	size_t count, capacity;
};

static FILE *open_of_process(pid_t pid, const char *name)
{
	char path[60];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re"); /* NULL: it is gone */
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

/* A mapping of a file that was open for writing can be made writable later (mprotect): "mw" among the flags of the one at this address. */
static bool may_write(pid_t pid, const char *address, size_t length)
{
	FILE *file = open_of_process(pid, "smaps");
	char *line = NULL;
	size_t size = 0;
	bool here = false, found = false;

	while (file && !found && getline(&line, &size, file) > 0) {
		if (!strncmp(line, address, length))
			here = true;
		else if (here && !strncmp(line, "VmFlags:", 8)) {
			found = strstr(line, " mw") != NULL;
			break;
		}
	}
	if (file)
		fclose(file);
	free(line);
	return found;
}

static bool process_writes(const struct search *search, pid_t pid)
{
	FILE *file = open_of_process(pid, "maps");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	while (file && !found && getline(&line, &size, file) > 0) {
		const char *rights = strchr(line, ' ');
		if (rights && is_shared_with(search, rights))
			found = rights[2] == 'w' || may_write(pid, line, (size_t)(rights - line));
	}
	if (file)
		fclose(file);
	free(line);
	return found;
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
	if (!directory)
		return 0;
	for (struct dirent *entry; !found && (entry = readdir(directory));) {
		pid_t pid = atoi(entry->d_name);
		if (pid <= 0 || was_seen(search, pid, known))
			continue;
		*fresh = true;
		note_seen(search, pid);
		if (process_writes(search, pid))
			found = pid;
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
	return found;
}

/* A read lease is had only on a file that nobody has open for writing. Who wants to open it meanwhile waits for these two calls. */
static bool has_no_writer(struct node *node, struct nodes *nodes)
{
	struct place place;

	if (node_place(nodes, node, &place))
		return true; /* it has no name, so it is not sealed */
	int fd = openat(place.directory, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	place_put(&place);
	if (fd < 0)
		return false;
	bool alone = !fcntl(fd, F_SETLEASE, F_RDLCK) && !fcntl(fd, F_SETLEASE, F_UNLCK);
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

	if (!search.mount->number || have_no_writer(&search.mount->nodes, checkpoint))
		return 0;
	if (!only)
		return look_at_all(&search);
	return !identity_process(only, &process) && process_writes(&search, process.pid) ? process.pid : 0;
}
