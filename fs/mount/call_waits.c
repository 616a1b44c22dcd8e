/* call_waits.c - what waits on the other mounts of the export, as they published it */
#include "call.h"

#include <string.h>
#include <time.h>

#include "sealfs/waits.h"

struct reading {
	const char *own;
	json_t *by_path;
};

static json_t *json_wait(const struct waits *waits, const struct waits_entry *entry, int alive)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	/* by their clock and ours */
	double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)entry->since_ns / 1e9;
	json_t *json = json_pack("{s:o,s:I,s:o,s:o,s:f,s:o}", "trial", text_json(entry->trial), "pid", (json_int_t)entry->pid, "command",
				 text_json(entry->command), "since", time_json(entry->since_ns), "seconds", seconds > 0 ? seconds : 0.0, "host",
				 text_json(waits->host));
	if (alive < 0)
		json_object_set_new(json, "unconfirmed", json_true());
	return json;
}

static int add_mount(void *arg, const struct waits *waits, int alive)
{
	struct reading *reading = arg;

	/* our own are known better; those of a mount that has died wait no more */
	if (!strcmp(waits->mount, reading->own) || alive == 0)
		return 0;
	for (size_t i = 0; i < waits->count; i++) {
		const struct waits_entry *entry = &waits->entries[i];
		json_t *list = json_object_get(reading->by_path, entry->checkpoint);
		if (!list && !json_object_set_new_nocheck(reading->by_path, entry->checkpoint, json_array()))
			list = json_object_get(reading->by_path, entry->checkpoint);
		json_array_append_new(list, json_wait(waits, entry, alive));
	}
	return 0;
}

json_t *other_waiters(struct mount *mount)
{
	struct reading reading = {.own = gate_token(mount->gate), .by_path = json_object()};

	waits_each(gate_store(mount->gate), add_mount, &reading);
	return reading.by_path;
}

void other_waiters_add(const json_t *others, const char *path, json_t *waiters)
{
	json_t *list = json_object_get(others, path);

	if (list)
		json_array_extend(waiters, list);
}
