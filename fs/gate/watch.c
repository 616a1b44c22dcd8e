/* watch.c - the loop that waits for processes, limits, and what other mounts do */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/log.h"

void gate_kick_(void *arg)
{
	struct gate *gate = arg;
	uint64_t one = 1;
	if (write(gate->event, &one, sizeof(one)) < 0)
		return; /* full: the loop is awake already */
}

void gate_attend_locked_(struct gate_checkpoint *checkpoint, uint64_t delay_ns)
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
	gate_attend_locked_(checkpoint, delay_ns);
	if (!delay_ns)
		checkpoint->interval_ns = 0;
	pthread_mutex_unlock(&gate->lock);
	gate_kick_(gate);
}

/* Who wants to read what has been sealed. */
struct arrival {
	struct gate_sealed *sealed;
	struct gate_caller reader;
};

static void note_reader(void *arg, const struct waiter *waiter, const char *trial)
{
	struct arrival *arrival = arg;

	if (waiter->reads && !arrival->reader.tid)
		arrival->reader = (struct gate_caller){waiter->tid, waiter->uid, waiter->gid};
}

/* Under the lock, before its readers are told. What can not be had now is told to whoever asks for it. */
static void note_arrival(struct gate_checkpoint *checkpoint, struct arrival *arrival)
{
	const struct gate_options *options = &checkpoint->gate->options;

	if (checkpoint->state.kind != STATE_SEALED || !options->prefetch || options->verify != GATE_VERIFY_OPEN)
		return;
	waiters_each(checkpoint->gate->waiters, &checkpoint->readers, note_reader, arrival);
	if (arrival->reader.tid && !gate_load_seal_(checkpoint) && !gate_check_signature_(checkpoint))
		arrival->sealed = gate_sealed_ref(checkpoint->sealed);
}

void gate_tell_(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	struct arrival arrival = {.sealed = NULL};

	pthread_mutex_lock(&checkpoint->lock);
	unsigned int generation = checkpoint->state_known ? checkpoint->state.generation : 0;
	int verdict = checkpoint->state_known ? gate_verdict_(checkpoint, generation) : 1;
	bool ending = checkpoint->ending != ENDING_NONE;
	if (!verdict)
		note_arrival(checkpoint, &arrival);
	pthread_mutex_unlock(&checkpoint->lock);
	/* whoever began to wait since then waits for a later generation, or will look for himself */
	unsigned int woken = 0;
	if (verdict != 1)
		woken = waiters_wake(gate->waiters, &checkpoint->readers, verdict, generation ? generation + 1 : 0);
	else if (generation)
		woken = waiters_wake(gate->waiters, &checkpoint->readers, -EOWNERDEAD, generation);
	/* what waits here is published */
	if (woken)
		gate_kick_(gate);
	if (arrival.sealed)
		gate_prefetch_(gate, arrival.sealed, PREFETCH_ALL, &arrival.reader);
	gate_sealed_put(arrival.sealed);
	if (!ending)
		waiters_wake(gate->waiters, &checkpoint->enders, 0, 0);
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
			pool_submit(gate->pool, POOL_LOOK, &checkpoint->poll_job);
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
		gate_attend_locked_(checkpoint, 0);
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

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static int timeout_until(uint64_t next, uint64_t now)
{
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
				  {.fd = gate_peers_fd_(gate->peers), .events = POLLIN},
				  {.fd = -1, .events = POLLIN}};
	uint64_t count;

	for (;;) {
		uint64_t now = waiters_now_ns();
		uint64_t expires = waiters_expire(gate->waiters, now);
		uint64_t due = attend_due(gate, now), hinted = gate_hints_work_(gate, now, &polled[4].fd);
		pthread_mutex_lock(&gate->lock);
		bool stopping = gate->stopping;
		pthread_mutex_unlock(&gate->lock);
		if (stopping)
			return NULL;
		uint64_t next = sooner(sooner(expires, due), sooner(hinted, gate_waits_work_(gate, now)));
		if (poll(polled, 5, timeout_until(next, waiters_now_ns())) < 0 && errno != EINTR)
			log_error("the gate's loop: poll: %s", strerror(errno));
		if (polled[0].revents && read(gate->event, &count, sizeof(count)) < 0)
			continue;
		if (polled[1].revents)
			trials_dispatch(gate->trials);
		if (polled[2].revents)
			read_inotify(gate);
		if (polled[3].revents)
			gate_peers_dispatch_(gate);
		if (polled[4].revents)
			gate_hints_dispatch_(gate);
	}
}
