/*
 * strategy_morphism - hill climbing by network morphisms: T. Elsken, J.-H. Metzen, F. Hutter, "Simple and efficient
 * architecture search for convolutional neural networks", 2017 (arXiv:1711.04528)
 *
 * A trial has `neighbours` children, each `morphisms` steps away but for the last, which is the trial itself, trained further; then the best of these is the
 * next to have some. So weights are trained on from step to step even when no step away is any better. A child restores the checkpoint of its
 * parent and enlarges the weights without changing what they compute, which is the script's part. Published settings: 8 neighbours, 5 morphisms.
 */
#include <errno.h>

#include "strategy.h"

static long note_of(const struct trial *trial, const char *key)
{
	return (long)json_integer_value(json_object_get(trial->note, key));
}

/* The best that can be restored, of this step or of all (0); without any result the last that runs. */
static struct trial *summit(const struct experiment *experiment, long step)
{
	struct trial *best = NULL, *running = NULL;

	for (size_t i = 0; i < experiment->count; i++) {
		struct trial *trial = experiment->trials[i];

		if (!trial_restorable(trial) || (step && note_of(trial, "step") != step))
			continue;
		if (trial->state != TRIAL_DONE)
			running = trial;
		else if (!best || experiment_better(experiment, trial, best))
			best = trial;
	}
	return best ? best : running;
}

static size_t count_roots(const struct experiment *experiment)
{
	size_t roots = 0;

	for (size_t i = 0; i < experiment->count; i++)
		roots += experiment->trials[i]->state != TRIAL_FAILED && experiment->trials[i]->parent == TRIAL_NONE;
	return roots;
}

/* A lone neighbour is a step away, so its parent is what it has to beat. */
static struct trial *next_summit(const struct experiment *experiment, long step)
{
	struct trial *of_step = step && experiment_setting(experiment, "neighbours") > 1 ? summit(experiment, step) : NULL;

	return of_step ? of_step : summit(experiment, 0);
}

/* As long as a step is not complete its parent stays, even when one of its children is better already. */
static struct trial *choose(const struct experiment *experiment, long *step, long *within)
{
	const struct trial *last = experiment->count ? experiment->trials[experiment->count - 1] : NULL;

	*step = *within = 1;
	if (!last || count_roots(experiment) < experiment->population)
		return NULL;
	*step = note_of(last, "step") + 1;
	if (last->parent == TRIAL_NONE || note_of(last, "neighbour") >= experiment_setting(experiment, "neighbours") ||
	    !trial_restorable(experiment->trials[last->parent]))
		return next_summit(experiment, *step - 1);
	*step = note_of(last, "step");
	*within = note_of(last, "neighbour") + 1;
	return experiment->trials[last->parent];
}

/* How many steps away the neighbour of this number is. */
static unsigned int distance(const struct experiment *experiment, long within)
{
	double neighbours = experiment_setting(experiment, "neighbours");

	return neighbours > 1 && within >= neighbours ? 0 : (unsigned int)experiment_setting(experiment, "morphisms");
}

static int propose(const struct experiment *experiment, struct rng *rng, struct proposal *out)
{
	long step, within;
	const struct trial *parent = choose(experiment, &step, &within);

	if (!parent)
		return strategy_draw(experiment, rng, out);
	out->parent = experiment_index(experiment, parent);
	out->parameters = space_step(experiment->space, rng, parent->parameters,
				     distance(experiment, within), experiment_setting(experiment, "factor"), experiment_setting(experiment, "grow") != 0);
	out->note = json_pack("{s:I, s:I}", "step", (json_int_t)step, "neighbour", (json_int_t)within);
	return out->parameters && out->note ? 0 : -ENOMEM;
}

const struct strategy strategy_morphism = {
	.name = "morphism",
	.summary = "network morphism hill climbing: children of the best",
	.source = "Elsken et al. 2017",
	.population = 1,
	.settings = {{"neighbours", 8, 1, 1e6, true, "how many children there are before the best of them is chosen"},
		     {"morphisms", 5, 1, 1000, true, "how many steps a child is away from its parent"},
		     {"grow", 0, 0, 1, true, "1: what has an order only goes up"},
		     {"factor", 0.2, 1e-6, 1, false, "a step of what is continuous, as a part of its range"}},
	.propose = propose,
};
