#include "export.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "report.h"

/* The record that made the state what it is, or NULL. */
static const struct record *last_record(const struct state *state)
{
	if (state->has_end)
		return &state->end;
	if (state->has_claim)
		return &state->claim;
	return state->has_reserve ? &state->reserve : NULL;
}

static json_t *since(const struct state *state)
{
	const struct record *record = last_record(state);
	char text[40] = "";
	time_t seconds;
	struct tm utc;

	if (!record)
		return json_null();
	seconds = record->time_ns / 1000000000;
	if (gmtime_r(&seconds, &utc))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

static json_t *text_or_null(const char *text)
{
	return text && text[0] ? report_json_text(text) : json_null();
}

static json_t *name_or_null(const char *name)
{
	return name ? report_json_path(name) : json_null();
}

static json_t *describe(const struct export_dir *export, const char *path, const struct state *state)
{
	char root[EXPORT_ROOT_SIZE];

	export_root(export, path, state, root);
	return json_pack("{s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:[], s:[]}", "path",
			 report_json_path(path), "state", state_name(state->kind), "generation",
			 (json_int_t)state->generation, "writer", name_or_null(state_writer(state)), "host",
			 name_or_null(state->has_claim ? state->claim.host : NULL), "since", since(state), "reason",
			 text_or_null(state->has_end && !state->end.sealed ? state->end.reason : NULL), "root",
			 text_or_null(root), "sealing", 0, "error", text_or_null(state->damage), "waiters",
			 "open_for_writing");
}

struct listing {
	const struct export_dir *export;
	json_t *array;
};

static int add(void *arg, const char *path)
{
	struct listing *listing = arg;
	CLEANUP(state_free) struct state state = {0};
	int error = state_read(listing->export->store, path, &state);

	if (error)
		return error;
	return json_array_append_new(listing->array, describe(listing->export, path, &state)) ? -ENOMEM : 0;
}

int export_status(const struct export_dir *export, const struct call *call, json_t **reply)
{
	struct listing listing = {export, json_array()};
	int error;

	if (call->path && call->path[0])
		error = add(&listing, call->path);
	else
		error = state_each(export->store, export->config, add, &listing);
	if (error)
		json_decref(listing.array);
	else
		*reply = listing.array;
	return error;
}
