/*
 * policy - a small stochastic policy over the options of a search space, taught by REINFORCE
 *
 * Every choice, and every randint of at most POLICY_OPTIONS values, is a decision: a softmax over its options. A
 * decision sees the one that was made just before (autoregressive, of order one). All else is drawn by its own
 * distribution. No I/O.
 */
#ifndef SEALTUNER_POLICY_H
#define SEALTUNER_POLICY_H

#include "space.h"

#define POLICY_OPTIONS 64

struct policy_settings {
	double rate;     /* of learning */
	double entropy;  /* weight of the policy's entropy in what is maximised */
	double baseline; /* decay of the moving average that rewards are compared with */
};

struct policy;

/* All options are equally likely at first. NULL when memory is out. */
struct policy *policy_create(const struct space *space, const struct policy_settings *settings);
void policy_free(struct policy *policy);

/* How many decisions there are in all. */
size_t policy_decisions(const struct policy *policy);

/* Draws an assignment; new reference, NULL when memory is out. */
json_t *policy_draw(const struct policy *policy, struct rng *rng);

/* One step of gradient ascent for an assignment and its reward, larger being better. Rewards are scaled by how much they vary. */
int policy_learn(struct policy *policy, const json_t *assignment, double reward);

#endif
