#include "commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"

static void print_usage(FILE *stream, const struct program *program)
{
	fprintf(stream, "Usage: %s COMMAND [OPTION]... [ARGUMENT]...\n\n", program->name);
	for (size_t i = 0; i < program->count; i++)
		fprintf(stream, "  %-10s%s\n", program->commands[i].name, program->commands[i].summary);
	fprintf(stream, "\n'%s COMMAND --help' tells more about a command, %s(1) about all.\n", program->name, program->name);
}

static int run_command(const struct program *program, int argc, char **argv)
{
	AUTO_FREE char *full_name = NULL;
	const char *name = argv[0];

	for (size_t i = 0; i < program->count; i++) {
		const struct command *command = &program->commands[i];

		if (strcmp(command->name, name))
			continue;
		if (asprintf(&full_name, "%s %s", program->name, name) < 0)
			return EXIT_ERROR;
		argv[0] = full_name;
		optind = 0; /* glibc: begin anew with this argv */
		return command->run(command, argc, argv);
	}
	report_note("there is no command '%s'; '%s --help' lists them", name, program->name);
	return EXIT_USAGE;
}

int commands_main(const struct program *program, int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};

	report_set_program(program->name);
	switch (getopt_long(argc, argv, "+hV", options, NULL)) {
	case -1:
		break;
	case 'h':
		print_usage(stdout, program);
		return EXIT_GOOD;
	case 'V':
		printf("%s " SEALFS_VERSION "\n", program->name);
		return EXIT_GOOD;
	default:
		return EXIT_USAGE;
	}
	if (optind >= argc) {
		print_usage(stderr, program);
		return EXIT_USAGE;
	}
	return run_command(program, argc - optind, argv + optind);
}
