#include "strategy.h"

#include <errno.h>
#include <string.h>

const struct strategy *const strategies[] = {&strategy_random, &strategy_evolution, &strategy_morphism,
					     &strategy_pbt,    &strategy_enas,	    &strategy_darts,
					     NULL};

const struct strategy *strategy_find(const char *name)
{
	for (const struct strategy *const *strategy = strategies; *strategy; strategy++)
		if (!strcmp((*strategy)->name, name))
			return *strategy;
	return NULL;
}

const struct strategy_setting *strategy_find_setting(const struct strategy *strategy, const char *name)
{
	for (size_t i = 0; i < STRATEGY_SETTINGS && strategy->settings[i].name; i++)
		if (!strcmp(strategy->settings[i].name, name))
			return &strategy->settings[i];
	return NULL;
}

int strategy_draw(const struct experiment *experiment, struct rng *rng, struct proposal *out)
{
	out->parameters = space_draw(experiment->space, rng);
	out->parent = TRIAL_NONE;
	return out->parameters ? 0 : -ENOMEM;
}

int strategy_propose(const struct experiment *experiment, struct proposal *out)
{
	struct rng rng;

	rng_seed(&rng, experiment->seed, experiment->asked + 1);
	*out = (struct proposal){.parent = TRIAL_NONE};
	return experiment->strategy->propose(experiment, &rng, out);
}

void proposal_free(struct proposal *proposal)
{
	json_decref(proposal->parameters);
	json_decref(proposal->note);
	*proposal = (struct proposal){.parent = TRIAL_NONE};
}
