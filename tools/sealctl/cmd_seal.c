#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "target.h"

static void print_seal(const struct target *target, const json_t *reply)
{
	fputs("sealed ", stdout);
	report_print_seal(stdout, reply, false);
	putchar('\n');
	fflush(stdout);
}

/* -1 to go on, else the exit status. */
static int parse_options(const struct command *self, int argc, char **argv, const char **key)
{
	static const struct option names[] = {
		{"key", required_argument, NULL, 'k'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", names, NULL)) >= 0) {
		if (option == 'h')
			return report_help(self);
		if (option != 'k')
			return report_usage(self, NULL);
		*key = optarg;
	}
	return optind < argc ? -1 : report_usage(self, "a PATH is missing");
}

static int load_key(const char *path, struct signing_key **key)
{
	AUTO_FREE char *why = NULL;
	int error = key_private_load(path, key, &why);

	return error ? report_failure("sign with", path, error, why) : EXIT_GOOD;
}

int cmd_seal(const struct command *self, int argc, char **argv)
{
	struct call call = {.op = SEALFS_CALL_SEAL};
	struct signing_key *key = NULL;
	const char *key_path = NULL;
	int status = parse_options(self, argc, argv, &key_path);

	if (status >= 0)
		return status;
	status = key_path ? load_key(key_path, &key) : EXIT_GOOD;
	call.key = key;
	if (!status)
		status = target_call_each("seal", argv + optind, &call, print_seal);
	key_free(key);
	return status;
}
