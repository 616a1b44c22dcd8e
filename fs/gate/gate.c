/* gate.c - checkpoints as this mount knows them */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/creds.h"
#include "sealfs/log.h"

#define POOL_THREADS 16
#define SEALED_LOOK_NS 1000000000u /* a sealed checkpoint that was removed elsewhere is noticed after so long */

struct gate *gate_create(const struct gate_options *options)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	if (!gate)
		return NULL;
	gate->options = *options;
	pthread_mutex_init(&gate->lock, NULL);
	gate->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gate->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); /* without it, polling alone serves */
	gate->waiters = waiters_create(gate_kick_, gate);
	gate->trials = trials_create(options->config.trial_env, gate_trial_ended_, gate);
	gate->pool = pool_create(POOL_THREADS);
	if (gate->event < 0 || !gate->waiters || !gate->trials || !gate->pool) {
		gate_destroy(gate);
		return NULL;
	}
	return gate;
}

int gate_start(struct gate *gate)
{
	sigset_t all, before;

	/* signals are for the thread that runs the session */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&gate->thread, NULL, gate_loop_, gate);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	gate->started = !error;
	return -error;
}

/* A reference to every checkpoint of a list, NULL-terminated; NULL when memory is out. */
static struct gate_checkpoint **snapshot(struct gate *gate, bool mine)
{
	struct gate_checkpoint *checkpoint;
	size_t count = 0, used = 0;

	pthread_mutex_lock(&gate->lock);
	if (mine)
		DL_COUNT2(gate->mine, checkpoint, count, mine_next);
	else
		count = HASH_COUNT(gate->by_path);
	struct gate_checkpoint **list = calloc(count + 1, sizeof(struct gate_checkpoint *));
	if (list && mine) {
		DL_FOREACH2(gate->mine, checkpoint, mine_next)
		{
			list[used++] = gate_checkpoint_ref(checkpoint);
		}
	} else if (list) {
		for (checkpoint = gate->by_path; checkpoint; checkpoint = checkpoint->hh.next)
			list[used++] = gate_checkpoint_ref(checkpoint);
	}
	pthread_mutex_unlock(&gate->lock);
	return list;
}

static void abandon_mine(struct gate *gate)
{
	struct gate_checkpoint **list = snapshot(gate, true);
	for (size_t i = 0; list && list[i]; i++) {
		pthread_mutex_lock(&list[i]->lock);
		bool idle = list[i]->lease.fd >= 0 && (list[i]->ending == ENDING_NONE || list[i]->ending == ENDING_CLOSING);
		if (idle) {
			list[i]->ending = ENDING_NONE;
			gate_begin_end_(list[i], "the file system was unmounted while the trial was writing", false);
		}
		pthread_mutex_unlock(&list[i]->lock);
		gate_checkpoint_put(list[i]);
	}
	free(list);
}

void gate_abort(struct gate *gate)
{
	waiters_abort(gate->waiters, -ENOTCONN);
}

void gate_destroy(struct gate *gate)
{
	if (!gate)
		return;
	pthread_mutex_lock(&gate->lock);
	gate->stopping = true;
	pthread_mutex_unlock(&gate->lock);
	if (gate->started) {
		gate_kick_(gate);
		pthread_join(gate->thread, NULL);
		abandon_mine(gate);
	}
	pool_destroy(gate->pool);
	if (gate->waiters)
		waiters_abort(gate->waiters, -ENOTCONN);
	struct gate_checkpoint **rest = snapshot(gate, true);
	for (size_t i = 0; rest && rest[i]; i++) {
		pthread_mutex_lock(&rest[i]->lock);
		gate_let_go_(rest[i]);
		pthread_mutex_unlock(&rest[i]->lock);
		gate_checkpoint_put(rest[i]);
	}
	free(rest);
	trials_destroy(gate->trials);
	waiters_destroy(gate->waiters);
	if (gate->event >= 0)
		close(gate->event);
	if (gate->inotify >= 0)
		close(gate->inotify);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

const struct store *gate_store(const struct gate *gate)
{
	return &gate->options.store;
}

const struct config *gate_config(const struct gate *gate)
{
	return &gate->options.config;
}

/* ---- the table ---- */

struct gate_checkpoint *gate_checkpoint_get(struct gate *gate, const char *path)
{
	struct gate_checkpoint *checkpoint;

	pthread_mutex_lock(&gate->lock);
	HASH_FIND_STR(gate->by_path, path, checkpoint);
	if (checkpoint) {
		atomic_fetch_add(&checkpoint->refs, 1);
		goto out;
	}
	checkpoint = calloc(1, sizeof(*checkpoint));
	if (checkpoint && !(checkpoint->path = strdup(path))) {
		free(checkpoint);
		checkpoint = NULL;
	}
	if (!checkpoint)
		goto out;
	checkpoint->gate = gate;
	checkpoint->refs = 1;
	checkpoint->watch = -1;
	checkpoint->lease.fd = -1;
	checkpoint->end_job.run = gate_end_job_;
	checkpoint->poll_job.run = gate_poll_job_;
	pthread_mutex_init(&checkpoint->lock, NULL);
	HASH_ADD_KEYPTR(hh, gate->by_path, checkpoint->path, strlen(checkpoint->path), checkpoint);
out:
	pthread_mutex_unlock(&gate->lock);
	return checkpoint;
}

struct gate_checkpoint *gate_checkpoint_ref(struct gate_checkpoint *checkpoint)
{
	atomic_fetch_add(&checkpoint->refs, 1);
	return checkpoint;
}

void gate_checkpoint_put(struct gate_checkpoint *checkpoint)
{
	if (!checkpoint)
		return;
	struct gate *gate = checkpoint->gate;
	/* under the table's lock, so that nobody finds it while it goes */
	pthread_mutex_lock(&gate->lock);
	bool last = atomic_fetch_sub(&checkpoint->refs, 1) == 1;
	if (last) {
		HASH_DEL(gate->by_path, checkpoint);
		if (checkpoint->is_timed)
			DL_DELETE2(gate->timed, checkpoint, timed_prev, timed_next);
		if (checkpoint->watch >= 0)
			inotify_rm_watch(gate->inotify, checkpoint->watch);
	}
	pthread_mutex_unlock(&gate->lock);
	if (!last)
		return;
	waiters_point_clear(gate->waiters, &checkpoint->readers);
	waiters_point_clear(gate->waiters, &checkpoint->enders);
	if (checkpoint->state_known)
		state_free(&checkpoint->state);
	gate_sealed_put(checkpoint->sealed);
	free(checkpoint->damage);
	free(checkpoint->end_reason);
	pthread_mutex_destroy(&checkpoint->lock);
	free(checkpoint->path);
	free(checkpoint);
}

const char *gate_checkpoint_path(const struct gate_checkpoint *checkpoint)
{
	return checkpoint->path;
}

void gate_each_checkpoint(struct gate *gate, void (*each)(void *arg, struct gate_checkpoint *checkpoint), void *arg)
{
	struct gate_checkpoint **list = snapshot(gate, false);
	for (size_t i = 0; list && list[i]; i++) {
		each(arg, list[i]);
		gate_checkpoint_put(list[i]);
	}
	free(list);
}

void gate_set_content(struct gate_checkpoint *checkpoint, uint64_t device, uint64_t inode)
{
	checkpoint->content_device = device;
	checkpoint->content_inode = inode;
}

bool gate_content_known(struct gate_checkpoint *checkpoint)
{
	return checkpoint->content_inode != 0;
}

bool gate_content_is(struct gate_checkpoint *checkpoint, uint64_t device, uint64_t inode)
{
	return checkpoint->content_inode == inode && checkpoint->content_device == device;
}

/* ---- state ---- */

static void drop_seal(struct gate_checkpoint *checkpoint)
{
	gate_sealed_put(checkpoint->sealed);
	checkpoint->sealed = NULL;
	free(checkpoint->damage);
	checkpoint->damage = NULL;
}

static bool same_end(const struct state *a, const struct state *b)
{
	return a->kind == b->kind && a->generation == b->generation && a->has_end && b->has_end &&
	       !strcmp(a->end.token, b->end.token);
}

int gate_reread_(struct gate_checkpoint *checkpoint)
{
	struct state fresh;
	int error = state_read(&checkpoint->gate->options.store, checkpoint->path, &fresh);
	if (error)
		return error;
	struct state *old = &checkpoint->state;
	bool known = checkpoint->state_known;

	if (!known || !same_end(old, &fresh))
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
	if (checkpoint->lease.fd >= 0 && (fresh.generation != checkpoint->own || fresh.kind != STATE_OPEN)) {
		log_warning("'%s': generation %u was ended by somebody else (%s) while this mount was writing it; what is written from now on is in nobody's seal",
			    checkpoint->path, checkpoint->own, state_name(fresh.kind));
		if (checkpoint->ending == ENDING_NONE || checkpoint->ending == ENDING_CLOSING) {
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
	const struct store *store = &checkpoint->gate->options.store;

	if (checkpoint->state_known && checkpoint->lease.fd >= 0)
		return 0;
	if (checkpoint->state_known && checkpoint->state.kind == STATE_SEALED) {
		uint64_t now = waiters_now_ns();
		if (!even_if_sealed || now - checkpoint->looked_ns < SEALED_LOOK_NS)
			return 0;
		if (!checkpoint->state.travelled &&
		    state_has_ended(store, checkpoint->path, checkpoint->state.generation) == 1 && !checkpoint->damage) {
			checkpoint->looked_ns = now;
			return 0;
		}
	}
	return gate_reread_(checkpoint);
}

void gate_look_again(struct gate_checkpoint *checkpoint)
{
	pthread_mutex_lock(&checkpoint->lock);
	checkpoint->looked_ns = 0;
	pthread_mutex_unlock(&checkpoint->lock);
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

void gate_judge_(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;
	struct state *state = &checkpoint->state;

	if (state->kind != STATE_OPEN || checkpoint->lease.fd >= 0 || checkpoint->lost)
		return;
	CREDS_SCOPE(state->claim.uid, state->claim.gid, 0);
	if (lease_held(store, checkpoint->path) != 0)
		return;
	int error = lease_end_dead(store, checkpoint->path, state->claim.trial, "owner died");
	if (error == -EBUSY)
		return;
	log_warning("'%s': owner died: the mount on %s through which trial '%s' was writing is gone: %s; start the trial again, or 'sealctl rm' it",
		    checkpoint->path, state->claim.host, state->claim.trial, error ? "its end can not be recorded by this user" : "failed");
	if (error)
		checkpoint->lost = true;
	else
		gate_reread_(checkpoint);
}

/* ---- sealed content ---- */

struct gate_sealed *gate_sealed_ref(struct gate_sealed *sealed)
{
	atomic_fetch_add(&sealed->refs, 1);
	return sealed;
}

void gate_sealed_put(struct gate_sealed *sealed)
{
	if (!sealed || atomic_fetch_sub(&sealed->refs, 1) != 1)
		return;
	gate_checks_free_(sealed);
	manifest_free(&sealed->manifest);
	free(sealed->path);
	free(sealed);
}

int gate_load_seal_(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;
	char *why = NULL;

	if (checkpoint->sealed)
		return 0;
	if (checkpoint->damage)
		return -EBADMSG;
	struct gate_sealed *sealed = calloc(1, sizeof(*sealed));
	if (!sealed)
		return -ENOMEM;
	sealed->refs = 1;
	sealed->path = strdup(checkpoint->path);
	manifest_init(&sealed->manifest);
	int error = sealed->path ? seal_load(store, checkpoint->path, &checkpoint->state, &sealed->manifest, NULL, &why) : -ENOMEM;
	if (!error)
		error = seal_root(store, checkpoint->path, &checkpoint->state, &sealed->root);
	if (!error)
		error = gate_checks_init_(sealed);
	if (error) {
		gate_sealed_put(sealed);
		if (error == -ENOENT)
			error = -EBADMSG; /* a record says sealed, and the seal is not there */
		if (error == -EBADMSG) {
			checkpoint->damage = why ? why : strdup("its seal is missing or can not be read");
			log_error("'%s': sealed by trial '%s' on %s, but %s; 'sealctl status %s' tells more", checkpoint->path,
				  checkpoint->state.has_end ? checkpoint->state.end.trial : "?",
				  checkpoint->state.has_end ? checkpoint->state.end.host : "?",
				  checkpoint->damage ? checkpoint->damage : "its seal does not hold", checkpoint->path);
		} else {
			free(why);
		}
		return error;
	}
	checkpoint->sealed = sealed;
	return 0;
}
