/* run.c - runs of a trial: a wrapper's sign of life, and what ends when the trial has ended */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "sealfs/identity.h"

void gate_trial_ended_(void *arg, struct trial *trial, const char *failure)
{
	struct gate *gate = arg;
	struct gate_checkpoint *checkpoint;
	size_t count = 0, used = 0;

	pthread_mutex_lock(&gate->lock);
	DL_COUNT2(gate->mine, checkpoint, count, mine_next);
	struct gate_checkpoint **list = calloc(count + 1, sizeof(struct gate_checkpoint *));
	if (list) {
		DL_FOREACH2(gate->mine, checkpoint, mine_next)
		{
			list[used++] = gate_checkpoint_ref(checkpoint);
		}
	}
	pthread_mutex_unlock(&gate->lock);
	for (size_t i = 0; i < used; i++) {
		pthread_mutex_lock(&list[i]->lock);
		if (list[i]->trial == trial && list[i]->lease.fd >= 0) {
			gate_begin_end_(list[i], failure, false);
			if (!trial_has_survivors(trial))
				list[i]->end_uptime_ns = 0;
		}
		pthread_mutex_unlock(&list[i]->lock);
		gate_checkpoint_put(list[i]);
	}
	free(list);
	gate_forget_lost_(gate, trial);
}

/* ---- wrappers ---- */

int gate_run_begin(struct gate *gate, const struct gate_caller *caller, const char *trial, struct trial **out)
{
	int error = identity_wrapper(caller->tid, trial);
	if (error && error != -ESRCH)
		return error;
	error = trials_get(gate->trials, trial, out);
	if (!error)
		trial_run_begin(*out);
	return error;
}

/* One of several runs of a trial has failed, which decides for all: nobody who waits has to wait for the others' end. */
static void fail_now(struct gate_checkpoint **list, struct trial *trial, const char *reason)
{
	for (; *list; list++) {
		pthread_mutex_lock(&(*list)->lock);
		bool open = (*list)->trial == trial && (*list)->lease.fd >= 0;
		if (open) {
			gate_note_lost_(*list);
			gate_begin_end_(*list, reason, true);
		}
		pthread_mutex_unlock(&(*list)->lock);
		if (open)
			gate_tell_(*list);
	}
}

int gate_run_end(struct gate *gate, struct trial *trial, const char *reason, struct gate_checkpoint ***ending)
{
	struct gate_checkpoint *checkpoint;
	size_t count = 0, used = 0;

	pthread_mutex_lock(&gate->lock);
	DL_COUNT2(gate->mine, checkpoint, count, mine_next);
	size_t lost = gate_list_lost_(gate, trial, NULL);
	*ending = calloc(count + lost + 1, sizeof(struct gate_checkpoint *));
	if (*ending) {
		gate_list_lost_(gate, trial, *ending);
		used = lost;
		DL_FOREACH2(gate->mine, checkpoint, mine_next)
		{
			(*ending)[used++] = gate_checkpoint_ref(checkpoint);
		}
	}
	pthread_mutex_unlock(&gate->lock);
	/* keep those of this trial */
	size_t kept = lost;
	for (size_t i = lost; i < used; i++) {
		checkpoint = (*ending)[i];
		pthread_mutex_lock(&checkpoint->lock);
		bool its = checkpoint->trial == trial && checkpoint->lease.fd >= 0;
		pthread_mutex_unlock(&checkpoint->lock);
		if (its)
			(*ending)[kept++] = checkpoint;
		else
			gate_checkpoint_put(checkpoint);
	}
	if (*ending)
		(*ending)[kept] = NULL;
	trial_run_end(trial, reason);
	if (*ending && reason && !trial_has_ended(trial))
		fail_now(*ending + lost, trial, reason);
	return *ending ? 0 : -ENOMEM;
}
