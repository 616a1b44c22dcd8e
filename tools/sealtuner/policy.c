#include "policy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <uthash.h>

struct decision {
	const struct space_parameter *parameter; /* the key */
	size_t options;
	double *own;   /* logits: one an option */
	double *after; /* added to them: POLICY_OPTIONS + 1 rows, by the option of the decision before; the last: none */
	UT_hash_handle hh;
};

struct policy {
	const struct space *space;
	struct policy_settings settings;
	struct decision *decisions;
	bool taught;
	double average, variance; /* of the rewards */
};

#define BEFORE_NONE POLICY_OPTIONS

static size_t options_of(const struct space_parameter *parameter)
{
	double range = parameter->high - parameter->low;

	if (parameter->type == SPACE_CHOICE)
		return parameter->option_count <= POLICY_OPTIONS ? parameter->option_count : 0;
	return parameter->type == SPACE_RANDINT && range <= POLICY_OPTIONS ? (size_t)range : 0;
}

static int add_decision(struct policy *policy, const struct space_parameter *parameter)
{
	struct decision *decision;

	if (!options_of(parameter))
		return 0;
	decision = calloc(1, sizeof(*decision));
	if (!decision)
		return -ENOMEM;
	decision->parameter = parameter;
	decision->options = options_of(parameter);
	decision->own = calloc(decision->options, sizeof(double));
	decision->after = calloc(decision->options * (POLICY_OPTIONS + 1), sizeof(double));
	HASH_ADD_PTR(policy->decisions, parameter, decision);
	return decision->own && decision->after ? 0 : -ENOMEM;
}

static int add_level(struct policy *policy, const struct space *space)
{
	int error = 0;

	for (size_t i = 0; i < space->count && !error; i++) {
		const struct space_parameter *parameter = &space->parameters[i];

		error = add_decision(policy, parameter);
		for (size_t j = 0; j < parameter->option_count && !error; j++)
			if (parameter->options[j].below)
				error = add_level(policy, parameter->options[j].below);
	}
	return error;
}

struct policy *policy_create(const struct space *space, const struct policy_settings *settings)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->space = space;
	policy->settings = *settings;
	if (!add_level(policy, space))
		return policy;
	policy_free(policy);
	return NULL;
}

void policy_free(struct policy *policy)
{
	struct decision *decision, *next;

	if (!policy)
		return;
	HASH_ITER(hh, policy->decisions, decision, next)
	{
		HASH_DEL(policy->decisions, decision);
		free(decision->own);
		free(decision->after);
		free(decision);
	}
	free(policy);
}

size_t policy_decisions(const struct policy *policy)
{
	return HASH_COUNT(policy->decisions);
}

static struct decision *find(const struct policy *policy, const struct space_parameter *parameter)
{
	struct decision *decision;

	HASH_FIND_PTR(policy->decisions, &parameter, decision);
	return decision;
}

static void probabilities(const struct decision *decision, size_t before, double p[POLICY_OPTIONS])
{
	const double *after = decision->after + before * decision->options;
	double most = -INFINITY, sum = 0;

	for (size_t k = 0; k < decision->options; k++) {
		p[k] = decision->own[k] + after[k];
		most = fmax(most, p[k]);
	}
	for (size_t k = 0; k < decision->options; k++)
		sum += p[k] = exp(p[k] - most);
	for (size_t k = 0; k < decision->options; k++)
		p[k] /= sum;
}

/* ---- drawing ---- */

static size_t pick(const struct decision *decision, size_t before, struct rng *rng)
{
	double p[POLICY_OPTIONS], left = rng_unit(rng);
	size_t k = 0;

	probabilities(decision, before, p);
	for (; k + 1 < decision->options && left >= p[k]; k++)
		left -= p[k];
	return k;
}

static json_t *draw_level(const struct policy *policy, const struct space *space, struct rng *rng, size_t *before);

static json_t *draw_option(const struct policy *policy, const struct space_option *option, struct rng *rng, size_t *before)
{
	json_t *value;

	if (!option->below)
		return json_deep_copy(option->value);
	value = draw_level(policy, option->below, rng, before);
	if (value && json_object_set(value, "_name", option->value)) {
		json_decref(value);
		return NULL;
	}
	return value;
}

static json_t *draw_value(const struct policy *policy, const struct space_parameter *parameter, struct rng *rng,
			  size_t *before)
{
	const struct decision *decision = find(policy, parameter);

	if (!decision)
		return space_draw_value(parameter, rng);
	*before = pick(decision, *before, rng);
	if (parameter->type == SPACE_CHOICE)
		return draw_option(policy, &parameter->options[*before], rng, before);
	return json_integer((json_int_t)parameter->low + (json_int_t)*before);
}

static json_t *draw_level(const struct policy *policy, const struct space *space, struct rng *rng, size_t *before)
{
	json_t *assignment = json_object();

	for (size_t i = 0; assignment && i < space->count; i++)
		if (json_object_set_new(assignment, space->parameters[i].name,
					draw_value(policy, &space->parameters[i], rng, before))) {
			json_decref(assignment);
			return NULL;
		}
	return assignment;
}

json_t *policy_draw(const struct policy *policy, struct rng *rng)
{
	size_t before = BEFORE_NONE;

	return draw_level(policy, policy->space, rng, &before);
}

/* ---- learning ---- */

struct lesson {
	const struct policy *policy;
	double advantage;
	size_t before;
};

static size_t taken(const struct space_spot *spot)
{
	const json_t *value = json_object_get(spot->holder, spot->parameter->name);

	if (spot->parameter->type == SPACE_CHOICE)
		return space_option_of(spot->parameter, value);
	return (size_t)(json_number_value(value) - spot->parameter->low);
}

/* The gradients of advantage × log p(taken) and of the entropy, by each logit. */
static int learn_one(void *arg, const struct space_spot *spot)
{
	struct lesson *lesson = arg;
	struct decision *decision = find(lesson->policy, spot->parameter);
	double p[POLICY_OPTIONS], entropy = 0, *after;
	size_t option = decision ? taken(spot) : 0;

	if (!decision || option >= decision->options)
		return 0;
	probabilities(decision, lesson->before, p);
	after = decision->after + lesson->before * decision->options;
	for (size_t k = 0; k < decision->options; k++)
		entropy -= p[k] > 0 ? p[k] * log(p[k]) : 0;
	for (size_t k = 0; k < decision->options; k++) {
		double slope = lesson->advantage * ((k == option) - p[k]);

		slope -= lesson->policy->settings.entropy * (p[k] > 0 ? p[k] * (log(p[k]) + entropy) : 0);
		decision->own[k] += lesson->policy->settings.rate * slope;
		after[k] += lesson->policy->settings.rate * slope;
	}
	lesson->before = option;
	return 0;
}

int policy_learn(struct policy *policy, const json_t *assignment, double reward)
{
	struct lesson lesson = {.policy = policy, .before = BEFORE_NONE};
	double decay = policy->settings.baseline, away = policy->taught ? reward - policy->average : 0;
	json_auto_t *copy = json_deep_copy(assignment);

	if (!copy)
		return -ENOMEM;
	policy->average = policy->taught ? policy->average + (1 - decay) * away : reward;
	policy->variance = policy->variance ? decay * policy->variance + (1 - decay) * away * away : away * away;
	policy->taught = true;
	if (policy->variance > 0)
		lesson.advantage = away / sqrt(policy->variance);
	return space_each(policy->space, copy, learn_one, &lesson);
}
