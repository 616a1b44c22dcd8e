/* park.c - requests that wait: kept, without a thread, until the gate resumes them */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>

static void resume_waiter(struct waiter *waiter, int result)
{
	struct parked *parked = (struct parked *)waiter;
	parked->resume(parked, result);
}

struct parked *parked_new(fuse_req_t req, struct node *node, void (*resume)(struct parked *parked, int result))
{
	struct parked *parked = calloc(1, sizeof(*parked));
	if (!parked)
		return NULL;
	parked->mount = mount_of(req);
	parked->req = req;
	parked->resume = resume;
	parked->waiter.key = req;
	parked->waiter.resume = resume_waiter;
	if (node)
		parked->node = node_ref(&parked->mount->nodes, node);
	return parked;
}

void parked_free(struct parked *parked)
{
	node_put(&parked->mount->nodes, parked->node);
	gate_checkpoint_put(parked->checkpoint);
	gate_sealed_put(parked->sealed);
	free(parked);
}

/* libfuse may call this inside fuse_req_interrupt_func() itself, without a reference of its own on the request: the waiter is looked up by the
 * request, and only who takes it off its point answers. */
static void interrupted(fuse_req_t req, void *data)
{
	struct mount *mount = data;
	gate_interrupt(mount->gate, req);
}

void parked_arm(struct parked *parked)
{
	fuse_req_interrupt_func(parked->req, interrupted, parked->mount);
}

bool parked_interrupted(const void *key)
{
	return fuse_req_interrupted((fuse_req_t)key);
}

/* The wait of a reader is over. ESTALE makes the kernel walk the path once more, and so find what the name stands for now. */
static void reader_resumed(struct parked *parked, int result)
{
	fuse_req_t req = parked->req;
	parked_free(parked);
	reply_status(req, result ? result : ESTALE);
}

int admit_reader(fuse_req_t req, struct node *node, enum gate_want want, bool may_wait, struct admission *admission)
{
	struct mount *mount = mount_of(req);
	struct gate_caller caller = caller_of(req);
	struct gate_view view;

	int error = admit(mount, node, NULL, &caller, want, admission);
	if (error != -EAGAIN || !may_wait)
		return error;
	struct parked *parked = parked_new(req, node, reader_resumed);
	if (!parked)
		return -ENOMEM;
	/* a reference of our own as well: a waiter that was linked may be gone the next moment */
	struct gate_checkpoint *checkpoint = admission->home.checkpoint;
	parked->checkpoint = gate_checkpoint_ref(checkpoint);
	parked->waiter.reads = true;
	parked_arm(parked);
	error = gate_enter(mount->gate, checkpoint, &caller, want, admission->home.path, &parked->waiter, parked_interrupted, &view);
	if (!error && view.answer == GATE_WAIT)
		return 1;
	/* it ended between the two looks: what was walked through before may not be what is there now */
	parked_free(parked);
	gate_sealed_put(view.sealed);
	return error ? error : -ESTALE;
}
