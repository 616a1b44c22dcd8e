/*
 * space - the search space: which parameters there are, and which values they may have
 *
 * Read from NNI's search-space JSON: an object whose members are {"_type": TYPE, "_value": [...]}. An option of a
 * 'choice' that is an object with "_name" opens a space of its own below it; the value is then an object with "_name"
 * and what was drawn there. An assignment (one value for each parameter) is a JSON object in the form that NNI hands to
 * trials.
 *
 * No I/O. Functions that return json_t * give a new reference, or NULL when memory is out.
 */
#ifndef SEALTUNER_SPACE_H
#define SEALTUNER_SPACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "rng.h"

enum space_type {
	SPACE_CHOICE,
	SPACE_RANDINT,
	SPACE_UNIFORM,
	SPACE_QUNIFORM,
	SPACE_LOGUNIFORM,
	SPACE_QLOGUNIFORM,
	SPACE_NORMAL,
	SPACE_QNORMAL,
	SPACE_LOGNORMAL,
	SPACE_QLOGNORMAL,
};

struct space;

struct space_option {
	json_t *value;       /* as written; of a nested one its "_name", a string */
	struct space *below; /* the parameters that only this option has, or NULL */
};

struct space_parameter {
	char *name;
	enum space_type type;
	double low, high; /* randint, [q](log)uniform: high is outside of randint */
	double mean, deviation;
	double step; /* of q…: values are multiples of it */
	struct space_option *options;
	size_t option_count;
	bool ordered; /* choice: numbers that ascend */
};

struct space {
	struct space_parameter *parameters;
	size_t count;
};

/* *why, allocated, names the parameter (a nested one with the path to it) and says what is wrong. -EINVAL, -ENOMEM. */
int space_parse(const json_t *json, struct space **out, char **why);
void space_free(struct space *space);

/* Is `assignment` one of this space? 0 or -EINVAL with *why. Members that are no parameters are not looked at. */
int space_check(const struct space *space, const json_t *assignment, char **why);

/* ---- space_draw.c ---- */

json_t *space_draw(const struct space *space, struct rng *rng);
/* One value, drawn by the parameter's distribution. */
json_t *space_draw_value(const struct space_parameter *parameter, struct rng *rng);
/* The value of an option, with what is below it drawn. */
json_t *space_draw_option(const struct space_option *option, struct rng *rng);
/* Which option a value is, or SIZE_MAX. */
size_t space_option_of(const struct space_parameter *parameter, const json_t *value);

/* ---- space_change.c ---- */

/* A parameter that has a value, and the object that holds it under the parameter's name. */
struct space_spot {
	const struct space_parameter *parameter;
	json_t *holder; /* borrowed */
};

/* Calls `each` for every parameter that the assignment has, outer ones first. A return other than 0 ends it. */
int space_each(const struct space *space, json_t *assignment, int (*each)(void *arg, const struct space_spot *spot),
	       void *arg);

/* `times` times, one of the parameters gets another value, drawn by its distribution. */
json_t *space_mutate(const struct space *space, struct rng *rng, const json_t *assignment, unsigned int times);

/*
 * `times` times, one of the parameters makes a step: to the next number or multiple, by `factor` of its range (of its
 * deviation, if it has no range) when it is continuous, to any other option when these have no order. `grow`: what has
 * an order only goes up.
 */
json_t *space_step(const struct space *space, struct rng *rng, const json_t *assignment, unsigned int times,
		   double factor, bool grow);

/* As the tuner PBT of NNI explores: each parameter is drawn anew with probability `resample`, else it makes a step up or
 * down, options as they are written one after the other. */
json_t *space_perturb(const struct space *space, struct rng *rng, const json_t *assignment, double factor,
		      double resample);

#endif
