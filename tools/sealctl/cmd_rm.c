#include <getopt.h>

#include "report.h"
#include "target.h"

int cmd_rm(const struct command *self, int argc, char **argv)
{
	struct call call = {.op = SEALFS_CALL_REMOVE};
	int status = report_only_help(self, argc, argv, 1);

	return status >= 0 ? status : target_call_each("remove", argv + optind, &call, NULL);
}
