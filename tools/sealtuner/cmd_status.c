#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "sealtuner.h"
#include "show.h"
#include "strategy.h"

#define PARAMETERS_WIDTH 60

static void print_head(const struct place *place, const struct experiment *experiment)
{
	const struct trial *best = experiment_best(experiment);
	char value[SHOW_VALUE_SIZE];

	fputs("experiment '", stdout);
	report_print_plain(stdout, place->shown);
	printf("': %s, %s, population %u, seed %" PRIu64 "\n", experiment->strategy->name,
	       experiment->minimize ? "minimize" : "maximize", experiment->population, experiment->seed);
	if (!best)
		return;
	show_value(best, value);
	printf("best: %s, %s\n", best->id, value);
}

/* Of the ids, as which parents are shown, and of the heads of both columns. */
static int widest_id(const struct experiment *experiment)
{
	size_t width = strlen("PARENT");

	for (size_t i = 0; i < experiment->count; i++)
		if (strlen(experiment->trials[i]->id) > width)
			width = strlen(experiment->trials[i]->id);
	return (int)width;
}

static void print_trial(const struct experiment *experiment, const struct trial *trial, int width)
{
	const struct trial *parent = trial->parent == TRIAL_NONE ? NULL : experiment->trials[trial->parent];
	AUTO_FREE char *parameters = show_parameters(trial->parameters, PARAMETERS_WIDTH);
	char value[SHOW_VALUE_SIZE];

	show_value(trial, value);
	printf("%-*s  %-8s  %-12s  %-*s  ", width, trial->id, trial_state_name(trial), value[0] ? value : "-", width,
	       parent ? parent->id : "-");
	if (trial->role)
		printf("%s: ", trial->role);
	report_print_plain(stdout, trial->state == TRIAL_FAILED && trial->reason ? trial->reason : parameters ? parameters : "");
	puts(trial->removing ? " (removed)" : "");
}

static int print_table(const struct place *place, const struct experiment *experiment)
{
	int width = widest_id(experiment);

	print_head(place, experiment);
	if (experiment->count)
		printf("%-*s  %-8s  %-12s  %-*s  %s\n", width, "ID", "STATE", "VALUE", width, "PARENT", "PARAMETERS OR REASON");
	for (size_t i = 0; i < experiment->count; i++)
		print_trial(experiment, experiment->trials[i], width);
	return fflush(stdout) || ferror(stdout) ? EXIT_ERROR : EXIT_GOOD;
}

int tuner_status(const struct command *self, int argc, char **argv)
{
	static const struct option table[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	json_auto_t *whole = NULL;
	bool json = false;
	int option, status;

	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		json = true;
	}
	if (argc - optind != 1)
		return report_usage(self, "exactly one DIR is needed");
	status = experiment_load("show the status of", argv[optind], &place, &experiment);
	if (status)
		return status;
	if (!json)
		return print_table(&place, &experiment);
	whole = show_experiment(&place, &experiment);
	return whole ? report_print_json(whole) : EXIT_ERROR;
}
