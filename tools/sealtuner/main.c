/*
 * sealtuner - the companion that tells trials what to train, where to save and what to restore
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "sealtuner.h"

static const struct command commands[] = {
	{"init", "begin an experiment", tuner_init,
	 "Usage: sealtuner init --space FILE --strategy NAME [--goal GOAL] [--population N]\n"
	 "                      [--seed N] [--keep WHAT] [--set NAME=NUMBER]... DIR\n"
	 "\n"
	 "Begins an experiment in DIR, a directory of a mount or an export whose entries are\n"
	 "checkpoints.\n"
	 "\n"
	 "      --space FILE        the search space, as NNI writes it (JSON)\n"
	 "      --strategy NAME     random, evolution, morphism, pbt, enas or darts\n"
	 "      --goal GOAL         maximize (the default) or minimize what trials report\n"
	 "      --population N      how many trials the strategy looks at (default: as\n"
	 "                          published)\n"
	 "      --seed N            makes the same choices again (default: any)\n"
	 "      --keep WHAT         remove checkpoints that nobody can restore any more, but\n"
	 "                          keep the last N, best:N, or ancestors of the best\n"
	 "                          (default: all)\n"
	 "      --set NAME=NUMBER   a setting of the strategy, see sealtuner(1); may be\n"
	 "                          given several times\n"
	 "  -h, --help              show this help\n"},
	{"ask", "give out the next trial", tuner_ask,
	 "Usage: sealtuner ask [--trial ID | --key ID] DIR\n"
	 "\n"
	 "Prints the next trial as one line of JSON. Its checkpoint is reserved.\n"
	 "\n"
	 "      --trial ID   the trial's name in its environment: it alone will write; asked\n"
	 "                   again, the answer is the same\n"
	 "      --key ID     the same, but whoever writes first is the writer\n"
	 "  -h, --help       show this help\n"},
	{"tell", "take in a trial's result", tuner_tell,
	 "Usage: sealtuner tell [--seal] DIR ID VALUE\n"
	 "       sealtuner tell --failed [--reason TEXT] DIR ID\n"
	 "\n"
	 "Records the result of trial ID, or that it has failed.\n"
	 "\n"
	 "      --seal          seal its checkpoint, too\n"
	 "      --failed        it has failed; its checkpoint is abandoned\n"
	 "      --reason TEXT   why\n"
	 "  -h, --help          show this help\n"
	 "\n"
	 "Exit status 3 if the checkpoint that it was to restore has failed: then that is\n"
	 "what is recorded.\n"},
	{"import", "take in earlier results", tuner_import,
	 "Usage: sealtuner import DIR FILE\n"
	 "\n"
	 "Takes in results from FILE: JSON objects with \"parameters\", \"value\" and maybe\n"
	 "\"checkpoint\", the name of a sealed checkpoint in DIR.\n"
	 "\n"
	 "  -h, --help   show this help\n"},
	{"run", "run trials on this machine", tuner_run,
	 "Usage: sealtuner run --trials N [--jobs N] DIR [--] CMD [ARG]...\n"
	 "\n"
	 "Runs CMD for one trial after the other, until the experiment in DIR has had N\n"
	 "trials. Started again, it goes on where it stopped.\n"
	 "\n"
	 "      --trials N   how many trials there are to be in all\n"
	 "      --jobs N     how many run at once (default 1)\n"
	 "  -h, --help       show this help\n"
	 "\n"
	 "In CMD and each ARG, {save_path}, {restore_path}, {id}, {number}, {role},\n"
	 "{parameters} (a file), {work} (a directory) and the name of each parameter in\n"
	 "braces are filled in.\n"
	 "\n"
	 "Exit status 3 if no trial has a result, 128 plus its number after a signal.\n"},
	{"status", "show the experiment and its trials", tuner_status,
	 "Usage: sealtuner status [--json] DIR\n"
	 "\n"
	 "Shows the experiment and all its trials.\n"
	 "\n"
	 "      --json   print a JSON object\n"
	 "  -h, --help   show this help\n"},
	{"best", "name the best trial", tuner_best,
	 "Usage: sealtuner best [--json | --path] DIR\n"
	 "\n"
	 "Names the trial with the best result.\n"
	 "\n"
	 "      --json   print a JSON object\n"
	 "      --path   print its checkpoint's path alone, for the next job; it must be\n"
	 "               sealed\n"
	 "  -h, --help   show this help\n"},
	{"lineage", "show which checkpoint was made from which, with results", tuner_lineage,
	 "Usage: sealtuner lineage [--json | --dot | --html FILE] DIR\n"
	 "\n"
	 "Shows what 'sealctl lineage' shows, with the results of the trials.\n"
	 "\n"
	 "      --json        print a JSON object\n"
	 "      --dot         print a graph for Graphviz\n"
	 "      --html FILE   write a page for a browser\n"
	 "  -h, --help        show this help\n"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *stream)
{
	fputs("Usage: sealtuner COMMAND [OPTION]... [ARGUMENT]...\n\n", stream);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(stream, "  %-10s%s\n", commands[i].name, commands[i].summary);
	fputs("\n'sealtuner COMMAND --help' tells more about a command, sealtuner(1) about all.\n", stream);
}

static int run_command(const char *name, int argc, char **argv)
{
	AUTO_FREE char *full_name = NULL;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i].name, name))
			continue;
		if (asprintf(&full_name, "sealtuner %s", name) < 0)
			return EXIT_ERROR;
		argv[0] = full_name;
		optind = 0; /* glibc: begin anew with this argv */
		return commands[i].run(&commands[i], argc, argv);
	}
	report_note("there is no command '%s'; 'sealtuner --help' lists them", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};

	report_set_program("sealtuner");
	switch (getopt_long(argc, argv, "+hV", options, NULL)) {
	case -1:
		break;
	case 'h':
		print_usage(stdout);
		return EXIT_GOOD;
	case 'V':
		puts("sealtuner " SEALFS_VERSION);
		return EXIT_GOOD;
	default:
		return EXIT_USAGE;
	}
	if (optind >= argc) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	return run_command(argv[optind], argc - optind, argv + optind);
}
