#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/config.h"
#include "target.h"

static int set_depth(struct config *config, const char *text)
{
	char *end;
	unsigned long depth;

	errno = 0;
	depth = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || depth < 1 || depth > CONFIG_DEPTH_MAX)
		return -EINVAL;
	config->depth = (unsigned int)depth;
	return 0;
}

static int set_live(struct config *config, const char *glob)
{
	if (!glob[0] || strpbrk(glob, "/\n"))
		return -EINVAL;
	return config_add_live(config, glob);
}

static int usage_of(const struct command *self, int option)
{
	switch (option) {
	case 'h':
		return report_help(self);
	case 'd':
		return report_usage(self, "--depth takes a number from 1 to 16");
	case 'l':
		return report_usage(self, "--live takes the glob of a file's name, without '/'");
	case 't':
		return report_usage(self, "--trial-env takes names of environment variables, separated by ':'");
	default:
		return report_usage(self, NULL);
	}
}

/* -1 to go on, else the exit status. */
static int parse_options(const struct command *self, int argc, char **argv, struct config *config)
{
	static const struct option options[] = {{"depth", required_argument, NULL, 'd'},
						{"live", required_argument, NULL, 'l'},
						{"trial-env", required_argument, NULL, 't'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		int error = -EINVAL;

		if (option == 'd')
			error = set_depth(config, optarg);
		else if (option == 'l')
			error = set_live(config, optarg);
		else if (option == 't')
			error = config_set_trial_env(config, optarg);
		if (error)
			return usage_of(self, option);
	}
	return argc - optind == 1 ? -1 : report_usage(self, "exactly one EXPORT is needed");
}

/* Mounted once without init, with the defaults, it is an export as well. */
static int refuse_again(const char *directory, struct target *target)
{
	AUTO_FREE char *why = NULL, *text = NULL;

	if (target_connect(target, &why) == 0 &&
	    asprintf(&text,
		     "it is an export already, with checkpoints at depth %u; as long as there are none, and no mount of it, 'rm -r %s/.sealfs' makes it a plain directory again",
		     target->depth, target->root) < 0)
		text = NULL;
	return report_failure("initialise", directory, -EEXIST, text ? text : "it is an export already; its .sealfs/config tells how it was set up");
}

/* A config in a mount would be invisible, one inside another export would give the inner files two states. -1 to go on,
 * else the exit status. */
static int refuse_place(const char *directory)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	AUTO_FREE char *why = NULL;
	int error = target_locate(directory, &target);

	if (error)
		return report_failure("initialise", directory, error, NULL);
	if (target.kind == TARGET_NONE)
		return -1;
	if (target.kind == TARGET_EXPORT && !target.path[0])
		return refuse_again(directory, &target);
	if (asprintf(&why, "it lies in the %s '%s'; name the directory that is to be mounted",
		     target.kind == TARGET_MOUNT ? "sealfs mount" : "export", target.root) < 0)
		why = NULL;
	return report_failure("initialise", directory, -EINVAL, why);
}

static int init_export(const char *directory, const struct config *config)
{
	struct store store;
	int error = store_open(&store, directory);

	if (error)
		return report_failure("initialise", directory, error, NULL);
	error = config_init_export(&store, config);
	store_close(&store);
	if (!error)
		return EXIT_GOOD;
	return report_failure("initialise", directory, error,
			      error == -EEXIST ? "another machine did it just now; see its .sealfs/config" : NULL);
}

int cmd_init(const struct command *self, int argc, char **argv)
{
	struct config config;
	int status = config_default(&config);

	if (status)
		return report_failure("initialise", "", status, NULL);
	status = parse_options(self, argc, argv, &config);
	if (status < 0)
		status = refuse_place(argv[optind]);
	if (status < 0)
		status = init_export(argv[optind], &config);
	config_free(&config);
	return status;
}
