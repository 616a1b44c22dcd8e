/* The search space: what is accepted, how values are drawn, and how they change. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/sealtuner/space.h"

#define DRAWS 20000

static struct space *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	struct space *space = NULL;
	char *why = NULL;
	int error;

	assert_non_null(json);
	error = space_parse(json, &space, &why);
	if (error)
		fail_msg("%s", why ? why : "no reason");
	json_decref(json);
	return space;
}

static void errors_name_the_parameter(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"[]", "a search space is an object"},
		{"{\"lr\": 3}", "parameter 'lr': it is no object with \"_type\" and \"_value\""},
		{"{\"lr\": {\"_type\": \"uniform\"}}", "parameter 'lr': it is no object"},
		{"{\"lr\": {\"_type\": \"unifrom\", \"_value\": [0, 1]}}", "parameter 'lr': there is no type 'unifrom'"},
		{"{\"lr\": {\"_type\": \"uniform\", \"_value\": [1, 0]}}", "parameter 'lr': the _value of 'uniform' is [low, high]"},
		{"{\"lr\": {\"_type\": \"uniform\", \"_value\": [0, 1, 2]}}", "parameter 'lr': the _value of 'uniform'"},
		{"{\"lr\": {\"_type\": \"uniform\", \"_value\": [0, \"1\"]}}", "parameter 'lr': the _value of 'uniform'"},
		{"{\"n\": {\"_type\": \"randint\", \"_value\": [0, 1.5]}}", "parameter 'n': the _value of 'randint' is [low, high]: integers"},
		{"{\"n\": {\"_type\": \"quniform\", \"_value\": [0, 1, 0]}}", "parameter 'n': the _value of 'quniform'"},
		{"{\"n\": {\"_type\": \"loguniform\", \"_value\": [0, 1]}}", "parameter 'n': the _value of 'loguniform' is [low, high]: numbers, 0 < low"},
		{"{\"n\": {\"_type\": \"normal\", \"_value\": [0, 0]}}", "parameter 'n': the _value of 'normal'"},
		{"{\"n\": {\"_type\": \"choice\", \"_value\": []}}", "parameter 'n': the _value of 'choice'"},
		{"{\"n\": {\"_type\": \"choice\", \"_value\": 3}}", "parameter 'n': the _value of 'choice'"},
		{"{\"l\": {\"_type\": \"choice\", \"_value\": [{\"_name\": \"conv\", \"k\": {\"_type\": \"randint\", \"_value\": [5, 1]}}]}}",
		 "parameter 'l/conv/k': the _value of 'randint'"},
		{"{\"l\": {\"_type\": \"choice\", \"_value\": [{\"_name\": 3}]}}", "parameter 'l': the _name of an option is a string"},
		{"{\"save_path\": {\"_type\": \"choice\", \"_value\": [1]}}", "parameter 'save_path': sealtuner itself"},
		{"{\"role\": {\"_type\": \"choice\", \"_value\": [1]}}", "parameter 'role': sealtuner itself"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = json_loads(cases[i].text, 0, NULL);
		struct space *space = NULL;
		char *why = NULL;

		assert_non_null(json);
		assert_int_equal(space_parse(json, &space, &why), -EINVAL);
		assert_null(space);
		if (!why || !strstr(why, cases[i].expected))
			fail_msg("case %zu: expected \"%s\", got \"%s\"", i, cases[i].expected, why ? why : "nothing");
		free(why);
		json_decref(json);
	}
}

/* What share of the draws is below a bound, and whether all lie in the range and on the grid. */
static void every_type_has_its_distribution(void **state)
{
	static const struct {
		const char *text;
		double least, most, step, bound, share;
	} cases[] = {
		{"{\"x\": {\"_type\": \"randint\", \"_value\": [-3, 7]}}", -3, 6, 1, 1.5, 0.5},
		{"{\"x\": {\"_type\": \"uniform\", \"_value\": [2, 4]}}", 2, 4, 0, 2.5, 0.25},
		{"{\"x\": {\"_type\": \"quniform\", \"_value\": [0, 10, 2]}}", 0, 10, 2, 1, 0.1},
		{"{\"x\": {\"_type\": \"quniform\", \"_value\": [0.5, 10, 4]}}", 0.5, 10, 0, 1, 1.5 / 9.5},
		{"{\"x\": {\"_type\": \"loguniform\", \"_value\": [0.001, 10]}}", 0.001, 10, 0, 0.1, 0.5},
		{"{\"x\": {\"_type\": \"qloguniform\", \"_value\": [1, 100, 1]}}", 1, 100, 1, 10.5, 0.5106},
		{"{\"x\": {\"_type\": \"normal\", \"_value\": [5, 2]}}", -INFINITY, INFINITY, 0, 7, 0.8413},
		{"{\"x\": {\"_type\": \"qnormal\", \"_value\": [5, 2, 0.5]}}", -INFINITY, INFINITY, 0.5, 4.75, 0.4503},
		{"{\"x\": {\"_type\": \"lognormal\", \"_value\": [1, 0.5]}}", 0, INFINITY, 0, 2.718281828, 0.5},
		{"{\"x\": {\"_type\": \"qlognormal\", \"_value\": [1, 0.5, 1]}}", 0, INFINITY, 1, 2.5, 0.4336},
		{"{\"x\": {\"_type\": \"choice\", \"_value\": [1, 2, 4]}}", 1, 4, 1, 3, 2.0 / 3},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct space *space = parse(cases[i].text);
		size_t below = 0;
		struct rng rng;

		rng_seed(&rng, 11, i);
		for (int draw = 0; draw < DRAWS; draw++) {
			json_t *assignment = space_draw(space, &rng);
			json_t *json = json_object_get(assignment, "x");
			double value = json_number_value(json);
			char *why = NULL;

			assert_true(json_is_number(json));
			assert_true(value >= cases[i].least && value <= cases[i].most);
			if (cases[i].step)
				assert_true(fabs(value / cases[i].step - round(value / cases[i].step)) < 1e-9);
			assert_int_equal(space_check(space, assignment, &why), 0);
			below += value < cases[i].bound;
			json_decref(assignment);
		}
		if (fabs((double)below / DRAWS - cases[i].share) > 0.015)
			fail_msg("%s: %g instead of %g are below %g", cases[i].text, (double)below / DRAWS, cases[i].share, cases[i].bound);
		space_free(space);
	}
}

#define NESTED                                                                                                         \
	"{\"layer\": {\"_type\": \"choice\", \"_value\": [{\"_name\": \"none\"}, {\"_name\": \"conv\", "               \
	"\"kernel\": {\"_type\": \"choice\", \"_value\": [3, 5, 7]}, \"width\": {\"_type\": \"randint\", \"_value\": "    \
	"[1, 9]}}]}, \"act\": {\"_type\": \"choice\", \"_value\": [\"relu\", \"tanh\", {\"a\": 1}]}, \"lr\": "            \
	"{\"_type\": \"loguniform\", \"_value\": [0.001, 1]}}"

static void nested_choices_have_the_form_of_nni(void **state)
{
	struct space *space = parse(NESTED);
	size_t empty = 0;
	struct rng rng;

	rng_seed(&rng, 5, 5);
	for (int i = 0; i < 1000; i++) {
		json_t *assignment = space_draw(space, &rng), *layer = json_object_get(assignment, "layer");
		const char *name = json_string_value(json_object_get(layer, "_name"));

		assert_non_null(name);
		if (!strcmp(name, "none")) {
			assert_int_equal(json_object_size(layer), 1);
			empty++;
		} else {
			assert_string_equal(name, "conv");
			assert_int_equal(json_object_size(layer), 3);
			assert_true(json_is_integer(json_object_get(layer, "kernel")));
			assert_in_range(json_integer_value(json_object_get(layer, "width")), 1, 8);
		}
		json_decref(assignment);
	}
	assert_in_range(empty, 440, 560);
	space_free(space);
}

static void check_finds_what_is_no_assignment(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"[]", "no object"},
		{"{\"act\": \"relu\", \"lr\": 0.1}", "parameter 'layer': it has no value"},
		{"{\"act\": \"elu\", \"lr\": 0.1, \"layer\": {\"_name\": \"none\"}}", "parameter 'act': its value is none of its options"},
		{"{\"act\": \"relu\", \"lr\": 2, \"layer\": {\"_name\": \"none\"}}", "parameter 'lr': its value is not one of its 'loguniform'"},
		{"{\"act\": \"relu\", \"lr\": 0.1, \"layer\": {\"_name\": \"conv\", \"kernel\": 4, \"width\": 3}}", "parameter 'layer/conv/kernel'"},
		{"{\"act\": \"relu\", \"lr\": 0.1, \"layer\": {\"_name\": \"conv\", \"kernel\": 3, \"width\": 9}}", "parameter 'layer/conv/width'"},
		{"{\"act\": {\"a\": 1}, \"lr\": 1, \"layer\": {\"_name\": \"conv\", \"kernel\": 3.0, \"width\": 3}, \"more\": 1}", NULL},
	};
	struct space *space = parse(NESTED);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = json_loads(cases[i].text, 0, NULL);
		char *why = NULL;
		int error = space_check(space, json, &why);

		assert_int_equal(error, cases[i].expected ? -EINVAL : 0);
		if (cases[i].expected && !strstr(why, cases[i].expected))
			fail_msg("case %zu: %s", i, why);
		free(why);
		json_decref(json);
	}
	space_free(space);
}

/* How many of the top-level parameters differ. */
static size_t differences(const json_t *a, const json_t *b)
{
	size_t count = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)a, name, value) count += !json_equal(value, json_object_get(b, name));
	return count;
}

static void mutation_changes_one_parameter_and_stays_in_the_space(void **state)
{
	struct space *space = parse(NESTED);
	json_t *now;
	struct rng rng;

	rng_seed(&rng, 3, 1);
	now = space_draw(space, &rng);
	for (int i = 0; i < 2000; i++) {
		json_t *next = space_mutate(space, &rng, now, 1);
		char *why = NULL;

		assert_int_equal(differences(now, next), 1);
		assert_int_equal(space_check(space, next, &why), 0);
		json_decref(now);
		now = next;
	}
	json_decref(now);
	space_free(space);
}

static void what_has_one_value_is_left_alone(void **state)
{
	struct space *space = parse("{\"a\": {\"_type\": \"choice\", \"_value\": [1]}, \"b\": {\"_type\": \"randint\", \"_value\": [4, 5]}}");
	struct rng rng;
	json_t *now, *mutated, *stepped;

	rng_seed(&rng, 3, 1);
	now = space_draw(space, &rng);
	mutated = space_mutate(space, &rng, now, 3);
	stepped = space_step(space, &rng, now, 3, 0.2, false);
	assert_true(json_equal(now, mutated));
	assert_true(json_equal(now, stepped));
	json_decref(now);
	json_decref(mutated);
	json_decref(stepped);
	space_free(space);
}

static void steps_lead_to_neighbours(void **state)
{
	struct space *space = parse("{\"n\": {\"_type\": \"choice\", \"_value\": [8, 16, 32, 64]}}");
	json_t *now = json_loads("{\"n\": 8}", 0, NULL);
	struct rng rng;

	rng_seed(&rng, 9, 1);
	for (int i = 0; i < 200; i++) {
		json_t *next = space_step(space, &rng, now, 1, 0.2, false);
		double ratio = json_number_value(json_object_get(next, "n")) / json_number_value(json_object_get(now, "n"));

		assert_true(ratio == 2 || ratio == 0.5);
		json_decref(now);
		now = next;
	}
	/* and only up when it is to grow */
	for (int i = 0; i < 10; i++) {
		json_t *next = space_step(space, &rng, now, 1, 0.2, true);

		assert_true(json_number_value(json_object_get(next, "n")) >= json_number_value(json_object_get(now, "n")));
		json_decref(now);
		now = next;
	}
	assert_int_equal(json_integer_value(json_object_get(now, "n")), 64);
	json_decref(now);
	space_free(space);
}

static void no_step_up_is_lost_to_what_is_at_its_end(void **state)
{
	struct space *space = parse("{\"n\": {\"_type\": \"randint\", \"_value\": [0, 11]}, \"m\": {\"_type\": \"choice\", \"_value\": [1, 2]}}");
	json_t *now = json_loads("{\"n\": 0, \"m\": 2}", 0, NULL);
	struct rng rng;

	rng_seed(&rng, 9, 1);
	for (int i = 1; i <= 4; i++) {
		json_t *next = space_step(space, &rng, now, 5, 0.2, true);

		assert_int_equal(json_integer_value(json_object_get(next, "n")), i < 2 ? 5 : 10);
		json_decref(now);
		now = next;
	}
	json_decref(now);
	space_free(space);
}

/* The neighbours that NNI's PBT tuner computes, for factor 0.2 and no resampling. */
static void perturbation_is_that_of_nni(void **state)
{
	static const struct {
		const char *type, *before;
		double up, down;
	} cases[] = {
		{"{\"_type\": \"uniform\", \"_value\": [0, 10]}", "5.0", 7, 3},
		{"{\"_type\": \"uniform\", \"_value\": [0, 10]}", "9.0", 10, 7},
		{"{\"_type\": \"quniform\", \"_value\": [0, 10, 2]}", "4.0", 6, 2},
		{"{\"_type\": \"quniform\", \"_value\": [0, 10, 2]}", "10.0", 10, 8},
		{"{\"_type\": \"loguniform\", \"_value\": [0.01, 1]}", "0.1", 0.251188643, 0.0398107171},
		{"{\"_type\": \"loguniform\", \"_value\": [0.01, 1]}", "0.9", 1, 0.358296470},
		{"{\"_type\": \"randint\", \"_value\": [0, 5]}", "4", 4, 3},
		{"{\"_type\": \"normal\", \"_value\": [0, 5]}", "2.0", 3, 1},
		{"{\"_type\": \"qnormal\", \"_value\": [0, 5, 0.5]}", "2.0", 2.5, 1.5},
		{"{\"_type\": \"lognormal\", \"_value\": [0, 1]}", "1.0", 1.221402758, 0.818730753},
		{"{\"_type\": \"choice\", \"_value\": [9, 3, 7]}", "3", 7, 9},
		{"{\"_type\": \"choice\", \"_value\": [9, 3, 7]}", "9", 3, 9},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct space *space;
		bool up = false, down = false;
		json_t *before;
		struct rng rng;

		snprintf(text, sizeof(text), "{\"x\": %s}", cases[i].type);
		space = parse(text);
		snprintf(text, sizeof(text), "{\"x\": %s}", cases[i].before);
		before = json_loads(text, 0, NULL);
		rng_seed(&rng, 1, i);
		for (int draw = 0; draw < 50; draw++) {
			json_t *after = space_perturb(space, &rng, before, 0.2, 0);
			double value = json_number_value(json_object_get(after, "x"));

			if (fabs(value - cases[i].up) < 1e-6)
				up = true;
			else if (fabs(value - cases[i].down) < 1e-6)
				down = true;
			else
				fail_msg("case %zu: %g", i, value);
			json_decref(after);
		}
		assert_true(up && down);
		json_decref(before);
		space_free(space);
	}
}

static void resampling_has_its_probability(void **state)
{
	struct space *space = parse("{\"x\": {\"_type\": \"uniform\", \"_value\": [0, 1]}}");
	json_t *before = json_loads("{\"x\": 0.5}", 0, NULL);
	size_t fresh = 0;
	struct rng rng;

	rng_seed(&rng, 2, 2);
	for (int i = 0; i < DRAWS; i++) {
		json_t *after = space_perturb(space, &rng, before, 0.2, 0.25);
		double value = json_number_value(json_object_get(after, "x"));

		fresh += fabs(value - 0.7) > 1e-9 && fabs(value - 0.3) > 1e-9;
		json_decref(after);
	}
	assert_true(fabs((double)fresh / DRAWS - 0.25) < 0.015);
	json_decref(before);
	space_free(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_name_the_parameter),
		cmocka_unit_test(every_type_has_its_distribution),
		cmocka_unit_test(nested_choices_have_the_form_of_nni),
		cmocka_unit_test(check_finds_what_is_no_assignment),
		cmocka_unit_test(mutation_changes_one_parameter_and_stays_in_the_space),
		cmocka_unit_test(what_has_one_value_is_left_alone),
		cmocka_unit_test(steps_lead_to_neighbours),
		cmocka_unit_test(no_step_up_is_lost_to_what_is_at_its_end),
		cmocka_unit_test(perturbation_is_that_of_nni),
		cmocka_unit_test(resampling_has_its_probability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
