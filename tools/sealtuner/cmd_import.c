#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "experiment.h"
#include "sealtuner.h"

/* ---- the file: an array, or one object after the other ---- */

static bool at_end(FILE *stream)
{
	int byte;

	do
		byte = getc(stream);
	while (isspace(byte));
	ungetc(byte, stream);
	return byte == EOF;
}

static json_t *load_items(const char *file, json_error_t *problem)
{
	AUTO_FCLOSE FILE *stream = fopen(file, "re");
	json_t *items = json_array();
	int error = stream && items ? 0 : -1;

	while (!error && !at_end(stream)) {
		json_auto_t *item = json_loadf(stream, JSON_DISABLE_EOF_CHECK, problem);

		error = !item ? -1 : json_is_array(item) ? json_array_extend(items, item) : json_array_append(items, item);
	}
	if (!error)
		return items;
	json_decref(items);
	return NULL;
}

/* ---- one result ---- */

struct importing {
	struct place *place;
	const struct experiment *experiment;
	json_t *trials; /* what the entry will hold */
};

static const json_t *either(const json_t *object, const char *one, const char *other)
{
	const json_t *member = json_object_get(object, one);

	return member ? member : json_object_get(object, other);
}

/* As NNI exports it: a number, an object with "default", or either as text. Allocated reference or NULL. */
static json_t *number_of(const json_t *value)
{
	const json_t *inner = json_is_object(value) ? json_object_get(value, "default") : value;
	json_t *number;

	if (json_is_number(inner))
		return json_incref((json_t *)inner);
	if (!json_is_string(inner))
		return NULL;
	number = json_loads(json_string_value(inner), JSON_DECODE_ANY, NULL);
	if (json_is_object(number)) {
		json_t *text = number;

		number = json_incref(json_object_get(text, "default"));
		json_decref(text);
	}
	if (json_is_number(number))
		return number;
	json_decref(number);
	return NULL;
}

static int name_it(const struct importing *importing, const json_t *item, char **id, bool *restorable, char **why)
{
	const char *checkpoint = json_string_value(json_object_get(item, "checkpoint"));
	size_t place_in_list = importing->experiment->journal.count * 100000 + json_array_size(importing->trials) + 1;
	enum state_kind kind;
	int error;

	*restorable = checkpoint != NULL;
	if (!checkpoint)
		return asprintf(id, "import:%zu", place_in_list) < 0 ? -ENOMEM : 0;
	*id = strdup(checkpoint);
	error = *id && state_path_valid(checkpoint, 1) ? place_state(importing->place, checkpoint, &kind) : -EINVAL;
	if (error || kind == STATE_SEALED)
		return error;
	if (asprintf(why, "its checkpoint '%s' is %s, not sealed; 'sealctl seal' seals plain data", checkpoint,
		     state_name(kind)) < 0)
		*why = NULL;
	return -EINVAL;
}

static int import_one(struct importing *importing, const json_t *item, char **why)
{
	const json_t *parameters = either(item, "parameters", "parameter");
	json_auto_t *value = number_of(either(item, "value", "metric"));
	AUTO_FREE char *id = NULL;
	bool restorable = false;
	int error = space_check(importing->experiment->space, parameters, why);

	if (!error && !value) {
		*why = strdup("it has no \"value\" that is a number");
		error = -EINVAL;
	}
	if (!error)
		error = name_it(importing, item, &id, &restorable, why);
	if (error)
		return error;
	if (experiment_find(importing->experiment, id)) {
		*why = strdup("its checkpoint is a trial's of this experiment already");
		return -EEXIST;
	}
	return json_array_append_new(importing->trials,
				     json_pack("{s:s, s:O, s:O, s:b}", "id", id, "parameters", parameters, "value", value,
					       "restorable", (int)restorable))
		       ? -ENOMEM
		       : 0;
}

/* All of them, or none. */
static int import_all(struct place *place, struct experiment *experiment, const json_t *items, size_t *bad, char **why)
{
	json_auto_t *entry = experiment_entry("import");
	struct importing importing = {place, experiment, json_array()};
	const json_t *item;
	size_t i;
	int error = 0;

	if (!entry || json_object_set_new(entry, "trials", importing.trials))
		return -ENOMEM;
	json_array_foreach(items, i, item)
	{
		*bad = i;
		error = import_one(&importing, item, why);
		if (error)
			return error;
	}
	return experiment_append(experiment, entry);
}

static int import_items(const char *file, struct place *place, struct experiment *experiment, const json_t *items)
{
	AUTO_FREE char *why = NULL, *cause = NULL;
	size_t bad = 0;
	int error;

	do
		error = import_all(place, experiment, items, &bad, &why);
	while (error == -EEXIST && !why);
	if (!error)
		return EXIT_GOOD;
	if (why && asprintf(&cause, "result %zu: %s", bad + 1, why) < 0)
		cause = NULL;
	return report_failure("import", file, error, cause ? cause : experiment->why);
}

int tuner_import(const struct command *self, int argc, char **argv)
{
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	json_auto_t *items = NULL;
	json_error_t problem = {0};
	int status = report_only_help(self, argc, argv, 0);

	if (status >= 0)
		return status;
	if (argc - optind != 2)
		return report_usage(self, "a DIR and a FILE are needed");
	items = load_items(argv[optind + 1], &problem);
	if (!items && access(argv[optind + 1], R_OK))
		return report_failure("read", argv[optind + 1], -errno, NULL);
	if (!items) {
		report_note("cannot read '%s': line %d: %s", argv[optind + 1], problem.line, problem.text);
		return EXIT_ERROR;
	}
	status = experiment_load("import into", argv[optind], &place, &experiment);
	return status ? status : import_items(argv[optind + 1], &place, &experiment, items);
}
