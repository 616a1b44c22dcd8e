#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "crew.h"
#include "fill.h"
#include "sealtuner.h"

#define JOBS_MAX 10000
#define TRIALS_MAX 10000000

struct options {
	unsigned long trials, jobs;
	const char *dir;
	char **command;
};

static int parse_count(const char *text, unsigned long most, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno || *end || text[0] < '0' || text[0] > '9' || *out < 1 || *out > most ? -EINVAL : 0;
}

static int take_option(struct options *options, int option)
{
	if (option == 't')
		return parse_count(optarg, TRIALS_MAX, &options->trials);
	return option == 'j' ? parse_count(optarg, JOBS_MAX, &options->jobs) : -EINVAL;
}

/* DIR may stand before the options: one word at most, then more options, then the command. */
static int parse_options(const struct command *self, int argc, char **argv, struct options *options)
{
	static const struct option table[] = {{"trials", required_argument, NULL, 't'},
					      {"jobs", required_argument, NULL, 'j'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	int option;

	options->jobs = 1;
	for (;;) {
		while ((option = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
			if (option == 'h')
				return report_help(self);
			if (take_option(options, option))
				return report_usage(self, option == '?' ? NULL : "--trials and --jobs take a number, at least 1");
		}
		if (options->dir || optind >= argc)
			break;
		options->dir = argv[optind++];
	}
	if (!options->dir || optind >= argc)
		return report_usage(self, "a DIR and a CMD are needed");
	if (!options->trials)
		return report_usage(self, "--trials is needed");
	options->command = argv + optind;
	return -1;
}

/* ---- placeholders are checked before anything is given out ---- */

static bool space_has(const struct space *space, const char *name)
{
	size_t size = strcspn(name, "/");

	for (size_t i = 0; i < space->count; i++)
		if (!strcmp(space->parameters[i].name, name) ||
		    (strlen(space->parameters[i].name) == size && !strncmp(space->parameters[i].name, name, size)))
			return true;
	return false;
}

static int check_name(void *arg, const char *name)
{
	static const char *const ours[] = {"id", "number", "role", "save_path", "restore_path", "parameters", "work"};
	const struct experiment *experiment = arg;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!strcmp(ours[i], name))
			return 0;
	if (space_has(experiment->space, name))
		return 0;
	report_note("there is no parameter '%s' for the placeholder '{%s}'; braces themselves are written '{{' and '}}'", name,
		    name);
	return -EINVAL;
}

static int check_command(struct experiment *experiment, char **command)
{
	for (; *command; command++)
		if (fill_each(*command, check_name, experiment))
			return EXIT_USAGE;
	return EXIT_GOOD;
}

/* ---- the crew ---- */

static int open_signals(sigset_t *before)
{
	static const int signals[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	/* Whoever started us may ignore it, and then wait() would not tell how a trial ended. */
	signal(SIGCHLD, SIG_DFL);
	if (sigprocmask(SIG_BLOCK, &set, before))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int check_place(const struct place *place)
{
	AUTO_FREE char *work = launch_work_path(place, "x");

	if (place->target.kind != TARGET_MOUNT)
		return report_failure("run trials in", place->shown, -EINVAL,
				      "it is on an export, where nothing waits; name it through a mount, see sealfs(8)");
	return work ? EXIT_GOOD : EXIT_ERROR;
}

static int run(struct place *place, struct experiment *experiment, const struct options *options)
{
	AUTO_FREE struct crew_slot *slots = calloc(options->jobs, sizeof(*slots));
	struct crew crew = {.place = place, .experiment = experiment, .wanted = (unsigned int)options->trials,
			    .slots = slots, .jobs = options->jobs,
			    .launch = {.place = place, .experiment = experiment, .command = options->command}};
	AUTO_CLOSE int signals = open_signals(&crew.launch.signals);

	if (!slots || signals < 0)
		return report_failure("run trials in", place->shown, slots ? signals : -ENOMEM, NULL);
	crew.signals = signals;
	return crew_run(&crew);
}

int tuner_run(const struct command *self, int argc, char **argv)
{
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	struct options options = {0};
	int status = parse_options(self, argc, argv, &options);

	if (status >= 0)
		return status;
	status = experiment_load("run trials in", options.dir, &place, &experiment);
	if (!status)
		status = check_place(&place);
	if (!status)
		status = check_command(&experiment, options.command);
	return status ? status : run(&place, &experiment, &options);
}
