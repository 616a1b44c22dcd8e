/* control.c - the ioctl by which tools talk to the mount (sealfs/control.h) */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"

static const struct {
	uint32_t op;
	void (*run)(struct call *call);
	bool needs_path;
} calls[] = {
	{SEALFS_CALL_INFO, call_info, false},	  {SEALFS_CALL_RESERVE, call_reserve, true}, {SEALFS_CALL_CLAIM, call_claim, true},
	{SEALFS_CALL_SEAL, call_end, true},	  {SEALFS_CALL_ABANDON, call_end, true},     {SEALFS_CALL_WAIT, call_wait, true},
	{SEALFS_CALL_STATUS, call_status, false}, {SEALFS_CALL_REMOVE, call_remove, true},   {SEALFS_CALL_RUN_BEGIN, call_run_begin, false},
	{SEALFS_CALL_RUN_END, call_run_end, false}, {SEALFS_CALL_MORE, call_more, false},
	{SEALFS_CALL_STATS, call_stats, false},
};

/* The four strings of the request. */
static bool parse_text(struct call *call, const struct sealfs_call *in)
{
	const char **fields[] = {&call->path, &call->trial, &call->writer, &call->detail};

	if (in->size > SEALFS_CALL_TEXT || !(call->text = calloc(1, SEALFS_CALL_TEXT + 1)))
		return false;
	memcpy(call->text, in->text, in->size);
	const char *at = call->text, *end = call->text + in->size;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		*fields[i] = at < end ? at : "";
		at += at < end ? strlen(at) + 1 : 0;
	}
	return at <= end + 1;
}

static void dispatch(struct call *call)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].op != call->op)
			continue;
		bool given = *call->path;
		if (given && !state_path_valid(call->path, call->mount->depth)) {
			reply_failure(call, -EINVAL, "not a checkpoint's path: wrong depth");
			return;
		}
		if (given && !(call->checkpoint = gate_checkpoint_get(call->mount->gate, call->path))) {
			reply_failure(call, -ENOMEM, NULL);
			return;
		}
		if (!given && calls[i].needs_path)
			reply_failure(call, -EINVAL, "a path is needed");
		else
			calls[i].run(call);
		return;
	}
	reply_failure(call, -EOPNOTSUPP, "this mount does not know that call: is sealctl newer than sealfs?");
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
	      size_t in_size, size_t out_size)
{
	const struct sealfs_call *in = in_buf;

	if (!(flags & FUSE_IOCTL_DIR) || cmd != (unsigned int)SEALFS_IOC_CALL) {
		reply_status(req, ENOTTY);
		return;
	}
	struct call *call = calloc(1, sizeof(*call));
	if (!call || in_size < sizeof(*in) || out_size < sizeof(*in) || in->version != SEALFS_CALL_VERSION || !parse_text(call, in)) {
		if (call)
			call_free(call);
		reply_status(req, call ? EINVAL : ENOMEM);
		return;
	}
	call->req = req;
	call->mount = mount_of(req);
	call->handle = handle_of(fi);
	call->caller = caller_of(req);
	call->op = in->op;
	call->offset = in->offset;
	dispatch(call);
}

void control_release(struct mount *mount, struct handle *handle)
{
	free(handle->reply);
	call_run_forget(handle);
	if (!handle->run)
		return;
	/* the wrapper is gone without a word */
	struct gate_checkpoint **ending = NULL;
	gate_run_end(mount->gate, handle->run, "its wrapper (sealctl run) was killed", &ending);
	for (size_t i = 0; ending && ending[i]; i++)
		gate_checkpoint_put(ending[i]);
	free(ending);
	trial_put(handle->run);
}
