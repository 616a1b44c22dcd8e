/* control.c - the ioctl by which tools talk to the mount (sealfs/control.h) */
#include "mount.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/control.h"
#include "sealfs/escape.h"
#include "sealfs/identity.h"
#include "sealfs/log.h"

/* A call, from its arrival to its answer. */
struct call {
	fuse_req_t req;
	struct mount *mount;
	struct handle *handle;
	struct gate_caller caller;
	uint32_t op;
	uint64_t offset;
	char *text; /* the four strings below stand in it */
	const char *path, *trial, *writer, *detail;
	struct gate_checkpoint *checkpoint;
	/* the end of a run: what is waited for, and what was found */
	struct gate_checkpoint **ending;
	size_t next;
	json_t *sealed, *failed, *joined;
};

static void call_free(struct call *call)
{
	gate_checkpoint_put(call->checkpoint);
	for (size_t i = call->next; call->ending && call->ending[i]; i++)
		gate_checkpoint_put(call->ending[i]);
	free(call->ending);
	json_decref(call->sealed);
	json_decref(call->failed);
	json_decref(call->joined);
	free(call->text);
	free(call);
}

/* ---- answering ---- */

static void reply_text(struct call *call, int result, const char *text, size_t total, size_t offset)
{
	struct sealfs_call *out = calloc(1, sizeof(*out));
	fuse_req_t req = call->req;

	if (out) {
		size_t left = offset < total ? total - offset : 0;
		out->version = SEALFS_CALL_VERSION;
		out->op = call->op;
		out->result = result;
		out->total = total;
		out->offset = offset;
		out->size = (uint32_t)(left < SEALFS_CALL_TEXT ? left : SEALFS_CALL_TEXT);
		if (out->size)
			memcpy(out->text, text + offset, out->size);
	}
	call_free(call);
	if (out)
		fuse_reply_ioctl(req, 0, out, sizeof(*out));
	else
		reply_status(req, ENOMEM);
	free(out);
}

/* Keeps a copy of a long answer at the handle for SEALFS_CALL_MORE. */
static bool keep_reply(struct handle *handle, const char *text, size_t size)
{
	char *copy = strdup(text);

	pthread_mutex_lock(&handle->lock);
	free(handle->reply);
	handle->reply = copy;
	handle->reply_size = copy ? size : 0;
	pthread_mutex_unlock(&handle->lock);
	return copy != NULL;
}

/* Takes the reference on `json`. */
static void reply_json(struct call *call, int result, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t size = text ? strlen(text) : 0;
	fuse_req_t req = call->req;

	json_decref(json);
	if (text && (size <= SEALFS_CALL_TEXT || keep_reply(call->handle, text, size))) {
		reply_text(call, result, text, size, 0);
	} else {
		call_free(call);
		reply_status(req, ENOMEM);
	}
	free(text);
}

static void reply_failure(struct call *call, int error, const char *why)
{
	reply_json(call, error, json_pack("{s:s}", "error", why && *why ? why : strerror(-error)));
}

static json_t *json_text(const char *text)
{
	char *escaped = escape_text(text);
	json_t *json = escaped ? json_string(escaped) : NULL;
	free(escaped);
	return json ? json : json_null();
}

static json_t *json_root(const struct digest *root)
{
	char hex[DIGEST_HEX_SIZE];
	digest_to_hex(root, hex);
	return json_sprintf("sha256:%s", hex);
}

/* Text for people may hold anything: what is not UTF-8 is escaped. */
static json_t *json_sentence(const char *text)
{
	json_t *json = json_string(text);
	return json ? json : json_text(text);
}

static json_t *json_outcome(struct gate_checkpoint *checkpoint, const struct gate_outcome *outcome)
{
	json_t *json = json_pack("{s:o,s:i}", "path", json_text(gate_checkpoint_path(checkpoint)), "generation", (int)outcome->generation);
	if (outcome->result)
		json_object_set_new(json, "reason", json_sentence(outcome->message));
	if (outcome->result || !outcome->seconds)
		return json;
	json_object_set_new(json, "root", json_root(&outcome->root));
	json_object_set_new(json, "files", json_integer((json_int_t)outcome->files));
	json_object_set_new(json, "bytes", json_integer((json_int_t)outcome->bytes));
	json_object_set_new(json, "seconds", json_real(outcome->seconds));
	return json;
}

/* ---- short calls ---- */

/* As the option: names separated by ':'. */
static json_t *json_names(char *const *names)
{
	json_t *joined = json_string("");
	for (; *names; names++) {
		const char *before = json_string_value(joined);
		json_t *longer = json_sprintf("%s%s%s", before, *before ? ":" : "", *names);
		json_decref(joined);
		joined = longer;
	}
	return joined;
}

static void call_info(struct call *call)
{
	struct mount *mount = call->mount;
	char fuse[32];

	snprintf(fuse, sizeof(fuse), "7.%u", mount->protocol_minor);
	reply_json(call, 0,
		   json_pack("{s:s,s:o,s:i,s:b,s:b,s:s,s:i,s:i,s:s,s:b,s:o}", "version", SEALFS_VERSION, "export", json_text(mount->export_path), "depth",
			     (int)mount->depth, "passthrough", mount->passthrough ? 1 : 0, "exit_info", mount->exit_info ? 1 : 0, "verify",
			     mount->verify, "wait_timeout", (int)mount->wait_timeout, "pid", (int)getpid(), "fuse", fuse, "allow_other",
			     creds_enabled() ? 1 : 0, "trial_env", json_names(gate_config(mount->gate)->trial_env)));
}

static void reply_generation(struct call *call, unsigned int generation)
{
	reply_json(call, 0, json_pack("{s:o,s:i}", "path", json_text(call->path), "generation", (int)generation));
}

static void call_reserve(struct call *call)
{
	unsigned int generation = 0;
	int error;

	{
		AS_CALLER(call->req);
		error = gate_reserve(call->mount->gate, call->checkpoint, &call->caller, call->writer, &generation);
	}
	if (error == -EEXIST)
		reply_failure(call, error, "it is reserved, being written, or holds plain data already");
	else if (error == -EROFS)
		reply_failure(call, error, "it is sealed");
	else if (error == -ENOENT)
		reply_failure(call, error, "the directory above it does not exist; make that first");
	else if (error)
		reply_failure(call, error, NULL);
	else
		reply_generation(call, generation);
}

static void call_claim(struct call *call)
{
	struct gate_view view;
	int error;

	{
		AS_CALLER(call->req);
		error = gate_claim(call->mount->gate, call->checkpoint, &call->caller, call->trial, &view);
	}
	if (error == -EROFS)
		reply_failure(call, error, "it is sealed");
	else if (error == -EBUSY)
		reply_failure(call, error, "another trial writes it, or it is reserved for another");
	else if (error)
		reply_failure(call, error, NULL);
	else
		reply_generation(call, view.generation);
}

static void call_remove(struct call *call)
{
	int error;

	{
		AS_CALLER(call->req);
		error = gate_remove(call->mount->gate, call->checkpoint, &call->caller);
	}
	if (error == -EBUSY)
		reply_failure(call, error, "a trial is writing it; end that, or 'sealctl abandon' it first");
	else if (error == -ENOENT)
		reply_failure(call, error, "there is nothing of that name");
	else if (error)
		reply_failure(call, error, NULL);
	else
		reply_json(call, 0, json_pack("{s:o}", "path", json_text(call->path)));
}

/* ---- calls that may be parked ---- */

/* Parks the call until no end is under way at the checkpoint; true if `then` will be called. */
static bool wait_for_end(struct call *call, struct gate_checkpoint *checkpoint, struct gate_outcome *outcome,
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

	if (wait_for_end(call, checkpoint, &outcome, end_resumed, &error))
		return;
	if (error) {
		fuse_req_t req = call->req;
		call_free(call);
		reply_status(req, error);
	} else if (call->op == SEALFS_CALL_ABANDON) {
		reply_json(call, 0, json_pack("{s:o}", "path", json_text(call->path)));
	} else if (outcome.result) {
		reply_failure(call, outcome.result, outcome.message);
	} else {
		reply_json(call, 0, json_outcome(checkpoint, &outcome));
	}
}

static void call_end(struct call *call)
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
		json_t *json = json_pack("{s:o,s:o}", "path", json_text(call->path), "root", json_root(&view.sealed->root));
		gate_sealed_put(view.sealed);
		reply_json(call, 0, json);
	} else if (error == -EOWNERDEAD) {
		reply_failure(call, error, "the trial that wrote it has failed");
	} else if (error) {
		reply_failure(call, error, NULL);
	} else {
		reply_json(call, 0, json_pack("{s:o}", "path", json_text(call->path)));
	}
}

static void wait_resumed(struct parked *parked, int result)
{
	struct call *call = parked->data;
	parked_free(parked);
	wait_decided(call, result);
}

static void call_wait(struct call *call)
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

/* ---- runs ---- */

static void call_run_begin(struct call *call)
{
	int error = 0;

	pthread_mutex_lock(&call->handle->lock);
	if (!*call->trial)
		error = -EINVAL;
	else if (call->handle->run)
		error = -EBUSY;
	else
		error = gate_run_begin(call->mount->gate, call->trial, &call->handle->run);
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
		if (wait_for_end(call, checkpoint, &outcome, run_resumed, &error))
			return;
		if (error)
			break;
		bool left = !outcome.result && !outcome.seconds;
		if (!outcome.vacated)
			json_array_append_new(outcome.result ? call->failed : left ? call->joined : call->sealed, json_outcome(checkpoint, &outcome));
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

static void call_run_end(struct call *call)
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

void control_release(struct mount *mount, struct handle *handle)
{
	free(handle->reply);
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

/* ---- status ---- */

static json_t *json_time(int64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm broken;
	char text[40];

	gmtime_r(&seconds, &broken);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken);
	return json_string(text);
}

static void add_waiter(void *arg, const struct waiter *waiter, const char *trial)
{
	struct timespec now;
	double seconds = (double)(waiters_now_ns() - waiter->since_ns) / 1e9;

	clock_gettime(CLOCK_REALTIME, &now);
	json_array_append_new(arg, json_pack("{s:o,s:i,s:o,s:f}", "trial", json_text(trial), "pid", (int)waiter->tid, "since",
					     json_time(((int64_t)now.tv_sec - (int64_t)seconds) * 1000000000), "seconds", seconds));
}

static void add_handle(void *arg, const struct gate_write_handle *handle)
{
	json_array_append_new(arg, json_pack("{s:i}", "pid", (int)handle->tid));
}

/* Outside of every lock: the name of the command, and the process of a thread. */
static void name_processes(json_t *list)
{
	size_t index;
	json_t *item;

	json_array_foreach(list, index, item)
	{
		struct identity_process process;
		if (identity_process((pid_t)json_integer_value(json_object_get(item, "pid")), &process))
			continue;
		json_object_set_new(item, "pid", json_integer(process.pid));
		json_object_set_new(item, "command", json_text(process.command));
	}
}

static void add_record(json_t *json, const struct state *state)
{
	const struct record *newest = state->has_end ? &state->end : state->has_claim ? &state->claim : state->has_reserve ? &state->reserve : NULL;
	const char *writer = state_writer(state);

	json_object_set_new(json, "writer", writer ? json_text(writer) : json_null());
	if (!newest)
		return;
	json_object_set_new(json, "host", json_text(state->has_claim ? state->claim.host : newest->host));
	json_object_set_new(json, "since", json_time(newest->time_ns));
	if (state->has_end && !state->end.sealed && state->end.reason)
		json_object_set_new(json, "reason", json_sentence(state->end.reason));
	if (state->has_end && state->end.sealed)
		json_object_set_new(json, "root", json_root(&state->end.root));
}

static json_t *json_status(struct mount *mount, struct gate_checkpoint *checkpoint, int *error)
{
	struct gate_status status;

	*error = gate_status(mount->gate, checkpoint, &status);
	if (*error)
		return NULL;
	json_t *waiters = json_array(), *handles = json_array();
	json_t *json = json_pack("{s:o,s:s,s:i,s:b}", "path", json_text(gate_checkpoint_path(checkpoint)), "state", state_name(status.state.kind),
				 "generation", (int)status.state.generation, "sealing", status.sealing ? 1 : 0);
	add_record(json, &status.state);
	gate_each_waiter(mount->gate, checkpoint, add_waiter, waiters);
	gate_each_write_handle(mount->gate, checkpoint, add_handle, handles);
	name_processes(waiters);
	name_processes(handles);
	json_object_set_new(json, "waiters", waiters);
	json_object_set_new(json, "open_for_writing", handles);
	if (status.state.kind == STATE_DAMAGED && status.state.damage)
		json_object_set_new(json, "error", json_sentence(status.state.damage));
	else if (*status.error)
		json_object_set_new(json, "error", json_sentence(status.error));
	state_free(&status.state);
	return json;
}

struct listing {
	struct mount *mount;
	struct gate_checkpoint **list;
	size_t count, capacity;
};

static void list_checkpoint(struct listing *listing, struct gate_checkpoint *checkpoint)
{
	for (size_t i = 0; i < listing->count; i++)
		if (listing->list[i] == checkpoint)
			return;
	if (listing->count == listing->capacity) {
		size_t capacity = listing->capacity ? listing->capacity * 2 : 64;
		struct gate_checkpoint **larger = reallocarray(listing->list, capacity, sizeof(*larger));
		if (!larger)
			return;
		listing->list = larger;
		listing->capacity = capacity;
	}
	listing->list[listing->count++] = gate_checkpoint_ref(checkpoint);
}

static int list_recorded(void *arg, const char *path)
{
	struct listing *listing = arg;
	struct gate_checkpoint *checkpoint = gate_checkpoint_get(listing->mount->gate, path);
	if (!checkpoint)
		return -ENOMEM;
	list_checkpoint(listing, checkpoint);
	gate_checkpoint_put(checkpoint);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(gate_checkpoint_path(*(struct gate_checkpoint *const *)a), gate_checkpoint_path(*(struct gate_checkpoint *const *)b));
}

static void call_status_all(struct call *call)
{
	struct mount *mount = call->mount;
	struct listing listing = {.mount = mount};
	json_t *all = json_array();
	int error, first_error;

	{
		AS_CALLER(call->req);
		first_error = state_each(gate_store(mount->gate), gate_config(mount->gate), list_recorded, &listing);
		if (listing.count)
			qsort(listing.list, listing.count, sizeof(*listing.list), by_path);
		for (size_t i = 0; i < listing.count; i++) {
			json_t *one = json_status(mount, listing.list[i], &error);
			if (one && strcmp(json_string_value(json_object_get(one, "state")), "absent"))
				json_array_append(all, one);
			json_decref(one);
		}
	}
	for (size_t i = 0; i < listing.count; i++)
		gate_checkpoint_put(listing.list[i]);
	free(listing.list);
	if (first_error && first_error != -ENOENT) {
		json_decref(all);
		reply_failure(call, first_error, NULL);
	} else {
		reply_json(call, 0, all);
	}
}

static void call_status(struct call *call)
{
	json_t *one;
	int error;

	if (!*call->path) {
		call_status_all(call);
		return;
	}
	{
		AS_CALLER(call->req);
		one = json_status(call->mount, call->checkpoint, &error);
	}
	if (!one)
		reply_failure(call, error, NULL);
	else
		reply_json(call, 0, json_pack("[o]", one));
}

static void call_more(struct call *call)
{
	char *text = NULL;
	size_t size = 0;

	pthread_mutex_lock(&call->handle->lock);
	if (call->handle->reply) {
		size = call->handle->reply_size;
		text = malloc(size);
		if (text)
			memcpy(text, call->handle->reply, size);
	}
	pthread_mutex_unlock(&call->handle->lock);
	reply_text(call, 0, text, text ? size : 0, call->offset);
	free(text);
}

/* ---- arriving ---- */

static const struct {
	uint32_t op;
	void (*run)(struct call *call);
	bool needs_path;
} calls[] = {
	{SEALFS_CALL_INFO, call_info, false},	  {SEALFS_CALL_RESERVE, call_reserve, true}, {SEALFS_CALL_CLAIM, call_claim, true},
	{SEALFS_CALL_SEAL, call_end, true},	  {SEALFS_CALL_ABANDON, call_end, true},     {SEALFS_CALL_WAIT, call_wait, true},
	{SEALFS_CALL_STATUS, call_status, false}, {SEALFS_CALL_REMOVE, call_remove, true},   {SEALFS_CALL_RUN_BEGIN, call_run_begin, false},
	{SEALFS_CALL_RUN_END, call_run_end, false}, {SEALFS_CALL_MORE, call_more, false},
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
