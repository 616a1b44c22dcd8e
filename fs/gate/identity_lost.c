/* identity_lost.c - processes whose environment has been overwritten, and the wrappers that know what they run */
#include "identity_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* The room for the arguments, in bytes, as the process was started; 0 if it can not be told. */
static size_t room_for_arguments(pid_t tid)
{
	unsigned long long start = 0, end = 0;
	char *text, *rest;
	size_t size;

	if (identity_read_proc_(tid, "stat", &text, &size))
		return 0;
	rest = strrchr(text, ')');
	/* what follows the command is field 3; the arguments' start and end are fields 48 and 49 */
	for (int field = 2; rest && field < 48; field++)
		if ((rest = strchr(rest, ' ')))
			rest++;
	bool told = rest && sscanf(rest, "%llu %llu", &start, &end) == 2 && end > start;
	free(text);
	return told ? (size_t)(end - start) : 0;
}

/* setproctitle and its kin: a title that is longer than the arguments goes on into the environment, and the kernel gives all of it as the arguments; a shorter one
 * that comes after it leaves zeros behind. */
bool identity_is_overwritten_(pid_t tid, const char *block, size_t size)
{
	size_t length, room;
	char *arguments;

	if (size && !*block)
		return true;
	room = room_for_arguments(tid);
	if (!room || identity_read_proc_(tid, "cmdline", &arguments, &length))
		return false;
	free(arguments);
	return length > room;
}

/* ---- wrappers: what they run is theirs, even where its own environment does not tell */

struct wrapper {
	struct wrapper *next;
	pid_t pid;
	uint64_t start;
	char trial[];
};

static pthread_mutex_t wrappers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wrapper *wrappers; /* wrappers_lock */

static bool has_gone(const struct wrapper *wrapper)
{
	struct identity_process now;
	return identity_process(wrapper->pid, &now) || now.start != wrapper->start;
}

int identity_wrapper(pid_t tid, const char *trial)
{
	struct identity_process process;
	struct wrapper *wrapper, **at = &wrappers;

	int error = identity_process(tid, &process);
	if (error)
		return error;
	wrapper = calloc(1, sizeof(*wrapper) + strlen(trial) + 1);
	if (!wrapper)
		return -ENOMEM;
	wrapper->pid = process.pid;
	wrapper->start = process.start;
	strcpy(wrapper->trial, trial);
	pthread_mutex_lock(&wrappers_lock);
	while (*at) {
		struct wrapper *old = *at;
		if (old->pid == process.pid || has_gone(old)) {
			*at = old->next;
			free(old);
		} else {
			at = &old->next;
		}
	}
	*at = wrapper;
	pthread_mutex_unlock(&wrappers_lock);
	return 0;
}

char *identity_wrapped_by_(const struct identity_process *process)
{
	struct wrapper *wrapper;
	char *trial = NULL;

	pthread_mutex_lock(&wrappers_lock);
	LL_FOREACH(wrappers, wrapper)
	{
		if (wrapper->pid == process->pid && wrapper->start == process->start)
			trial = strdup(wrapper->trial);
	}
	pthread_mutex_unlock(&wrappers_lock);
	return trial;
}
