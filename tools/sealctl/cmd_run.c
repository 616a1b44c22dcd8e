#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "report.h"
#include "run.h"

enum { EXIT_CANNOT_EXECUTE = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

struct options {
	char *trial; /* allocated, or NULL */
	const char **saves;
	size_t save_count;
	bool join;
};

static void options_free(struct options *options)
{
	free(options->trial);
	free(options->saves);
}

static int take_option(struct options *options, int option, const char *value)
{
	switch (option) {
	case 't':
		free(options->trial);
		options->trial = strdup(value);
		return options->trial && value[0] ? 0 : -EINVAL;
	case 's':
		options->saves[options->save_count++] = value;
		return value[0] ? 0 : -EINVAL;
	case 'j':
		options->join = true;
		return 0;
	default:
		return -EINVAL;
	}
}

/* -1 to go on with the command at optind, else the exit status. */
static int parse_options(const struct command *self, int argc, char **argv, struct options *options)
{
	static const struct option table[] = {{"trial", required_argument, NULL, 't'},
					      {"save", required_argument, NULL, 's'},
					      {"join", no_argument, NULL, 'j'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	int option;

	options->saves = calloc((size_t)argc, sizeof(*options->saves));
	if (!options->saves)
		return EXIT_ERROR;
	while ((option = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (take_option(options, option, optarg))
			return report_usage(self, option == '?' ? NULL : "an option's value is empty");
	}
	return optind < argc ? -1 : report_usage(self, "the command is missing");
}

static int claim_all(struct run *run, const struct options *options)
{
	AUTO_FREE char *given = run_nni_save_path();
	int status = EXIT_GOOD;

	for (size_t i = 0; !status && i < options->save_count; i++)
		status = run_claim(run, options->saves[i]);
	if (!status && given)
		status = run_claim_given(run, given);
	return status;
}

/* The end of the command in words, "" for a good one. Allocated; NULL when memory is out. */
static char *describe_end(int error, int status, const char *name)
{
	char *text;
	int size;

	if (error)
		size = asprintf(&text, "'%s' could not be started: %s", name, strerror(-error));
	else if (WIFSIGNALED(status) && sigabbrev_np(WTERMSIG(status)))
		size = asprintf(&text, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else if (WIFSIGNALED(status))
		size = asprintf(&text, "killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		size = asprintf(&text, "exit status %d", WEXITSTATUS(status));
	else
		return strdup("");
	return size < 0 ? NULL : text;
}

static int exit_status(int error, int status)
{
	if (error)
		return error == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
	return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What it said is sealed; how its process went counts as the command's status. */
static int await_process(pid_t child, int signals, const char *name)
{
	int status = 0, error = run_child_wait(child, signals, NULL, &status), own = exit_status(error, status);
	AUTO_FREE char *reason = describe_end(error, status, name);

	if (own)
		report_note("'%s' (pid %d) has said that it ended well, upon which its checkpoints were ended; its process came to another end afterwards: %s",
			    name, (int)child, reason ? reason : "out of memory");
	return own;
}

static int run_command(struct run *run, char **argv, const sigset_t *before, int signals)
{
	AUTO_FREE char *reason = NULL;
	bool told = false;
	pid_t child = -1;
	int status = 0, sealing, own;
	int error = run_child_start(argv, before, &child);

	if (!error)
		error = run_child_wait(child, signals, &told, &status);
	if (error)
		report_failure("run", argv[0], error, NULL);
	reason = describe_end(error, status, argv[0]);
	sealing = run_end(run, reason ? reason : "out of memory", signals);
	own = told ? await_process(child, signals, argv[0]) : exit_status(error, status);
	return own ? own : sealing;
}

static int prepare(struct run *run, struct options *options)
{
	int status = run_open_mounts(run), error;

	if (status)
		return status;
	if (!options->trial)
		options->trial = run_find_trial(run);
	if (!options->trial)
		return report_failure("name", "the trial", -ENOMEM, NULL);
	run->trial = options->trial;
	run->join = options->join;
	run->began_ns = run_uptime_ns();
	error = run_set_trial(run);
	if (error)
		return report_failure("name", run->trial, error, NULL);
	status = run_begin(run);
	return status ? status : claim_all(run, options);
}

int cmd_run(const struct command *self, int argc, char **argv)
{
	CLEANUP(options_free) struct options options = {0};
	CLEANUP(run_free) struct run run = {0};
	AUTO_CLOSE int signals = -1;
	sigset_t before;
	int status = parse_options(self, argc, argv, &options);

	if (status >= 0)
		return status;
	status = prepare(&run, &options);
	if (status)
		return status;
	signals = run_block_signals(&before);
	if (signals < 0)
		return report_failure("run", argv[optind], signals, NULL);
	return run_command(&run, argv + optind, &before, signals);
}
