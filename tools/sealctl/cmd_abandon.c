#include <getopt.h>

#include "report.h"
#include "target.h"

int cmd_abandon(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"reason", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct call call = {.op = SEALFS_CALL_ABANDON, .detail = "abandoned by hand"};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option != 'r')
			return report_usage(self, NULL);
		call.detail = optarg;
	}
	if (optind == argc)
		return report_usage(self, "a PATH is missing");
	return target_call_each("abandon", argv + optind, &call, NULL);
}
