/* What `sealctl lineage` tells of the directory, with what the trials have reported. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/lineage.h"
#include "../sealctl/report.h"
#include "../sealctl/subject.h"
#include "sealtuner.h"
#include "show.h"

enum form { FORM_TREE, FORM_JSON, FORM_DOT, FORM_PAGE };

static int add_metrics(const struct place *place, const struct experiment *experiment, struct lineage *lineage)
{
	for (size_t i = 0; i < lineage->count; i++) {
		struct lineage_node *node = &lineage->nodes[i];
		const char *name = place->target.path[0] ? path_below(node->path, place->target.path) : node->path;
		const struct trial *trial = name ? experiment_find(experiment, name) : NULL;
		char value[SHOW_VALUE_SIZE];

		if (!trial || trial->state != TRIAL_DONE || node->standing != LINEAGE_PRESENT)
			continue;
		show_value(trial, value);
		node->metric = strdup(value);
		if (!node->metric)
			return -ENOMEM;
	}
	return 0;
}

static int print_json(const struct lineage *lineage)
{
	json_auto_t *json = lineage_json(lineage);

	return json ? report_print_json(json) : EXIT_ERROR;
}

static int write_page(const char *file, const struct lineage *lineage)
{
	int error = lineage_write_page(file, lineage);

	if (error)
		return report_failure("write", file, error,
				      error == -EINVAL ? "it is there and is not a regular file; name another" : NULL);
	return EXIT_GOOD;
}

static int print(const struct subject *subject, const struct lineage *lineage, enum form form, const char *file)
{
	int error;

	if (form == FORM_JSON)
		return print_json(lineage);
	if (form == FORM_PAGE)
		return write_page(file, lineage);
	error = form == FORM_DOT ? lineage_print_dot(stdout, lineage)
				 : lineage_print_forest(stdout, lineage, subject->root);
	if (!error && (fflush(stdout) || ferror(stdout)))
		error = -EIO;
	return error ? report_failure("show the lineage of", subject->root, error, NULL) : EXIT_GOOD;
}

static void subject_drop(struct subject *subject)
{
	subject_free(subject);
}

static int show(const char *given, const struct place *place, const struct experiment *experiment, enum form form,
		const char *file)
{
	CLEANUP(subject_drop) struct subject subject = SUBJECT_INIT;
	CLEANUP(lineage_free) struct lineage lineage = {0};
	struct lineage_links shown = {0};
	int status = subject_open("show the lineage of", given, &subject), error;

	if (status)
		return status;
	error = lineage_load(&lineage, &subject, form == FORM_PAGE ? LINEAGE_PAGE_LINES : 0, &shown);
	free(shown.nodes);
	if (!error)
		error = add_metrics(place, experiment, &lineage);
	if (error)
		return report_failure("show the lineage of", given, error, NULL);
	status = print(&subject, &lineage, form, file);
	return report_worse(status, lineage.replaced || lineage.damaged ? EXIT_MISMATCH : EXIT_GOOD);
}

int tuner_lineage(const struct command *self, int argc, char **argv)
{
	static const struct option table[] = {{"json", no_argument, NULL, FORM_JSON},
					      {"dot", no_argument, NULL, FORM_DOT},
					      {"html", required_argument, NULL, FORM_PAGE},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	CLEANUP(place_free) struct place place = PLACE_INIT;
	CLEANUP(experiment_free) struct experiment experiment = {.journal = {.dir = -1}};
	enum form form = FORM_TREE;
	const char *file = NULL;
	int option, status;

	while ((option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		if (form != FORM_TREE)
			return report_usage(self, "--json, --dot and --html cannot be combined");
		form = (enum form)option;
		file = optarg;
	}
	if (argc - optind != 1)
		return report_usage(self, "exactly one DIR is needed");
	status = experiment_load("show the lineage of", argv[optind], &place, &experiment);
	return status ? status : show(argv[optind], &place, &experiment, form, file);
}
