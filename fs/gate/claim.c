/* claim.c - this mount becomes the writer of a generation, joins one, and lets go of it */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

int gate_sign_record_(const struct gate *gate, struct record *record)
{
	const struct liveness *liveness = &gate->options.liveness;
	const char *place = gate_hints_place_(gate->hints);

	memcpy(record->mount, gate->token, sizeof(record->mount));
	record->heartbeat = record->kind == RECORD_RESERVE ? 0 : liveness->heartbeat;
	record->no_lease = record->kind != RECORD_RESERVE && !liveness->leases;
	record->hint = place ? strdup(place) : NULL;
	return place && !record->hint ? -ENOMEM : 0;
}

static int link_claim(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, bool plain)
{
	const struct store *store = &checkpoint->gate->options.store;
	struct record record;
	struct identity_process process = {.pid = 0};

	int error = record_init(&record, RECORD_CLAIM);
	if (error)
		return error;
	if (caller->tid > 0)
		identity_process(caller->tid, &process);
	record.pid = process.pid;
	record.uid = caller->uid;
	record.gid = caller->gid;
	record.plain = plain;
	free(record.trial);
	record.trial = strdup(trial);
	error = record.trial ? gate_sign_record_(checkpoint->gate, &record) : -ENOMEM;
	if (!error)
		error = state_claim(store, checkpoint->path, &record);
	if (!error) {
		checkpoint->own = record.generation;
		memcpy(checkpoint->own_claim, record.token, sizeof(checkpoint->own_claim));
		gate_hints_announce_(checkpoint, record.generation, HINT_OPEN);
		if (checkpoint->state_known && checkpoint->state.kind == STATE_PENDING)
			gate_hints_ended_(checkpoint, &checkpoint->state.reserve);
	}
	record_free(&record);
	return error;
}

int gate_watch_caller_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, bool watch)
{
	struct trial *seen;
	int error = watch ? trials_note_writer(checkpoint->gate->trials, trial, caller->tid, &seen)
			  : trials_get(checkpoint->gate->trials, trial, &seen);
	if (error)
		return error;
	/* the trial has ended and begun again under the same name, and its end is on its way here */
	if (checkpoint->trial && checkpoint->trial != seen && trial_has_ended(checkpoint->trial)) {
		trial_put(seen);
		return -EBUSY;
	}
	trial_put(checkpoint->trial);
	checkpoint->trial = seen;
	return 0;
}

int gate_claim_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, bool watch, bool plain)
{
	const struct store *store = &checkpoint->gate->options.store;

	if (checkpoint->gate->options.read_only)
		return -EROFS;
	if (checkpoint->lease.fd >= 0)
		return -EBUSY;
	/* what is still open for writing of something that is there no more can not get into the new generation */
	if (checkpoint->state.kind != STATE_PLAIN)
		gate_forget_handles_(checkpoint);
	int error = gate_beats_begin_(checkpoint->gate);
	if (!error)
		error = lease_share(store, checkpoint->path, &checkpoint->lease);
	if (error == -ENOLCK)
		log_error("'%s': the export's file system gives no locks any more (ENOLCK); mount with -o locks=off, or see to its lock service", checkpoint->path);
	if (error)
		return error;
	/* before the trial is known here: should it end while the claim is on its way, its end finds the checkpoint, and waits for the lock */
	gate_set_mine_(checkpoint, true);
	error = gate_watch_caller_(checkpoint, caller, trial, watch);
	bool asked = !error;
	if (asked)
		error = link_claim(checkpoint, caller, trial, plain);
	if (error) {
		gate_let_go_(checkpoint);
		if (asked && error != -EEXIST && error != -EBUSY)
			gate_claim_untold_(checkpoint);
		return error;
	}
	checkpoint->claimer = true;
	error = gate_reread_(checkpoint);
	if (error) {
		gate_abandon_(checkpoint, "its claim can not be read back");
		return error;
	}
	if (checkpoint->lease.fd < 0)
		return -EOWNERDEAD; /* ended in the same moment */
	log_notice("'%s': generation %u opened by trial '%s'", checkpoint->path, checkpoint->own, trial);
	return 0;
}

void gate_set_mine_(struct gate_checkpoint *checkpoint, bool mine)
{
	struct gate *gate = checkpoint->gate;

	if (mine == checkpoint->is_mine)
		return;
	checkpoint->is_mine = mine;
	pthread_mutex_lock(&gate->lock);
	if (mine)
		DL_APPEND2(gate->mine, checkpoint, mine_prev, mine_next);
	else
		DL_DELETE2(gate->mine, checkpoint, mine_prev, mine_next);
	pthread_mutex_unlock(&gate->lock);
	/* the list's reference; whoever calls holds one of his own */
	if (mine)
		gate_checkpoint_ref(checkpoint);
	else
		atomic_fetch_sub(&checkpoint->refs, 1);
}

void gate_let_go_(struct gate_checkpoint *checkpoint)
{
	/* what is still open for writing belongs to a generation that is over: it must not keep the next one from being sealed.
	 * Of plain data that could not be claimed it stays what it was */
	if (checkpoint->own)
		gate_forget_handles_(checkpoint);
	if (checkpoint->lease.fd >= 0)
		lease_drop(&checkpoint->gate->options.store, &checkpoint->lease);
	/* whoever waits here waits for another mount's decision from now on */
	if (waiters_count(checkpoint->gate->waiters, &checkpoint->readers))
		gate_attend_(checkpoint, 0);
	gate_hints_over_(checkpoint, checkpoint->own, HINT_OPEN);
	checkpoint->own = 0;
	checkpoint->own_claim[0] = '\0';
	checkpoint->claimer = false;
	checkpoint->wait_lease = false;
	record_free(&checkpoint->join);
	checkpoint->end_tries = 0;
	checkpoint->awaited_host[0] = '\0';
	checkpoint->vacated = false;
	checkpoint->write_error = 0;
	checkpoint->mapped_by = 0;
	checkpoint->open_told = 0;
	free(checkpoint->write_error_path);
	checkpoint->write_error_path = NULL;
	trial_put(checkpoint->trial);
	checkpoint->trial = NULL;
	gate_set_mine_(checkpoint, false);
}
