/*
 * show - trials as JSON and as text
 */
#ifndef SEALTUNER_SHOW_H
#define SEALTUNER_SHOW_H

#include "experiment.h"

/* {"id", "number", "state", "value", "reason", "parent", "role", "removed", "parameters", "asked", "told"}; NULL when memory is out. */
json_t *show_trial(const struct experiment *experiment, const struct trial *trial);

/* The whole of `status --json`. */
json_t *show_experiment(const struct place *place, const struct experiment *experiment);

/* A value for people, "0.9312", into `text`; "" when there is none. */
#define SHOW_VALUE_SIZE 32
void show_value(const struct trial *trial, char text[SHOW_VALUE_SIZE]);

/* The parameters on one line, "lr=0.1 layers=3", cut to `width` characters. Allocated; NULL when memory is out. */
char *show_parameters(const json_t *parameters, size_t width);

#endif
