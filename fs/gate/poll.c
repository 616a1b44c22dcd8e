/*
 * poll.c - looking at the export while somebody waits
 *
 * A look at a checkpoint that has not changed costs the file server one request. How often there is one depends on who tells of the end: the kernel (inotify,
 * on a file system of this machine), the writer's mount (hints), or nobody.
 */
#include "internal.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "schedule.h"

/* A hint of the kernel's that something was linked there; without it polling alone serves. */
static void add_watch(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	char path[PATH_MAX];

	if (gate->inotify < 0 ||
	    snprintf(path, sizeof(path), "/proc/self/fd/%d/" STATE_DIR "/%s", gate->options.store.root, checkpoint->path) >= (int)sizeof(path))
		return;
	int watch = inotify_add_watch(gate->inotify, path, IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
	pthread_mutex_lock(&gate->lock);
	checkpoint->watch = watch;
	pthread_mutex_unlock(&gate->lock);
}

static void remove_watch(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;

	pthread_mutex_lock(&gate->lock);
	if (checkpoint->watch >= 0)
		inotify_rm_watch(gate->inotify, checkpoint->watch);
	checkpoint->watch = -1;
	pthread_mutex_unlock(&gate->lock);
}

/* Whatever happens to the state folder, the kernel tells: it is this machine's. */
static bool kernel_tells(const struct gate_checkpoint *checkpoint)
{
	return !checkpoint->gate->options.remote && checkpoint->watch >= 0;
}

/* Is it this mount that is to seal it? One that joined waits for that like others. */
static bool claims_it(const struct gate_checkpoint *checkpoint)
{
	return checkpoint->lease.fd >= 0 && checkpoint->claimer;
}

/*
 * Will somebody tell when it ends? Of what this mount has claimed, whoever else ends it does. (Where the kernel tells of the state, it does not of the death of a
 * writer elsewhere, for which there is a look.)
 */
static bool is_hinted(struct gate_checkpoint *checkpoint)
{
	if (kernel_tells(checkpoint))
		return claims_it(checkpoint);
	return claims_it(checkpoint) ? gate_hints_place_(checkpoint->gate->hints) != NULL : gate_hints_proven_(checkpoint);
}

static bool must_judge(struct gate_checkpoint *checkpoint, uint64_t now)
{
	uint64_t interval = gate_judge_interval_(gate_hints_proven_(checkpoint), checkpoint->gate->options.remote);

	if (checkpoint->state_known && (checkpoint->state.kind != STATE_OPEN || claims_it(checkpoint)))
		return false;
	return !checkpoint->judged_ns || now - checkpoint->judged_ns >= interval;
}

/* Under the lock. True when it goes on being waited for. */
static bool look(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	uint64_t now = waiters_now_ns();
	bool judge = must_judge(checkpoint, now), nudged = gate_hints_nudged_(checkpoint);

	atomic_fetch_add(&gate->stats.polls, 1);
	bool differs = state_watch_differs(&gate->options.store, checkpoint->path, &checkpoint->seen, now) || !checkpoint->state_known;
	/* who told us to look knows of an end: if it is not there, the writer may have gone without one */
	judge = judge || (nudged && !differs);
	if (differs) {
		atomic_fetch_add(&gate->stats.looks, 1);
		checkpoint->seen.read_ns = now;
		if (gate_reread_(checkpoint))
			return true;
	}
	if (judge) {
		atomic_fetch_add(&gate->stats.judgements, 1);
		checkpoint->judged_ns = now;
		gate_judge_(checkpoint);
	}
	return gate_verdict_(checkpoint, checkpoint->state.generation) == 1;
}

static void follow(struct gate_checkpoint *checkpoint)
{
	if (kernel_tells(checkpoint) || claims_it(checkpoint))
		gate_hints_leave_(checkpoint);
	else
		gate_hints_follow_(checkpoint);
}

/* Nobody waits any more, or they are told what came of it. */
static void end_polling(struct gate_checkpoint *checkpoint)
{
	remove_watch(checkpoint);
	gate_hints_leave_(checkpoint);
	pthread_mutex_lock(&checkpoint->lock);
	state_watch_close(&checkpoint->gate->options.store, &checkpoint->seen);
	checkpoint->judged_ns = 0;
	pthread_mutex_unlock(&checkpoint->lock);
}

/* Looks at a checkpoint: in the pool, since the export may be slow. */
void gate_poll_job_(struct pool_job *job)
{
	struct gate_checkpoint *checkpoint = (void *)((char *)job - offsetof(struct gate_checkpoint, poll_job));
	struct gate *gate = checkpoint->gate;
	bool waited = waiters_count(gate->waiters, &checkpoint->readers) > 0;
	bool again = false, ours = false, hinted = false, settled = true;

	if (waited && checkpoint->watch < 0)
		add_watch(checkpoint);
	pthread_mutex_lock(&checkpoint->lock);
	gate_attention_end_(checkpoint);
	gate_record_again_(checkpoint);
	if (checkpoint->wait_lease) {
		/* the other mounts of the trial had not let go: ask again */
		checkpoint->wait_lease = false;
		if (checkpoint->ending == ENDING_SEALING && checkpoint->end_reason)
			checkpoint->ending = ENDING_ABANDONING; /* its trial failed while it was to be sealed by hand */
		gate_submit_end_(checkpoint);
	} else if (waited && checkpoint->ending == ENDING_NONE) {
		again = look(checkpoint);
		ours = claims_it(checkpoint);
		if (again && checkpoint->state_known)
			follow(checkpoint);
		hinted = is_hinted(checkpoint);
		settled = state_watch_settled(&checkpoint->seen);
	} else {
		/* an end of our own is under way; should it fail, or be long in coming, somebody else's may come */
		again = waited || checkpoint->ending == ENDING_CLOSING;
		ours = true;
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);

	/* before the next poll may run */
	if (!again)
		end_polling(checkpoint);
	pthread_mutex_lock(&gate->lock);
	checkpoint->poll_running = false;
	if (again) {
		checkpoint->interval_ns = gate_poll_interval_(checkpoint->interval_ns, ours, hinted, settled);
		gate_attend_locked_(checkpoint, checkpoint->interval_ns);
	}
	bool timed = checkpoint->is_timed;
	pthread_mutex_unlock(&gate->lock);
	if (timed)
		gate_kick_(gate);
	gate_checkpoint_put(checkpoint);
}
