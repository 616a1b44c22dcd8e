/* refresh.c - the state of a checkpoint as this mount knows it, and when it is read anew */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/creds.h"
#include "sealfs/log.h"

#define RECORD_FIRST_NS 1000000000u /* an end that could not be recorded is tried again after 1 s, and more and more rarely, … */
#define RECORD_LAST_NS 30000000000u /* … down to every 30 s */
#define CLAIM_UNTOLD "its claim was made, but the export answered with an error"
#define SEALED_LOOK_NS 1000000000u /* a sealed checkpoint that was removed elsewhere is noticed after so long */

static void drop_seal(struct gate_checkpoint *checkpoint)
{
	gate_sealed_put(checkpoint->sealed);
	checkpoint->sealed = NULL;
	free(checkpoint->damage);
	checkpoint->damage = NULL;
}

/* Is it sealed as it was? A copy has no record here: its seal file says. */
static bool same_seal(struct gate_checkpoint *checkpoint, const struct state *fresh)
{
	const struct state *known = &checkpoint->state;
	struct digest root;

	if (known->kind != fresh->kind || known->generation != fresh->generation || known->has_end != fresh->has_end)
		return false;
	if (known->has_end)
		return !strcmp(known->end.token, fresh->end.token);
	return checkpoint->sealed && fresh->travelled &&
	       !seal_root(&checkpoint->gate->options.store, checkpoint->path, fresh, &root) && digest_equal(&root, &checkpoint->sealed->root);
}

bool gate_is_own_(const struct gate_checkpoint *checkpoint, const struct state *state)
{
	return state->generation == checkpoint->own && state->has_claim && !strcmp(state->claim.token, checkpoint->own_claim);
}

int gate_reread_(struct gate_checkpoint *checkpoint)
{
	struct state fresh;
	int error = state_read(&checkpoint->gate->options.store, checkpoint->path, &fresh);
	if (error)
		return error;
	struct state *old = &checkpoint->state;
	bool known = checkpoint->state_known;

	if (!known || !same_seal(checkpoint, &fresh))
		drop_seal(checkpoint);
	if (!known || old->generation != fresh.generation || old->has_end != fresh.has_end)
		checkpoint->lost = false;
	if (!known || old->generation != fresh.generation || old->kind != fresh.kind)
		gate_set_content(checkpoint, 0, 0);
	if (known)
		state_free(old);
	checkpoint->state = fresh;
	checkpoint->state_known = true;
	checkpoint->looked_ns = waiters_now_ns();
	bool own = gate_is_own_(checkpoint, &fresh);
	if (checkpoint->lease.fd >= 0 && (!own || fresh.kind != STATE_OPEN)) {
		log_warning("'%s': generation %u was ended on %s (%s: %s) while this mount was writing it; what its trial saves from now on is in nobody's seal: start it anew",
			    checkpoint->path, checkpoint->own, fresh.has_end ? fresh.end.host : "another machine", state_name(fresh.kind),
			    fresh.has_end && fresh.end.reason ? fresh.end.reason : "no reason given");
		if (checkpoint->ending == ENDING_NONE || checkpoint->ending == ENDING_CLOSING) {
			bool sealed = own && fresh.kind == STATE_SEALED;
			gate_note_lost_(checkpoint);
			gate_set_outcome_(checkpoint, sealed ? 0 : -EOWNERDEAD, "%s",
					  fresh.has_end && fresh.end.reason ? fresh.end.reason : "it was ended by somebody else");
			checkpoint->ending = ENDING_NONE;
			gate_let_go_(checkpoint);
		}
	}
	if (gate_verdict_(checkpoint, fresh.generation) != 1 && waiters_count(checkpoint->gate->waiters, &checkpoint->readers))
		gate_attend_(checkpoint, 0);
	return 0;
}

int gate_refresh_(struct gate_checkpoint *checkpoint, bool even_if_sealed)
{
	if (checkpoint->state_known && checkpoint->lease.fd >= 0)
		return 0;
	if (checkpoint->state_known && checkpoint->state.kind == STATE_SEALED &&
	    (!even_if_sealed || waiters_now_ns() - checkpoint->looked_ns < SEALED_LOOK_NS))
		return 0;
	return gate_reread_(checkpoint);
}

int gate_confirm_sealed(struct gate *gate, const struct gate_sealed *sealed)
{
	struct gate_checkpoint *checkpoint = gate_checkpoint_get(gate, sealed->path);
	if (!checkpoint)
		return -ENOMEM;
	pthread_mutex_lock(&checkpoint->lock);
	int error = gate_reread_(checkpoint);
	if (!error && (checkpoint->state.kind != STATE_SEALED || checkpoint->sealed != sealed))
		error = -ESTALE;
	pthread_mutex_unlock(&checkpoint->lock);
	gate_checkpoint_put(checkpoint);
	return error;
}

int gate_verdict_(struct gate_checkpoint *checkpoint, unsigned int of)
{
	const struct state *state = &checkpoint->state;

	switch (state->kind) {
	case STATE_PENDING:
	case STATE_OPEN:
		return checkpoint->lost || state->generation > of ? -EOWNERDEAD : 1;
	case STATE_FAILED:
		return -EOWNERDEAD;
	case STATE_DAMAGED:
		return -EBADMSG;
	case STATE_ABSENT:
		return -ENOENT;
	default:
		return 0;
	}
}

/* Once a generation. */
static void tell_blind(struct gate_checkpoint *checkpoint)
{
	const struct record *claim = &checkpoint->state.claim;

	if (checkpoint->blind_told == checkpoint->state.generation)
		return;
	checkpoint->blind_told = checkpoint->state.generation;
	log_warning("'%s': this mount sees no locks of other machines (%s), and the mount on %s that writes gives no heartbeat, so its death would not be noticed here; 'sealctl abandon %s' ends the wait",
		    checkpoint->path, checkpoint->gate->options.liveness.why, claim->host, checkpoint->path);
}

/* The owner is dead, but this user may not write that down, or there is no room for it: who waits here need not wait for that. */
static bool can_not_record(int error)
{
	return error == -EACCES || error == -EPERM || error == -EROFS || error == -ENOSPC || error == -EDQUOT;
}

/* ---- an end of this mount's own that could not be recorded ---- */

/*
 * This mount made the claim and does not write (any more): the end could not be linked, or the claim was made although the server answered with an error.
 * Its heartbeat tells the other machines nothing of that, and goes on while it writes anything else: so it has to be ended from here.
 */
static bool is_orphan(const struct gate_checkpoint *checkpoint)
{
	const struct state *state = &checkpoint->state;

	return checkpoint->lease.fd < 0 && state->kind == STATE_OPEN && !strcmp(state->claim.mount, checkpoint->gate->token);
}

static void end_orphan(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;
	const struct record *claim = &checkpoint->state.claim;
	const char *reason = checkpoint->unrecorded ? checkpoint->unrecorded : CLAIM_UNTOLD;

	int error = liveness_end_by_link(store, checkpoint->path, claim, claim->trial, reason,
					 checkpoint->unrecorded ? &checkpoint->unrecorded_ns : NULL);
	if (!error)
		log_notice("'%s': that generation %u of trial '%s' has failed (%s) is recorded now", checkpoint->path, checkpoint->state.generation,
			   claim->trial, reason);
	else
		checkpoint->lost |= can_not_record(error);
	if (!error || error == -EBUSY)
		gate_reread_(checkpoint);
}

void gate_record_later_(struct gate_checkpoint *checkpoint, const char *reason)
{
	if (checkpoint->unrecorded || !(checkpoint->unrecorded = strdup(reason)))
		return;
	checkpoint->unrecorded_ns = checkpoint->end_uptime_ns;
	gate_checkpoint_ref(checkpoint); /* until it is recorded */
	checkpoint->record_wait_ns = RECORD_FIRST_NS;
	checkpoint->record_due_ns = waiters_now_ns() + RECORD_FIRST_NS;
	gate_attend_(checkpoint, RECORD_FIRST_NS);
}

void gate_claim_untold_(struct gate_checkpoint *checkpoint)
{
	checkpoint->end_uptime_ns = gate_uptime_ns_();
	gate_record_later_(checkpoint, CLAIM_UNTOLD);
}

void gate_record_no_more_(struct gate_checkpoint *checkpoint)
{
	if (!checkpoint->unrecorded)
		return;
	free(checkpoint->unrecorded);
	checkpoint->unrecorded = NULL;
	atomic_fetch_sub(&checkpoint->refs, 1); /* whoever calls holds one of his own */
}

void gate_record_again_(struct gate_checkpoint *checkpoint)
{
	uint64_t now = waiters_now_ns();

	if (!checkpoint->unrecorded)
		return;
	if (now >= checkpoint->record_due_ns) {
		int error = gate_reread_(checkpoint);
		if (!error)
			gate_judge_(checkpoint);
		if (!error && !is_orphan(checkpoint)) {
			gate_record_no_more_(checkpoint);
			return;
		}
		checkpoint->record_wait_ns = checkpoint->record_wait_ns < RECORD_LAST_NS / 2 ? checkpoint->record_wait_ns * 2 : RECORD_LAST_NS;
		checkpoint->record_due_ns = now + checkpoint->record_wait_ns;
	}
	gate_attend_(checkpoint, checkpoint->record_due_ns - now);
}

void gate_judge_(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;
	struct state *state = &checkpoint->state;

	if (state->kind != STATE_OPEN || (checkpoint->lease.fd >= 0 && checkpoint->claimer))
		return;
	CREDS_SCOPE(state->claim.uid, state->claim.gid, 0);
	if (is_orphan(checkpoint)) {
		end_orphan(checkpoint);
		return;
	}
	int dead = gate_is_dead_(checkpoint, &state->claim);
	if (dead == -ENOLCK)
		tell_blind(checkpoint);
	if (dead <= 0)
		return;
	int error = liveness_end_dead(store, &checkpoint->gate->options.liveness, checkpoint->path, &state->claim, state->claim.trial, "owner died");
	if (error && !can_not_record(error))
		return; /* it lives after all, or the export can not be asked: asked again later */
	if (!error || !checkpoint->lost)
		log_warning("'%s': owner died: the mount on %s through which trial '%s' was writing is gone: %s%s; start the trial again, or 'sealctl rm' it",
			    checkpoint->path, state->claim.host, state->claim.trial, error ? "its end can not be recorded: " : "failed",
			    error ? strerror(-error) : "");
	if (error)
		checkpoint->lost = true;
	else
		gate_reread_(checkpoint);
}
