/*
 * strategy_enas - shared weights and a controller: H. Pham, M. Y. Guan, B. Zoph, Q. V. Le, J. Dean, "Efficient neural
 * architecture search via parameter sharing", ICML 2018
 *
 * The paper shares weights in the memory of one process. Here they are handed on by checkpoints: trials of the role "train" form a
 * chain, each restores the one before it, trains the architecture that it is given and saves the shared weights; after
 * each, `fanout` trials of the role "evaluate" restore them at once and report how good other architectures are with
 * them. Their results teach the controller.
 *
 * The controller is no LSTM but the policy of policy.h. Its weight of the entropy is the published one (0.0001). The
 * published rate (0.00035 with Adam) is for half a million decisions; an experiment has hundreds, so the default is
 * larger. How slowly the baseline moves is not published.
 */
#include <errno.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "policy.h"
#include "strategy.h"

#define TRAIN "train"
#define EVALUATE "evaluate"

static bool has_role(const struct trial *trial, const char *role)
{
	return trial->role && !strcmp(trial->role, role);
}

/* The end of the chain, or TRIAL_NONE. */
static size_t chain_end(const struct experiment *experiment)
{
	for (size_t i = experiment->count; i > 0; i--)
		if (has_role(experiment->trials[i - 1], TRAIN) && trial_restorable(experiment->trials[i - 1]))
			return i - 1;
	return TRIAL_NONE;
}

/* How many have been asked to evaluate what that trial saves. */
static size_t readers(const struct experiment *experiment, size_t parent)
{
	size_t count = 0;

	for (size_t i = parent + 1; i < experiment->count; i++)
		count += has_role(experiment->trials[i], EVALUATE) && experiment->trials[i]->parent == parent &&
			 experiment->trials[i]->state != TRIAL_FAILED;
	return count;
}

/* In the order in which the results came in. */
static int teach(const struct experiment *experiment, struct policy *policy)
{
	AUTO_FREE const struct trial **told = calloc(experiment->told + 1, sizeof(*told));
	int error = 0;

	if (!told)
		return -ENOMEM;
	for (size_t i = 0; i < experiment->count; i++) {
		const struct trial *trial = experiment->trials[i];

		if (trial->state == TRIAL_DONE && trial->told_order && (has_role(trial, EVALUATE) || trial->imported))
			told[trial->told_order] = trial;
	}
	for (size_t i = 1; i <= experiment->told && !error; i++)
		if (told[i])
			error = policy_learn(policy, told[i]->parameters,
					     experiment->minimize ? -told[i]->value : told[i]->value);
	return error;
}

static void drop_policy(struct policy **policy)
{
	policy_free(*policy);
}

static struct policy *make_policy(const struct experiment *experiment)
{
	struct policy_settings settings = {.rate = experiment_setting(experiment, "rate"),
					   .entropy = experiment_setting(experiment, "entropy"),
					   .baseline = experiment_setting(experiment, "baseline")};

	return policy_create(experiment->space, &settings);
}

static int propose(const struct experiment *experiment, struct rng *rng, struct proposal *out)
{
	CLEANUP(drop_policy) struct policy *policy = make_policy(experiment);
	int error = policy ? teach(experiment, policy) : -ENOMEM;

	if (error)
		return error;
	out->parent = chain_end(experiment);
	out->role = out->parent == TRIAL_NONE ||
				    (double)readers(experiment, out->parent) >= experiment_setting(experiment, "fanout")
			    ? TRAIN
			    : EVALUATE;
	out->parameters = policy_draw(policy, rng);
	return out->parameters ? 0 : -ENOMEM;
}

static int check(const struct experiment *experiment, char **why)
{
	CLEANUP(drop_policy) struct policy *policy = make_policy(experiment);

	if (!policy)
		return -ENOMEM;
	if (policy_decisions(policy))
		return 0;
	*why = strdup("enas chooses among options, and there is no 'choice' or small 'randint' in the search space");
	return -EINVAL;
}

const struct strategy strategy_enas = {
	.name = "enas",
	.summary = "a chain of shared weights, read by samples of a controller",
	.source = "Pham et al. 2018",
	.population = 1,
	.settings = {{"fanout", 10, 1, 1e6, true, "how many evaluate what a link of the chain has saved"},
		     {"rate", 0.2, 1e-9, 100, false, "the controller's rate of learning"},
		     {"entropy", 0.0001, 0, 100, false, "weight of its entropy"},
		     {"baseline", 0.9, 0, 0.999999, false, "decay of the average that rewards are compared with"}},
	.check = check,
	.propose = propose,
};
