/* fuzz_space - whatever search space is accepted: what is drawn from it, and what that is changed to, is one of it */
#include "fuzz.h"

#include <math.h>

#include "../../tools/sealtuner/space.h"

/* Rounding to multiples may leave what is as wide as all doubles. */
static int tame(const struct space *space)
{
	for (size_t i = 0; i < space->count; i++) {
		const struct space_parameter *p = &space->parameters[i];

		if (fabs(p->low) > 1e100 || fabs(p->high) > 1e100 || fabs(p->mean) > 100 || p->deviation > 100 || p->step < 1e-100 || p->step > 1e100)
			return 0;
		for (size_t j = 0; j < p->option_count; j++)
			if (p->options[j].below && !tame(p->options[j].below))
				return 0;
	}
	return 1;
}

static void expect_inside(const struct space *space, json_t *assignment)
{
	char *why = NULL;

	MUST(assignment);
	if (space_check(space, assignment, &why)) {
		fprintf(stderr, "%s\n", why ? why : "");
		abort();
	}
	json_decref(assignment);
}

static void use(const struct space *space)
{
	json_t *drawn;
	struct rng rng;

	rng_seed(&rng, 1, 2);
	drawn = space_draw(space, &rng);
	MUST(drawn);
	expect_inside(space, space_mutate(space, &rng, drawn, 3));
	expect_inside(space, space_step(space, &rng, drawn, 3, 0.2, false));
	expect_inside(space, space_step(space, &rng, drawn, 3, 0.2, true));
	expect_inside(space, space_perturb(space, &rng, drawn, 0.2, 0.25));
	expect_inside(space, drawn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct space *space = NULL;
	char *why = NULL;

	if (json && !space_parse(json, &space, &why)) {
		if (tame(space))
			use(space);
		space_free(space);
	} else {
		MUST(!space);
	}
	free(why);
	json_decref(json);
	return 0;
}
