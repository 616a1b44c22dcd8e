/* writing.c - files open for writing and changes under way: a seal waits for the last of them */
#include "internal.h"

#include <utlist.h>

/* Under the lock: the last thing that a seal waited for may be gone. */
static void check_closed(struct gate_checkpoint *checkpoint)
{
	if (checkpoint->handles || checkpoint->changes)
		return;
	if (checkpoint->ending == ENDING_CLOSING) {
		checkpoint->ending = ENDING_SEALING;
		gate_submit_end_(checkpoint);
	} else if (checkpoint->ending == ENDING_NONE && !checkpoint->claimer && checkpoint->lease.fd >= 0) {
		/* a mount that joined holds the lease only while something is open for writing, so that the other one can seal */
		lease_drop(&checkpoint->gate->options.store, &checkpoint->lease);
		gate_attend_(checkpoint, 0);
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
	check_closed(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
}

void gate_write_opened(struct gate *gate, struct gate_checkpoint *checkpoint, pid_t tid, struct gate_write_handle *handle)
{
	handle->tid = tid;
	handle->checkpoint = gate_checkpoint_ref(checkpoint);
	pthread_mutex_lock(&checkpoint->lock);
	handle->counts = checkpoint->lease.fd >= 0;
	if (handle->counts)
		DL_APPEND(checkpoint->handles, handle);
	pthread_mutex_unlock(&checkpoint->lock);
}

void gate_write_closed(struct gate *gate, struct gate_write_handle *handle)
{
	struct gate_checkpoint *checkpoint = handle->checkpoint;

	if (!checkpoint)
		return;
	pthread_mutex_lock(&checkpoint->lock);
	if (handle->counts)
		DL_DELETE(checkpoint->handles, handle);
	handle->checkpoint = NULL;
	check_closed(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
	gate_checkpoint_put(checkpoint);
}
