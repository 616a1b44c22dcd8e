/* call_wait.c - calls that are parked until a checkpoint has ended: seal, abandon, wait */
#include "call.h"

#include <errno.h>

bool call_wait_for_end(struct call *call, struct gate_checkpoint *checkpoint, struct gate_outcome *outcome,
		       void (*then)(struct parked *parked, int result), int *error)
{
	struct parked *parked = parked_new(call->req, NULL, then);

	*error = parked ? 0 : -ENOMEM;
	if (!parked)
		return false;
	parked->data = call;
	parked_arm(parked);
	int result = gate_wait_end(call->mount->gate, checkpoint, &parked->waiter, parked_interrupted, outcome);
	if (result == 0)
		return true;
	parked_free(parked);
	*error = result < 0 ? result : 0;
	return false;
}

static void finish_end(struct call *call);

static void end_resumed(struct parked *parked, int result)
{
	struct call *call = parked->data;
	fuse_req_t req = parked->req;

	parked_free(parked);
	if (!result) {
		finish_end(call);
		return;
	}
	call_free(call);
	reply_status(req, result);
}

/* Answers a seal or an abandon once its end is no longer under way. */
static void finish_end(struct call *call)
{
	struct gate_outcome outcome;
	struct gate_checkpoint *checkpoint = call->checkpoint;
	int error;

	if (call_wait_for_end(call, checkpoint, &outcome, end_resumed, &error))
		return;
	if (error) {
		fuse_req_t req = call->req;
		call_free(call);
		reply_status(req, error);
	} else if (call->op == SEALFS_CALL_ABANDON) {
		reply_json(call, 0, json_pack("{s:o}", "path", text_json(call->path)));
	} else if (outcome.result) {
		reply_failure(call, outcome.result, outcome.message);
	} else {
		reply_json(call, 0, outcome_json(checkpoint, &outcome));
	}
}

void call_end(struct call *call)
{
	char why[256] = "";
	int error;

	{
		AS_CALLER(call->req);
		if (call->op == SEALFS_CALL_SEAL)
			error = gate_seal(call->mount->gate, call->checkpoint, &call->caller, why, sizeof(why));
		else
			error = gate_abandon(call->mount->gate, call->checkpoint, &call->caller,
					     *call->detail ? call->detail : "abandoned by hand", why, sizeof(why));
	}
	if (error)
		reply_failure(call, error, why);
	else
		finish_end(call);
}

static void wait_decided(struct call *call, int error)
{
	struct gate_view view;

	if (error == -EINTR) {
		fuse_req_t req = call->req;
		call_free(call);
		reply_status(req, EINTR);
		return;
	}
	if (!error)
		error = gate_enter(call->mount->gate, call->checkpoint, &call->caller, GATE_LOOK, "", NULL, NULL, &view);
	if (!error && view.answer == GATE_SEALED) {
		json_t *json = json_pack("{s:o,s:o}", "path", text_json(call->path), "root", root_json(&view.sealed->root));
		gate_sealed_put(view.sealed);
		reply_json(call, 0, json);
	} else if (error == -EOWNERDEAD) {
		reply_failure(call, error, "the trial that wrote it has failed");
	} else if (error) {
		reply_failure(call, error, NULL);
	} else {
		reply_json(call, 0, json_pack("{s:o}", "path", text_json(call->path)));
	}
}

static void wait_resumed(struct parked *parked, int result)
{
	struct call *call = parked->data;
	parked_free(parked);
	wait_decided(call, result);
}

void call_wait(struct call *call)
{
	struct gate_view view;
	struct parked *parked = parked_new(call->req, NULL, wait_resumed);
	/* a reference of our own: once the waiter is linked, the call may be gone the next moment */
	struct gate_checkpoint *checkpoint = gate_checkpoint_ref(call->checkpoint);
	struct gate_caller caller = call->caller;
	struct mount *mount = call->mount;
	int error = -ENOMEM;

	if (parked) {
		AS_CALLER(call->req);
		parked->data = call;
		parked_arm(parked);
		error = gate_enter(mount->gate, checkpoint, &caller, GATE_READ, "", &parked->waiter, parked_interrupted, &view);
	}
	bool waits = !error && view.answer == GATE_WAIT;
	bool own = !error && view.answer == GATE_WRITER;
	bool nothing = !error && view.answer == GATE_PLAIN && !view.has_data;
	gate_checkpoint_put(checkpoint);
	if (waits)
		return;
	if (!error)
		gate_sealed_put(view.sealed);
	if (parked)
		parked_free(parked);
	if (own)
		reply_failure(call, -EDEADLK, "this process belongs to the trial that writes it");
	else if (nothing)
		reply_failure(call, -ENOENT, "nobody has reserved or written it");
	else
		wait_decided(call, error);
}
