#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "give.h"
#include "sealtuner.h"

struct options {
	bool failed, seal;
	const char *reason;
};

static int parse_value(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end == text || *end ? -EINVAL : 0;
}

static int take_arguments(const struct command *self, int argc, char **argv, const struct options *options,
			  struct give_result *result)
{
	if (options->reason && !options->failed)
		return report_usage(self, "--reason goes with --failed");
	if (argc - optind != (options->failed ? 2 : 3))
		return report_usage(self, options->failed ? "a DIR and an ID are needed, and no VALUE"
							  : "a DIR, an ID and a VALUE are needed");
	result->seal = options->seal;
	if (options->failed)
		result->failed = options->reason ? options->reason : "told to have failed";
	else if (parse_value(argv[optind + 2], &result->value))
		return report_usage(self, "VALUE is a number");
	return -1;
}

static int parse_options(const struct command *self, int argc, char **argv, struct give_result *result)
{
	static const struct option table[] = {{"failed", no_argument, NULL, 'f'},
					      {"reason", required_argument, NULL, 'r'},
					      {"seal", no_argument, NULL, 's'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	struct options options = {0};
	int option;

	/* In order: a VALUE may be negative. */
	while ((option = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		options.failed |= option == 'f';
		options.seal |= option == 's';
		if (option == 'r')
			options.reason = optarg;
	}
	return take_arguments(self, argc, argv, &options, result);
}

/* Options may stand after DIR and ID, too; only a negative VALUE is no option. Moves them to the front. */
static void order(int argc, char **argv)
{
	int front = 1;

	for (int i = 1; i < argc; i++) {
		char *word = argv[i];
		int takes = !strcmp(word, "--reason");

		if (!strcmp(word, "--"))
			break;
		if (strncmp(word, "--", 2) && strcmp(word, "-h"))
			continue;
		for (int moved = 0; moved <= takes && i + moved < argc; moved++) {
			char *now = argv[i + moved];

			memmove(argv + front + 1, argv + front, (size_t)(i + moved - front) * sizeof(*argv));
			argv[front++] = now;
		}
		i += takes;
	}
}

int tuner_tell(const struct command *self, int argc, char **argv)
{
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	struct give_result result = {0};
	AUTO_FREE char *why = NULL, *note = NULL;
	int status, error;

	order(argc, argv);
	status = parse_options(self, argc, argv, &result);
	if (status >= 0)
		return status;
	status = experiment_load("tell of a trial in", argv[optind], &place, &experiment);
	if (status)
		return status;
	error = give_tell(&place, &experiment, argv[optind + 1], &result, &why, &note);
	if (note)
		report_note("%s", note);
	if (error)
		return report_failure("tell of trial", argv[optind + 1], error, why ? why : experiment.why);
	return EXIT_GOOD;
}
