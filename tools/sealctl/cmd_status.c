#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/escape.h"
#include "status_table.h"
#include "target.h"

/* Appends a copy of one checkpoint's object that tells its mount or export too. */
static int add_row(json_t *rows, const struct target *target, json_t *checkpoint)
{
	json_t *root = report_json_path(target->root);

	if (json_object_set_new(checkpoint, target->kind == TARGET_MOUNT ? "mount" : "export", root))
		return -ENOMEM;
	return json_array_append(rows, checkpoint) ? -ENOMEM : 0;
}

/* `above`: the escaped path above the depth of checkpoints that was asked for, "" for all. */
static int add_rows(json_t *rows, const struct target *target, json_t *reply, const char *above)
{
	json_t *checkpoint;
	size_t i;
	int error = 0;

	if (json_is_object(reply))
		return add_row(rows, target, reply);
	json_array_foreach(reply, i, checkpoint)
	{
		if (above[0] && !path_below(report_string(checkpoint, "path"), above))
			continue;
		error = add_row(rows, target, checkpoint);
		if (error)
			break;
	}
	return error;
}

struct listing {
	json_t *rows;
	bool json; /* nothing is for people */
};

static int ask(void *arg, struct target *target)
{
	struct listing *listing = arg;
	size_t before = json_array_size(listing->rows);
	bool all = path_depth(target->path) < target->depth;
	AUTO_FREE char *above = escape_text(all ? target->path : "");
	json_auto_t *reply = NULL;
	int result;

	result = target_call(target, &(struct call){.op = SEALFS_CALL_STATUS, .path = all ? "" : target->path}, &reply);
	if (result)
		return report_failure("show", target->path[0] ? target->path : target->root, result,
				      call_why(reply, result));
	if (!above || add_rows(listing->rows, target, reply, above))
		return EXIT_ERROR;
	if (!listing->json && json_array_size(listing->rows) == before)
		report_note("there is no checkpoint in '%s%s%s' yet", target->root, above[0] ? "/" : "", above);
	return EXIT_GOOD;
}

static int ask_path(struct listing *listing, const char *path)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	AUTO_FREE char *why = NULL;
	int status = target_open("show", path, false, &target);

	if (status)
		return status;
	if (path_depth(target.path) >= target.depth && target_check_depth(&target, &why))
		return report_failure("show", path, -EINVAL, why);
	return ask(listing, &target);
}

static int compare_rows(const void *a, const void *b)
{
	const json_t *first = *(json_t *const *)a, *second = *(json_t *const *)b;
	int order = strcmp(status_table_root(first), status_table_root(second));

	return order ? order : strcmp(report_string(first, "path"), report_string(second, "path"));
}

/* By root, then by path. A new array; NULL when memory is out. */
static json_t *sorted(const json_t *rows)
{
	size_t count = json_array_size(rows);
	AUTO_FREE json_t **list = calloc(count + 1, sizeof(json_t *));
	json_t *result = list ? json_array() : NULL;

	for (size_t i = 0; result && i < count; i++)
		list[i] = json_array_get(rows, i);
	if (result)
		qsort(list, count, sizeof(json_t *), compare_rows);
	for (size_t i = 0; result && i < count; i++)
		json_array_append(result, list[i]);
	return result;
}

static int print_rows(const json_t *rows, bool json)
{
	json_auto_t *list = sorted(rows);

	if (!list)
		return EXIT_ERROR;
	if (json)
		return report_print_json(list);
	return json_array_size(list) ? status_table_print(list) : EXIT_GOOD;
}

int cmd_status(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	json_auto_t *rows = json_array();
	struct listing listing = {.rows = rows};
	int option, status = EXIT_GOOD;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option != 'j')
			return report_usage(self, NULL);
		listing.json = true;
	}
	if (optind == argc)
		status = target_each_mount("show", "there is no sealfs mount here; name a PATH to look at an export", ask, &listing);
	for (int i = optind; i < argc; i++)
		status = report_worse(status, ask_path(&listing, argv[i]));
	return report_worse(status, print_rows(rows, listing.json));
}
