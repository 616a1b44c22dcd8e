#include "experiment.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "sealfs/record.h"
#include "strategy.h"

#define JOURNAL_DIR "journal"

static int __attribute__((format(printf, 3, 4))) fault(struct experiment *experiment, int error, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	free(experiment->why);
	experiment->why = text;
	text = NULL;
	return error;
}

/* ---- entries ---- */

json_t *experiment_entry(const char *event)
{
	char time_text[RECORD_TIME_SIZE], host[256] = "localhost";
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	record_time_format(now.tv_sec * INT64_C(1000000000) + now.tv_nsec, time_text);
	gethostname(host, sizeof(host) - 1);
	return json_pack("{s:s, s:s, s:o}", "event", event, "time", time_text, "host", report_json_text(host));
}

static const char *string_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

struct trial *experiment_find(const struct experiment *experiment, const char *id)
{
	struct trial *trial = NULL;

	if (id)
		HASH_FIND_STR(experiment->by_id, id, trial);
	return trial;
}

size_t experiment_index(const struct experiment *experiment, const struct trial *trial)
{
	for (size_t i = experiment->count; trial && i > 0; i--)
		if (experiment->trials[i - 1] == trial)
			return i - 1;
	return TRIAL_NONE;
}

/* Takes over `trial`. */
static int add_trial(struct experiment *experiment, struct trial *trial)
{
	if (experiment->count == experiment->capacity) {
		size_t capacity = experiment->capacity ? experiment->capacity * 2 : 64;
		struct trial **bigger = reallocarray(experiment->trials, capacity, sizeof(*bigger));

		if (!bigger) {
			free(trial);
			return -ENOMEM;
		}
		experiment->trials = bigger;
		experiment->capacity = capacity;
	}
	experiment->trials[experiment->count++] = trial;
	HASH_ADD_KEYPTR(hh, experiment->by_id, trial->id, strlen(trial->id), trial);
	return 0;
}

static int take_keep(struct experiment *experiment, const char *text)
{
	if (!text)
		return 0;
	return keep_parse(text, &experiment->keep) ? fault(experiment, -EBADMSG, "its 'keep' is '%s'", text) : 0;
}

static int take_init(struct experiment *experiment, const json_t *entry)
{
	json_int_t version = json_integer_value(json_object_get(entry, "version"));
	const char *strategy = string_of(entry, "strategy");
	AUTO_FREE char *why = NULL;

	if (experiment->init)
		return fault(experiment, -EBADMSG, "entry %08zu of its journal begins another experiment", experiment->taken + 1);
	if (version != EXPERIMENT_VERSION)
		return fault(experiment, -EPROTO, "its journal is of version %lld; install a newer sealfs on this machine",
			     (long long)version);
	experiment->init = entry;
	experiment->strategy = strategy ? strategy_find(strategy) : NULL;
	if (!experiment->strategy)
		return fault(experiment, -EPROTO, "there is no strategy '%s' here; install a newer sealfs on this machine",
			     strategy ? strategy : "");
	experiment->minimize = !strcmp(report_string(entry, "goal"), "minimize");
	experiment->population = (unsigned int)json_integer_value(json_object_get(entry, "population"));
	experiment->seed = (uint64_t)json_integer_value(json_object_get(entry, "seed"));
	if (space_parse(json_object_get(entry, "space"), &experiment->space, &why))
		return fault(experiment, -EBADMSG, "its search space: %s", why ? why : "out of memory");
	return take_keep(experiment, string_of(entry, "keep"));
}

static int take_ask(struct experiment *experiment, const json_t *entry)
{
	const char *id = string_of(entry, "id"), *parent = string_of(entry, "parent");
	struct trial *trial;

	if (!id || experiment_find(experiment, id) || !json_is_object(json_object_get(entry, "parameters")) ||
	    (parent && !experiment_find(experiment, parent)))
		return fault(experiment, -EBADMSG, "entry %08zu of its journal asks for what cannot be", experiment->taken + 1);
	trial = calloc(1, sizeof(*trial));
	if (!trial)
		return -ENOMEM;
	*trial = (struct trial){.id = id,
				.number = (unsigned int)json_integer_value(json_object_get(entry, "number")),
				.parent = experiment_index(experiment, experiment_find(experiment, parent)),
				.role = string_of(entry, "role"),
				.writer = string_of(entry, "writer"),
				.parameters = json_object_get(entry, "parameters"),
				.note = json_object_get(entry, "note"),
				.asked = entry,
				.restorable = true};
	if (trial->number > experiment->asked)
		experiment->asked = trial->number;
	return add_trial(experiment, trial);
}

static int take_tell(struct experiment *experiment, const json_t *entry)
{
	struct trial *trial = experiment_find(experiment, string_of(entry, "id"));
	const json_t *value = json_object_get(entry, "value");

	if (!trial)
		return fault(experiment, -EBADMSG, "entry %08zu of its journal tells of a trial that is not there",
			     experiment->taken + 1);
	trial->told = entry;
	trial->told_order = ++experiment->told;
	trial->state = json_is_number(value) ? TRIAL_DONE : TRIAL_FAILED;
	trial->value = json_number_value(value);
	trial->reason = string_of(entry, "failed");
	return 0;
}

static int take_again(struct experiment *experiment, const json_t *entry)
{
	struct trial *trial = experiment_find(experiment, string_of(entry, "id"));

	if (trial) {
		trial->state = TRIAL_RUNNING;
		trial->reason = NULL;
		trial->lost = false;
		trial->told = NULL;
		trial->told_order = 0;
	}
	return 0;
}

static int take_imported(struct experiment *experiment, const json_t *entry, const json_t *item)
{
	const char *id = string_of(item, "id");
	struct trial *trial;

	if (!id || experiment_find(experiment, id))
		return fault(experiment, -EBADMSG, "entry %08zu of its journal imports what cannot be", experiment->taken + 1);
	trial = calloc(1, sizeof(*trial));
	if (!trial)
		return -ENOMEM;
	*trial = (struct trial){.id = id,
				.state = TRIAL_DONE,
				.value = json_number_value(json_object_get(item, "value")),
				.parent = TRIAL_NONE,
				.parameters = json_object_get(item, "parameters"),
				.told = entry,
				.told_order = ++experiment->told,
				.imported = true,
				.restorable = json_is_true(json_object_get(item, "restorable"))};
	return add_trial(experiment, trial);
}

static int take_import(struct experiment *experiment, const json_t *entry)
{
	const json_t *item;
	size_t i;
	int error = 0;

	json_array_foreach(json_object_get(entry, "trials"), i, item)
	{
		error = take_imported(experiment, entry, item);
		if (error)
			break;
	}
	return error;
}

static int take_remove(struct experiment *experiment, const json_t *entry)
{
	bool done = !strcmp(report_string(entry, "event"), "removed");
	const json_t *id;
	size_t i;

	json_array_foreach(json_object_get(entry, "ids"), i, id)
	{
		struct trial *trial = experiment_find(experiment, json_string_value(id));

		if (!trial)
			continue;
		trial->removing = true;
		trial->removed |= done;
	}
	return 0;
}

static const struct {
	const char *event;
	int (*take)(struct experiment *experiment, const json_t *entry);
} events[] = {
	{"init", take_init},	 {"ask", take_ask},	  {"tell", take_tell},	  {"again", take_again},
	{"import", take_import}, {"remove", take_remove}, {"removed", take_remove},
};

static int take(struct experiment *experiment, const json_t *entry)
{
	const char *event = report_string(entry, "event");

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (!strcmp(events[i].event, event)) {
			/* The first one says what all others mean. */
			if (!experiment->init && events[i].take != take_init)
				break;
			return events[i].take(experiment, entry);
		}
	return fault(experiment, -EPROTO, "entry %08zu of its journal is '%s', which is unknown here; install a newer sealfs "
		     "on this machine", experiment->taken + 1, event);
}

int experiment_update(struct experiment *experiment)
{
	int error = journal_read(&experiment->journal);

	if (error)
		return experiment->journal.why ? fault(experiment, error, "%s", experiment->journal.why) : error;
	while (experiment->taken < experiment->journal.count) {
		const json_t *entry = experiment->journal.entries[experiment->taken];

		error = entry ? take(experiment, entry) : 0;
		if (error)
			return error;
		experiment->taken++;
	}
	return 0;
}

int experiment_append(struct experiment *experiment, json_t *entry)
{
	int error = journal_append(&experiment->journal, entry), update = 0;

	if (!error || error == -EEXIST)
		update = experiment_update(experiment);
	return update ? update : error;
}

/* ---- opening ---- */

static int open_journal(const struct place *place, struct experiment *out)
{
	out->journal.store = &place->store;
	out->journal.dir = store_open_dir(&place->store, place->own, JOURNAL_DIR);
	if (out->journal.dir == -ENOENT)
		return fault(out, -ENOENT, "there is no experiment in it; begin one with 'sealtuner init'");
	return out->journal.dir < 0 ? out->journal.dir : 0;
}

int experiment_open(const struct place *place, struct experiment *out)
{
	int error;

	*out = (struct experiment){.journal = {.dir = -1}};
	error = open_journal(place, out);
	if (!error)
		error = experiment_update(out);
	if (!error && !out->init)
		return fault(out, -ENOENT, "there is no experiment in it; begin one with 'sealtuner init'");
	return error;
}

int experiment_load(const char *verb, const char *given, struct place *place, struct experiment *out)
{
	int status = place_open(verb, given, false, place), error;

	*out = (struct experiment){.journal = {.dir = -1}};
	if (status)
		return status;
	error = experiment_open(place, out);
	return error ? report_failure(verb, given, error, out->why) : EXIT_GOOD;
}

void experiment_free(struct experiment *experiment)
{
	HASH_CLEAR(hh, experiment->by_id);
	for (size_t i = 0; i < experiment->count; i++)
		free(experiment->trials[i]);
	free(experiment->trials);
	space_free(experiment->space);
	if (experiment->journal.dir >= 0)
		experiment->journal.store->ops->close(experiment->journal.store->ctx, experiment->journal.dir);
	journal_free(&experiment->journal);
	free(experiment->why);
	*experiment = (struct experiment){.journal = {.dir = -1}};
}

/* ---- looking at trials ---- */

bool experiment_better(const struct experiment *experiment, const struct trial *a, const struct trial *b)
{
	return experiment->minimize ? a->value < b->value : a->value > b->value;
}

struct trial *experiment_best(const struct experiment *experiment)
{
	struct trial *best = NULL;

	for (size_t i = 0; i < experiment->count; i++)
		if (experiment->trials[i]->state == TRIAL_DONE &&
		    (!best || experiment_better(experiment, experiment->trials[i], best)))
			best = experiment->trials[i];
	return best;
}

bool trial_restorable(const struct trial *trial)
{
	return trial->state != TRIAL_FAILED && trial->restorable && !trial->removing && !trial->barred &&
	       !trial->lost;
}

const char *trial_state_name(const struct trial *trial)
{
	static const char *const names[] = {
		[TRIAL_RUNNING] = "running", [TRIAL_DONE] = "done", [TRIAL_FAILED] = "failed"};

	return trial->imported ? "imported" : names[trial->state];
}

double experiment_setting(const struct experiment *experiment, const char *name)
{
	const json_t *given = json_object_get(json_object_get(experiment->init, "settings"), name);
	const struct strategy_setting *setting = strategy_find_setting(experiment->strategy, name);

	if (json_is_number(given))
		return json_number_value(given);
	return setting ? setting->value : NAN;
}

static int parse_count(const char *text, unsigned int *out)
{
	char *end;
	unsigned long count;

	errno = 0;
	count = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || count < 1 || count > 1000000)
		return -EINVAL;
	*out = (unsigned int)count;
	return 0;
}

int keep_parse(const char *text, struct keep *out)
{
	*out = (struct keep){.kind = KEEP_ANCESTORS};
	if (!strcmp(text, "ancestors"))
		return 0;
	out->kind = !strncmp(text, "best:", 5) ? KEEP_BEST : KEEP_LAST;
	return parse_count(out->kind == KEEP_BEST ? text + 5 : text, &out->count);
}
