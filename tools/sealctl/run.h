/*
 * run - the parts of `sealctl run`: which trial, on which mounts, the command itself, the end
 */
#ifndef SEALCTL_RUN_H
#define SEALCTL_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A mount on which the trial runs. Its descriptor stays open: it is the wrapper's sign of life. */
struct run_mount {
	char *point;
	char *device;
	char *export; /* the directory under it, or NULL when the mount does not say */
	unsigned int depth;
	int fd;
	char **trial_env; /* NULL-terminated; what the mount looks at to tell which trial a process belongs to */
	bool begun;
};

struct run {
	const char *trial;
	bool join;
	uint64_t began_ns; /* CLOCK_BOOTTIME */
	struct run_mount *mounts;
	size_t count;
};
void run_free(struct run *run);

/* ---- run_mounts.c ---- */

/* Opens every sealfs mount that this user may open; says so on stderr when there is none. Returns the exit status. */
int run_open_mounts(struct run *run);
/* RUN_BEGIN on all of them. Returns the exit status, with the message printed. */
int run_begin(struct run *run);
/* Opens the checkpoint that a --save PATH names. Likewise. */
int run_claim(struct run *run, const char *path);
/* The same for a path that a scheduler gave: outside of the mounts it is none of our business, and it may lie inside
 * the checkpoint. */
int run_claim_given(struct run *run, const char *path);

/* ---- run_trial.c ---- */

/* The trial from the environment, or one that is made up. Allocated; NULL when memory is out. */
char *run_find_trial(const struct run *run);
/* Sets SEALFS_TRIAL, and where a mount would not look at it or would see another name first, the variable that this
 * mount looks at. -errno. */
int run_set_trial(const struct run *run);
/* Where an NNI trial is told to save: allocated, or NULL when there is no such thing. */
char *run_nni_save_path(void);

/* ---- run_child.c ---- */

/* Blocks the signals that are forwarded. From here on they come by the descriptor that is returned (or -errno). */
int run_block_signals(sigset_t *before);
/* From here on SIGTSTP comes by that descriptor as well, and no signal of the terminal stops us. -errno. */
int run_refuse_stops(int signals);
/* Starts the command. -errno when that can not be. */
int run_child_start(char **argv, const sigset_t *before, pid_t *child);
/*
 * Waits for the end of the command, forwarding what is sent to the wrapper alone. *status as wait(2) gives it. Unless `told` is NULL it also returns, with
 * *told, when the command has said that it has ended well and only its process is still to go. 0 or -errno.
 */
int run_child_wait(pid_t child, int signals, bool *told, int *status);

/* ---- run_lost.c ---- */

/* CLOCK_BOOTTIME in ns, as records have it. */
uint64_t run_uptime_ns(void);
/*
 * Of a mount whose daemon is gone: asks its export what the trial opened since the run began and is not sealed.
 * *failed: [{"path", "reason"}], the caller's. -errno when the export can not be read from here.
 */
int run_lost(const struct run *run, const struct run_mount *mount, json_t **failed);

/* ---- run_end.c ---- */

/* RUN_END on all mounts at once; prints what became of the checkpoints. `reason` "": the command ended well. Returns
 * the exit status of sealing. */
int run_end(struct run *run, const char *reason, int signals);

#endif
