#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>

#include "report.h"
#include "target.h"

#define SECONDS_MAX 1e9 /* about 30 years, and far from overflow */

static int parse_seconds(const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	if (errno || end == text || *end || !isfinite(*out) || *out < 0 || *out > SECONDS_MAX)
		return -EINVAL;
	return 0;
}

int cmd_wait(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct call call = {.op = SEALFS_CALL_WAIT};
	double seconds;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option != 't')
			return report_usage(self, NULL);
		if (parse_seconds(optarg, &seconds))
			return report_usage(self, "--timeout takes a number of seconds");
		call.deadline_ns = call_now_ns() + (int64_t)(seconds * 1e9);
	}
	if (optind == argc)
		return report_usage(self, "a PATH is missing");
	return target_call_each("wait for", argv + optind, &call, NULL);
}
