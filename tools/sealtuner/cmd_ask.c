#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "give.h"
#include "sealtuner.h"

static int parse_options(const struct command *self, int argc, char **argv, struct give_request *request)
{
	static const struct option table[] = {{"trial", required_argument, NULL, 't'},
					      {"key", required_argument, NULL, 'k'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		if (!optarg[0] || request->id)
			return report_usage(self, "one --trial or --key, and not an empty one");
		request->id = optarg;
		request->writer = option == 't';
	}
	return argc - optind == 1 ? -1 : report_usage(self, "exactly one DIR is needed");
}

/* On one line, so that a shell's read and a log take it as it is. */
static int print_line(const json_t *json)
{
	if (!json || json_dumpf(json, stdout, JSON_COMPACT) || putchar('\n') == EOF || fflush(stdout)) {
		report_note("cannot write to standard output: %s", json ? strerror(errno) : "out of memory");
		return EXIT_ERROR;
	}
	return EXIT_GOOD;
}

int tuner_ask(const struct command *self, int argc, char **argv)
{
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	struct give_request request = {0};
	AUTO_FREE char *why = NULL;
	json_auto_t *answer = NULL;
	struct trial *trial;
	int status = parse_options(self, argc, argv, &request), error;

	if (status >= 0)
		return status;
	status = experiment_load("ask for a trial in", argv[optind], &place, &experiment);
	if (status)
		return status;
	error = give_trial(&place, &experiment, &request, &trial, &why);
	if (error)
		return report_failure("ask for a trial in", argv[optind], error, why ? why : experiment.why);
	answer = give_answer(&place, &experiment, trial);
	return print_line(answer);
}
