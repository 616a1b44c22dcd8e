/* survivor.c - processes that outlive the generation in which they wrote */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

/*
 * A generation can fail while its trial still runs: somebody abandoned it, or another machine took this one for dead. What the trial has saved so far has
 * moved aside then; should it begin the next generation, or join one that was begun elsewhere under the same name, the rest of its files would be sealed as
 * if they were all. So it is refused, by everything that is known of who wrote: what this mount remembers, and what the records say, which outlive it.
 */
#define TICK_NS 10000000u /* the resolution of a process's start time */

/* ---- what this mount remembers ---- */

struct gate_lost {
	struct gate_lost *prev, *next;
	struct gate_checkpoint *checkpoint; /* a reference */
	struct trial *trial;		    /* likewise */
	uint64_t when_ns;		    /* CLOCK_BOOTTIME */
};

void gate_note_lost_(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	struct gate_lost *lost = checkpoint->trial ? calloc(1, sizeof(*lost)) : NULL;

	if (!lost)
		return;
	lost->checkpoint = gate_checkpoint_ref(checkpoint);
	lost->trial = trial_ref(checkpoint->trial);
	lost->when_ns = gate_uptime_ns_();
	pthread_mutex_lock(&gate->lock);
	DL_APPEND(gate->lost, lost);
	pthread_mutex_unlock(&gate->lock);
}

static void lost_free(struct gate_lost *lost)
{
	gate_checkpoint_put(lost->checkpoint);
	trial_put(lost->trial);
	free(lost);
}

void gate_forget_lost_(struct gate *gate, const struct trial *trial)
{
	struct gate_lost *lost, *next, *gone = NULL;

	pthread_mutex_lock(&gate->lock);
	DL_FOREACH_SAFE(gate->lost, lost, next)
	{
		if (trial && lost->trial != trial)
			continue;
		DL_DELETE(gate->lost, lost);
		DL_APPEND(gone, lost);
	}
	pthread_mutex_unlock(&gate->lock);
	DL_FOREACH_SAFE(gone, lost, next)
	{
		lost_free(lost);
	}
}

size_t gate_list_lost_(struct gate *gate, const struct trial *trial, struct gate_checkpoint **list)
{
	struct gate_lost *lost;
	size_t count = 0;

	DL_FOREACH(gate->lost, lost)
	{
		if (lost->trial != trial)
			continue;
		if (list)
			list[count] = gate_checkpoint_ref(lost->checkpoint);
		count++;
	}
	return count;
}

static bool was_lost_here(struct gate_checkpoint *checkpoint, const char *trial, uint64_t began_ns)
{
	struct gate *gate = checkpoint->gate;
	struct gate_lost *lost;
	bool found = false;

	pthread_mutex_lock(&gate->lock);
	DL_FOREACH(gate->lost, lost)
	{
		if (lost->checkpoint == checkpoint && !strcmp(trial_id(lost->trial), trial) && began_ns <= lost->when_ns)
			found = true;
	}
	pthread_mutex_unlock(&gate->lock);
	return found;
}

/* ---- what the records say ---- */

/* Who looks, as the records have it. */
struct suspect {
	struct gate *gate;
	const char *trial;
	const char *boot;
	uint64_t began_ns;
};

/* Had he begun when that was made on this machine for his trial? Or before this mount, which nobody can have written through who did not write through one before it. */
static bool was_there(const struct suspect *suspect, const struct record *record)
{
	if (!record->boot || strcmp(record->boot, suspect->boot) || strcmp(record->trial, suspect->trial))
		return false;
	return suspect->began_ns <= record->uptime_ns || suspect->began_ns <= suspect->gate->began_ns;
}

static bool has_joined(const struct suspect *suspect, const char *path, unsigned int generation)
{
	struct record *joined;
	size_t count;
	bool found = false;

	if (state_joined(&suspect->gate->options.store, path, generation, &joined, &count))
		return false;
	for (size_t i = 0; i < count; i++)
		found |= was_there(suspect, &joined[i]);
	state_joined_free(joined, count);
	return found;
}

static bool has_claimed(const struct suspect *suspect, const char *path, unsigned int generation)
{
	struct record claim;

	if (state_read_claim(&suspect->gate->options.store, path, generation, &claim))
		return false;
	bool found = was_there(suspect, &claim);
	record_free(&claim);
	return found;
}

/* `state` is failed: its own records, without looking any further. */
static bool is_in_failed(const struct suspect *suspect, const struct state *state)
{
	if (!state->has_end || !state->has_claim || strcmp(state->claim.trial, suspect->trial))
		return false;
	bool same_boot = state->end.boot && !strcmp(state->end.boot, suspect->boot);
	return (same_boot && suspect->began_ns <= state->end.uptime_ns) || was_there(suspect, &state->claim);
}

static bool is_in_any(const struct suspect *suspect, const char *path, unsigned int newest)
{
	for (unsigned int generation = newest; generation > 0; generation--) {
		if (has_claimed(suspect, path, generation) || has_joined(suspect, path, generation))
			return true;
	}
	return false;
}

static bool is_suspect(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, bool search, struct identity_process *root)
{
	const struct state *state = &checkpoint->state;
	struct suspect suspect = {.gate = checkpoint->gate, .trial = trial};
	struct record here;

	if (identity_process(caller->tid, root) || record_init(&here, RECORD_CLAIM))
		return false;
	identity_process(identity_root(root->pid, trial, checkpoint->gate->options.config.trial_env), root);
	suspect.began_ns = identity_start_ns(root) + TICK_NS;
	suspect.boot = here.boot;
	bool found = was_lost_here(checkpoint, trial, suspect.began_ns) || is_in_failed(&suspect, state);
	/* of an open generation those before it, which have failed */
	if (!found && search && state->generation)
		found = is_in_any(&suspect, checkpoint->path, state->kind == STATE_FAILED ? state->generation : state->generation - 1);
	record_free(&here);
	return found;
}

bool gate_is_survivor_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial)
{
	struct identity_process root;

	return is_suspect(checkpoint, caller, trial, false, &root);
}

int gate_refuse_survivor_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial)
{
	const struct state *state = &checkpoint->state;
	struct identity_process root;

	if (!is_suspect(checkpoint, caller, trial, true, &root))
		return 0;
	log_warning("'%s': trial '%s' (pid %d, %s) wants to go on writing, but the generation in which it wrote has failed (%s), and what it saved in that is in nobody's seal: refused (EOWNERDEAD); start the trial anew",
		    checkpoint->path, trial, root.pid, root.command,
		    state->has_end && state->end.reason ? state->end.reason : "another one has been begun since");
	return -EOWNERDEAD;
}
