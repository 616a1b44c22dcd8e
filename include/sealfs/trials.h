/*
 * trials - when does a trial end, and did it end well?
 *
 * A trial is known here from the moment one of its processes writes. Its root (the topmost ancestor with the same identity; for a job: its
 * process group) and every process that wrote are watched by pidfd. It has ended when the root and all of those are gone; well, if all of
 * them exited with 0. Under a wrapper (sealctl run) the wrapper says when and how; writers that are known to have failed count all the same.
 *
 * Where the kernel can not tell how a process ended (before 6.15) and there is no wrapper, the end is a failure that names `sealctl run`.
 */
#ifndef SEALFS_TRIALS_H
#define SEALFS_TRIALS_H

#include <stdbool.h>
#include <sys/types.h>

struct trials;
struct trial;

/* Called without a lock of this module, once a trial, from trials_dispatch() or trials_run_end(). reason: NULL when it ended well. `trial` is valid while
 * the callback runs or a reference is held. */
typedef void trials_ended_fn(void *arg, struct trial *trial, const char *reason);

struct trials *trials_create(char *const *variables, trials_ended_fn *ended, void *arg);
void trials_destroy(struct trials *trials);

/* Readable (poll) when trials_dispatch() has something to do. */
int trials_fd(const struct trials *trials);
void trials_dispatch(struct trials *trials);

/*
 * The trial named `id`, of which thread `tid` is writing now: from here its process and its root are watched. A reference (trial_put).
 * -ESRCH when the process can not be seen any more, -ENOMEM, -EMFILE.
 */
int trials_note_writer(struct trials *trials, const char *id, pid_t tid, struct trial **out);

/* The trial named `id`, watched only by those who call (a claim by hand, a wrapper). A reference. */
int trials_get(struct trials *trials, const char *id, struct trial **out);

/* A wrapper begins: only its verdict (run_end) or its loss (run_lost) ends the trial. Several may be nested or joined: the last one ends it. */
void trial_run_begin(struct trial *trial);
/* reason NULL: the command ended well. May call `ended` before it returns. */
void trial_run_end(struct trial *trial, const char *reason);

struct trial *trial_ref(struct trial *trial);
void trial_put(struct trial *trial);
const char *trial_id(const struct trial *trial);
bool trial_has_ended(struct trial *trial);
bool trial_has_wrapper(struct trial *trial);
/* Of a trial that has ended: were processes of it that had written still running? */
bool trial_has_survivors(struct trial *trial);

/* Asks once whether this kernel tells exit codes by pidfd of processes that are not our children. */
bool trials_exit_info_works(void);

#endif
