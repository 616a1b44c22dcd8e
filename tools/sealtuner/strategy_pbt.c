/*
 * strategy_pbt - population based training: M. Jaderberg et al., "Population based training of neural networks", 2017
 * (arXiv:1711.09846), with the quantiles and perturbations of NNI's PBT tuner
 *
 * A population of members trains generation after generation; each trial continues the checkpoint of the same member's
 * generation before. A member that is among the worst `fraction` restores one of the best `fraction` instead and gets
 * its parameters, perturbed. NNI's settings: population 10, fraction 0.2, factor 0.2, resample 0.25.
 *
 * NNI lets a generation wait for the last one of it. Here nobody waits: a member is compared with the latest results of the others. Where its own
 * is not there yet, it goes on with what it has, and the file system makes it wait.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "../sealctl/cleanup.h"
#include "strategy.h"

struct member {
	size_t last, done; /* its latest trial that has not failed, and the latest with a result; or TRIAL_NONE */
	long generation;   /* how many it has begun */
};

struct ranking {
	const struct experiment *experiment;
	size_t *list; /* indices of trials, the best first */
	size_t count;
};

static void ranking_free(struct ranking *ranking)
{
	free(ranking->list);
}

static void fill_members(const struct experiment *experiment, struct member *members)
{
	for (unsigned int i = 0; i < experiment->population; i++)
		members[i] = (struct member){TRIAL_NONE, TRIAL_NONE, 0};
	for (size_t i = 0; i < experiment->count; i++) {
		const struct trial *trial = experiment->trials[i];
		json_int_t number = json_integer_value(json_object_get(trial->note, "member"));
		struct member *member;

		/* A failed one is tried again, as the same generation. */
		if (trial->imported || trial->state == TRIAL_FAILED || number < 0 || number >= experiment->population)
			continue;
		member = &members[number];
		member->generation = (long)json_integer_value(json_object_get(trial->note, "generation")) + 1;
		if (!trial_restorable(trial))
			continue;
		member->last = i;
		if (trial->state == TRIAL_DONE)
			member->done = i;
	}
}

static bool is_ready(const struct member *member)
{
	return member->last == member->done;
}

/* The one that is behind; of equal ones rather one whose result is there. */
static unsigned int whose_turn(const struct experiment *experiment, const struct member *members)
{
	unsigned int next = 0;

	for (unsigned int i = 1; i < experiment->population; i++)
		if (members[i].generation < members[next].generation ||
		    (members[i].generation == members[next].generation && is_ready(&members[i]) && !is_ready(&members[next])))
			next = i;
	return next;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct experiment *experiment = arg;
	size_t left = *(const size_t *)a, right = *(const size_t *)b;

	if (experiment_better(experiment, experiment->trials[left], experiment->trials[right]))
		return -1;
	if (experiment_better(experiment, experiment->trials[right], experiment->trials[left]))
		return 1;
	return left < right ? -1 : left > right;
}

static int rank(struct ranking *ranking, const struct member *members)
{
	const struct experiment *experiment = ranking->experiment;

	ranking->list = calloc(experiment->population + 1, sizeof(size_t));
	if (!ranking->list)
		return -ENOMEM;
	for (unsigned int i = 0; i < experiment->population; i++)
		if (members[i].done != TRIAL_NONE)
			ranking->list[ranking->count++] = members[i].done;
	qsort_r(ranking->list, ranking->count, sizeof(size_t), compare, (void *)experiment);
	return 0;
}

/* How many are the best, and how many the worst. */
static size_t cut(const struct ranking *ranking)
{
	return (size_t)ceil(experiment_setting(ranking->experiment, "fraction") * (double)ranking->count);
}

static bool is_bottom(const struct ranking *ranking, size_t trial)
{
	for (size_t i = 0; i < ranking->count; i++)
		if (ranking->list[i] == trial)
			return i + cut(ranking) >= ranking->count && i >= cut(ranking);
	return false;
}

static int go_on(const struct experiment *experiment, size_t parent, struct proposal *out)
{
	out->parent = parent;
	out->parameters = json_deep_copy(experiment->trials[parent]->parameters);
	return out->parameters ? 0 : -ENOMEM;
}

static int exploit(const struct ranking *ranking, struct rng *rng, struct proposal *out)
{
	const struct experiment *experiment = ranking->experiment;

	out->parent = ranking->list[rng_below(rng, cut(ranking))];
	out->parameters = space_perturb(experiment->space, rng, experiment->trials[out->parent]->parameters,
					experiment_setting(experiment, "factor"), experiment_setting(experiment, "resample"));
	return out->parameters ? 0 : -ENOMEM;
}

static int decide(const struct experiment *experiment, const struct member *members, const struct member *member,
		  struct rng *rng, struct proposal *out)
{
	CLEANUP(ranking_free) struct ranking ranking = {.experiment = experiment};
	int error = rank(&ranking, members);

	if (error)
		return error;
	if (member->last == TRIAL_NONE)
		return ranking.count && member->generation ? exploit(&ranking, rng, out)
							   : strategy_draw(experiment, rng, out);
	if (is_ready(member) && is_bottom(&ranking, member->done))
		return exploit(&ranking, rng, out);
	return go_on(experiment, member->last, out);
}

static int propose(const struct experiment *experiment, struct rng *rng, struct proposal *out)
{
	AUTO_FREE struct member *members = calloc(experiment->population + 1, sizeof(*members));
	unsigned int number;
	int error;

	if (!members)
		return -ENOMEM;
	fill_members(experiment, members);
	number = whose_turn(experiment, members);
	error = decide(experiment, members, &members[number], rng, out);
	if (error)
		return error;
	out->note = json_pack("{s:I, s:I}", "member", (json_int_t)number, "generation",
			      (json_int_t)members[number].generation);
	return out->note ? 0 : -ENOMEM;
}

const struct strategy strategy_pbt = {
	.name = "pbt",
	.summary = "population based training: exploit and explore",
	.source = "Jaderberg et al. 2017",
	.population = 10,
	.settings = {{"fraction", 0.2, 1e-6, 0.5, false, "the part of the population that is best, and worst"},
		     {"factor", 0.2, 1e-6, 1, false, "a perturbation, as a part of the range"},
		     {"resample", 0.25, 0, 1, false, "probability that a parameter is drawn anew"}},
	.propose = propose,
};
