/*
 * identity - which trial a process belongs to
 *
 * The value of the first of the named variables in the environment that the process was started with; without any, its process group, as
 * "job:<host>:<pgid>:<start time of its leader>". Identity is about consistency, not security. Everything is read from
 * /proc; nothing here takes a lock of ours, nothing touches the mount.
 */
#ifndef SEALFS_IDENTITY_H
#define SEALFS_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc tells of a process. */
struct identity_process {
	pid_t pid;	 /* of the process (its thread group) */
	pid_t parent;
	pid_t group;	 /* process group */
	uint64_t start;	 /* clock ticks since boot */
	char command[32];
};

/* Of the process that thread `tid` is in. -ESRCH when it is gone or can not be seen (tid 0: another pid namespace). */
int identity_process(pid_t tid, struct identity_process *out);

/* The process of thread `tid` runs that trial, as `sealctl run` does: for descendants whose own environment has been overwritten. 0, -ESRCH, -ENOMEM. */
int identity_wrapper(pid_t tid, const char *trial);

/*
 * The trial of thread `tid`, allocated. A process that has overwritten its environment (setproctitle) has its parent's, or its wrapper's. -ESRCH as above, -EACCES when its environment may not be read, -ENOMEM. What was found is remembered for as long as the
 * thread's memory lives, which an exec and an exit end, so that a busy thread costs one system call. A thread that shares its memory with its parent
 * (vfork) is not remembered. Thread-safe.
 */
int identity_of(pid_t tid, char *const *variables, char **trial);

/* The umask of thread `tid`; 022 when it can not be seen. */
mode_t identity_umask(pid_t tid);

/* True when the trial was named by a process group, not by a variable. */
bool identity_is_job(const char *trial);

/* The topmost ancestor of process `pid` (itself, if none) that has the same identity. */
pid_t identity_root(pid_t pid, const char *trial, char *const *variables);

/* Calls `each` for every process of group `group` that has not exited. */
void identity_each_in_group(pid_t group, void (*each)(void *arg, pid_t pid), void *arg);

/* When the process was started, in ns of CLOCK_BOOTTIME (resolution: a clock tick). */
uint64_t identity_start_ns(const struct identity_process *process);

#endif
