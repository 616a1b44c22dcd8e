/* end.c - how a generation ends: sealed or abandoned */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sealfs/creds.h"
#include "sealfs/identity.h"
#include "sealfs/log.h"

#define MAPPED_RETRY_NS 100000000u
#define MAPPED_LOOKS 4	       /* in a row, while files are opened */
#define BY_HAND_PATIENCE_NS 500000000u /* how long a seal by hand waits for files that are being closed */

void gate_set_outcome_(struct gate_checkpoint *checkpoint, int result, const char *format, ...)
{
	struct gate_outcome *outcome = &checkpoint->outcome;
	va_list args;

	memset(outcome, 0, sizeof(*outcome));
	outcome->result = result;
	outcome->generation = checkpoint->own ? checkpoint->own : checkpoint->state.generation;
	va_start(args, format);
	vsnprintf(outcome->message, sizeof(outcome->message), format, args);
	va_end(args);
}

uint64_t gate_uptime_ns_(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void gate_submit_end_(struct gate_checkpoint *checkpoint)
{
	gate_checkpoint_ref(checkpoint); /* the job's */
	/* it may still be queued for a generation that was ended on the spot; whoever calls holds a reference of his own */
	if (!pool_submit(checkpoint->gate->pool, checkpoint->ending == ENDING_ABANDONING ? POOL_LOOK : POOL_SEAL, &checkpoint->end_job))
		atomic_fetch_sub(&checkpoint->refs, 1);
}

void gate_begin_end_(struct gate_checkpoint *checkpoint, const char *failure, bool by_hand)
{
	if (checkpoint->ending == ENDING_SEALING && checkpoint->by_hand && !by_hand) {
		/* the trial itself has ended: the attempt that was begun by hand must not give up any more, since nobody would end it then; and if it can
		 * not be had at once, what the trial came to counts */
		checkpoint->by_hand = false;
		free(checkpoint->end_reason);
		checkpoint->end_reason = failure ? strdup(failure) : NULL;
		return;
	}
	if (checkpoint->ending == ENDING_SEALING || checkpoint->ending == ENDING_ABANDONING)
		return;
	checkpoint->by_hand = by_hand;
	checkpoint->end_uptime_ns = gate_uptime_ns_();
	free(checkpoint->end_reason);
	checkpoint->end_reason = failure ? strdup(failure) : NULL;
	if (failure) {
		checkpoint->ending = ENDING_ABANDONING;
		gate_submit_end_(checkpoint);
	} else if (checkpoint->handles || checkpoint->changes) {
		/* the last close goes on; a process that has just ended is closing already */
		checkpoint->ending = ENDING_CLOSING;
		gate_attend_(checkpoint, BY_HAND_PATIENCE_NS);
	} else {
		checkpoint->ending = ENDING_SEALING;
		gate_submit_end_(checkpoint);
	}
}

void gate_drop_sealer_(struct gate_checkpoint *checkpoint)
{
	free(checkpoint->sealer.trial);
	checkpoint->sealer.trial = NULL;
}

/* Has the generation that this mount writes an end, that somebody else gave it? */
static bool has_ended(struct gate_checkpoint *checkpoint)
{
	if (checkpoint->lease.fd < 0 || !checkpoint->own)
		return false;
	CREDS_SCOPE(checkpoint->state.claim.uid, checkpoint->state.claim.gid, 0);
	return state_has_ended(&checkpoint->gate->options.store, checkpoint->path, checkpoint->own) > 0;
}

/* A mount that joined has nothing open any more, but something was still mapped. Under the lock. */
static void attend_mapping(struct gate_checkpoint *checkpoint)
{
	if (!checkpoint->mapped_by || checkpoint->claimer || checkpoint->lease.fd < 0 || checkpoint->ending != ENDING_NONE)
		return;
	checkpoint->mapped_by = gate_mapped_by_(checkpoint, 0);
	gate_check_closed_(checkpoint);
}

/* Still open for writing after a while: say so; a seal by hand gives up, the end of a trial goes on waiting. */
void gate_attention_end_(struct gate_checkpoint *checkpoint)
{
	struct gate_write_handle *handle = checkpoint->handles;
	struct identity_process process;

	attend_mapping(checkpoint);
	if (checkpoint->ending == ENDING_CLOSING && has_ended(checkpoint))
		gate_reread_(checkpoint);
	if (checkpoint->ending != ENDING_CLOSING || !handle)
		return;
	if (identity_process(handle->tid, &process)) {
		process.pid = handle->tid;
		strcpy(process.command, "gone");
	}
	if (checkpoint->by_hand) {
		gate_set_outcome_(checkpoint, -EBUSY, "still open for writing by pid %d (%s)", process.pid, process.command);
		checkpoint->ending = ENDING_NONE;
		gate_drop_sealer_(checkpoint);
	} else if (checkpoint->open_told != process.pid) {
		checkpoint->open_told = process.pid;
		log_warning("'%s': trial '%s' has ended, but pid %d (%s) still has a file open for writing: it is sealed when that is closed",
			    checkpoint->path, checkpoint->state.claim.trial, process.pid, process.command);
	}
}

/* ---- abandoning ---- */

/* What this mount writes: no other one's generation, though it may have the same number by now. */
static int link_own_failed(struct gate_checkpoint *checkpoint, const char *trial, const char *reason, uint64_t when)
{
	struct record claim = {.trial = NULL};

	memcpy(claim.token, checkpoint->own_claim, sizeof(claim.token));
	int error = liveness_end_by_link(&checkpoint->gate->options.store, checkpoint->path, &claim, trial, reason, &when);
	return error == -EBUSY ? 0 : error;
}

int gate_link_failed_(struct gate_checkpoint *checkpoint, unsigned int generation, const char *reason, uint64_t when)
{
	const struct store *store = &checkpoint->gate->options.store;
	const struct state *state = &checkpoint->state;
	struct record record;

	const char *trial = state->has_claim ? state->claim.trial : state->has_reserve ? state->reserve.trial : "?";
	if (*checkpoint->own_claim && generation == checkpoint->own)
		return link_own_failed(checkpoint, trial, reason, when);
	int error = record_init(&record, RECORD_END);
	if (error)
		return error;
	record.generation = generation;
	free(record.trial);
	free(record.reason);
	record.trial = strdup(trial);
	record.reason = strdup(reason);
	record.uid = state->has_claim ? state->claim.uid : geteuid();
	record.gid = state->has_claim ? state->claim.gid : getegid();
	record.uptime_ns = when;
	error = record.trial && record.reason ? state_end(store, checkpoint->path, &record, NULL) : -ENOMEM;
	record_free(&record);
	return error == -EEXIST ? 0 : error;
}

/* Its own trial has renamed or removed all of it: that name is not failed but free again. Under the lock. */
static void forget_vacated(struct gate_checkpoint *checkpoint)
{
	int error = state_remove(&checkpoint->gate->options.store, checkpoint->path);
	if (error && error != -ENOENT)
		log_warning("'%s': nothing is left of it, but its state stays behind: %s; 'sealctl rm %s' clears it", checkpoint->path, strerror(-error),
			    checkpoint->path);
	gate_reread_(checkpoint);
}

void gate_abandon_(struct gate_checkpoint *checkpoint, const char *reason)
{
	bool vacated = checkpoint->vacated, plain = checkpoint->state.has_claim && checkpoint->state.claim.plain;
	unsigned int generation = checkpoint->own;
	const char *trial = checkpoint->state.has_claim ? checkpoint->state.claim.trial : "?";

	int error = gate_link_failed_(checkpoint, generation, reason, checkpoint->end_uptime_ns);
	if (error)
		log_error("'%s': abandoned (%s), but that can not be recorded: %s; readers here get EOWNERDEAD, those on other machines wait until it can; it is tried again",
			  checkpoint->path, reason, strerror(-error));
	else if (vacated)
		log_notice("'%s': trial '%s' has renamed or removed it", checkpoint->path, trial);
	else if (plain)
		log_warning("'%s': it is not sealed: %s; its data are plain as before", checkpoint->path, reason);
	else
		log_warning("'%s': generation %u of trial '%s' has failed: %s; its readers get EOWNERDEAD", checkpoint->path, generation, trial,
			    reason);
	gate_set_outcome_(checkpoint, -EOWNERDEAD, "%s", reason);
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
	gate_reread_(checkpoint);
	if (error && checkpoint->state.kind == STATE_OPEN) {
		checkpoint->lost = true;
		gate_record_later_(checkpoint, reason);
	}
	if (vacated && checkpoint->state.kind == STATE_FAILED && !checkpoint->state.has_data)
		forget_vacated(checkpoint);
}

static void abandon_as_asked(struct gate_checkpoint *checkpoint)
{
	const char *why = checkpoint->end_reason ? checkpoint->end_reason : "abandoned";
	char *reason = NULL;

	if (!checkpoint->claimer && asprintf(&reason, "on the joined machine %s: %s", checkpoint->join.host ? checkpoint->join.host : "?", why) < 0)
		reason = NULL;
	gate_abandon_(checkpoint, reason ? reason : why);
	free(reason);
	free(checkpoint->end_reason);
	checkpoint->end_reason = NULL;
}

/* ---- ending ---- */

void gate_decided_elsewhere_(struct gate_checkpoint *checkpoint)
{
	const struct record *end = &checkpoint->state.end;

	gate_reread_(checkpoint);
	bool known = checkpoint->state.has_end && gate_is_own_(checkpoint, &checkpoint->state);
	gate_set_outcome_(checkpoint, known && checkpoint->state.kind == STATE_SEALED ? 0 : -EOWNERDEAD, "its end was decided elsewhere%s%s",
			  known && end->reason ? ": " : "", known && end->reason ? end->reason : "");
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
}

/* Who waits for other mounts, or for mappings, waits in vain when one of the other mounts has failed, or somebody has abandoned it there. */
static bool has_been_decided(struct gate_checkpoint *checkpoint)
{
	if (checkpoint->ending != ENDING_SEALING || !has_ended(checkpoint))
		return false;
	gate_decided_elsewhere_(checkpoint);
	return true;
}

/*
 * Stores into a mapping may still be in this machine's cache alone when the last close is long over: the mount that seals would neither see them nor learn
 * that they could not be written. The lock is let go of meanwhile.
 */
static void sync_mapped(struct gate_checkpoint *checkpoint)
{
	const struct gate_options *options = &checkpoint->gate->options;
	char *path = NULL;

	if (!checkpoint->may_be_mapped || !options->remote || checkpoint->write_error)
		return;
	pthread_mutex_unlock(&checkpoint->lock);
	int error = seal_sync(&options->store, checkpoint->path, options->config.live, &path);
	pthread_mutex_lock(&checkpoint->lock);
	if (error && !checkpoint->write_error) {
		checkpoint->write_error = error;
		free(checkpoint->write_error_path);
		checkpoint->write_error_path = path;
	} else {
		free(path);
	}
}

/* Of a mount that joined. The claimer finds a good file where this one has lost what was written: it must learn of that. */
static void leave(struct gate_checkpoint *checkpoint)
{
	char reason[400];

	sync_mapped(checkpoint);
	if (has_been_decided(checkpoint))
		return;
	if (!checkpoint->write_error) {
		gate_leave_(checkpoint);
		return;
	}
	gate_tell_write_error_(checkpoint, reason, sizeof(reason));
	free(checkpoint->end_reason);
	checkpoint->end_reason = strdup(reason);
	abandon_as_asked(checkpoint);
}

bool gate_end_now_(struct gate_checkpoint *checkpoint)
{
	CREDS_SCOPE(checkpoint->state.claim.uid, checkpoint->state.claim.gid, 0);
	if (checkpoint->end_running || checkpoint->by_hand)
		return false;
	if (checkpoint->ending == ENDING_ABANDONING) {
		abandon_as_asked(checkpoint);
		return true;
	}
	if (!checkpoint->claimer || checkpoint->handles || gate_has_content_(checkpoint))
		return false;
	gate_abandon_(checkpoint, "its trial ended without having saved anything");
	return true;
}

/* Plain data that nobody writes to (any more) become the sealer's, to be sealed. */
static void claim_plain(struct gate_checkpoint *checkpoint)
{
	const struct gate_caller *caller = &checkpoint->sealer.caller;
	CREDS_SCOPE(caller->uid, caller->gid, caller->tid);

	int error = gate_reread_(checkpoint);
	if (!error && (checkpoint->state.kind != STATE_PLAIN || checkpoint->handles || checkpoint->changes))
		error = -EBUSY; /* in this moment somebody has begun to write */
	if (!error)
		error = gate_claim_(checkpoint, caller, checkpoint->sealer.trial, false, true);
	gate_drop_sealer_(checkpoint);
	if (!error)
		return;
	gate_set_outcome_(checkpoint, error, "it can not be opened for that: %s", strerror(-error));
	checkpoint->ending = ENDING_NONE;
}

/* Why it can not be told who has something mapped. */
static const char *why_untold(int error)
{
	switch (error) {
	case -EAGAIN:
		return "processes begin, or open its files, faster than they can be looked at";
	case -ENODEV:
		return "the mount's device number is not known; mount it again";
	default:
		return strerror(-error);
	}
}

/* `by` is as in mapped_by, and not 0. For people: who or what is in the way of the end. */
static void say_mapped(struct gate_checkpoint *checkpoint, pid_t by)
{
	struct identity_process process = {.command = "gone"};
	const char *path = checkpoint->path, *trial = checkpoint->state.claim.trial;

	if (by > 0)
		identity_process(by, &process);
	if (checkpoint->by_hand && by > 0)
		gate_set_outcome_(checkpoint, -EBUSY, "still mapped for writing by pid %d (%s)", by, process.command);
	else if (checkpoint->by_hand)
		gate_set_outcome_(checkpoint, -EBUSY, "it can not be told whether a process has a file mapped for writing: %s", why_untold(by));
	else if (by > 0)
		log_warning("'%s': trial '%s' has ended, but pid %d (%s) still has a file mapped for writing: it is sealed when that is gone", path, trial, by,
			    process.command);
	else
		log_warning("'%s': trial '%s' has ended, but it can not be told whether a process still has a file mapped for writing: %s; it is sealed when nobody has",
			    path, trial, why_untold(by));
}

/* Who was looked at already may have opened, mapped and closed a file since (of plain data, which nobody is kept from): then all are looked at again. */
static pid_t find_mapped(struct gate_checkpoint *checkpoint)
{
	for (int look = 0; look < MAPPED_LOOKS; look++) {
		unsigned int opened = checkpoint->opened;
		pid_t by = gate_mapped_by_(checkpoint, 0);
		if (by || checkpoint->opened == opened)
			return by;
	}
	return -EAGAIN;
}

/*
 * A shared mapping outlives the descriptor, and where the kernel passes content through, the open file as well: its stores would change what is sealed.
 * A seal by hand gives up; the end of a trial waits. True: not now.
 */
static bool is_still_mapped(struct gate_checkpoint *checkpoint)
{
	pid_t by = find_mapped(checkpoint), before = checkpoint->mapped_by;

	checkpoint->mapped_by = by;
	if (checkpoint->ending != ENDING_SEALING)
		return true;
	if (!by)
		return false;
	/* what can not be told now may be told in a moment */
	bool gives_up = checkpoint->by_hand && (by > 0 || gate_uptime_ns_() - checkpoint->end_uptime_ns >= BY_HAND_PATIENCE_NS);
	if (gives_up || (by != before && !checkpoint->by_hand))
		say_mapped(checkpoint, by);
	if (gives_up) {
		checkpoint->ending = ENDING_NONE;
		gate_drop_sealer_(checkpoint);
		return true;
	}
	checkpoint->wait_lease = true;
	gate_attend_(checkpoint, MAPPED_RETRY_NS);
	return true;
}

void gate_end_job_(struct pool_job *pool_job)
{
	struct gate_checkpoint *checkpoint = (void *)((char *)pool_job - offsetof(struct gate_checkpoint, end_job));

	pthread_mutex_lock(&checkpoint->lock);
	checkpoint->end_running = true;
	bool mapped = !has_been_decided(checkpoint) && checkpoint->ending == ENDING_SEALING && is_still_mapped(checkpoint);
	if (checkpoint->sealer.trial && checkpoint->ending == ENDING_SEALING && !mapped)
		claim_plain(checkpoint);
	bool later = mapped && checkpoint->ending == ENDING_SEALING && (checkpoint->lease.fd >= 0 || checkpoint->sealer.trial);
	if (later) {
		/* it is asked again */
	} else if (checkpoint->lease.fd < 0 || checkpoint->ending == ENDING_NONE || !checkpoint->state_known) {
		checkpoint->ending = ENDING_NONE;
	} else {
		CREDS_SCOPE(checkpoint->state.claim.uid, checkpoint->state.claim.gid, 0);
		if (checkpoint->ending == ENDING_ABANDONING) {
			abandon_as_asked(checkpoint);
		} else if (!checkpoint->claimer) {
			leave(checkpoint);
		} else if (gate_take_exclusively_(checkpoint)) {
			gate_seal_(checkpoint);
		}
	}
	checkpoint->end_running = false;
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	gate_checkpoint_put(checkpoint);
}
