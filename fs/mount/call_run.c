/* call_run.c - a wrapper's calls: a run begins, a run ends */
#include "call.h"

#include <errno.h>

void call_run_begin(struct call *call)
{
	int error = 0;

	pthread_mutex_lock(&call->handle->lock);
	if (!*call->trial)
		error = -EINVAL;
	else if (call->handle->run)
		error = -EBUSY;
	else
		error = gate_run_begin(call->mount->gate, &call->caller, call->trial, &call->handle->run);
	pthread_mutex_unlock(&call->handle->lock);
	if (error)
		reply_failure(call, error, NULL);
	else
		reply_json(call, 0, json_object());
}

static void finish_run(struct call *call);

/* What has ended meanwhile, and what has not, is kept until the wrapper asks again: a signal must not cost it the report. */
static void keep_ending(struct call *call)
{
	struct handle *handle = call->handle;

	call->req = NULL;
	pthread_mutex_lock(&handle->lock);
	struct call *before = handle->ending;
	handle->ending = call;
	pthread_mutex_unlock(&handle->lock);
	if (before)
		call_free(before);
}

void call_run_forget(struct handle *handle)
{
	if (handle->ending)
		call_free(handle->ending);
	handle->ending = NULL;
}

/* The end could not be waited for: -EINTR, or the file system goes away. */
static void break_off(struct call *call, int error)
{
	fuse_req_t req = call->req;

	if (error == -EINTR)
		keep_ending(call);
	else
		call_free(call);
	reply_status(req, error);
}

static void run_resumed(struct parked *parked, int result)
{
	struct call *call = parked->data;

	parked_free(parked);
	if (result)
		break_off(call, result);
	else
		finish_run(call);
}

static void finish_run(struct call *call)
{
	struct gate_outcome outcome;
	int error;

	for (; call->ending[call->next]; call->next++) {
		struct gate_checkpoint *checkpoint = call->ending[call->next];
		if (call_wait_for_end(call, checkpoint, &outcome, run_resumed, &error))
			return;
		if (error)
			break;
		bool left = !outcome.result && !outcome.seconds;
		if (!outcome.vacated)
			json_array_append_new(outcome.result ? call->failed : left ? call->joined : call->sealed, outcome_json(checkpoint, &outcome));
		gate_checkpoint_put(checkpoint);
	}
	if (call->ending[call->next]) {
		break_off(call, error);
		return;
	}
	reply_json(call, 0, json_pack("{s:O,s:O,s:O}", "sealed", call->sealed, "failed", call->failed, "joined", call->joined));
}

/* Goes on where a signal broke it off. */
static void resume_run(struct call *call, struct call *before)
{
	before->req = call->req;
	before->caller = call->caller;
	call_free(call);
	finish_run(before);
}

void call_run_end(struct call *call)
{
	pthread_mutex_lock(&call->handle->lock);
	struct trial *trial = call->handle->run;
	struct call *before = call->handle->ending;
	call->handle->run = NULL;
	call->handle->ending = NULL;
	pthread_mutex_unlock(&call->handle->lock);
	if (before) {
		resume_run(call, before);
		return;
	}
	if (!trial) {
		reply_failure(call, -EINVAL, "no run was begun on this file");
		return;
	}
	call->sealed = json_array();
	call->failed = json_array();
	call->joined = json_array();
	int error = gate_run_end(call->mount->gate, trial, *call->detail ? call->detail : NULL, &call->ending);
	trial_put(trial);
	if (error)
		reply_failure(call, error, NULL);
	else
		finish_run(call);
}
