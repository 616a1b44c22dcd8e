/*
 * launch - one trial as a process, and what it leaves in its work directory
 *
 * The work directory is trials/<id> in the experiment's own folder on the export:
 *
 *     parameters.json   what the trial is given
 *     parameter.cfg     the same for NNI's SDK
 *     stdout, stderr    what it printed
 *     .nni/metrics      what it reported through NNI's SDK
 *     result            what it reported by itself (SEALTUNER_RESULT)
 *     lock              held by the process that runs the trial, with its pid inside
 *     end               "<exit status>\n", when it has ended
 *
 * So a launcher that comes after one that was killed can tell what still runs, what has ended, and what is to be run again.
 */
#ifndef SEALTUNER_LAUNCH_H
#define SEALTUNER_LAUNCH_H

#include <signal.h>
#include <sys/types.h>

#include "experiment.h"

struct launch {
	struct place *place;
	const struct experiment *experiment;
	char **command; /* with placeholders */
	sigset_t signals; /* the mask that the trial gets */
};

enum launch_standing {
	LAUNCH_NEVER,   /* nobody runs it, and it has not ended */
	LAUNCH_RUNNING, /* a process of this or another machine holds its lock */
	LAUNCH_ENDED,
};

/* Its work directory; with `make` made. A descriptor or -errno. */
int launch_open_work(const struct place *place, const char *id, bool make);
/* The path of it. Allocated; NULL when the export's directory is not known, or memory is out. */
char *launch_work_path(const struct place *place, const char *id);

/* *status when it has ended, *pid when it runs. -errno. */
int launch_look(const struct place *place, const char *id, enum launch_standing *standing, int *status, pid_t *pid);

/* Starts it. -EBUSY when somebody runs it already. */
int launch_start(const struct launch *launch, const struct trial *trial, pid_t *pid);

/* Forgets how it has ended: it is to be run again. */
void launch_forget(const struct place *place, const char *id);

/* Must it have saved something to have ended well? */
bool launch_must_save(const struct experiment *experiment, const struct trial *trial);

#endif
