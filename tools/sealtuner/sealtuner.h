/*
 * sealtuner - the sub-commands; their table is in main.c
 */
#ifndef SEALTUNER_SEALTUNER_H
#define SEALTUNER_SEALTUNER_H

#include "../sealctl/sealctl.h"

int tuner_init(const struct command *self, int argc, char **argv);
int tuner_ask(const struct command *self, int argc, char **argv);
int tuner_tell(const struct command *self, int argc, char **argv);
int tuner_import(const struct command *self, int argc, char **argv);
int tuner_run(const struct command *self, int argc, char **argv);
int tuner_status(const struct command *self, int argc, char **argv);
int tuner_best(const struct command *self, int argc, char **argv);
int tuner_lineage(const struct command *self, int argc, char **argv);

#endif
