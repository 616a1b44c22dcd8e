/* gate.c - the gate's life: from its threads' start to the last checkpoint that is let go */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define POOL_THREADS 16

struct gate *gate_create(const struct gate_options *options)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	if (!gate)
		return NULL;
	gate->options = *options;
	store_token(gate->token);
	gate->began_ns = gate_uptime_ns_();
	pthread_mutex_init(&gate->lock, NULL);
	gate->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gate->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); /* without it, polling alone serves */
	gate->waiters = waiters_create(gate_kick_, gate);
	gate->trials = trials_create(options->config.trial_env, gate_trial_ended_, gate);
	gate->parents = gate_parents_create_(options->config.trial_env);
	gate->peers = gate_peers_create_(options->store.root);
	gate->hints = gate_hints_create_(&options->hints, options->store.root, options->remote);
	gate->waits = gate_waits_create_(gate);
	gate->beats = gate_beats_create_(gate);
	gate->pool = pool_create(POOL_THREADS);
	if (gate->event < 0 || !gate->beats || !gate->parents || !gate->peers || !gate->hints || !gate->waits || !gate->waiters || !gate->trials || !gate->pool) {
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

static void abandon_mine(struct gate *gate)
{
	struct gate_checkpoint **list = gate_snapshot_(gate, true);
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
	atomic_store(&gate->cancel, true);
	waiters_abort(gate->waiters, -ENOTCONN);
}

void gate_stop(struct gate *gate)
{
	atomic_store(&gate->cancel, true);
	pthread_mutex_lock(&gate->lock);
	gate->stopping = true;
	pthread_mutex_unlock(&gate->lock);
	if (gate->started) {
		gate_kick_(gate);
		pthread_join(gate->thread, NULL);
		abandon_mine(gate);
	}
	pool_destroy(gate->pool);
	gate->pool = NULL;
	if (gate->waiters)
		waiters_abort(gate->waiters, -ENOTCONN);
	struct gate_checkpoint **rest = gate_snapshot_(gate, true);
	for (size_t i = 0; rest && rest[i]; i++) {
		pthread_mutex_lock(&rest[i]->lock);
		gate_let_go_(rest[i]);
		pthread_mutex_unlock(&rest[i]->lock);
		gate_checkpoint_put(rest[i]);
	}
	free(rest);
	rest = gate_snapshot_(gate, false);
	for (size_t i = 0; rest && rest[i]; i++) {
		gate_record_no_more_(rest[i]);
		gate_checkpoint_put(rest[i]);
	}
	free(rest);
	gate_hints_stop_(gate);
	gate_waits_destroy_(gate->waits);
	gate->waits = NULL;
	gate_forget_lost_(gate, NULL);
	if (gate->beats)
		gate_beats_stop_(gate->beats);
}

void gate_destroy(struct gate *gate)
{
	if (!gate)
		return;
	if (gate->pool && gate->hints)
		gate_stop(gate);
	trials_destroy(gate->trials);
	gate_parents_destroy_(gate->parents);
	gate_peers_destroy_(gate->peers);
	gate_hints_destroy_(gate->hints);
	gate_waits_destroy_(gate->waits);
	gate_beats_destroy_(gate->beats);
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

const char *gate_token(const struct gate *gate)
{
	return gate->token;
}

const struct liveness *gate_liveness(const struct gate *gate)
{
	return &gate->options.liveness;
}
