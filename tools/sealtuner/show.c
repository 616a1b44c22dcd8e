#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "strategy.h"

static json_t *text_or_null(const char *text)
{
	return text ? report_json_text(text) : json_null();
}

static json_t *time_of(const json_t *entry)
{
	return text_or_null(json_string_value(json_object_get(entry, "time")));
}

json_t *show_trial(const struct experiment *experiment, const struct trial *trial)
{
	const struct trial *parent = trial->parent == TRIAL_NONE ? NULL : experiment->trials[trial->parent];

	return json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:b, s:O, s:o, s:o}", "id", trial->id, "number",
			 (json_int_t)trial->number, "state", trial_state_name(trial), "value",
			 trial->state == TRIAL_DONE ? json_real(trial->value) : json_null(), "reason",
			 text_or_null(trial->state == TRIAL_FAILED ? trial->reason : NULL), "parent",
			 text_or_null(parent ? parent->id : NULL), "role", text_or_null(trial->role), "removed",
			 (int)trial->removing, "parameters", trial->parameters, "asked", time_of(trial->asked), "told",
			 time_of(trial->told));
}

static json_t *count_trials(const struct experiment *experiment)
{
	static const char *const names[] = {"running", "done", "failed", "imported"};
	json_int_t counts[4] = {0}, asked = 0;

	for (size_t i = 0; i < experiment->count; i++) {
		asked += !experiment->trials[i]->imported;
		for (size_t j = 0; j < 4; j++)
			counts[j] += !strcmp(trial_state_name(experiment->trials[i]), names[j]);
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "asked", asked, names[0], counts[0], names[1], counts[1], names[2],
			 counts[2], names[3], counts[3]);
}

static json_t *list_trials(const struct experiment *experiment)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < experiment->count; i++)
		if (json_array_append_new(list, show_trial(experiment, experiment->trials[i]))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *show_experiment(const struct place *place, const struct experiment *experiment)
{
	const struct trial *best = experiment_best(experiment);
	const char *keep = json_string_value(json_object_get(experiment->init, "keep"));

	return json_pack("{s:o, s:o, s:s, s:s, s:I, s:I, s:o, s:O, s:o, s:o, s:o}", "directory",
			 report_json_text(place->shown), "experiment", report_json_path(place->target.path), "strategy",
			 experiment->strategy->name, "goal", experiment->minimize ? "minimize" : "maximize", "seed",
			 (json_int_t)experiment->seed, "population", (json_int_t)experiment->population, "keep",
			 text_or_null(keep), "settings", json_object_get(experiment->init, "settings"), "counts",
			 count_trials(experiment), "best", text_or_null(best ? best->id : NULL), "trials",
			 list_trials(experiment));
}

void show_value(const struct trial *trial, char text[SHOW_VALUE_SIZE])
{
	text[0] = '\0';
	if (trial->state == TRIAL_DONE)
		snprintf(text, SHOW_VALUE_SIZE, "%.6g", trial->value);
}

/* A nested choice shows its name, then what is below it. */
static void print_value(FILE *stream, const json_t *value)
{
	AUTO_FREE char *text = json_is_real(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	if (json_is_real(value))
		fprintf(stream, "%.4g", json_real_value(value));
	else if (json_is_string(value))
		fputs(json_string_value(value), stream);
	else
		fputs(text ? text : "?", stream);
}

/* Not in the middle of a character. */
static void cut(char *text, size_t width)
{
	if (strlen(text) <= width)
		return;
	while (width > 0 && ((unsigned char)text[width] & 0xc0) == 0x80)
		width--;
	text[width] = '\0';
}

char *show_parameters(const json_t *parameters, size_t width)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	const char *name, *separator = "";
	json_t *value;

	if (!stream)
		return NULL;
	json_object_foreach((json_t *)parameters, name, value)
	{
		fprintf(stream, "%s%s=", separator, name);
		print_value(stream, value);
		separator = " ";
	}
	if (fclose(stream)) {
		free(text);
		return NULL;
	}
	cut(text, width);
	return text;
}
