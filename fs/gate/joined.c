/* joined.c - one trial through several mounts: who joins, who leaves, and that the seal waits for them */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

#define RETRY_FIRST_NS 50000000u /* how often a seal asks whether the other mounts have let go: 50 ms, and more rarely as time goes by, */
#define RETRY_LAST_NS 1000000000u /* down to every second */

void gate_end_later_(struct gate_checkpoint *checkpoint)
{
	uint64_t delay = RETRY_FIRST_NS;

	for (unsigned int i = 0; i < checkpoint->end_tries && delay < RETRY_LAST_NS; i++)
		delay *= 2;
	checkpoint->end_tries++;
	checkpoint->wait_lease = true;
	gate_attend_(checkpoint, delay < RETRY_LAST_NS ? delay : RETRY_LAST_NS);
}

/* ---- joining and leaving ---- */

static int make_join(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial)
{
	struct record *join = &checkpoint->join;
	struct identity_process process = {.pid = 0};

	record_free(join);
	int error = record_init(join, RECORD_JOIN);
	if (error)
		return error;
	if (caller->tid > 0)
		identity_process(caller->tid, &process);
	join->generation = checkpoint->own;
	join->pid = process.pid;
	join->uid = caller->uid;
	join->gid = caller->gid;
	join->trial = strdup(trial);
	error = join->trial ? gate_sign_record_(checkpoint->gate, join) : -ENOMEM;
	return error ? error : state_join(&checkpoint->gate->options.store, checkpoint->path, join);
}

/* The state is read anew; what was refused because it is too late stays refused. */
static int did_not_join(struct gate_checkpoint *checkpoint, const char *trial, int error)
{
	gate_let_go_(checkpoint);
	if (error == -EBUSY)
		log_warning("'%s': trial '%s' wants to write here too, but it is being sealed already on %s, where the trial has ended: refused (EBUSY); let all its machines begin to write before the first of them ends",
			    checkpoint->path, trial, checkpoint->state.claim.host);
	if (error != -EEXIST)
		return error;
	error = gate_reread_(checkpoint);
	return error ? error : AGAIN;
}

int gate_join_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial)
{
	struct gate *gate = checkpoint->gate;

	if (gate->options.read_only)
		return -EROFS;
	int error = gate_beats_begin_(gate);
	if (!error)
		error = lease_join(&gate->options.store, checkpoint->path, &checkpoint->lease);
	if (error)
		return error;
	checkpoint->own = checkpoint->state.generation;
	memcpy(checkpoint->own_claim, checkpoint->state.claim.token, sizeof(checkpoint->own_claim));
	checkpoint->claimer = false;
	gate_set_mine_(checkpoint, true);
	error = gate_watch_caller_(checkpoint, caller, trial, false);
	if (!error)
		error = make_join(checkpoint, caller, trial);
	if (error)
		return did_not_join(checkpoint, trial, error);
	log_notice("'%s': trial '%s' writes through this mount, too; the mount on %s, which opened generation %u, waits for it with the seal", checkpoint->path,
		   trial, checkpoint->state.claim.host, checkpoint->own);
	return 0;
}

void gate_leave_(struct gate_checkpoint *checkpoint)
{
	int error = state_leave(&checkpoint->gate->options.store, checkpoint->path, &checkpoint->join);
	if (error) {
		/* nobody may take us for dead, nor wait for us for ever */
		if (!checkpoint->end_tries)
			log_error("'%s': trial '%s' is done on this mount, but that can not be recorded: %s; it is tried again", checkpoint->path,
				  checkpoint->state.claim.trial, strerror(-error));
		gate_end_later_(checkpoint);
		return;
	}
	log_notice("'%s': trial '%s' is done on this mount", checkpoint->path, checkpoint->state.claim.trial);
	gate_set_outcome_(checkpoint, 0, "left to the mount that opened it");
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
}

/* ---- sealing when all have left ---- */

/* Of one that has not left. With the exclusive lock in our hands nobody else has a lease any more. 1, 0, -errno as in gate_is_dead_(). */
static int is_dead(struct gate_checkpoint *checkpoint, const struct record *join, bool refused)
{
	const struct gate_options *options = &checkpoint->gate->options;

	if (!join->no_lease && options->liveness.leases && !refused)
		return 1;
	if (!join->no_lease && options->liveness.probes && !options->liveness.leases && lease_joined(&options->store, checkpoint->path) == 0)
		return 1;
	return gate_is_silent_(checkpoint->gate, join);
}

/* The seal can not be had now, since they still write on `host`. By hand that is said; the end of a trial goes on waiting. */
static void wait_for(struct gate_checkpoint *checkpoint, const char *host)
{
	const struct store *store = &checkpoint->gate->options.store;
	const char *trial = checkpoint->state.claim.trial;

	if (!checkpoint->by_hand) {
		if (!checkpoint->end_tries)
			log_notice("'%s': trial '%s' has ended here; it is sealed when it has ended through its other mounts (on %s), too",
				   checkpoint->path, trial, host);
		snprintf(checkpoint->awaited_host, sizeof(checkpoint->awaited_host), "%s", host);
		gate_end_later_(checkpoint);
		return;
	}
	lease_downgrade(store, &checkpoint->lease);
	if (state_reopen(store, checkpoint->path, checkpoint->own))
		log_warning("'%s': no further mount of trial '%s' can begin to write to it now", checkpoint->path, trial);
	gate_set_outcome_(checkpoint, -EBUSY, "another mount (on %s) still writes to it for trial '%s', which has not ended there", host, trial);
	checkpoint->ending = ENDING_NONE;
}

static void fail_for(struct gate_checkpoint *checkpoint, const struct record *joined)
{
	char reason[300];

	snprintf(reason, sizeof(reason), "the joined machine %.100s died before trial '%.100s' had ended there", joined->host, joined->trial);
	gate_abandon_(checkpoint, reason);
}

/* All that joined: true when they have left. `refused`: somebody has a lease. */
static bool have_left(struct gate_checkpoint *checkpoint, bool refused)
{
	struct record *joined;
	char reason[200];
	size_t count, dead = 0;

	int error = state_joined(&checkpoint->gate->options.store, checkpoint->path, checkpoint->own, &joined, &count);
	if (error) {
		snprintf(reason, sizeof(reason), "who else was writing to it can not be read: %s", strerror(-error));
		gate_abandon_(checkpoint, reason);
		return false;
	}
	while (dead < count && is_dead(checkpoint, &joined[dead], refused) <= 0)
		dead++;
	if (dead < count)
		fail_for(checkpoint, &joined[dead]);
	else if (count || refused)
		wait_for(checkpoint, count ? joined[0].host : "another machine");
	state_joined_free(joined, count);
	if (!count && !refused)
		checkpoint->awaited_host[0] = '\0';
	return !count && !refused;
}

/* A lease that lapsed while this machine was cut off can not be converted. It may be had anew, since nobody has declared us dead if that ends well: the
 * link decides. */
static int exclude(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;

	int error = lease_exclude(store, &checkpoint->lease);
	if (!error || error == -EBUSY)
		return error;
	error = lease_renew(store, checkpoint->path, &checkpoint->lease);
	if (error > 0)
		gate_tell_lease_lost_(checkpoint);
	return error < 0 ? error : lease_exclude(store, &checkpoint->lease);
}

bool gate_take_exclusively_(struct gate_checkpoint *checkpoint)
{
	char reason[200];

	int error = state_close(&checkpoint->gate->options.store, checkpoint->path, checkpoint->own);
	if (!error)
		error = exclude(checkpoint);
	if (!error || (error == -EBUSY && checkpoint->lease.fd >= 0))
		return have_left(checkpoint, error != 0);
	snprintf(reason, sizeof(reason), "its lease can not be converted: %s", strerror(-error));
	gate_abandon_(checkpoint, reason);
	return false;
}
