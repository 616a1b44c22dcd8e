#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "sealtuner.h"
#include "show.h"

enum form { FORM_TEXT, FORM_JSON, FORM_PATH };

static int print_json(const struct experiment *experiment, const struct trial *best, const char *path)
{
	json_auto_t *json = show_trial(experiment, best);

	if (!json || json_object_set_new(json, "path", report_json_text(path)))
		return EXIT_ERROR;
	return report_print_json(json);
}

/* For the next job, which must not find nothing there. */
static int print_path(struct place *place, const struct trial *best, const char *path)
{
	AUTO_FREE char *why = NULL;
	enum state_kind kind;
	int error = place_state(place, best->id, &kind);

	if (!error && kind == STATE_SEALED)
		return puts(path) == EOF || fflush(stdout) ? EXIT_ERROR : EXIT_GOOD;
	if (!error && asprintf(&why, "it is %s, not sealed; see 'sealctl status %s'", state_name(kind), path) < 0)
		why = NULL;
	return report_failure("use the best checkpoint", best->id, error ? error : -EINVAL, why);
}

static int print_text(const struct trial *best, const char *path)
{
	AUTO_FREE char *parameters = show_parameters(best->parameters, 4096);
	char value[SHOW_VALUE_SIZE];

	show_value(best, value);
	printf("%s  %s  ", best->id, value);
	report_print_plain(stdout, path);
	fputs("  ", stdout);
	report_print_plain(stdout, parameters ? parameters : "");
	return putchar('\n') == EOF || fflush(stdout) ? EXIT_ERROR : EXIT_GOOD;
}

static int show(struct place *place, const struct experiment *experiment, enum form form)
{
	const struct trial *best = experiment_best(experiment);
	AUTO_FREE char *path = best ? place_shown(place, best->id) : NULL;

	if (!best)
		return report_failure("name the best of", place->shown, -ENOENT, "no trial has a result yet; see 'sealtuner status'");
	if (!path)
		return EXIT_ERROR;
	if (form == FORM_JSON)
		return print_json(experiment, best, path);
	return form == FORM_PATH ? print_path(place, best, path) : print_text(best, path);
}

int tuner_best(const struct command *self, int argc, char **argv)
{
	static const struct option table[] = {{"json", no_argument, NULL, FORM_JSON},
					      {"path", no_argument, NULL, FORM_PATH},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	enum form form = FORM_TEXT;
	int option, status;

	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		if (form != FORM_TEXT)
			return report_usage(self, "--json and --path cannot be combined");
		form = (enum form)option;
	}
	if (argc - optind != 1)
		return report_usage(self, "exactly one DIR is needed");
	status = experiment_load("name the best of", argv[optind], &place, &experiment);
	return status ? status : show(&place, &experiment, form);
}
