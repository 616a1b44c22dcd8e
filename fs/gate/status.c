/* status.c - how a checkpoint stands, who waits for it and who has it open */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

int gate_status(struct gate *gate, struct gate_checkpoint *checkpoint, struct gate_status *out)
{
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&checkpoint->lock);
	int error = checkpoint->ending == ENDING_NONE ? gate_reread_(checkpoint) : 0;
	if (!error) {
		gate_judge_(checkpoint);
		out->sealing = checkpoint->ending != ENDING_NONE;
		memcpy(out->awaited_host, checkpoint->awaited_host, sizeof(out->awaited_host));
		out->bytes_done = out->sealing ? atomic_load(&checkpoint->bytes_done) : 0;
		out->bytes_total = out->sealing ? atomic_load(&checkpoint->bytes_total) : 0;
		out->ours = checkpoint->lease.fd >= 0;
		if (checkpoint->damage)
			snprintf(out->error, sizeof(out->error), "%s", checkpoint->damage);
		else if (checkpoint->outcome.result && checkpoint->outcome.generation == checkpoint->state.generation)
			snprintf(out->error, sizeof(out->error), "%s", checkpoint->outcome.message);
		error = state_read(&gate->options.store, checkpoint->path, &out->state);
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	return error;
}

void gate_each_waiter(struct gate *gate, struct gate_checkpoint *checkpoint,
		      void (*each)(void *arg, const struct waiter *waiter, const char *trial), void *arg)
{
	waiters_each(gate->waiters, &checkpoint->readers, each, arg);
}

void gate_each_write_handle(struct gate *gate, struct gate_checkpoint *checkpoint,
			    void (*each)(void *arg, const struct gate_write_handle *handle), void *arg)
{
	struct gate_write_handle *handle;

	pthread_mutex_lock(&checkpoint->lock);
	DL_FOREACH(checkpoint->handles, handle)
	{
		each(arg, handle);
	}
	pthread_mutex_unlock(&checkpoint->lock);
}

static void count_waiting(void *arg, struct gate_checkpoint *checkpoint)
{
	struct gate_stats *stats = arg;
	unsigned int waiters = waiters_count(checkpoint->gate->waiters, &checkpoint->readers);

	stats->waiters += waiters;
	stats->hinted += waiters && gate_hints_proven_(checkpoint);
}

void gate_stats(struct gate *gate, struct gate_stats *out)
{
	const char *place = gate_hints_place_(gate->hints);

	*out = (struct gate_stats){.subscribers = gate_hints_subscribers_(gate->hints),
				   .waits = atomic_load(&gate->stats.waits),
				   .polls = atomic_load(&gate->stats.polls),
				   .looks = atomic_load(&gate->stats.looks),
				   .judgements = atomic_load(&gate->stats.judgements),
				   .hints_sent = atomic_load(&gate->stats.hints_sent),
				   .hints_received = atomic_load(&gate->stats.hints_received),
				   .hints_dropped = atomic_load(&gate->stats.hints_dropped)};
	/* without the key */
	snprintf(out->hints, sizeof(out->hints), "%.*s", place ? (int)strcspn(place, " ") : 0, place ? place : "");
	gate_each_checkpoint(gate, count_waiting, out);
}
