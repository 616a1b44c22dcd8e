/*
 * strategy_random - every trial is drawn anew and trains from nothing
 *
 * The baseline: what the others must beat (as random search of the NASNet space in B. Zoph et al., "Learning transferable
 * architectures for scalable image recognition", CVPR 2018, section 4.4).
 */
#include "strategy.h"

const struct strategy strategy_random = {
	.name = "random",
	.summary = "no sharing: every trial is drawn anew",
	.source = "Zoph et al. 2018",
	.population = 1,
	.propose = strategy_draw,
};
