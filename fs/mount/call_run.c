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

static void run_resumed(struct parked *parked, int result)
{
	struct call *call = parked->data;
	fuse_req_t req = parked->req;

	parked_free(parked);
	if (!result) {
		finish_run(call);
		return;
	}
	call_free(call);
	reply_status(req, result);
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
		fuse_req_t req = call->req;
		call_free(call);
		reply_status(req, error);
		return;
	}
	reply_json(call, 0, json_pack("{s:O,s:O,s:O}", "sealed", call->sealed, "failed", call->failed, "joined", call->joined));
}

void call_run_end(struct call *call)
{
	pthread_mutex_lock(&call->handle->lock);
	struct trial *trial = call->handle->run;
	call->handle->run = NULL;
	pthread_mutex_unlock(&call->handle->lock);
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
