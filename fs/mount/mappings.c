/*
 * mappings.c - files that are mapped so that they can still be written, though they are closed
 *
 * Where the kernel passes content through, a mapping is one of the export's file: it does not keep the file of the mount open, and its release comes when the
 * last descriptor is closed. That a process goes on storing is to be seen in /proc/PID/maps alone, which names such a mapping by the mount's device.
 */
#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sealfs/identity.h"

#define PASSES 4 /* for processes that are started while we look */

struct search {
	struct mount *mount;
	const struct gate_checkpoint *checkpoint;
	pid_t *seen; /* sorted: /proc is listed in order */
	size_t count, capacity;
};

/* "7f50d0400000-7f50d0600000 rw-s 00000000 00:2a 627705  /mnt/seal/t1/model": shared, writable, of this mount and checkpoint? */
static bool writes(const struct search *search, const char *line)
{
	unsigned int major_number, minor_number;
	const char *rights = strchr(line, ' ');
	uint64_t inode;

	if (!rights || strlen(rights) < 5 || rights[2] != 'w' || rights[4] != 's')
		return false;
	if (sscanf(rights + 6, "%*x %x:%x %" SCNu64, &major_number, &minor_number, &inode) != 3)
		return false;
	return makedev(major_number, minor_number) == search->mount->number && node_is_in(&search->mount->nodes, inode, search->checkpoint);
}

static bool process_writes(const struct search *search, pid_t pid)
{
	char path[40], *line = NULL;
	size_t size = 0;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false; /* it is gone */
	while (!found && getline(&line, &size, file) > 0)
		found = writes(search, line);
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

pid_t mappings_find(void *arg, struct gate_checkpoint *checkpoint, pid_t only)
{
	struct search search = {.mount = arg, .checkpoint = checkpoint};
	struct identity_process process;

	if (!search.mount->number)
		return 0;
	if (!only)
		return look_at_all(&search);
	return !identity_process(only, &process) && process_writes(&search, process.pid) ? process.pid : 0;
}
