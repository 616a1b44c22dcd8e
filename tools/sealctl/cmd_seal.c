#include <getopt.h>

#include "report.h"
#include "target.h"

static void print_seal(const struct target *target, const json_t *reply)
{
	fputs("sealed ", stdout);
	report_print_seal(stdout, reply, false);
	putchar('\n');
	fflush(stdout);
}

int cmd_seal(const struct command *self, int argc, char **argv)
{
	struct call call = {.op = SEALFS_CALL_SEAL};
	int status = report_only_help(self, argc, argv, 1);

	return status >= 0 ? status : target_call_each("seal", argv + optind, &call, print_seal);
}
