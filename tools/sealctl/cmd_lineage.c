#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "lineage.h"
#include "report.h"
#include "sealfs/escape.h"
#include "target_path.h"

enum form { FORM_TREE, FORM_JSON, FORM_DOT, FORM_PAGE };

struct request {
	enum form form;
	const char *file; /* of the page */
	char **paths;
	size_t count;
};

/* What one PATH stands for. */
struct part {
	struct subject subject;
	struct lineage_links shown;
};

struct parts {
	struct part *list;
	size_t count;
};

static void parts_free(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++) {
		subject_free(&parts->list[i].subject);
		free(parts->list[i].shown.nodes);
	}
	free(parts->list);
}

static int load(const struct request *request, struct lineage *lineage, struct parts *parts)
{
	size_t lines = request->form == FORM_PAGE ? LINEAGE_PAGE_LINES : 0;
	int status = EXIT_GOOD;

	parts->list = calloc(request->count + 1, sizeof(*parts->list));
	if (!parts->list)
		return EXIT_ERROR;
	for (size_t i = 0; i < request->count; i++) {
		struct part *part = &parts->list[parts->count];
		int opened = subject_open("show the lineage of", request->paths[i], &part->subject), error;

		status = report_worse(status, opened);
		if (opened)
			continue;
		parts->count++;
		error = lineage_load(lineage, &part->subject, lines, &part->shown);
		if (error)
			status = report_worse(status,
					      report_failure("show the lineage of", request->paths[i], error,
							     error == -ENOENT ? "there is no such checkpoint" : NULL));
	}
	return status;
}

/* ---- the tree ---- */

static int print_part(const struct lineage *lineage, const struct part *part)
{
	AUTO_FREE char *root = escape_text(part->subject.root);
	int error = 0;

	printf("%s '%s':\n", part->subject.whole ? "lineage of" : "ancestors in", root ? root : "?");
	if (part->subject.whole)
		return lineage_print_forest(stdout, lineage, part->subject.root);
	for (size_t i = 0; i < part->shown.count && !error; i++)
		error = lineage_print_ancestors(stdout, lineage, part->shown.nodes[i]);
	return error;
}

static int print_tree(const struct lineage *lineage, const struct parts *parts)
{
	int error = 0;

	for (size_t i = 0; i < parts->count && !error; i++) {
		if (!parts->list[i].shown.count)
			continue;
		error = print_part(lineage, &parts->list[i]);
	}
	return error;
}

/* ---- the page ---- */

static int print_page(const struct request *request, const struct lineage *lineage)
{
	int error = lineage_write_page(request->file, lineage);

	if (error)
		return report_failure("write", request->file, error,
				      error == -EINVAL ? "it is there and is not a regular file; name another" : NULL);
	return EXIT_GOOD;
}

/* ---- all forms ---- */

static int print_json(const struct lineage *lineage)
{
	json_auto_t *json = lineage_json(lineage);

	return json ? report_print_json(json) : EXIT_ERROR;
}

static int print(const struct request *request, const struct lineage *lineage, const struct parts *parts)
{
	int error;

	if (request->form == FORM_JSON)
		return print_json(lineage);
	if (request->form == FORM_PAGE)
		return print_page(request, lineage);
	error = request->form == FORM_DOT ? lineage_print_dot(stdout, lineage) : print_tree(lineage, parts);
	if (!error && (fflush(stdout) || ferror(stdout)))
		error = -EIO;
	if (error)
		report_note("cannot write the lineage: %s", strerror(-error));
	return error ? EXIT_ERROR : EXIT_GOOD;
}

static int judge(const struct lineage *lineage)
{
	if (lineage->replaced)
		report_note("%zu listed parent%s replaced since: what was read then is not what is there now",
			    lineage->replaced, lineage->replaced == 1 ? " was" : "s were");
	if (lineage->damaged)
		report_note("%zu checkpoint%s damaged; 'sealctl verify' tells more", lineage->damaged,
			    lineage->damaged == 1 ? " is" : "s are");
	return lineage->replaced || lineage->damaged ? EXIT_MISMATCH : EXIT_GOOD;
}

static int show(const struct request *request)
{
	CLEANUP(lineage_free) struct lineage lineage = {0};
	CLEANUP(parts_free) struct parts parts = {0};
	int status = load(request, &lineage, &parts);

	/* No page of nothing in the place of a good one. */
	if (request->form == FORM_PAGE && !lineage.count && status)
		return status;
	status = report_worse(status, print(request, &lineage, &parts));
	return report_worse(status, judge(&lineage));
}

int cmd_lineage(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, FORM_JSON},
						{"dot", no_argument, NULL, FORM_DOT},
						{"html", required_argument, NULL, FORM_PAGE},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct request request = {.form = FORM_TREE};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		if (request.form != FORM_TREE)
			return report_usage(self, "--json, --dot and --html cannot be combined");
		request.form = (enum form)option;
		request.file = optarg;
	}
	if (optind == argc)
		return report_usage(self, "a PATH is missing");
	request.paths = argv + optind;
	request.count = (size_t)(argc - optind);
	return show(&request);
}
