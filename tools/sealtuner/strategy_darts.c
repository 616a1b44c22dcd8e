/*
 * strategy_darts - alternating steps on one chain: H. Liu, K. Simonyan, Y. Yang, "DARTS: differentiable architecture
 * search", ICLR 2019 (arXiv:1806.09055, 2018)
 *
 * The paper alternates, in one process, a step of the weights on the training data with a step of the architecture's mixing
 * coefficients on the validation data. Here each is a trial that restores the one before it: the roles "weights" and
 * "architecture" take turns, and what a step is (one batch, one epoch, first or second order) is the script's.
 * The coefficients live in the checkpoint; the parameters of the search space are drawn once, for the whole chain.
 */
#include <errno.h>
#include <string.h>

#include "strategy.h"

#define WEIGHTS "weights"
#define ARCHITECTURE "architecture"

static size_t chain_end(const struct experiment *experiment)
{
	for (size_t i = experiment->count; i > 0; i--)
		if (trial_restorable(experiment->trials[i - 1]))
			return i - 1;
	return TRIAL_NONE;
}

static int propose(const struct experiment *experiment, struct rng *rng, struct proposal *out)
{
	size_t parent = chain_end(experiment);
	const struct trial *before = parent == TRIAL_NONE ? NULL : experiment->trials[parent];

	out->role = before && before->role && !strcmp(before->role, WEIGHTS) ? ARCHITECTURE : WEIGHTS;
	out->parent = parent;
	if (!before)
		return strategy_draw(experiment, rng, out);
	out->parameters = json_deep_copy(before->parameters);
	return out->parameters ? 0 : -ENOMEM;
}

const struct strategy strategy_darts = {
	.name = "darts",
	.summary = "weight and architecture steps take turns on one chain",
	.source = "Liu et al. 2018",
	.population = 1,
	.propose = propose,
};
