#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "target.h"

static int ask(void *rows, struct target *target)
{
	json_t *reply = NULL;
	int result = target_call(target, &(struct call){.op = SEALFS_CALL_STATS}, &reply);

	if (result) {
		int status = report_failure("show", target->root, result, call_why(reply, result));
		json_decref(reply);
		return status;
	}
	json_object_set_new(reply, "mount", report_json_path(target->root));
	return json_array_append_new(rows, reply) ? EXIT_ERROR : EXIT_GOOD;
}

static int ask_path(json_t *rows, const char *path)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	int status = target_open("show", path, false, &target);

	if (status)
		return status;
	if (target.kind != TARGET_MOUNT)
		return report_failure("show", path, -EINVAL, "it is not in a sealfs mount; only a mount counts what it does");
	return ask(rows, &target);
}

static void print_row(const json_t *row)
{
	static const char *const keys[] = {"waiters", "waits",	    "hinted",	  "subscribers",    "polls",
					   "looks",   "judgements", "hints_sent", "hints_received", "hints_dropped"};
	const char *hints = report_string(row, "hints");

	report_print_plain(stdout, report_string(row, "mount"));
	printf("\n  %-16s%s\n", "hints", hints[0] ? hints : "-");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char name[20];

		snprintf(name, sizeof(name), "%s", keys[i]);
		for (char *at = name; *at; at++)
			*at = *at == '_' ? ' ' : *at;
		printf("  %-16s%lld\n", name, (long long)json_integer_value(json_object_get(row, keys[i])));
	}
}

int cmd_stats(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	json_auto_t *rows = json_array();
	int option, status = EXIT_GOOD;
	bool json = false;
	json_t *row;
	size_t i;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option != 'j')
			return report_usage(self, NULL);
		json = true;
	}
	if (optind == argc)
		status = target_each_mount("show", "there is no sealfs mount here", ask, rows);
	for (int at = optind; at < argc; at++)
		status = report_worse(status, ask_path(rows, argv[at]));
	if (json)
		return report_worse(status, report_print_json(rows));
	json_array_foreach(rows, i, row)
		print_row(row);
	return status;
}
