/* watch.c - the loop that waits for processes, limits, and what other mounts do */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/log.h"

#define POLL_FIRST_NS 20000000u	  /* 20 ms */
#define POLL_LAST_NS 1000000000u /* 1 s */

void gate_kick_(void *arg)
{
	struct gate *gate = arg;
	uint64_t one = 1;
	if (write(gate->event, &one, sizeof(one)) < 0)
		return; /* full: the loop is awake already */
}

static void attend_locked(struct gate_checkpoint *checkpoint, uint64_t delay_ns)
{
	struct gate *gate = checkpoint->gate;
	uint64_t when = waiters_now_ns() + delay_ns;

	if (!checkpoint->is_timed) {
		DL_APPEND2(gate->timed, checkpoint, timed_prev, timed_next);
		checkpoint->is_timed = true;
		checkpoint->attention_ns = when;
	} else if (when < checkpoint->attention_ns) {
		checkpoint->attention_ns = when;
	}
}

void gate_attend_(struct gate_checkpoint *checkpoint, uint64_t delay_ns)
{
	struct gate *gate = checkpoint->gate;

	pthread_mutex_lock(&gate->lock);
	attend_locked(checkpoint, delay_ns);
	if (!delay_ns)
		checkpoint->interval_ns = 0;
	pthread_mutex_unlock(&gate->lock);
	gate_kick_(gate);
}

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

void gate_tell_(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;

	pthread_mutex_lock(&checkpoint->lock);
	unsigned int generation = checkpoint->state_known ? checkpoint->state.generation : 0;
	int verdict = checkpoint->state_known ? gate_verdict_(checkpoint, generation) : 1;
	bool ending = checkpoint->ending != ENDING_NONE;
	pthread_mutex_unlock(&checkpoint->lock);
	/* whoever began to wait since then waits for a later generation, or will look for himself */
	if (verdict != 1)
		waiters_wake(gate->waiters, &checkpoint->readers, verdict, generation ? generation + 1 : 0);
	else if (generation)
		waiters_wake(gate->waiters, &checkpoint->readers, -EOWNERDEAD, generation);
	if (!ending)
		waiters_wake(gate->waiters, &checkpoint->enders, 0, 0);
}

/* Looks at a checkpoint: in the pool, since the export may be slow. */
void gate_poll_job_(struct pool_job *job)
{
	struct gate_checkpoint *checkpoint = (void *)((char *)job - offsetof(struct gate_checkpoint, poll_job));
	struct gate *gate = checkpoint->gate;
	bool waited = waiters_count(gate->waiters, &checkpoint->readers) > 0;
	bool again = false, ours = false;

	if (waited && checkpoint->watch < 0)
		add_watch(checkpoint);
	pthread_mutex_lock(&checkpoint->lock);
	gate_attention_end_(checkpoint);
	if (checkpoint->wait_lease) {
		/* the other mounts of the trial had not let go: ask again */
		checkpoint->wait_lease = false;
		gate_checkpoint_ref(checkpoint);
		pool_submit(gate->pool, &checkpoint->end_job);
	} else if (waited && checkpoint->ending == ENDING_NONE) {
		int error = gate_reread_(checkpoint);
		if (!error)
			gate_judge_(checkpoint);
		again = error || gate_verdict_(checkpoint, checkpoint->state.generation) == 1;
		ours = checkpoint->lease.fd >= 0;
	} else {
		again = waited; /* an end of our own is under way; should it fail, somebody else's may come */
		ours = true;
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);

	pthread_mutex_lock(&gate->lock);
	checkpoint->poll_running = false;
	if (again) {
		uint64_t next = checkpoint->interval_ns ? checkpoint->interval_ns * 2 : ours ? POLL_LAST_NS : POLL_FIRST_NS;
		checkpoint->interval_ns = next < POLL_LAST_NS ? next : POLL_LAST_NS;
		attend_locked(checkpoint, checkpoint->interval_ns);
	}
	bool timed = checkpoint->is_timed;
	pthread_mutex_unlock(&gate->lock);
	if (timed)
		gate_kick_(gate);
	if (!again)
		remove_watch(checkpoint);
	gate_checkpoint_put(checkpoint);
}

/* Submits what is due; returns when the next is, 0 if nothing. */
static uint64_t attend_due(struct gate *gate, uint64_t now)
{
	struct gate_checkpoint *checkpoint, *next_one;
	uint64_t next = 0;

	pthread_mutex_lock(&gate->lock);
	DL_FOREACH_SAFE2(gate->timed, checkpoint, next_one, timed_next)
	{
		if (checkpoint->attention_ns <= now && !checkpoint->poll_running) {
			DL_DELETE2(gate->timed, checkpoint, timed_prev, timed_next);
			checkpoint->is_timed = false;
			checkpoint->poll_running = true;
			gate_checkpoint_ref(checkpoint);
			pool_submit(gate->pool, &checkpoint->poll_job);
		} else if (!checkpoint->poll_running && (!next || checkpoint->attention_ns < next)) {
			next = checkpoint->attention_ns;
		}
	}
	pthread_mutex_unlock(&gate->lock);
	return next;
}

static void attend_watch(struct gate *gate, int watch)
{
	struct gate_checkpoint *checkpoint;

	pthread_mutex_lock(&gate->lock);
	for (checkpoint = gate->by_path; checkpoint; checkpoint = checkpoint->hh.next)
		if (checkpoint->watch == watch)
			break;
	if (checkpoint) {
		attend_locked(checkpoint, 0);
		checkpoint->interval_ns = 0;
	}
	pthread_mutex_unlock(&gate->lock);
}

static void read_inotify(struct gate *gate)
{
	char buffer[8192] __attribute__((aligned(__alignof__(struct inotify_event))));

	for (;;) {
		ssize_t size = read(gate->inotify, buffer, sizeof(buffer));
		if (size <= 0)
			return;
		for (char *at = buffer; at < buffer + size;) {
			struct inotify_event *event = (struct inotify_event *)at;
			attend_watch(gate, event->wd);
			at += sizeof(*event) + event->len;
		}
	}
}

static int timeout_until(uint64_t a, uint64_t b, uint64_t now)
{
	uint64_t next = !a || (b && b < a) ? b : a;
	if (!next)
		return -1;
	if (next <= now)
		return 0;
	uint64_t milliseconds = (next - now + 999999) / 1000000;
	return milliseconds < INT_MAX ? (int)milliseconds : INT_MAX;
}

void *gate_loop_(void *arg)
{
	struct gate *gate = arg;
	struct pollfd polled[] = {{.fd = gate->event, .events = POLLIN},
				  {.fd = trials_fd(gate->trials), .events = POLLIN},
				  {.fd = gate->inotify, .events = POLLIN},
				  {.fd = gate_peers_fd_(gate->peers), .events = POLLIN}};
	uint64_t count;

	for (;;) {
		uint64_t now = waiters_now_ns();
		uint64_t expires = waiters_expire(gate->waiters, now);
		uint64_t due = attend_due(gate, now);
		pthread_mutex_lock(&gate->lock);
		bool stopping = gate->stopping;
		pthread_mutex_unlock(&gate->lock);
		if (stopping)
			return NULL;
		if (poll(polled, 4, timeout_until(expires, due, waiters_now_ns())) < 0 && errno != EINTR)
			log_error("the gate's loop: poll: %s", strerror(errno));
		if (polled[0].revents && read(gate->event, &count, sizeof(count)) < 0)
			continue;
		if (polled[1].revents)
			trials_dispatch(gate->trials);
		if (polled[2].revents)
			read_inotify(gate);
		if (polled[3].revents)
			gate_peers_dispatch_(gate);
	}
}
