#include <errno.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "report.h"
#include "run.h"
#include "sealfs/config.h"
#include "sealfs/state.h"
#include "sealfs/store.h"

#define LOST "the mount through which the trial was writing it is gone"

struct search {
	const struct store *store;
	const struct run *run;
	const char *boot;
	json_t *failed;
};

static bool is_ours(const struct search *search, const struct state *state)
{
	const struct record *claim = &state->claim;

	return (state->kind == STATE_OPEN || state->kind == STATE_FAILED) && state->has_claim &&
	       !strcmp(claim->trial, search->run->trial) && claim->boot && !strcmp(claim->boot, search->boot) &&
	       claim->uptime_ns >= search->run->began_ns;
}

static int add_failed(json_t *failed, const char *path, const struct state *state)
{
	const char *reason = state->kind == STATE_FAILED && state->end.reason ? state->end.reason : LOST;
	json_t *item = json_pack("{s:o, s:o}", "path", report_json_path(path), "reason", report_json_text(reason));

	return item && !json_array_append_new(failed, item) ? 0 : -ENOMEM;
}

static int look(void *arg, const char *path)
{
	struct search *search = arg;
	struct state state;
	int error = state_read(search->store, path, &state);

	if (error)
		return error;
	error = is_ours(search, &state) ? add_failed(search->failed, path, &state) : 0;
	state_free(&state);
	return error;
}

static int search_export(struct search *search, const struct store *store)
{
	CLEANUP(record_free) struct record here = {0};
	CLEANUP(config_free) struct config config = {0};
	int error = config_load(store, &config, NULL);

	if (!error)
		error = record_init(&here, RECORD_CLAIM);
	if (error)
		return error;
	search->store = store;
	search->boot = here.boot;
	return state_each(store, &config, look, search);
}

uint64_t run_uptime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int run_lost(const struct run *run, const struct run_mount *mount, json_t **failed)
{
	struct search search = {.run = run, .failed = json_array()};
	struct store store;
	int error = mount->export && search.failed ? store_open(&store, mount->export) : -ENOENT;

	if (!error) {
		error = search_export(&search, &store);
		store_close(&store);
	}
	if (error) {
		json_decref(search.failed);
		return error;
	}
	*failed = search.failed;
	return 0;
}
