/* beats.c - this mount's heartbeat while it writes, and what is seen of the heartbeats of others */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sealfs/creds.h"
#include "sealfs/liveness.h"
#include "sealfs/log.h"

/*
 * A thread of its own gives it: neither a full pool nor a parked reader may make this mount look dead. The file is there before the first
 * claim names it, and goes when the mount ends in good order.
 */
#define STUCK_NS 10000000000u /* an export that has not answered for so long is as good as gone */
#define WATCHES_KEPT_NS (UINT64_C(7200) * 1000000000) /* a mount that nobody asked about for so long is forgotten */

struct beat_watch {
	UT_hash_handle hh;
	char mount[STORE_TOKEN_SIZE];
	struct liveness_watch watch;
	uint64_t asked_ns;
};

/* A claim or join whose mount was asked about. */
struct beat_known {
	UT_hash_handle hh;
	char token[STORE_TOKEN_SIZE];
	uint64_t since_ns, asked_ns;
};

struct gate_beats {
	struct gate *gate;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stopping;
	bool made;	 /* the file is there */
	bool failing;	 /* the last one could not be given, and that was said */
	uint64_t count;
	_Atomic uint64_t asking_ns; /* since when the export has not answered to it; 0: nothing is asked */
	pthread_mutex_t watch_lock; /* guards the tables, also while the export is asked */
	struct beat_watch *watches;
	struct beat_known *known;
};

struct gate_beats *gate_beats_create_(struct gate *gate)
{
	struct gate_beats *beats = calloc(1, sizeof(*beats));
	pthread_condattr_t attributes;

	if (!beats)
		return NULL;
	beats->gate = gate;
	pthread_mutex_init(&beats->lock, NULL);
	pthread_mutex_init(&beats->watch_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&beats->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	return beats;
}

/* What nobody has asked about for so long. */
static void forget(struct gate_beats *beats, uint64_t now, uint64_t kept_ns)
{
	struct beat_watch *watch, *next;
	struct beat_known *known, *next_known;

	HASH_ITER(hh, beats->watches, watch, next)
	{
		if (now - watch->asked_ns < kept_ns)
			continue;
		HASH_DEL(beats->watches, watch);
		free(watch);
	}
	HASH_ITER(hh, beats->known, known, next_known)
	{
		if (now - known->asked_ns < kept_ns)
			continue;
		HASH_DEL(beats->known, known);
		free(known);
	}
}

void gate_beats_destroy_(struct gate_beats *beats)
{
	if (!beats)
		return;
	forget(beats, UINT64_MAX, 0);
	pthread_cond_destroy(&beats->wake);
	pthread_mutex_destroy(&beats->lock);
	pthread_mutex_destroy(&beats->watch_lock);
	free(beats);
}

/* ---- giving it ---- */

static bool is_writing(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	bool writing = gate->mine != NULL;
	pthread_mutex_unlock(&gate->lock);
	return writing;
}

static void report(struct gate_beats *beats, int error)
{
	struct gate *gate = beats->gate;

	if (error && !beats->failing)
		log_error("the heartbeat of this mount of '%s' can not be written: %s; when that lasts longer than %u s, other machines take this one for dead and its open checkpoints have failed",
			  gate->options.export_path, strerror(-error), liveness_limit(gate->options.liveness.heartbeat));
	else if (!error && beats->failing)
		log_notice("the heartbeat of this mount of '%s' is written again", gate->options.export_path);
	beats->failing = error != 0;
}

/* True when it is time to end. */
static bool rest(struct gate_beats *beats)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += beats->gate->options.liveness.heartbeat;
	pthread_mutex_lock(&beats->lock);
	while (!beats->stopping && pthread_cond_timedwait(&beats->wake, &beats->lock, &until) != ETIMEDOUT)
		continue;
	bool stopping = beats->stopping;
	pthread_mutex_unlock(&beats->lock);
	return stopping;
}

void gate_tell_lease_lost_(const struct gate_checkpoint *checkpoint)
{
	log_warning("'%s': the lease of generation %u was lost, this machine was perhaps cut off from the server; nobody has taken it for dead, and it is taken anew",
		    checkpoint->path, checkpoint->own);
}

/* A lease that lapsed unnoticed while this machine was cut off is taken anew, before somebody finds it missing. Whoever is busy with the checkpoint sees to it himself. */
static void renew(struct gate_checkpoint *checkpoint)
{
	if (pthread_mutex_trylock(&checkpoint->lock))
		return;
	if (checkpoint->lease.fd >= 0 && checkpoint->ending == ENDING_NONE && checkpoint->state_known) {
		CREDS_SCOPE(checkpoint->state.claim.uid, checkpoint->state.claim.gid, 0);
		int renewed = lease_renew(&checkpoint->gate->options.store, checkpoint->path, &checkpoint->lease);
		if (renewed)
			gate_reread_(checkpoint);
		if (renewed > 0 && checkpoint->lease.fd >= 0)
			gate_tell_lease_lost_(checkpoint);
		if (renewed < 0 && checkpoint->own)
			gate_abandon_(checkpoint, "its lease is lost, and can not be had anew");
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
}

static void renew_all(struct gate *gate)
{
	struct gate_checkpoint **list = gate_snapshot_(gate, true);

	for (size_t i = 0; list && list[i]; i++) {
		renew(list[i]);
		gate_checkpoint_put(list[i]);
	}
	free(list);
}

static void *beat(void *arg)
{
	struct gate_beats *beats = arg;
	struct gate *gate = beats->gate;

	while (!rest(beats)) {
		if (!is_writing(gate))
			continue;
		beats->asking_ns = waiters_now_ns();
		report(beats, liveness_beat(&gate->options.store, gate->token, ++beats->count));
		if (gate->options.liveness.leases && gate->options.remote)
			renew_all(gate);
		beats->asking_ns = 0;
	}
	return NULL;
}

bool gate_beats_stuck_(const struct gate_beats *beats)
{
	uint64_t since = beats->asking_ns;

	return since && waiters_now_ns() - since > STUCK_NS;
}

/* Under beats->lock. */
static int start(struct gate_beats *beats)
{
	const struct store *store = &beats->gate->options.store;
	sigset_t all, before;

	int error = liveness_beat(store, beats->gate->token, beats->count);
	if (error)
		return error;
	beats->made = true;
	liveness_sweep(store, beats->gate->token);
	/* signals are for the thread that runs the session */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = -pthread_create(&beats->thread, NULL, beat, beats);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	beats->started = !error;
	return error;
}

int gate_beats_begin_(struct gate *gate)
{
	struct gate_beats *beats = gate->beats;

	CREDS_SCOPE(0, 0, 0); /* the mount's own, whoever asked */
	pthread_mutex_lock(&beats->lock);
	int error = beats->started ? 0 : start(beats);
	pthread_mutex_unlock(&beats->lock);
	if (error)
		log_error("nothing can be written through this mount of '%s': its heartbeat in .sealfs/mounts, by which other machines see that it lives, can not be made: %s",
			  gate->options.export_path, strerror(-error));
	return error;
}

void gate_beats_stop_(struct gate_beats *beats)
{
	pthread_mutex_lock(&beats->lock);
	bool started = beats->started;
	beats->stopping = true;
	beats->started = false;
	pthread_cond_signal(&beats->wake);
	pthread_mutex_unlock(&beats->lock);
	if (started)
		pthread_join(beats->thread, NULL);
	if (beats->made)
		liveness_stop(&beats->gate->options.store, beats->gate->token);
	beats->made = false;
}

/* ---- looking at others' ---- */

/* Since when this mount has been asking about what this record claims; without memory it is as if it had just begun. */
static uint64_t known_since(struct gate_beats *beats, const char *token, uint64_t now)
{
	struct beat_known *known;

	HASH_FIND_STR(beats->known, token, known);
	if (!known) {
		forget(beats, now, WATCHES_KEPT_NS);
		known = calloc(1, sizeof(*known));
		if (!known)
			return now;
		strcpy(known->token, token);
		known->since_ns = now;
		HASH_ADD_STR(beats->known, token, known);
	}
	known->asked_ns = now;
	return known->since_ns;
}

static struct liveness_watch *find_watch(struct gate_beats *beats, const struct record *who)
{
	uint64_t now = waiters_now_ns();
	struct beat_watch *watch;

	HASH_FIND_STR(beats->watches, who->mount, watch);
	if (!watch) {
		forget(beats, now, WATCHES_KEPT_NS);
		watch = calloc(1, sizeof(*watch));
		if (!watch)
			return NULL;
		strcpy(watch->mount, who->mount);
		HASH_ADD_STR(beats->watches, mount, watch);
	}
	watch->asked_ns = now;
	watch->watch.since_ns = known_since(beats, who->token, now);
	return &watch->watch;
}

int gate_is_dead_(struct gate_checkpoint *checkpoint, const struct record *who)
{
	struct gate *gate = checkpoint->gate;
	struct gate_beats *beats = gate->beats;

	pthread_mutex_lock(&beats->watch_lock);
	struct liveness_watch *watch = find_watch(beats, who);
	/* while it is polled */
	int *lock = checkpoint->seen.folder >= 0 ? &checkpoint->seen.lock_file : NULL;
	int dead = watch ? liveness_judge(&gate->options.store, &gate->options.liveness, checkpoint->path, who, watch, lock) : -ENOMEM;
	pthread_mutex_unlock(&beats->watch_lock);
	return dead;
}

int gate_is_silent_(struct gate *gate, const struct record *who)
{
	struct gate_beats *beats = gate->beats;

	if (!*who->mount || !who->heartbeat)
		return -ENOLCK;
	pthread_mutex_lock(&beats->watch_lock);
	struct liveness_watch *watch = find_watch(beats, who);
	int silent = watch ? liveness_look(&gate->options.store, who->mount, who->heartbeat, watch) : -ENOMEM;
	pthread_mutex_unlock(&beats->watch_lock);
	return silent;
}
