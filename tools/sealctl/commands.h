/*
 * commands - a program that is a table of sub-commands
 */
#ifndef SEALCTL_COMMANDS_H
#define SEALCTL_COMMANDS_H

#include <stddef.h>

#include "sealctl.h"

struct program {
	const char *name; /* also of its manual page in section 1 */
	const struct command *commands;
	size_t count;
};

/* The program's main(): options before the sub-command, help, and the sub-command itself. Returns the exit status. */
int commands_main(const struct program *program, int argc, char **argv);

#endif
