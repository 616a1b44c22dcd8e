#include <getopt.h>

#include "report.h"
#include "target.h"

int cmd_reserve(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"writer", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct call call = {.op = SEALFS_CALL_RESERVE};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option != 'w')
			return report_usage(self, NULL);
		if (!optarg[0])
			return report_usage(self, "--writer takes the name of a trial");
		call.writer = optarg;
	}
	if (optind == argc)
		return report_usage(self, "a PATH is missing");
	return target_call_each("reserve", argv + optind, &call, NULL);
}
