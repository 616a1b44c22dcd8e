/*
 * sealtuner - the companion that tells trials what to train, where to save and what to restore
 */
#include "../sealctl/commands.h"
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

int main(int argc, char **argv)
{
	static const struct program program = {"sealtuner", commands, sizeof(commands) / sizeof(commands[0])};

	return commands_main(&program, argc, argv);
}
