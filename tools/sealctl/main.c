/*
 * sealctl - the command-line companion of sealfs
 */
#include "commands.h"

static const struct command commands[] = {
	{"init", "make a directory an export", cmd_init,
	 "Usage: sealctl init [--depth N] [--live GLOB]... [--trial-env NAMES] EXPORT\n"
	 "\n"
	 "Makes the directory EXPORT an export: writes .sealfs/config in it, on which all\n"
	 "machines agree.\n"
	 "\n"
	 "      --depth N           checkpoints are the entries N levels below EXPORT\n"
	 "                          (1 to 16; default 1)\n"
	 "      --live GLOB         files of this name are neither held back nor sealed;\n"
	 "                          may be given several times\n"
	 "      --trial-env NAMES   environment variables that name a trial, the first\n"
	 "                          that is set counts\n"
	 "                          (default SEALFS_TRIAL:NNI_TRIAL_JOB_ID)\n"
	 "  -h, --help              show this help\n"},
	{"run", "run a command as a trial and seal what it wrote", cmd_run,
	 "Usage: sealctl run [--trial ID] [--save PATH]... [--join] [--] CMD [ARG]...\n"
	 "\n"
	 "Runs CMD. When it has ended well, every checkpoint that it wrote is sealed,\n"
	 "otherwise abandoned.\n"
	 "\n"
	 "      --trial ID    the trial's name (default: from the environment, else one is\n"
	 "                    made up)\n"
	 "      --save PATH   checkpoint that CMD will write, open from the start; may be\n"
	 "                    given several times\n"
	 "      --join        another machine's 'sealctl run' of this trial decides; this\n"
	 "                    one only takes part\n"
	 "  -h, --help        show this help\n"
	 "\n"
	 "The exit status is that of CMD; if CMD succeeded and sealing did not: 1,\n"
	 "3 (abandoned) or 5 (verification failed).\n"},
	{"reserve", "announce checkpoints before anybody writes them", cmd_reserve,
	 "Usage: sealctl reserve [--writer TRIAL] PATH...\n"
	 "\n"
	 "Makes each checkpoint PATH pending: whoever opens it waits until it is sealed.\n"
	 "\n"
	 "      --writer TRIAL   the trial that will write; for it alone nothing is there\n"
	 "                       yet (default: whoever writes first)\n"
	 "  -h, --help           show this help\n"},
	{"seal", "seal checkpoints", cmd_seal,
	 "Usage: sealctl seal [--key FILE] PATH...\n"
	 "\n"
	 "Seals each checkpoint PATH and prints its root digest. Plain data are sealed as\n"
	 "they are.\n"
	 "\n"
	 "      --key FILE   sign with this private key; on an export only, a mount signs\n"
	 "                   with the key that it was given (-o key=FILE)\n"
	 "  -h, --help       show this help\n"},
	{"abandon", "end checkpoints badly", cmd_abandon,
	 "Usage: sealctl abandon [--reason TEXT] PATH...\n"
	 "\n"
	 "Ends each open or pending checkpoint PATH as failed: whoever waits for it gets\n"
	 "the error \"Owner died\".\n"
	 "\n"
	 "      --reason TEXT   why, for those who wait (default: abandoned by hand)\n"
	 "  -h, --help          show this help\n"},
	{"wait", "wait until checkpoints are sealed", cmd_wait,
	 "Usage: sealctl wait [--timeout SECONDS] PATH...\n"
	 "\n"
	 "Waits until every checkpoint PATH is sealed or failed.\n"
	 "\n"
	 "      --timeout SECONDS   give up after this time, which may be a fraction; it\n"
	 "                          counts for all PATHs together\n"
	 "  -h, --help              show this help\n"
	 "\n"
	 "Exit status: 0 all are sealed, 3 one has failed, 4 timed out.\n"},
	{"status", "show checkpoints, their writers and who waits", cmd_status,
	 "Usage: sealctl status [--json] [PATH]...\n"
	 "\n"
	 "Shows the checkpoints PATH, or those below a PATH that lies above them, or all\n"
	 "of all mounts.\n"
	 "\n"
	 "      --json   print a JSON array\n"
	 "  -h, --help   show this help\n"},
	{"verify", "check that sealed checkpoints are what was sealed", cmd_verify,
	 "Usage: sealctl verify [--json] [--quick] [--live GLOB]... [--trust DIRECTORY]\n"
	 "                      PATH|EXPORT|MOUNT...\n"
	 "\n"
	 "Checks sealed checkpoints against their seals: the checkpoint PATH, all of an\n"
	 "export or mount, or a copy that was made with its seal.\n"
	 "\n"
	 "      --quick             all but the content: what is there, types, sizes, modes,\n"
	 "                          targets, and the manifest\n"
	 "      --live GLOB         files of this name are not sealed, besides those that\n"
	 "                          the export's configuration names; may be given several\n"
	 "                          times\n"
	 "      --trust DIRECTORY   require a signature by a public key in DIRECTORY\n"
	 "      --json              print a JSON object\n"
	 "  -h, --help              show this help\n"
	 "\n"
	 "Exit status: 0 all are good, 5 verification failed.\n"},
	{"manifest", "print what a sealed checkpoint consists of", cmd_manifest,
	 "Usage: sealctl manifest [--json | --fsverity] PATH\n"
	 "\n"
	 "Prints the manifest of the sealed checkpoint PATH, which may be a copy, after\n"
	 "checking it against the root digest.\n"
	 "\n"
	 "      --json       print a JSON object\n"
	 "      --fsverity   print the files as 'fsverity digest' does in the checkpoint\n"
	 "  -h, --help       show this help\n"},
	{"keygen", "make a key that signs seals", cmd_keygen,
	 "Usage: sealctl keygen [--name NAME] [--days N] FILE\n"
	 "\n"
	 "Makes an Ed25519 key: the private one in FILE, which only its owner may read, the\n"
	 "public one in FILE.pub. Nothing that exists is overwritten.\n"
	 "\n"
	 "      --name NAME   what messages call it (default: the public file's name)\n"
	 "      --days N      seals that are made later than N days from now do not count\n"
	 "                    (default: for ever)\n"
	 "  -h, --help        show this help\n"},
	{"lineage", "show which checkpoint was made from which", cmd_lineage,
	 "Usage: sealctl lineage [--json | --dot | --html FILE] PATH|EXPORT|MOUNT...\n"
	 "\n"
	 "Shows the ancestors of the checkpoint PATH, or all of an export or mount,\n"
	 "and whether the parents that the seals list are still the same.\n"
	 "\n"
	 "      --json        print a JSON object\n"
	 "      --dot         print a graph for Graphviz\n"
	 "      --html FILE   write a page for a browser\n"
	 "  -h, --help        show this help\n"
	 "\n"
	 "Exit status: 5 if a listed parent was replaced or a checkpoint is damaged.\n"},
	{"rm", "remove checkpoints with their data", cmd_rm,
	 "Usage: sealctl rm PATH...\n"
	 "\n"
	 "Removes each checkpoint PATH, which must not be open, and its data.\n"
	 "\n"
	 "  -h, --help   show this help\n"},
	{"stats", "show how often a mount looked at its export", cmd_stats,
	 "Usage: sealctl stats [--json] [MOUNT]...\n"
	 "\n"
	 "Shows what each MOUNT, or all, has done since it was mounted: how many processes\n"
	 "waited, how often it looked at the export for them, and the hints that mounts\n"
	 "send each other so that they need not.\n"
	 "\n"
	 "      --json   print a JSON array\n"
	 "  -h, --help   show this help\n"},
	{"doctor", "check what sealfs needs on this machine", cmd_doctor,
	 "Usage: sealctl doctor [--json] EXPORT|MOUNT\n"
	 "\n"
	 "Checks kernel, FUSE, and the options, links and locks of the export. Exit\n"
	 "status 1 if something fails.\n"
	 "\n"
	 "      --json   print a JSON array\n"
	 "  -h, --help   show this help\n"},
};

int main(int argc, char **argv)
{
	static const struct program program = {"sealctl", commands, sizeof(commands) / sizeof(commands[0])};

	return commands_main(&program, argc, argv);
}
