/* writing.c - files open for writing and changes under way: a seal waits for the last of them */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "sealfs/creds.h"
#include "sealfs/log.h"

pid_t gate_mapped_by_(struct gate_checkpoint *checkpoint, pid_t only)
{
	struct gate *gate = checkpoint->gate;
	pid_t by = 0;

	if (!gate->options.mapped || !checkpoint->may_be_mapped)
		return 0;
	pthread_mutex_unlock(&checkpoint->lock);
	{
		/* processes of all users */
		CREDS_SCOPE(0, 0, 0);
		by = gate->options.mapped(gate->options.arg, checkpoint, only);
	}
	pthread_mutex_lock(&checkpoint->lock);
	return by;
}

void gate_check_closed_(struct gate_checkpoint *checkpoint)
{
	if (checkpoint->handles || checkpoint->changes)
		return;
	if (checkpoint->ending == ENDING_CLOSING) {
		checkpoint->ending = ENDING_SEALING;
		gate_submit_end_(checkpoint);
	}
}

void gate_forget_handles_(struct gate_checkpoint *checkpoint)
{
	struct gate_write_handle *handle, *next;

	DL_FOREACH_SAFE(checkpoint->handles, handle, next)
	{
		DL_DELETE(checkpoint->handles, handle);
		handle->counts = false;
	}
}

void gate_vacated(struct gate_checkpoint *checkpoint)
{
	pthread_mutex_lock(&checkpoint->lock);
	checkpoint->vacated = true;
	pthread_mutex_unlock(&checkpoint->lock);
	gate_set_content(checkpoint, 0, 0);
}

void gate_change_done(struct gate *gate, struct gate_checkpoint *checkpoint)
{
	pthread_mutex_lock(&checkpoint->lock);
	checkpoint->changes--;
	gate_check_closed_(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
}

/* Plain data may be sealed by hand while they are open; where nothing was as yet, plain data have just been renamed to. */
static bool can_be_sealed(const struct gate_checkpoint *checkpoint)
{
	return checkpoint->lease.fd >= 0 || checkpoint->state.kind == STATE_PLAIN || checkpoint->state.kind == STATE_ABSENT;
}

void gate_write_opened(struct gate *gate, struct gate_checkpoint *checkpoint, pid_t tid, bool maps, struct gate_write_handle *handle)
{
	handle->tid = tid;
	handle->checkpoint = gate_checkpoint_ref(checkpoint);
	pthread_mutex_lock(&checkpoint->lock);
	handle->counts = can_be_sealed(checkpoint);
	if (handle->counts)
		DL_APPEND(checkpoint->handles, handle);
	checkpoint->may_be_mapped |= maps;
	checkpoint->opened += maps;
	pthread_mutex_unlock(&checkpoint->lock);
}

int gate_confirm_writer(struct gate *gate, struct gate_checkpoint *checkpoint)
{
	pthread_mutex_lock(&checkpoint->lock);
	int ended = checkpoint->lease.fd < 0 ? 1 : state_has_ended(&gate->options.store, checkpoint->path, checkpoint->own);
	pthread_mutex_unlock(&checkpoint->lock);
	return ended > 0 ? -ESTALE : ended;
}

/* The checkpoint that the handle is in, as a reference and with its lock held; NULL when it is in none. */
static struct gate_checkpoint *lock_checkpoint_of(struct gate *gate, struct gate_write_handle *handle)
{
	for (;;) {
		pthread_mutex_lock(&gate->lock);
		struct gate_checkpoint *checkpoint = handle->checkpoint ? gate_checkpoint_ref(handle->checkpoint) : NULL;
		pthread_mutex_unlock(&gate->lock);
		if (!checkpoint)
			return NULL;
		pthread_mutex_lock(&checkpoint->lock);
		if (handle->checkpoint == checkpoint)
			return checkpoint;
		/* it was renamed */
		pthread_mutex_unlock(&checkpoint->lock);
		gate_checkpoint_put(checkpoint);
	}
}

/* Under both checkpoints' locks. Returns how many references on `from` are due to be put. */
static unsigned int move_handles(struct gate *gate, struct gate_write_handle *handles, struct gate_checkpoint *to)
{
	struct gate_write_handle *handle, *next;
	unsigned int moved = 0;

	DL_FOREACH_SAFE(handles, handle, next)
	{
		DL_DELETE(handles, handle);
		pthread_mutex_lock(&gate->lock);
		handle->checkpoint = gate_checkpoint_ref(to);
		pthread_mutex_unlock(&gate->lock);
		handle->counts = can_be_sealed(to);
		if (handle->counts)
			DL_APPEND(to->handles, handle);
		moved++;
	}
	return moved;
}

static void put_times(struct gate_checkpoint *checkpoint, unsigned int times)
{
	while (times--)
		gate_checkpoint_put(checkpoint);
}

void gate_renamed(struct gate *gate, struct gate_checkpoint *from, struct gate_checkpoint *to, bool exchange)
{
	/* the only place where two are held: by address */
	struct gate_checkpoint *first = from < to ? from : to, *second = from < to ? to : from;

	if (from == to)
		return;
	pthread_mutex_lock(&first->lock);
	pthread_mutex_lock(&second->lock);
	struct gate_write_handle *ours = from->handles, *theirs = exchange ? to->handles : NULL;
	from->handles = NULL;
	if (exchange)
		to->handles = NULL;
	unsigned int moved = move_handles(gate, ours, to), back = move_handles(gate, theirs, from);
	to->may_be_mapped |= from->may_be_mapped;
	to->opened++;
	from->opened++;
	from->may_be_mapped |= exchange && to->may_be_mapped;
	gate_check_closed_(from);
	pthread_mutex_unlock(&second->lock);
	pthread_mutex_unlock(&first->lock);
	put_times(from, moved);
	put_times(to, back);
}

void gate_write_failed(struct gate *gate, struct gate_write_handle *handle, const char *path, int error)
{
	struct gate_checkpoint *checkpoint = lock_checkpoint_of(gate, handle);

	if (!checkpoint)
		return;
	if (handle->counts && checkpoint->lease.fd >= 0 && !checkpoint->write_error) {
		checkpoint->write_error = error;
		checkpoint->write_error_path = strdup(path);
		log_error("'%s%s%s': what was written could not be stored: %s; generation %u will not be sealed", checkpoint->path, *path ? "/" : "", path,
			  strerror(-error), checkpoint->own);
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_checkpoint_put(checkpoint);
}

void gate_tell_write_error_(const struct gate_checkpoint *checkpoint, char *reason, size_t size)
{
	snprintf(reason, size, "what was written to '%.200s' could not be stored: %s", checkpoint->write_error_path ? checkpoint->write_error_path : "?",
		 strerror(-checkpoint->write_error));
}

void gate_write_closed(struct gate *gate, struct gate_write_handle *handle)
{
	struct gate_checkpoint *checkpoint = lock_checkpoint_of(gate, handle);

	if (!checkpoint)
		return;
	/* one who only joined lets go at the last close, so it must be known now; all others are asked at the end */
	if (handle->counts && checkpoint->handles == handle && !handle->next && !checkpoint->claimer) {
		checkpoint->mapped_by = gate_mapped_by_(checkpoint, handle->tid);
		if (handle->checkpoint != checkpoint) { /* it was renamed meanwhile */
			pthread_mutex_unlock(&checkpoint->lock);
			gate_checkpoint_put(checkpoint);
			checkpoint = lock_checkpoint_of(gate, handle);
		}
	}
	if (handle->counts)
		DL_DELETE(checkpoint->handles, handle);
	handle->checkpoint = NULL;
	gate_check_closed_(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
	put_times(checkpoint, 2); /* the handle's and ours */
}
