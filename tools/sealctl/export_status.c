#include "export.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/waits.h"

/* The record that made the state what it is, or NULL. */
static const struct record *last_record(const struct state *state)
{
	if (state->has_end)
		return &state->end;
	if (state->has_claim)
		return &state->claim;
	return state->has_reserve ? &state->reserve : NULL;
}

static json_t *json_time(int64_t ns)
{
	char text[40] = "";
	time_t seconds = ns / 1000000000;
	struct tm utc;

	if (gmtime_r(&seconds, &utc))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

static json_t *since(const struct state *state)
{
	const struct record *record = last_record(state);

	return record ? json_time(record->time_ns) : json_null();
}

static json_t *text_or_null(const char *text)
{
	return text && text[0] ? report_json_text(text) : json_null();
}

static json_t *name_or_null(const char *name)
{
	return name ? report_json_path(name) : json_null();
}

struct listing {
	const struct export_dir *export;
	json_t *waiters; /* what the mounts of all machines have published: {path: array} */
	json_t *array;
};

static json_t *describe_wait(const struct waits *waits, const struct waits_entry *entry, int alive)
{
	struct timespec now;
	double seconds;
	json_t *json;

	clock_gettime(CLOCK_REALTIME, &now);
	seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)entry->since_ns / 1e9;
	json = json_pack("{s:o, s:I, s:o, s:o, s:f, s:o}", "trial", report_json_path(entry->trial), "pid",
			 (json_int_t)entry->pid, "command", report_json_path(entry->command), "since",
			 json_time(entry->since_ns), "seconds", seconds > 0 ? seconds : 0.0, "host",
			 report_json_path(waits->host));
	if (alive < 0)
		json_object_set_new(json, "unconfirmed", json_true());
	return json;
}

static int add_waits(void *arg, const struct waits *waits, int alive)
{
	json_t *by_path = arg;

	/* Of a mount that has died nobody waits any more. */
	for (size_t i = 0; alive != 0 && i < waits->count; i++) {
		const struct waits_entry *entry = &waits->entries[i];
		json_t *list = json_object_get(by_path, entry->checkpoint);

		if (!list && !json_object_set_new_nocheck(by_path, entry->checkpoint, json_array()))
			list = json_object_get(by_path, entry->checkpoint);
		json_array_append_new(list, describe_wait(waits, entry, alive));
	}
	return 0;
}

static json_t *waiters_of(const struct listing *listing, const char *path)
{
	json_t *found = json_object_get(listing->waiters, path);

	return found ? json_incref(found) : json_array();
}

static json_t *describe(const struct listing *listing, const char *path, const struct state *state)
{
	char root[EXPORT_ROOT_SIZE];

	export_root(listing->export, path, state, root);
	return json_pack("{s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:[]}", "path",
			 report_json_path(path), "state", state_name(state->kind), "generation",
			 (json_int_t)state->generation, "writer", name_or_null(state_writer(state)), "host",
			 name_or_null(state->has_claim ? state->claim.host : NULL), "since", since(state), "reason",
			 text_or_null(state->has_end && !state->end.sealed ? state->end.reason : NULL), "root",
			 text_or_null(root), "sealing", 0, "error", text_or_null(state->damage), "waiters",
			 waiters_of(listing, path), "open_for_writing");
}

static int add(void *arg, const char *path)
{
	struct listing *listing = arg;
	CLEANUP(state_free) struct state state = {0};
	int error = state_read(listing->export->store, path, &state);

	if (error)
		return error;
	return json_array_append_new(listing->array, describe(listing, path, &state)) ? -ENOMEM : 0;
}

int export_status(const struct export_dir *export, const struct call *call, json_t **reply)
{
	struct listing listing = {export, json_object(), json_array()};
	int error;

	waits_each(export->store, add_waits, listing.waiters);
	if (call->path && call->path[0])
		error = add(&listing, call->path);
	else
		error = state_each(export->store, export->config, add, &listing);
	json_decref(listing.waiters);
	if (error)
		json_decref(listing.array);
	else
		*reply = listing.array;
	return error;
}
