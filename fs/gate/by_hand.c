/* by_hand.c - what is asked for by hand: to claim, seal, abandon, reserve, remove */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/creds.h"
#include "sealfs/identity.h"
#include "sealfs/log.h"

/* May this caller end or remove it by hand? Root, and whoever opened or reserved it. */
static bool may_decide(const struct state *state, const struct gate_caller *caller)
{
	if (caller->uid == 0)
		return true;
	if (state->has_claim)
		return state->claim.uid == caller->uid;
	return !state->has_reserve || state->reserve.uid == caller->uid;
}

/* Under the lock: plain data are to be sealed for the caller. They stay plain until nobody writes to them any more, so that a seal that is refused changes nothing. */
static int seal_plain(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller)
{
	if (checkpoint->sealer.trial)
		return 0; /* for somebody else, already */
	if (gate->options.read_only)
		return -EROFS;
	int error = state_may_write(&gate->options.store, checkpoint->path);
	if (!error)
		error = identity_of(caller->tid, gate->options.config.trial_env, &checkpoint->sealer.trial);
	checkpoint->sealer.caller = *caller;
	return error;
}

int gate_claim(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, struct gate_view *view)
{
	char *own = NULL;
	int error = 0;

	memset(view, 0, sizeof(*view));
	if (!trial || !*trial)
		error = identity_of(caller->tid, gate->options.config.trial_env, &own);
	if (error)
		return error;
	pthread_mutex_lock(&checkpoint->lock);
	error = gate_reread_(checkpoint);
	if (!error)
		gate_judge_(checkpoint);
	const struct state *state = &checkpoint->state;
	const char *name = own ? own : trial;
	bool open = state->kind == STATE_OPEN;
	bool for_other = (open || (state->kind == STATE_PENDING && state->reserve.writer)) && !state_is_writer(state, name);
	if (!error && for_other)
		error = -EBUSY;
	else if (!error && open)
		error = checkpoint->lease.fd >= 0 ? 0 : gate_join_(checkpoint, caller, name);
	else if (!error && !(error = state_may_write(&gate->options.store, checkpoint->path)))
		error = gate_claim_(checkpoint, caller, name, false, false);
	if (error == AGAIN || error == -EEXIST)
		error = -EBUSY;
	view->state = state->kind;
	view->generation = state->generation;
	view->has_data = state->has_data;
	view->is_file = state->is_file;
	pthread_mutex_unlock(&checkpoint->lock);
	free(own);
	return error;
}

/* What somebody decides by hand, he decides of the checkpoint as it is now. */
static int begin_decision(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, char *why, size_t size)
{
	const struct state *state = &checkpoint->state;

	int error = gate_reread_(checkpoint);
	if (error)
		return error;
	gate_judge_(checkpoint);
	if (may_decide(state, caller))
		return 0;
	snprintf(why, size, "it belongs to uid %u", state->has_claim ? state->claim.uid : state->reserve.uid);
	return -EPERM;
}

static int seal_locked(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, char *why, size_t size)
{
	const struct state *state = &checkpoint->state;

	int error = begin_decision(checkpoint, caller, why, size);
	if (error)
		return error;
	switch (state->kind) {
	case STATE_PLAIN:
		error = seal_plain(gate, checkpoint, caller);
		break;
	case STATE_OPEN:
		break;
	case STATE_SEALED:
		snprintf(why, size, "it is sealed already");
		return -EROFS;
	case STATE_FAILED:
		snprintf(why, size, "generation %u has failed: %s", state->generation, state->end.reason ? state->end.reason : "");
		return -EOWNERDEAD;
	case STATE_DAMAGED:
		snprintf(why, size, "%s", state->damage ? state->damage : "damaged record");
		return -EBADMSG;
	default:
		snprintf(why, size, "nothing has been written there (%s)", state_name(state->kind));
		return -ENOENT;
	}
	if (!error && (checkpoint->lease.fd < 0 || !checkpoint->claimer) && !checkpoint->sealer.trial) {
		snprintf(why, size, "it is being written through another mount, on %s", state->claim.host);
		return -EBUSY;
	}
	if (!error && checkpoint->ending == ENDING_NONE)
		gate_begin_end_(checkpoint, NULL, true);
	return error;
}

int gate_seal(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, char *why, size_t why_size)
{
	*why = '\0';
	pthread_mutex_lock(&checkpoint->lock);
	int error = seal_locked(gate, checkpoint, caller, why, why_size);
	pthread_mutex_unlock(&checkpoint->lock);
	return error;
}

int gate_wait_end(struct gate *gate, struct gate_checkpoint *checkpoint, struct waiter *waiter, bool (*interrupted)(const void *key),
		  struct gate_outcome *outcome)
{
	int result = 1;

	pthread_mutex_lock(&checkpoint->lock);
	if (checkpoint->ending == ENDING_NONE)
		*outcome = checkpoint->outcome;
	else
		result = waiters_park(gate->waiters, waiter, &checkpoint->enders, "", NULL, 0, interrupted);
	pthread_mutex_unlock(&checkpoint->lock);
	return result;
}

/* A pending reservation is ended without a lease: link decides. As the one whose state it is: root, who may decide it here, may be nobody to the server. */
static int abandon_pending(struct gate_checkpoint *checkpoint, const char *reason)
{
	const struct record *owner = checkpoint->state.has_claim ? &checkpoint->state.claim : &checkpoint->state.reserve;
	CREDS_SCOPE(owner->uid, owner->gid, 0);

	int error = gate_link_failed_(checkpoint, checkpoint->state.generation, reason, gate_uptime_ns_());
	if (!error)
		gate_hints_ended_(checkpoint, owner);
	if (!error)
		log_warning("'%s': the reservation was abandoned: %s; its readers get EOWNERDEAD", checkpoint->path, reason);
	return error ? error : gate_reread_(checkpoint);
}

static int abandon_locked(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *reason, char *why, size_t size)
{
	const struct state *state = &checkpoint->state;

	int error = begin_decision(checkpoint, caller, why, size);
	if (error)
		return error;
	if (state->kind == STATE_FAILED)
		return 0;
	if (state->kind == STATE_PENDING)
		return abandon_pending(checkpoint, reason);
	if (state->kind != STATE_OPEN) {
		snprintf(why, size, "it is %s", state_name(state->kind));
		return state->kind == STATE_SEALED ? -EROFS : -EINVAL;
	}
	if (checkpoint->lease.fd < 0) /* another mount writes: it will find its generation ended */
		return abandon_pending(checkpoint, reason);
	if (checkpoint->ending == ENDING_SEALING && checkpoint->wait_lease && !checkpoint->end_running) {
		/* it only waits for others, who may never end */
		checkpoint->wait_lease = false;
		checkpoint->ending = ENDING_NONE;
	}
	if (checkpoint->ending == ENDING_SEALING) {
		snprintf(why, size, "it is being sealed");
		return -EBUSY;
	}
	gate_begin_end_(checkpoint, reason, true);
	return 0;
}

int gate_abandon(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *reason, char *why,
		 size_t why_size)
{
	*why = '\0';
	pthread_mutex_lock(&checkpoint->lock);
	int error = abandon_locked(checkpoint, caller, reason, why, why_size);
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	return error;
}

int gate_reserve(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *writer,
		 unsigned int *generation)
{
	struct record record;
	char *trial = NULL;

	if (gate->options.read_only)
		return -EROFS;
	int error = identity_of(caller->tid, gate->options.config.trial_env, &trial);
	if (!error)
		error = record_init(&record, RECORD_RESERVE);
	if (error) {
		free(trial);
		return error;
	}
	free(record.trial);
	record.trial = trial;
	record.pid = caller->tid;
	record.uid = caller->uid;
	record.gid = caller->gid;
	if (writer && *writer && !(record.writer = strdup(writer)))
		error = -ENOMEM;
	if (!error)
		error = gate_sign_record_(gate, &record);
	CREDS_UMASK_SCOPE(identity_umask(caller->tid));
	pthread_mutex_lock(&checkpoint->lock);
	if (!error)
		error = gate_reread_(checkpoint);
	if (!error)
		gate_judge_(checkpoint);
	if (!error)
		error = state_may_write(&gate->options.store, checkpoint->path);
	if (!error)
		error = state_reserve(&gate->options.store, checkpoint->path, &record);
	if (!error)
		gate_hints_announce_(checkpoint, record.generation, HINT_PENDING);
	gate_reread_(checkpoint);
	*generation = checkpoint->state.generation;
	pthread_mutex_unlock(&checkpoint->lock);
	record_free(&record);
	return error;
}

int gate_remove(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller)
{
	if (gate->options.read_only)
		return -EROFS;
	pthread_mutex_lock(&checkpoint->lock);
	int error = gate_reread_(checkpoint);
	if (!error)
		gate_judge_(checkpoint);
	if (!error && checkpoint->state.kind == STATE_OPEN)
		error = -EBUSY;
	else if (!error && !may_decide(&checkpoint->state, caller))
		error = -EPERM;
	if (!error)
		error = state_may_remove(&gate->options.store, checkpoint->path);
	if (!error)
		error = state_remove(&gate->options.store, checkpoint->path);
	if (!error && checkpoint->state.kind == STATE_PENDING)
		gate_hints_ended_(checkpoint, &checkpoint->state.reserve);
	gate_reread_(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	if (!error)
		log_notice("'%s': removed by uid %u", checkpoint->path, caller->uid);
	if (!error && gate->options.forget)
		gate->options.forget(gate->options.arg, checkpoint->path);
	return error;
}
