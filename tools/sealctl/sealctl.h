/*
 * sealctl - the sub-commands and what they share
 */
#ifndef SEALCTL_SEALCTL_H
#define SEALCTL_SEALCTL_H

struct command {
	const char *name;
	const char *summary; /* one line, no full stop */
	/* argv[0] is "sealctl NAME", for getopt's messages. Returns the exit status. */
	int (*run)(const struct command *self, int argc, char **argv);
	const char *usage; /* what --help prints */
};

int cmd_init(const struct command *self, int argc, char **argv);
int cmd_run(const struct command *self, int argc, char **argv);
int cmd_reserve(const struct command *self, int argc, char **argv);
int cmd_seal(const struct command *self, int argc, char **argv);
int cmd_abandon(const struct command *self, int argc, char **argv);
int cmd_wait(const struct command *self, int argc, char **argv);
int cmd_status(const struct command *self, int argc, char **argv);
int cmd_verify(const struct command *self, int argc, char **argv);
int cmd_manifest(const struct command *self, int argc, char **argv);
int cmd_keygen(const struct command *self, int argc, char **argv);
int cmd_lineage(const struct command *self, int argc, char **argv);
int cmd_rm(const struct command *self, int argc, char **argv);
int cmd_stats(const struct command *self, int argc, char **argv);
int cmd_doctor(const struct command *self, int argc, char **argv);

#endif
