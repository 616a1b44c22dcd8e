/* checkpoint.c - the table of the checkpoints that this mount knows */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <utlist.h>

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
	checkpoint->seen = (struct state_watch)STATE_WATCH_INIT;
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
	state_watch_close(&gate->options.store, &checkpoint->seen);
	if (checkpoint->state_known)
		state_free(&checkpoint->state);
	gate_sealed_put(checkpoint->sealed);
	free(checkpoint->damage);
	free(checkpoint->end_reason);
	free(checkpoint->write_error_path);
	free(checkpoint->sealer.trial);
	pthread_mutex_destroy(&checkpoint->lock);
	free(checkpoint->path);
	free(checkpoint);
}

const char *gate_checkpoint_path(const struct gate_checkpoint *checkpoint)
{
	return checkpoint->path;
}

struct gate_checkpoint **gate_snapshot_(struct gate *gate, bool mine)
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

void gate_each_checkpoint(struct gate *gate, void (*each)(void *arg, struct gate_checkpoint *checkpoint), void *arg)
{
	struct gate_checkpoint **list = gate_snapshot_(gate, false);
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

int gate_content_is(struct gate_checkpoint *checkpoint, uint64_t device, uint64_t inode)
{
	uint64_t known = checkpoint->content_inode;
	return known ? known == inode && checkpoint->content_device == device : -1;
}
