/* enter.c - may this one pass? */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

#define REFUSED_TELL_NS 5000000000u
#define OWN_LOOK_NS 1000000000u /* whether what is written is this mount's own is looked at no more often than that */
#define DECIDE_LIMIT 8 /* more changes than this in one decision: something else is wrong */

/* A decision in the making. */
struct entry {
	struct gate *gate;
	struct gate_checkpoint *checkpoint;
	const struct gate_caller *caller;
	enum gate_want want;
	const char *what;
	struct waiter *waiter;
	bool (*interrupted)(const void *key);
	struct gate_view *view;
	char *trial; /* the caller's, once it was asked for */
};

static bool wants_change(enum gate_want want)
{
	return want == GATE_CHANGE || want == GATE_CREATE || want == GATE_CLAIM;
}

static int identify(struct entry *entry)
{
	if (entry->trial)
		return 0;
	int error = identity_of(entry->caller->tid, entry->gate->options.config.trial_env, &entry->trial);
	/* a writer who is taken for nobody would wait for himself */
	if (!error || error == -EMFILE || error == -ENFILE || error == -ENOMEM)
		return error;
	if (wants_change(entry->want)) {
		log_warning("'%s': the process that wants to write (thread %d) can not be seen from here: is it in another pid namespace? run sealfs in the host's",
			    entry->checkpoint->path, entry->caller->tid);
		return -EPERM;
	}
	entry->trial = strdup("unknown");
	return entry->trial ? 0 : -ENOMEM;
}

static int answer(struct entry *entry, enum gate_answer answer)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;

	bool guarded = answer == GATE_WRITER ? checkpoint->lease.fd >= 0 : answer == GATE_PLAIN && checkpoint->state.kind == STATE_PLAIN;

	entry->view->answer = answer;
	if (guarded && wants_change(entry->want)) {
		entry->view->changing = true;
		checkpoint->changes++;
	}
	return 0;
}

/* ---- claiming ---- */

/* The permissions of the directory at the checkpoint's path, 0 if there is none. */
static mode_t directory_mode(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;
	struct statx found;

	if (store->ops->statx(store->ctx, store->root, checkpoint->path, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MODE, &found) ||
	    !S_ISDIR(found.stx_mode))
		return 0;
	return found.stx_mode & 07777;
}

/* A directory like the one that was moved aside, for the create that goes on in it. */
static int make_anew(struct gate_checkpoint *checkpoint, mode_t mode)
{
	const struct store *store = &checkpoint->gate->options.store;
	int error = store->ops->mkdirat(store->ctx, store->root, checkpoint->path, mode);
	return error == -EEXIST ? 0 : error;
}

static int claim(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	bool failed = checkpoint->state.kind == STATE_FAILED;
	bool moved = failed && checkpoint->state.has_data;
	mode_t mode = moved ? directory_mode(checkpoint) : 0;

	int error = failed ? gate_refuse_survivor_(checkpoint, entry->caller, entry->trial) : 0;
	/* who may not make it must not claim it: its state would be his, and whoever may could not begin it any more. The kernel asks the modes, not the server */
	if (!error)
		error = state_may_write(&entry->gate->options.store, checkpoint->path);
	if (!error)
		error = gate_claim_(checkpoint, entry->caller, entry->trial, true, false);
	if (error == -EEXIST) {
		error = gate_reread_(checkpoint);
		return error ? error : AGAIN;
	}
	if (error)
		return error;
	/* the directory that the caller came through is not the checkpoint's any more: it must walk the path again */
	if (moved && entry->want == GATE_CREATE) {
		error = mode ? make_anew(checkpoint, mode) : 0;
		return error ? error : -ESTALE;
	}
	return answer(entry, GATE_WRITER);
}

/* ---- the states ---- */

static int wait_here(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	const struct state *state = &checkpoint->state;
	const char *awaited = state_writer(state);
	struct identity_process process = {.command = "?"};
	struct waiter *waiter = entry->waiter;

	if (checkpoint->lost) {
		/* its end could not be recorded: perhaps there is room for it by now */
		gate_judge_(checkpoint);
		return state->kind == STATE_OPEN ? -EOWNERDEAD : AGAIN;
	}
	if (entry->want == GATE_LOOK)
		return answer(entry, GATE_WAIT);
	if (!waiter)
		return -EAGAIN;
	waiter->generation = state->generation;
	waiter->tid = entry->caller->tid;
	waiter->uid = entry->caller->uid;
	waiter->gid = entry->caller->gid;
	bool first = waiters_count(entry->gate->waiters, &checkpoint->readers) == 0;
	if (first)
		identity_process(entry->caller->tid, &process);
	/* set before the waiter is linked: from then on it, and the view beside it, belong to whoever takes it off */
	entry->view->answer = GATE_WAIT;
	int error = waiters_park(entry->gate->waiters, waiter, &checkpoint->readers, entry->trial, awaited,
				 (uint64_t)entry->gate->options.wait_timeout * 1000000000u, entry->interrupted);
	if (error == -EDEADLK) {
		identity_process(entry->caller->tid, &process);
		log_warning("'%s': pid %d (%s) of trial '%s' would wait for trial '%s', which itself waits for '%s': refused (EDEADLK); 'sealctl status' shows the waits",
			    checkpoint->path, process.pid, process.command, entry->trial, awaited, entry->trial);
	}
	if (error)
		return error;
	atomic_fetch_add(&entry->gate->stats.waits, 1);
	if (first)
		log_notice("'%s': pid %d (%s) of trial '%s' waits for %s (%s, generation %u, on %s); 'sealctl status %s' shows who else",
			   checkpoint->path, process.pid, process.command, entry->trial, awaited ? awaited : "whoever will write it",
			   state_name(state->kind), state->generation, state->has_claim ? state->claim.host : "no machine yet",
			   checkpoint->path);
	/* the end of a writer of our own wakes us, but others may decide as well: then the export must be looked at */
	if (first || checkpoint->lease.fd < 0)
		gate_attend_(checkpoint, 0);
	else
		gate_kick_(entry->gate);
	return 0;
}

/* Nobody has sealed it, so nobody has signed it: who takes a seal away must not have what he leaves there read instead. */
static int enter_plain(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	bool reads = entry->want == GATE_READ || entry->want == GATE_STAT;

	if (!reads || !entry->gate->options.require_signature || !checkpoint->state.has_data)
		return answer(entry, GATE_PLAIN);
	if (entry->want == GATE_READ)
		log_warning("'%s%s%s': thread %d gets EKEYREJECTED: it is plain data, that nobody has sealed and signed; 'sealctl seal %s' on a mount with '-o key=' does",
			    checkpoint->path, *entry->what ? "/" : "", entry->what, entry->caller->tid, checkpoint->path);
	return -EKEYREJECTED;
}

static int enter_pending(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	bool named = checkpoint->state.reserve.writer != NULL;

	int error = identify(entry);
	if (error)
		return error;
	bool writer = state_is_writer(&checkpoint->state, entry->trial);
	if (!wants_change(entry->want))
		return writer ? answer(entry, GATE_WRITER) : wait_here(entry);
	if (writer && entry->want == GATE_CHANGE)
		return answer(entry, GATE_WRITER);
	if (writer || (!named && entry->want != GATE_CHANGE))
		return claim(entry);
	log_warning("'%s': refused to let trial '%s' change it (EBUSY): it is pending, reserved by '%s' for trial '%s'; 'sealctl status %s' shows it", checkpoint->path, entry->trial,
		    checkpoint->state.reserve.trial, named ? checkpoint->state.reserve.writer : "the first to write in it", checkpoint->path);
	return -EBUSY;
}

/* Who makes something in another trial's checkpoint has often taken it for the directory of all the trials. */
static const char *depth_hint(const struct entry *entry, char buffer[160])
{
	buffer[0] = '\0';
	if (entry->want == GATE_CREATE && !entry->checkpoint->state.is_file)
		snprintf(buffer, 160, "; if each trial is to have a checkpoint of its own in it, the export has the wrong depth: 'sealctl init --depth %u' on a new one",
			 entry->gate->options.config.depth + 1);
	return buffer;
}

static int change_own(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	const struct store *store = &entry->gate->options.store;

	if (checkpoint->lease.fd < 0) {
		gate_judge_(checkpoint);
		if (checkpoint->state.kind != STATE_OPEN)
			return AGAIN;
		int error = checkpoint->lost ? -EOWNERDEAD : gate_refuse_survivor_(checkpoint, entry->caller, entry->trial);
		if (!error)
			error = gate_join_(checkpoint, entry->caller, entry->trial);
		if (error)
			return error;
	}
	if (checkpoint->ending != ENDING_NONE)
		return gate_end_now_(checkpoint) ? AGAIN : -EBUSY;
	/* another machine may have decided that this one is dead, and, after a removal, begun anew with the same number */
	bool looked = waiters_now_ns() - checkpoint->looked_ns < OWN_LOOK_NS;
	int ended = looked ? state_has_ended(store, checkpoint->path, checkpoint->own) : 1;
	if (ended < 0)
		return ended;
	if (ended) {
		int error = gate_reread_(checkpoint);
		return error ? error : AGAIN;
	}
	int error = gate_watch_caller_(checkpoint, entry->caller, entry->trial, true);
	return error ? error : answer(entry, GATE_WRITER);
}

static int enter_open(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;

	int error = identify(entry);
	if (error)
		return error;
	bool writer = state_is_writer(&checkpoint->state, entry->trial);
	if (writer && wants_change(entry->want))
		return change_own(entry);
	if (writer)
		return checkpoint->lost ? -EOWNERDEAD : answer(entry, GATE_WRITER);
	if (!wants_change(entry->want))
		return wait_here(entry);
	gate_judge_(checkpoint);
	if (checkpoint->state.kind != STATE_OPEN)
		return AGAIN;
	char hint[160];
	log_warning("'%s': refused to let trial '%s' change it (EBUSY): it is open, trial '%s' on %s is writing it; 'sealctl status %s' shows since when%s", checkpoint->path, entry->trial,
		    checkpoint->state.claim.trial, checkpoint->state.claim.host, checkpoint->path, depth_hint(entry, hint));
	return -EBUSY;
}

static int enter_failed(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	const struct state *state = &checkpoint->state;
	if (entry->want == GATE_STAT)
		return -EOWNERDEAD;
	int error = identify(entry);
	if (error)
		return error;
	if (entry->want == GATE_CREATE || entry->want == GATE_CLAIM)
		return claim(entry);
	/* the trial that may try again sees a plain world: a bare mkdir works for it */
	if (entry->want == GATE_LOOK) {
		bool its = state_is_writer(state, entry->trial);
		entry->view->may_restart = its && !gate_is_survivor_(checkpoint, entry->caller, entry->trial);
		return answer(entry, its ? GATE_WRITER : GATE_WAIT);
	}
	log_warning("'%s%s%s': thread %d of trial '%s' gets EOWNERDEAD: generation %u by trial '%s' on %s has failed: %s; run that trial again, or 'sealctl rm %s'",
		    checkpoint->path, *entry->what ? "/" : "", entry->what, entry->caller->tid, entry->trial, state->generation,
		    state->has_claim ? state->claim.trial : "?", state->end.host, state->end.reason ? state->end.reason : "no reason given",
		    checkpoint->path);
	return -EOWNERDEAD;
}

/* Once in a while: an 'rm -r' is refused for every single file. */
static void tell_sealed(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	const struct state *state = &checkpoint->state;
	const char *writer = state_writer(state);
	uint64_t now = waiters_now_ns();
	char hint[160];

	if ((checkpoint->refused_ns && now - checkpoint->refused_ns < REFUSED_TELL_NS) || identify(entry))
		return;
	checkpoint->refused_ns = now;
	log_warning("'%s': refused to let trial '%s' change it (EROFS): it is sealed, generation %u of trial '%s' on %s; save elsewhere, or remove it with 'sealctl rm %s'%s",
		    checkpoint->path, entry->trial, state->generation, writer ? writer : "?", state->has_end ? state->end.host : "another export", checkpoint->path,
		    state_is_writer(state, entry->trial) ? "" : depth_hint(entry, hint));
}

static int enter_sealed(struct entry *entry)
{
	if (wants_change(entry->want)) {
		tell_sealed(entry);
		return -EROFS;
	}
	int error = gate_load_seal_(entry->checkpoint);
	if (error == -ESTALE)
		return AGAIN;
	/* names may be looked up, so that what is refused can be told and removed */
	if (!error && entry->want != GATE_LOOK)
		error = gate_check_signature_(entry->checkpoint);
	if (error == -EKEYREJECTED && entry->want == GATE_READ)
		log_warning("'%s%s%s': thread %d gets EKEYREJECTED; 'sealctl status %s' tells who sealed it", entry->checkpoint->path,
			    *entry->what ? "/" : "", entry->what, entry->caller->tid, entry->checkpoint->path);
	if (error)
		return error;
	entry->view->sealed = gate_sealed_ref(entry->checkpoint->sealed);
	return answer(entry, GATE_SEALED);
}

static int enter_damaged(struct entry *entry)
{
	struct gate_checkpoint *checkpoint = entry->checkpoint;
	log_error("'%s': its state can not be read: %s; repair or remove that file on the export", checkpoint->path,
		  checkpoint->state.damage ? checkpoint->state.damage : "damaged record");
	return -EBADMSG;
}

static int decide(struct entry *entry)
{
	int error;

	switch (entry->checkpoint->state.kind) {
	case STATE_ABSENT:
		if (!wants_change(entry->want))
			return answer(entry, GATE_PLAIN);
		error = identify(entry);
		return error ? error : claim(entry);
	case STATE_PLAIN:
		return enter_plain(entry);
	case STATE_PENDING:
		return enter_pending(entry);
	case STATE_OPEN:
		return enter_open(entry);
	case STATE_SEALED:
		return enter_sealed(entry);
	case STATE_FAILED:
		return enter_failed(entry);
	default:
		return enter_damaged(entry);
	}
}

static void fill_view(struct entry *entry)
{
	const struct state *state = &entry->checkpoint->state;
	entry->view->state = state->kind;
	entry->view->generation = state->generation;
	entry->view->has_data = state->has_data;
	entry->view->is_file = state->is_file;
	entry->view->anybody = state->kind == STATE_FAILED || (state->kind == STATE_PENDING && !state->reserve.writer);
}

int gate_enter(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, enum gate_want want, const char *what,
	       struct waiter *waiter, bool (*interrupted)(const void *key), struct gate_view *view)
{
	struct entry entry = {.gate = gate,
			      .checkpoint = checkpoint,
			      .caller = caller,
			      .want = want,
			      .what = what,
			      .waiter = waiter,
			      .interrupted = interrupted,
			      .view = view};

	memset(view, 0, sizeof(*view));
	pthread_mutex_lock(&checkpoint->lock);
	int error = gate_refresh_(checkpoint, !*what);
	for (int turn = 0; !error; turn++) {
		fill_view(&entry);
		error = turn < DECIDE_LIMIT ? decide(&entry) : -EBUSY;
		if (error != AGAIN)
			break;
		error = 0;
	}
	pthread_mutex_unlock(&checkpoint->lock);
	free(entry.trial);
	return error;
}
