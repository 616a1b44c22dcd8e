#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/random.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "experiment.h"
#include "sealtuner.h"
#include "strategy.h"

#define SEED_BITS 53 /* so that it stays what it is in any reader of JSON */

struct options {
	const char *space_file, *keep;
	const struct strategy *strategy;
	bool minimize;
	long population; /* 0: the strategy's own */
	long long seed;  /* -1: any */
	json_t *settings;
};

static void options_free(struct options *options)
{
	json_decref(options->settings);
}

/* ---- options ---- */

static int parse_whole(const char *text, long long least, long long most, long long *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno || end == text || *end || *out < least || *out > most ? -EINVAL : 0;
}

static int take_setting(struct options *options, const char *text)
{
	const char *equals = strchr(text, '=');
	AUTO_FREE char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;
	double value;
	char *end;

	if (!name)
		return -EINVAL;
	errno = 0;
	value = strtod(equals + 1, &end);
	if (errno || end == equals + 1 || *end || !isfinite(value))
		return -EINVAL;
	return json_object_set_new(options->settings, name, json_real(value)) ? -ENOMEM : 0;
}

static int take_option(struct options *options, int option, const char *value)
{
	struct keep keep;
	long long number = 0;
	int error = 0;

	switch (option) {
	case 'f':
		options->space_file = value;
		return 0;
	case 's':
		options->strategy = strategy_find(value);
		return options->strategy ? 0 : -EINVAL;
	case 'g':
		options->minimize = !strcmp(value, "minimize");
		return options->minimize || !strcmp(value, "maximize") ? 0 : -EINVAL;
	case 'p':
		error = parse_whole(value, 1, 100000, &number);
		options->population = (long)number;
		return error;
	case 'r':
		return parse_whole(value, 0, (1LL << SEED_BITS) - 1, &options->seed);
	case 'k':
		options->keep = value;
		return keep_parse(value, &keep);
	case 'n':
		return take_setting(options, value);
	default:
		return -EINVAL;
	}
}

static const char *complaint(int option)
{
	switch (option) {
	case 's':
		return "--strategy is random, evolution, morphism, pbt, enas or darts";
	case 'g':
		return "--goal is maximize or minimize";
	case 'p':
		return "--population takes a number from 1 to 100000";
	case 'r':
		return "--seed takes a whole number from 0 to 2^53 - 1";
	case 'k':
		return "--keep takes a number, best:NUMBER, or ancestors";
	case 'n':
		return "--set takes NAME=NUMBER";
	default:
		return NULL;
	}
}

/* Do the settings exist, and lie within their bounds? */
static int check_settings(const struct command *self, const struct options *options)
{
	const char *name;
	json_t *value;

	json_object_foreach(options->settings, name, value)
	{
		const struct strategy_setting *setting = strategy_find_setting(options->strategy, name);
		double number = json_number_value(value);
		AUTO_FREE char *text = NULL;
		int size = 0;

		if (!setting)
			size = asprintf(&text, "the strategy '%s' has no setting '%s'", options->strategy->name, name);
		else if (number < setting->least || number > setting->most || (setting->whole && number != floor(number)))
			size = asprintf(&text, "the setting '%s' is a %s from %g to %g", name,
					setting->whole ? "whole number" : "number", setting->least, setting->most);
		if (size > 0)
			return report_usage(self, text);
		text = NULL;
	}
	return -1;
}

/* -1 to go on, else the exit status. */
static int parse_options(const struct command *self, int argc, char **argv, struct options *options)
{
	static const struct option table[] = {{"space", required_argument, NULL, 'f'},
					      {"strategy", required_argument, NULL, 's'},
					      {"goal", required_argument, NULL, 'g'},
					      {"population", required_argument, NULL, 'p'},
					      {"seed", required_argument, NULL, 'r'},
					      {"keep", required_argument, NULL, 'k'},
					      {"set", required_argument, NULL, 'n'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (take_option(options, option, optarg))
			return report_usage(self, complaint(option));
	}
	if (argc - optind != 1)
		return report_usage(self, "exactly one DIR is needed");
	if (!options->space_file || !options->strategy)
		return report_usage(self, "--space and --strategy are needed");
	return check_settings(self, options);
}

/* ---- the first entry ---- */

static json_t *load_space(const char *file)
{
	CLEANUP(cleanup_free) char *why = NULL;
	struct space *space = NULL;
	json_error_t problem;
	json_t *json = json_load_file(file, JSON_REJECT_DUPLICATES, &problem);

	if (!json && access(file, R_OK)) {
		report_failure("read the search space", file, -errno, NULL);
		return NULL;
	}
	if (!json) {
		report_note("cannot read the search space '%s': line %d: %s", file, problem.line, problem.text);
		return NULL;
	}
	if (json_is_object(json) && !json_object_size(json)) {
		report_note("cannot use the search space '%s': there is no parameter in it; sealtuner(1) shows one", file);
		json_decref(json);
		return NULL;
	}
	if (space_parse(json, &space, &why)) {
		report_note("cannot use the search space '%s': %s", file, why ? why : "out of memory");
		json_decref(json);
		return NULL;
	}
	space_free(space);
	return json;
}

static long long any_seed(void)
{
	uint64_t seed = 1;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	return (long long)(seed >> (64 - SEED_BITS));
}

static json_t *first_entry(const struct options *options, json_t *space)
{
	json_t *entry = experiment_entry("init");
	json_int_t population = options->population ? options->population : options->strategy->population;
	long long seed = options->seed >= 0 ? options->seed : any_seed();

	if (entry && !json_object_set_new(entry, "version", json_integer(EXPERIMENT_VERSION)) &&
	    !json_object_set_new(entry, "strategy", json_string(options->strategy->name)) &&
	    !json_object_set_new(entry, "goal", json_string(options->minimize ? "minimize" : "maximize")) &&
	    !json_object_set_new(entry, "population", json_integer(population)) &&
	    !json_object_set_new(entry, "seed", json_integer(seed)) &&
	    !json_object_set_new(entry, "keep", options->keep ? json_string(options->keep) : json_null()) &&
	    !json_object_set(entry, "settings", options->settings) && !json_object_set(entry, "space", space))
		return entry;
	json_decref(entry);
	return NULL;
}

/* What the strategy says of the space, before anything is written. */
static int check_strategy(const struct options *options, json_t *entry, char **why)
{
	struct experiment draft = {.init = entry, .strategy = options->strategy};
	int error = space_parse(json_object_get(entry, "space"), &draft.space, why);

	if (!error && options->strategy->check)
		error = options->strategy->check(&draft, why);
	space_free(draft.space);
	return error;
}

static int begin(const struct place *place, json_t *entry, char **why)
{
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	struct statx st;
	int error = place->store.ops->statx(place->store.ctx, place->own, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st);

	if (error)
		return error;
	experiment.journal.store = &place->store;
	experiment.journal.dir = store_make_dir(&place->store, place->own, "journal", st.stx_mode & 01777);
	if (experiment.journal.dir < 0)
		return experiment.journal.dir;
	error = experiment_update(&experiment);
	if (!error)
		error = experiment.init ? -EEXIST : experiment_append(&experiment, entry);
	if (error == -EEXIST)
		*why = strdup("there is an experiment in it already; 'sealtuner status' shows it");
	return error;
}

int tuner_init(const struct command *self, int argc, char **argv)
{
	CLEANUP(options_free) struct options options = {.seed = -1, .settings = json_object()};
	CLEANUP(place_free) struct place place = PLACE_INIT;
	int status = options.settings ? parse_options(self, argc, argv, &options) : EXIT_ERROR, error;
	AUTO_FREE char *why = NULL;
	json_auto_t *space = NULL, *entry = NULL;

	if (status >= 0)
		return status;
	space = load_space(options.space_file);
	if (!space)
		return EXIT_ERROR;
	entry = first_entry(&options, space);
	error = entry ? check_strategy(&options, entry, &why) : -ENOMEM;
	if (error)
		return report_failure("use", options.space_file, error, why);
	status = place_open("begin an experiment in", argv[optind], true, &place);
	if (status)
		return status;
	error = begin(&place, entry, &why);
	return error ? report_failure("begin an experiment in", argv[optind], error, why) : EXIT_GOOD;
}
