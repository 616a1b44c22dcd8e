#include "sealfs/identity.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "identity_internal.h"
#include "sealfs/creds.h"

#define ENVIRONMENT_LIMIT (4u << 20) /* bytes; the kernel's own limit for one string is 128 KiB */
#define ANCESTOR_LIMIT 1024

int identity_read_proc_(pid_t tid, const char *what, char **data, size_t *size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", tid, what);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;

	size_t capacity = 4096, used = 0;
	char *buffer = malloc(capacity);
	int error = buffer ? 0 : -ENOMEM;
	while (!error) {
		ssize_t count = read(fd, buffer + used, capacity - used - 1);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			error = errno == ESRCH ? -ESRCH : -errno;
		if (count <= 0)
			break;
		used += (size_t)count;
		if (used + 1 < capacity)
			continue;
		capacity *= 2;
		char *larger = capacity > ENVIRONMENT_LIMIT ? NULL : realloc(buffer, capacity);
		if (!larger)
			error = -ENOMEM;
		else
			buffer = larger;
	}
	close(fd);
	if (error) {
		free(buffer);
		return error;
	}
	buffer[used] = '\0';
	*data = buffer;
	*size = used;
	return 0;
}

/* The number after "<key>:" at the start of a line, or -1. */
static long status_field(const char *status, const char *key, int base)
{
	size_t length = strlen(key);
	for (const char *line = status; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ':')
			return strtol(line + length + 1, NULL, base);
	}
	return -1;
}

static int parse_stat(char *stat, struct identity_process *out)
{
	/* the command may hold blanks and parentheses: the last ')' ends it */
	char *open_mark = strchr(stat, '('), *close_mark = strrchr(stat, ')');
	long long parent, group;
	unsigned long long start;

	if (!open_mark || !close_mark || close_mark < open_mark)
		return -ESRCH;
	*close_mark = '\0';
	snprintf(out->command, sizeof(out->command), "%s", open_mark + 1);
	/* fields 3 to 22: state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime
	 * cstime priority nice threads itrealvalue starttime */
	if (sscanf(close_mark + 1, " %*c %lld %lld %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &parent, &group, &start) != 3)
		return -ESRCH;
	out->parent = (pid_t)parent;
	out->group = (pid_t)group;
	out->start = start;
	return 0;
}

int identity_process(pid_t tid, struct identity_process *out)
{
	char *text;
	size_t size;

	if (tid <= 0)
		return -ESRCH;
	int error = identity_read_proc_(tid, "status", &text, &size);
	if (error)
		return error;
	long tgid = status_field(text, "Tgid", 10);
	free(text);
	if (tgid <= 0)
		return -ESRCH;
	memset(out, 0, sizeof(*out));
	out->pid = (pid_t)tgid;
	error = identity_read_proc_(out->pid, "stat", &text, &size);
	if (error)
		return error;
	error = parse_stat(text, out);
	free(text);
	return error;
}

mode_t identity_umask(pid_t tid)
{
	char *text;
	size_t size;

	if (tid <= 0 || identity_read_proc_(tid, "status", &text, &size))
		return 022;
	long mask = status_field(text, "Umask", 8);
	free(text);
	return mask < 0 ? 022 : (mode_t)mask;
}

/* Nothing about the process, but a want of this one's own: who goes on without the answer gives a process another identity than it has. */
static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* The value of the first variable that is set and not empty, in an environment block. */
static const char *find_variable(const char *block, size_t size, char *const *variables)
{
	for (; *variables; variables++) {
		size_t length = strlen(*variables);
		for (const char *entry = block; entry < block + size; entry += strlen(entry) + 1)
			if (!strncmp(entry, *variables, length) && entry[length] == '=' && entry[length + 1])
				return entry + length + 1;
	}
	return NULL;
}

/* *value NULL: none is set; *lost: it may have been, but what the process was started with is gone. */
static int variable_of(pid_t tid, char *const *variables, char **value, bool *lost)
{
	char *block;
	size_t size;
	int error = identity_read_proc_(tid, "environ", &block, &size);
	if (error)
		return error;
	const char *found = find_variable(block, size, variables);
	*value = found ? strdup(found) : NULL;
	*lost = !found && identity_is_overwritten_(tid, block, size);
	free(block);
	return found && !*value ? -ENOMEM : 0;
}

/* A process whose environment is lost has its parent's: it was most likely started with that. *value NULL: nobody above it has any. */
static int inherited_variable(pid_t tid, char *const *variables, char **value)
{
	struct identity_process process, parent;
	bool lost = true;

	for (int level = 0; lost && level < ANCESTOR_LIMIT; level++) {
		int error = identity_process(tid, &process);
		error = error ? error : identity_process(process.parent, &parent);
		if (error)
			return is_shortage(error) ? error : 0;
		tid = parent.pid;
		*value = identity_wrapped_by_(&parent);
		error = *value ? 0 : variable_of(tid, variables, value, &lost);
		if (*value)
			return 0;
		if (error)
			return is_shortage(error) ? error : 0;
	}
	return 0;
}

static int job_of(pid_t tid, char **trial)
{
	struct identity_process process, leader;
	char host[256];

	int error = identity_process(tid, &process);
	if (error)
		return error;
	/* while the group lives its number is not given out again, so a leader that is gone costs only the start time */
	error = identity_process(process.group, &leader);
	if (is_shortage(error))
		return error;
	if (error)
		leader.start = 0;
	if (gethostname(host, sizeof(host)))
		snprintf(host, sizeof(host), "localhost");
	host[sizeof(host) - 1] = '\0';
	return asprintf(trial, "job:%s:%d:%llu", host, process.group, (unsigned long long)leader.start) < 0 ? -ENOMEM : 0;
}

static int find_identity(pid_t tid, char *const *variables, char **trial)
{
	bool lost = false;

	int error = variable_of(tid, variables, trial, &lost);
	if (!error && lost)
		error = inherited_variable(tid, variables, trial);
	if (error || *trial)
		return error;
	return job_of(tid, trial);
}

/* ---- what is remembered ---- */

#define MEMORY_SLOTS 512

/* A thread whose identity is known. `memory` is open on what it had in memory at that time: once that has gone (exec, exit), nothing can be read. */
struct remembered {
	pid_t tid;
	int memory;
	char *trial;
};

static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static struct remembered memory[MEMORY_SLOTS];

/* Of a pagemap a single byte is refused, but only if there is any memory. */
static bool still_lives(int fd)
{
	char byte;
	ssize_t count = pread(fd, &byte, 1, 0);
	return count == 1 || (count < 0 && errno == EINVAL);
}

/* The pagemap tells five times as fast as the environment, which is read out of the other process's memory. -1: it is gone, or not to be seen. */
static int open_memory(pid_t tid)
{
	static const char *const names[] = {"pagemap", "environ"};
	char path[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", tid, names[i]);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && still_lives(fd))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

static void forget(struct remembered *slot)
{
	if (slot->trial)
		close(slot->memory);
	free(slot->trial);
	*slot = (struct remembered){0};
}

static char *recall(pid_t tid)
{
	struct remembered *slot = &memory[(unsigned int)tid % MEMORY_SLOTS];
	char *trial = NULL;

	pthread_mutex_lock(&memory_lock);
	if (slot->trial && slot->tid == tid) {
		if (still_lives(slot->memory))
			trial = strdup(slot->trial);
		else
			forget(slot);
	}
	pthread_mutex_unlock(&memory_lock);
	return trial;
}

/* A child of vfork() still has its parent's memory, which lives on when the child executes something else. Where the kernel can not tell, nothing is remembered. */
static bool shares_memory_with_parent(pid_t tid)
{
	struct identity_process process;
	return identity_process(tid, &process) || syscall(SYS_kcmp, tid, process.parent, KCMP_VM, 0, 0) <= 0;
}

static void remember(pid_t tid, int opened, const char *trial)
{
	struct remembered *slot = &memory[(unsigned int)tid % MEMORY_SLOTS];
	struct remembered fresh = {.tid = tid, .memory = opened, .trial = strdup(trial)};

	if (!fresh.trial || !still_lives(opened)) {
		free(fresh.trial);
		close(opened);
		return;
	}
	pthread_mutex_lock(&memory_lock);
	forget(slot);
	*slot = fresh;
	pthread_mutex_unlock(&memory_lock);
}

int identity_of(pid_t tid, char *const *variables, char **trial)
{
	if (tid <= 0)
		return -ESRCH;
	*trial = recall(tid);
	if (*trial)
		return 0;
	/* the environment of a process that may not be dumped is root's to read */
	CREDS_SCOPE(0, 0, 0);
	/* opened before the environment is read: what is remembered belongs to this memory or, had it been exchanged meanwhile, to none */
	int opened = open_memory(tid);
	int error = find_identity(tid, variables, trial);
	if (opened >= 0 && (error || shares_memory_with_parent(tid)))
		close(opened);
	else if (opened >= 0)
		remember(tid, opened, *trial);
	return error;
}

bool identity_is_job(const char *trial)
{
	return !strncmp(trial, "job:", 4);
}

static bool same_identity(pid_t pid, const char *trial, char *const *variables)
{
	char *other = NULL;
	bool same = !identity_of(pid, variables, &other) && !strcmp(other, trial);
	free(other);
	return same;
}

pid_t identity_root(pid_t pid, const char *trial, char *const *variables)
{
	struct identity_process process;

	for (int level = 0; level < ANCESTOR_LIMIT; level++) {
		if (identity_process(pid, &process) || process.parent <= 0 || !same_identity(process.parent, trial, variables))
			break;
		pid = process.parent;
	}
	return pid;
}

void identity_each_in_group(pid_t group, void (*each)(void *arg, pid_t pid), void *arg)
{
	DIR *proc = opendir("/proc");
	if (!proc)
		return;
	for (struct dirent *entry; (entry = readdir(proc));) {
		struct identity_process process;
		char *text;
		size_t size;
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid_t pid = (pid_t)atoi(entry->d_name);
		if (identity_read_proc_(pid, "stat", &text, &size))
			continue;
		const char *mark = strrchr(text, ')');
		bool gone = !mark || mark[1] == '\0' || strchr("ZX", mark[2]);
		if (!gone && !parse_stat(text, &process) && process.group == group)
			each(arg, pid);
		free(text);
	}
	closedir(proc);
}

uint64_t identity_start_ns(const struct identity_process *process)
{
	static long ticks;
	if (!ticks)
		ticks = sysconf(_SC_CLK_TCK);
	return process->start * (1000000000ull / (uint64_t)ticks);
}
