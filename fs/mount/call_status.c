/* call_status.c - how checkpoints stand, who waits and who writes */
#include "call.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sealfs/identity.h"

json_t *time_json(int64_t ns)
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
	json_array_append_new(arg, json_pack("{s:o,s:i,s:o,s:f}", "trial", text_json(trial), "pid", (int)waiter->tid, "since",
					     time_json(((int64_t)now.tv_sec - (int64_t)seconds) * 1000000000), "seconds", seconds));
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
		json_object_set_new(item, "command", text_json(process.command));
	}
}

static void add_host(json_t *list)
{
	char host[HOST_NAME_MAX + 1] = "";
	size_t index;
	json_t *item;

	gethostname(host, sizeof(host) - 1);
	json_array_foreach(list, index, item)
	{
		json_object_set_new(item, "host", text_json(host));
	}
}

static void add_record(json_t *json, const struct state *state)
{
	const struct record *newest = state->has_end ? &state->end : state->has_claim ? &state->claim : state->has_reserve ? &state->reserve : NULL;
	const char *writer = state_writer(state);

	json_object_set_new(json, "writer", writer ? text_json(writer) : json_null());
	if (!newest)
		return;
	json_object_set_new(json, "host", text_json(state->has_claim ? state->claim.host : newest->host));
	json_object_set_new(json, "since", time_json(newest->time_ns));
	if (state->has_end && !state->end.sealed && state->end.reason)
		json_object_set_new(json, "reason", sentence_json(state->end.reason));
	if (state->has_end && state->end.sealed)
		json_object_set_new(json, "root", root_json(&state->end.root));
}

/* `others`: what waits on other mounts. */
static json_t *json_status(struct mount *mount, struct gate_checkpoint *checkpoint, const json_t *others, int *error)
{
	struct gate_status status;

	*error = gate_status(mount->gate, checkpoint, &status);
	if (*error)
		return NULL;
	json_t *waiters = json_array(), *handles = json_array();
	json_t *json = json_pack("{s:o,s:s,s:i,s:b}", "path", text_json(gate_checkpoint_path(checkpoint)), "state", state_name(status.state.kind),
				 "generation", (int)status.state.generation, "sealing", status.sealing ? 1 : 0);
	add_record(json, &status.state);
	if (*status.awaited_host)
		json_object_set_new(json, "waits_for", text_json(status.awaited_host));
	if (status.bytes_total) {
		json_object_set_new(json, "bytes_done", json_integer((json_int_t)status.bytes_done));
		json_object_set_new(json, "bytes_total", json_integer((json_int_t)status.bytes_total));
	}
	gate_each_waiter(mount->gate, checkpoint, add_waiter, waiters);
	gate_each_write_handle(mount->gate, checkpoint, add_handle, handles);
	name_processes(waiters);
	name_processes(handles);
	add_host(waiters);
	other_waiters_add(others, gate_checkpoint_path(checkpoint), waiters);
	json_object_set_new(json, "waiters", waiters);
	json_object_set_new(json, "open_for_writing", handles);
	if (status.state.kind == STATE_DAMAGED && status.state.damage)
		json_object_set_new(json, "error", sentence_json(status.state.damage));
	else if (*status.error)
		json_object_set_new(json, "error", sentence_json(status.error));
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
	json_t *all = json_array(), *others;
	int error, first_error;

	{
		AS_CALLER(call->req);
		others = other_waiters(mount);
		first_error = state_each(gate_store(mount->gate), gate_config(mount->gate), list_recorded, &listing);
		if (listing.count)
			qsort(listing.list, listing.count, sizeof(*listing.list), by_path);
		for (size_t i = 0; i < listing.count; i++) {
			json_t *one = json_status(mount, listing.list[i], others, &error);
			if (one && strcmp(json_string_value(json_object_get(one, "state")), "absent"))
				json_array_append(all, one);
			json_decref(one);
		}
	}
	for (size_t i = 0; i < listing.count; i++)
		gate_checkpoint_put(listing.list[i]);
	free(listing.list);
	json_decref(others);
	if (first_error && first_error != -ENOENT) {
		json_decref(all);
		reply_failure(call, first_error, NULL);
	} else {
		reply_json(call, 0, all);
	}
}

void call_status(struct call *call)
{
	json_t *one;
	int error;

	if (!*call->path) {
		call_status_all(call);
		return;
	}
	{
		AS_CALLER(call->req);
		json_t *others = other_waiters(call->mount);
		one = json_status(call->mount, call->checkpoint, others, &error);
		json_decref(others);
	}
	if (!one)
		reply_failure(call, error, NULL);
	else
		reply_json(call, 0, json_pack("[o]", one));
}
