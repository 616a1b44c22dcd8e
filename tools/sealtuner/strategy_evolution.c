/*
 * strategy_evolution - regularised evolution: E. Real, A. Aggarwal, Y. Huang, Q. V. Le, "Regularized evolution for image
 * classifier architecture search", AAAI 2019
 *
 * The population are the P trials that were asked for last, so a trial leaves it by age, however good it is. Of S of them, taken at random, the best
 * has a child: its parameters with one of them drawn anew. The child restores the parent's
 * checkpoint. Published settings: P 100, S 25 (their CIFAR-10 searches), one mutation.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "../sealctl/cleanup.h"
#include "strategy.h"

struct herd {
	struct trial **list;
	size_t count;
};

static void herd_free(struct herd *herd)
{
	free(herd->list);
}

/* The youngest of those that have not failed. *living counts them; in the herd are those that can be restored and, if `done`, have a result. */
static int gather(const struct experiment *experiment, bool done, struct herd *herd, size_t *living)
{
	*living = 0;
	herd->count = 0;
	herd->list = calloc(experiment->population + 1, sizeof(struct trial *));
	if (!herd->list)
		return -ENOMEM;
	for (size_t i = experiment->count; i > 0 && *living < experiment->population; i--) {
		struct trial *trial = experiment->trials[i - 1];

		if (trial->state == TRIAL_FAILED)
			continue;
		++*living;
		if (trial_restorable(trial) && (!done || trial->state == TRIAL_DONE))
			herd->list[herd->count++] = trial;
	}
	return 0;
}

static size_t sample_size(const struct experiment *experiment)
{
	double sample = experiment_setting(experiment, "sample");

	if (isnan(sample))
		sample = fmax(2, round(experiment->population / 4.0));
	return (size_t)sample;
}

/* The best of a sample, each at most once. */
static struct trial *tournament(const struct experiment *experiment, struct rng *rng, struct herd *herd)
{
	size_t size = sample_size(experiment);
	struct trial *best = NULL;

	for (size_t i = 0; i < size && i < herd->count; i++) {
		size_t other = i + rng_below(rng, herd->count - i);
		struct trial *drawn = herd->list[other];

		herd->list[other] = herd->list[i];
		herd->list[i] = drawn;
		if (!best || experiment_better(experiment, drawn, best))
			best = drawn;
	}
	return best;
}

static struct trial *choose(const struct experiment *experiment, struct rng *rng, int *error)
{
	CLEANUP(herd_free) struct herd ready = {0}, running = {0};
	size_t living;

	*error = gather(experiment, true, &ready, &living);
	if (*error || living < experiment->population)
		return NULL;
	if (ready.count)
		return tournament(experiment, rng, &ready);
	/* No result yet: any of those that run will do, and the child waits for it. */
	*error = gather(experiment, false, &running, &living);
	return *error || !running.count ? NULL : running.list[rng_below(rng, running.count)];
}

static int propose(const struct experiment *experiment, struct rng *rng, struct proposal *out)
{
	int error = 0;
	const struct trial *parent = choose(experiment, rng, &error);

	if (error || !parent)
		return error ? error : strategy_draw(experiment, rng, out);
	out->parent = experiment_index(experiment, parent);
	out->parameters = space_mutate(experiment->space, rng, parent->parameters,
				       (unsigned int)experiment_setting(experiment, "mutations"));
	return out->parameters ? 0 : -ENOMEM;
}

const struct strategy strategy_evolution = {
	.name = "evolution",
	.summary = "regularised evolution: the best of a sample has a child",
	.source = "Real et al. 2019",
	.population = 100,
	.settings = {{"sample", NAN, 1, 1e6, true, "how many take part in a tournament (a quarter of the population)"},
		     {"mutations", 1, 1, 1000, true, "how many parameters a child has drawn anew"}},
	.propose = propose,
};
