/*
 * strategy - which trial is to be next
 *
 * A strategy is a function of what has been asked and told: it keeps no state of its own, so whoever reads the journal comes to the same
 * decision, on any machine and after any crash. It never waits: where results are missing it decides with those
 * that are there, and may choose a parent that still runs. The file system makes the child wait.
 */
#ifndef SEALTUNER_STRATEGY_H
#define SEALTUNER_STRATEGY_H

#include "experiment.h"
#include "rng.h"

struct proposal {
	json_t *parameters; /* new reference */
	size_t parent;      /* or TRIAL_NONE */
	const char *role;   /* or NULL */
	json_t *note;       /* what the strategy wants to find again in the trial, or NULL; new reference */
};

struct strategy_setting {
	const char *name;
	double value; /* the default; NAN: told by the strategy's page */
	double least, most;
	bool whole;
	const char *what; /* for people */
};

#define STRATEGY_SETTINGS 6

struct strategy {
	const char *name;
	const char *summary;
	const char *source; /* the paper */
	unsigned int population; /* the default */
	struct strategy_setting settings[STRATEGY_SETTINGS]; /* until name is NULL */
	/* Can it search this space? May be NULL. -EINVAL with *why. */
	int (*check)(const struct experiment *experiment, char **why);
	/* -ENOMEM. */
	int (*propose)(const struct experiment *experiment, struct rng *rng, struct proposal *out);
};

extern const struct strategy *const strategies[]; /* NULL-terminated */
const struct strategy *strategy_find(const char *name);
const struct strategy_setting *strategy_find_setting(const struct strategy *strategy, const char *name);

/* What comes next, the random numbers being those of the next number. Parents are such as trial_restorable() allows. */
int strategy_propose(const struct experiment *experiment, struct proposal *out);
void proposal_free(struct proposal *proposal);

/* ---- for strategies ---- */

/* A trial without a parent, its parameters drawn. */
int strategy_draw(const struct experiment *experiment, struct rng *rng, struct proposal *out);

extern const struct strategy strategy_random, strategy_evolution, strategy_morphism, strategy_pbt, strategy_enas,
	strategy_darts;

#endif
