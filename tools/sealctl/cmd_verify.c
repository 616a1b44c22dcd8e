#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "cleanup.h"
#include "progress.h"
#include "report.h"
#include "verify.h"

struct subjects {
	struct subject *list;
	size_t count;
};

static void subjects_free(struct subjects *subjects)
{
	for (size_t i = 0; i < subjects->count; i++)
		subject_free(&subjects->list[i]);
	free(subjects->list);
}

/* ---- ^C ---- */

static atomic_bool interrupted;
static atomic_int interrupted_by;

static void interrupt(int number)
{
	interrupted_by = number;
	interrupted = true;
}

/* The first asks the work to end; a second one ends the process at once. */
static void catch_interrupts(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND | SA_RESTART}, before;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

/* As if nobody had caught it, so that a shell's loop ends, too. */
static int end_interrupted(void)
{
	report_note("interrupted; what was not yet verified is not known to be good");
	signal(interrupted_by, SIG_DFL);
	raise(interrupted_by);
	return EXIT_ERROR;
}

/* ---- the work ---- */

static int open_all(char **paths, int count, struct subjects *subjects)
{
	int status = EXIT_GOOD;

	subjects->list = calloc((size_t)count + 1, sizeof(*subjects->list));
	if (!subjects->list)
		return EXIT_ERROR;
	for (int i = 0; i < count; i++) {
		int opened = subject_open("verify", paths[i], &subjects->list[subjects->count]);

		subjects->count += opened == EXIT_GOOD;
		status = report_worse(status, opened);
	}
	return status;
}

/* Only who is shown how far it is needs to know how much there is. */
static void measure(struct verify *verify, const struct subjects *subjects)
{
	for (size_t i = 0; i < subjects->count; i++)
		for (size_t j = 0; j < subjects->list[i].checkpoints.count && !interrupted; j++)
			verify->bytes_total +=
				verify_measure(&subjects->list[i], subjects->list[i].checkpoints.paths[j]);
}

static int verify_next(struct verify *verify, const struct subject *subject, const char *path,
		       struct progress *progress, json_t *all)
{
	json_t *one;
	int status = verify_one(verify, subject, path, &one);

	if (!one)
		return status;
	if (!all) {
		progress_hide(progress);
		if (!interrupted || json_array_size(json_object_get(one, "faults")))
			verify_print_one(one);
		progress_show(progress);
	}
	if (!all || json_array_append_new(all, one))
		json_decref(one);
	return status;
}

static int verify_all(struct verify *verify, const struct subjects *subjects, struct progress *progress, json_t *all)
{
	int status = EXIT_GOOD;

	for (size_t i = 0; i < subjects->count; i++) {
		const struct subject *subject = &subjects->list[i];

		for (size_t j = 0; j < subject->checkpoints.count && !interrupted; j++)
			status = report_worse(
				status, verify_next(verify, subject, subject->checkpoints.paths[j], progress, all));
	}
	return status;
}

static int verify_paths(struct verify *verify, bool json, char **paths, int count)
{
	CLEANUP(subjects_free) struct subjects subjects = {0};
	json_t *all = json ? json_array() : NULL;
	struct progress *progress = NULL;
	int64_t began_ns;
	double seconds;
	int status = open_all(paths, count, &subjects);

	if (!verify->quick)
		progress = progress_start("verifying", &verify->bytes_done, &verify->bytes_total);
	if (progress)
		measure(verify, &subjects);
	began_ns = call_now_ns();
	status = report_worse(status, verify_all(verify, &subjects, progress, all));
	seconds = (double)(call_now_ns() - began_ns) / 1e9;
	progress_stop(progress);
	if (interrupted) {
		json_decref(all);
		return end_interrupted();
	}
	if (all)
		return report_worse(status, verify_print_json(verify, all, seconds));
	if (subjects.count)
		verify_print_sum(verify, seconds);
	return status;
}

struct options {
	bool json;
	struct verify *verify;
	size_t live_count;
	const char *trust;
};

static int take_option(const struct command *self, struct options *options, int option)
{
	switch (option) {
	case 'h':
		return report_help(self);
	case 'j':
		options->json = true;
		return -1;
	case 'q':
		options->verify->quick = true;
		return -1;
	case 'l':
		options->verify->live[options->live_count++] = optarg;
		return -1;
	case 't':
		options->trust = optarg;
		return -1;
	default:
		return report_usage(self, NULL);
	}
}

static int take_options(const struct command *self, int argc, char **argv, struct options *taken)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"quick", no_argument, NULL, 'q'},
						{"live", required_argument, NULL, 'l'},
						{"trust", required_argument, NULL, 't'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	int option, status;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		status = take_option(self, taken, option);
		if (status >= 0)
			return status;
	}
	return optind < argc ? -1 : report_usage(self, "a PATH is missing");
}

static void report_trust(void *arg, const char *sentence)
{
	report_note("%s", sentence);
}

static int open_trust(const char *path, struct trust **trust)
{
	AUTO_FREE char *why = NULL;
	int error = trust_open(path, report_trust, NULL, trust, &why);

	return error ? report_failure("read the keys in", path, error, why) : EXIT_GOOD;
}

int cmd_verify(const struct command *self, int argc, char **argv)
{
	AUTO_FREE char **live = calloc((size_t)argc + 1, sizeof(*live));
	json_auto_t *skipped = json_object();
	struct verify verify = {.live = live,
				.threads = digest_threads(),
				.cancel = &interrupted,
				.skipped = skipped};
	struct options options = {.verify = &verify};
	int status;

	if (!live || !skipped)
		return EXIT_ERROR;
	status = take_options(self, argc, argv, &options);
	if (status >= 0)
		return status;
	status = options.trust ? open_trust(options.trust, &verify.trust) : EXIT_GOOD;
	if (status)
		return status;
	catch_interrupts();
	status = verify_paths(&verify, options.json, argv + optind, argc - optind);
	trust_close(verify.trust);
	return status;
}
