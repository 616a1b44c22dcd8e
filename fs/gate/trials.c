#include "sealfs/trials.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

/* The kernel's pidfd_info, first version, which old headers lack. */
#define EXIT_INFO_MASK (1u << 3)
struct exit_info {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t exit_code;
};
#define EXIT_INFO_IOCTL _IOWR(0xFF, 11, struct exit_info)

enum role { ROLE_ROOT = 1, ROLE_WRITER = 2, ROLE_MEMBER = 4 };

/* A process that is watched. */
struct process {
	struct process *prev, *next;
	struct trial *trial;
	pid_t pid;
	int pidfd;
	unsigned int roles;
	char command[32];
};

struct trial {
	UT_hash_handle hh;
	struct trials *trials;
	atomic_uint refs;
	/* guarded by trials->lock */
	struct process *processes;
	unsigned int wrappers;
	bool watched; /* had a process of its own to watch, so that "none left" means ended */
	bool ended, survivors;
	char *failure; /* the first failure met, for people */
	char id[];
};

struct trials {
	pthread_mutex_t lock;
	struct trial *by_id; /* those that have not ended; each holds a reference */
	int epoll;
	char *const *variables;
	trials_ended_fn *ended;
	void *arg;
};

struct trials *trials_create(char *const *variables, trials_ended_fn *ended, void *arg)
{
	struct trials *trials = calloc(1, sizeof(*trials));
	if (!trials)
		return NULL;
	trials->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (trials->epoll < 0) {
		free(trials);
		return NULL;
	}
	pthread_mutex_init(&trials->lock, NULL);
	trials->variables = variables;
	trials->ended = ended;
	trials->arg = arg;
	return trials;
}

int trials_fd(const struct trials *trials)
{
	return trials->epoll;
}

const char *trial_id(const struct trial *trial)
{
	return trial->id;
}

struct trial *trial_ref(struct trial *trial)
{
	atomic_fetch_add(&trial->refs, 1);
	return trial;
}

static void process_free(struct process *process)
{
	close(process->pidfd);
	free(process);
}

void trial_put(struct trial *trial)
{
	if (!trial || atomic_fetch_sub(&trial->refs, 1) != 1)
		return;
	free(trial->failure);
	free(trial);
}

bool trial_has_ended(struct trial *trial)
{
	pthread_mutex_lock(&trial->trials->lock);
	bool ended = trial->ended;
	pthread_mutex_unlock(&trial->trials->lock);
	return ended;
}

bool trial_has_wrapper(struct trial *trial)
{
	pthread_mutex_lock(&trial->trials->lock);
	bool has = trial->wrappers > 0;
	pthread_mutex_unlock(&trial->trials->lock);
	return has;
}

bool trial_has_survivors(struct trial *trial)
{
	pthread_mutex_lock(&trial->trials->lock);
	bool has = trial->survivors;
	pthread_mutex_unlock(&trial->trials->lock);
	return has;
}

static struct trial *find_or_add(struct trials *trials, const char *id)
{
	struct trial *trial;
	HASH_FIND_STR(trials->by_id, id, trial);
	if (trial)
		return trial_ref(trial);
	trial = calloc(1, sizeof(*trial) + strlen(id) + 1);
	if (!trial)
		return NULL;
	memcpy(trial->id, id, strlen(id) + 1);
	trial->trials = trials;
	trial->refs = 2; /* the table's and the caller's */
	HASH_ADD_STR(trials->by_id, id, trial);
	return trial;
}

int trials_get(struct trials *trials, const char *id, struct trial **out)
{
	pthread_mutex_lock(&trials->lock);
	*out = find_or_add(trials, id);
	pthread_mutex_unlock(&trials->lock);
	return *out ? 0 : -ENOMEM;
}

static struct process *find_process(struct trial *trial, pid_t pid)
{
	struct process *process;
	DL_SEARCH_SCALAR(trial->processes, process, pid, pid);
	return process;
}

static int watch(struct trial *trial, pid_t pid, unsigned int role)
{
	struct process *process = find_process(trial, pid);
	if (process) {
		process->roles |= role;
		return 0;
	}
	process = calloc(1, sizeof(*process));
	if (!process)
		return -ENOMEM;
	process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process->pidfd < 0) {
		int error = errno;
		free(process);
		return -error;
	}
	struct identity_process seen;
	if (!identity_process(pid, &seen))
		memcpy(process->command, seen.command, sizeof(process->command));
	process->pid = pid;
	process->trial = trial;
	process->roles = role;
	/* edge-triggered: one event when it exits, one more when it is reaped and its exit code can be asked */
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = process};
	if (epoll_ctl(trial->trials->epoll, EPOLL_CTL_ADD, process->pidfd, &event)) {
		int error = errno;
		process_free(process);
		return -error;
	}
	DL_APPEND(trial->processes, process);
	trial->watched = true;
	return 0;
}

int trials_note_writer(struct trials *trials, const char *id, pid_t tid, struct trial **out)
{
	struct identity_process self;
	int error = 0;

	pthread_mutex_lock(&trials->lock);
	struct trial *trial = find_or_add(trials, id);
	/* the usual case: the main thread of a process that wrote before */
	struct process *known = trial ? find_process(trial, tid) : NULL;
	bool done = !trial || (known && known->roles & ROLE_WRITER);
	pthread_mutex_unlock(&trials->lock);
	if (!trial)
		return -ENOMEM;
	if (!done)
		error = identity_process(tid, &self);
	if (!done && !error) {
		pid_t root = identity_root(self.pid, id, trials->variables);
		pthread_mutex_lock(&trials->lock);
		error = watch(trial, self.pid, ROLE_WRITER);
		if (!error && !find_process(trial, root))
			error = watch(trial, root, ROLE_ROOT);
		if (error == -ESRCH && find_process(trial, self.pid))
			error = 0; /* the root left in this moment: the writer itself is watched, that suffices */
		pthread_mutex_unlock(&trials->lock);
	}
	if (error) {
		trial_put(trial);
		return error;
	}
	*out = trial;
	return 0;
}

/* 0 and *code (as wait(2) gives it), or -EAGAIN: not yet, or -ENOTSUP: this kernel never tells. */
static int exit_code(int pidfd, bool reaped, int *code)
{
	struct exit_info info = {.mask = EXIT_INFO_MASK};
	if (ioctl(pidfd, EXIT_INFO_IOCTL, &info) == 0 && info.mask & EXIT_INFO_MASK) {
		*code = info.exit_code;
		return 0;
	}
	return reaped ? -ENOTSUP : -EAGAIN;
}

static void keep_failure(struct trial *trial, const struct process *process, int code, bool known)
{
	char *text = NULL;
	int used;

	if (trial->failure || (known && code == 0))
		return;
	if (!known)
		used = asprintf(&text, "this kernel does not tell how pid %d (%s) ended: start trials with 'sealctl run'", process->pid,
				process->command);
	else if (WIFSIGNALED(code))
		used = asprintf(&text, "pid %d (%s) was killed by signal %d (%s)", process->pid, process->command, WTERMSIG(code),
				strsignal(WTERMSIG(code)));
	else
		used = asprintf(&text, "pid %d (%s) exited with status %d", process->pid, process->command, WEXITSTATUS(code));
	trial->failure = used < 0 ? strdup("a process of it failed") : text;
}

static void watch_member(void *arg, pid_t pid)
{
	struct trial *trial = arg;
	if (watch(trial, pid, ROLE_MEMBER))
		log_debug("pid %d of trial '%s' left before it could be watched", pid, trial->id);
}

/* A job lasts until its process group is empty, whoever in it wrote. */
static void watch_rest_of_job(struct trial *trial)
{
	const char *group = strrchr(trial->id, ':');
	if (!group || !identity_is_job(trial->id))
		return;
	while (group > trial->id && group[-1] != ':')
		group--;
	pid_t number = (pid_t)atoi(group);
	if (number > 1 && (kill(-number, 0) == 0 || errno == EPERM))
		identity_each_in_group(number, watch_member, trial);
}

/* Under the lock. True when the trial has ended just now: the table's reference is then the caller's. */
static bool check_end(struct trial *trial)
{
	if (trial->ended || trial->wrappers || !trial->watched || trial->processes)
		return false;
	watch_rest_of_job(trial);
	if (trial->processes)
		return false;
	trial->ended = true;
	HASH_DEL(trial->trials->by_id, trial);
	return true;
}

static void tell_end(struct trial *trial)
{
	trial->trials->ended(trial->trials->arg, trial, trial->failure);
	trial_put(trial);
}

/* Under the lock. The trial if this event ended it, else NULL. */
static struct trial *process_event(struct process *process, unsigned int events)
{
	struct trial *trial = process->trial;
	int code = 0;

	int error = exit_code(process->pidfd, events & (EPOLLHUP | EPOLLERR), &code);
	if (error == -EAGAIN)
		return NULL;
	/* a member of a job that neither wrote nor leads it only delays the end, as in a shell's pipeline */
	bool counts = process->roles & (ROLE_ROOT | ROLE_WRITER);
	if (counts && !(error && trial->wrappers))
		keep_failure(trial, process, code, !error);
	DL_DELETE(trial->processes, process);
	process_free(process);
	return check_end(trial) ? trial : NULL;
}

void trials_dispatch(struct trials *trials)
{
	struct epoll_event event;

	for (;;) {
		/* asked under the lock: a process that is freed leaves the epoll set under it too */
		pthread_mutex_lock(&trials->lock);
		bool any = epoll_wait(trials->epoll, &event, 1, 0) == 1;
		struct trial *ended = any ? process_event(event.data.ptr, event.events) : NULL;
		pthread_mutex_unlock(&trials->lock);
		if (ended)
			tell_end(ended);
		if (!any)
			return;
	}
}

void trial_run_begin(struct trial *trial)
{
	pthread_mutex_lock(&trial->trials->lock);
	trial->wrappers++;
	pthread_mutex_unlock(&trial->trials->lock);
}

void trial_run_end(struct trial *trial, const char *reason)
{
	struct process *process, *next;
	struct trials *trials = trial->trials;

	/* what its processes told by exiting must be counted before the verdict */
	trials_dispatch(trials);
	pthread_mutex_lock(&trials->lock);
	if (reason && !trial->failure)
		trial->failure = strdup(reason);
	bool last = trial->wrappers && --trial->wrappers == 0 && !trial->ended;
	if (last) {
		trial->survivors = trial->processes != NULL;
		DL_FOREACH_SAFE(trial->processes, process, next)
		{
			DL_DELETE(trial->processes, process);
			process_free(process);
		}
		trial->ended = true;
		HASH_DEL(trials->by_id, trial);
	}
	pthread_mutex_unlock(&trials->lock);
	if (last)
		tell_end(trial);
}

void trials_destroy(struct trials *trials)
{
	struct trial *trial, *next_trial;
	struct process *process, *next;

	if (!trials)
		return;
	HASH_ITER(hh, trials->by_id, trial, next_trial)
	{
		DL_FOREACH_SAFE(trial->processes, process, next)
		{
			DL_DELETE(trial->processes, process);
			process_free(process);
		}
		HASH_DEL(trials->by_id, trial);
		trial_put(trial);
	}
	close(trials->epoll);
	pthread_mutex_destroy(&trials->lock);
	free(trials);
}

bool trials_exit_info_works(void)
{
	int code = -1;
	pid_t pid = fork();
	if (pid < 0)
		return false;
	if (pid == 0)
		_exit(7);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	waitpid(pid, NULL, 0);
	bool works = pidfd >= 0 && !exit_code(pidfd, true, &code) && WIFEXITED(code) && WEXITSTATUS(code) == 7;
	if (pidfd >= 0)
		close(pidfd);
	return works;
}
