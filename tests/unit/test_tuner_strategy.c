/* What the strategies propose, and that those that share weights find more than the one that does not. */
#include <math.h>

#include "tuner.h"

#define TRIALS 200
#define SEEDS 3
#define SPACE                                                                                                          \
	"\"space\": {\"a\": {\"_type\": \"randint\", \"_value\": [0, 8]}, \"b\": {\"_type\": \"randint\", \"_value\": [0, 8]}, "  \
	"\"c\": {\"_type\": \"choice\", \"_value\": [0, 1, 2, 3, 4, 5, 6, 7]}, \"d\": {\"_type\": \"choice\", "               \
	"\"_value\": [0, 1, 2, 3, 4, 5, 6, 7]}, \"e\": {\"_type\": \"uniform\", \"_value\": [0, 7]}, \"f\": {\"_type\": "         \
	"\"randint\", \"_value\": [0, 8]}}"

static void open_strategy(struct tuner *tuner, const char *strategy, unsigned int population, unsigned int seed, const char *settings)
{
	char text[2048];

	snprintf(text, sizeof(text),
		 "{\"version\": 1, \"strategy\": \"%s\", \"goal\": \"maximize\", \"population\": %u, \"seed\": %u, \"settings\": {%s}, " SPACE "}",
		 strategy, population, seed, settings);
	tuner_open(tuner, text);
}

/* ---- an objective: how near the parameters are to the best, and how long the weights were trained ---- */

static double quality(const struct trial *trial)
{
	static const struct {
		const char *name;
		double best;
	} target[] = {{"a", 6}, {"b", 1}, {"c", 5}, {"d", 2}, {"e", 4.5}, {"f", 7}};
	double away = 0;

	for (size_t i = 0; i < sizeof(target) / sizeof(target[0]); i++)
		away += fabs(json_number_value(json_object_get(trial->parameters, target[i].name)) - target[i].best);
	return 1 - away / (7 * 6);
}

static double trained(const struct experiment *experiment, const struct trial *trial)
{
	double steps = 1;

	for (; trial->parent != TRIAL_NONE; trial = experiment->trials[trial->parent])
		steps++;
	return 1 - exp(-steps / 6);
}

struct outcome {
	double best;    /* value */
	double quality; /* of any */
	double late;    /* mean quality of the last quarter */
	size_t sharing; /* trials with a parent */
};

/* Up to `jobs` trials run at once, so results come in late. */
static struct outcome search(const char *strategy, unsigned int population, unsigned int seed, const char *settings, unsigned int jobs)
{
	struct outcome outcome = {0};
	struct tuner tuner;

	open_strategy(&tuner, strategy, population, seed, settings);
	for (unsigned int i = 0; i < TRIALS + jobs; i++) {
		if (i < TRIALS) {
			struct trial *trial = tuner_ask(&tuner);

			outcome.sharing += trial->parent != TRIAL_NONE;
			outcome.quality = fmax(outcome.quality, quality(trial));
			if (i >= TRIALS - TRIALS / 4)
				outcome.late += quality(trial) / (TRIALS / 4);
		}
		if (i >= jobs) {
			struct trial *ended = tuner.experiment.trials[i - jobs];
			double value = quality(ended) * trained(&tuner.experiment, ended);

			outcome.best = fmax(outcome.best, value);
			tuner_tell(&tuner, ended->id, value);
		}
	}
	tuner_close(&tuner);
	return outcome;
}

static struct outcome mean(const char *strategy, unsigned int population, const char *settings)
{
	struct outcome sum = {0};

	for (unsigned int seed = 1; seed <= SEEDS; seed++) {
		struct outcome one = search(strategy, population, seed, settings, 4);

		sum.best += one.best / SEEDS;
		sum.quality += one.quality / SEEDS;
		sum.late += one.late / SEEDS;
		sum.sharing += one.sharing;
	}
	return sum;
}

static void sharing_strategies_beat_random_by_a_margin(void **state)
{
	static const struct {
		const char *name, *settings;
		unsigned int population;
		double late; /* how good what is proposed has become, at least; 0: the strategy does not search */
	} cases[] = {
		{"evolution", "", 20, 0.80},
		{"morphism", "", 1, 0.80},
		{"pbt", "", 10, 0.75},
		{"enas", "", 1, 0.70},
		{"darts", "", 1, 0},
	};
	struct outcome random = mean("random", 1, "");

	assert_int_equal(random.sharing, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome outcome = mean(cases[i].name, cases[i].population, cases[i].settings);

		print_message("%-9s best %.3f, of random %.3f; late proposals %.3f, of random %.3f\n", cases[i].name, outcome.best,
			      random.best, outcome.late, random.late);
		assert_true(outcome.sharing > SEEDS * (TRIALS - 30));
		assert_true(outcome.best > 2 * random.best);
		assert_true(outcome.late >= cases[i].late);
		if (cases[i].late > 0)
			assert_true(outcome.late > random.late + 0.05);
	}
}

/* ---- rules of each ---- */

static void same_seed_and_results_give_the_same_trials(void **state)
{
	for (const struct strategy *const *strategy = strategies; *strategy; strategy++) {
		struct tuner a, b;

		open_strategy(&a, (*strategy)->name, 4, 9, "");
		open_strategy(&b, (*strategy)->name, 4, 9, "");
		for (int i = 0; i < 30; i++) {
			struct trial *left = tuner_ask(&a), *right = tuner_ask(&b);

			assert_true(json_equal((json_t *)left->parameters, (json_t *)right->parameters));
			assert_true(left->parent == right->parent);
			tuner_tell(&a, left->id, quality(left));
			tuner_tell(&b, right->id, quality(right));
		}
		tuner_close(&a);
		tuner_close(&b);
	}
}

/* Whatever has not been told yet: nobody is held back, and no parent is one that failed. */
static void no_strategy_waits_or_chooses_what_has_failed(void **state)
{
	for (const struct strategy *const *strategy = strategies; *strategy; strategy++) {
		struct tuner tuner;

		open_strategy(&tuner, (*strategy)->name, 4, 3, "");
		for (int i = 0; i < 60; i++) {
			struct trial *trial = tuner_ask(&tuner);

			if (trial->parent != TRIAL_NONE)
				assert_int_not_equal(tuner.experiment.trials[trial->parent]->state, TRIAL_FAILED);
			if (i % 3 == 1)
				tuner_fail(&tuner, tuner.experiment.trials[i]->id);
			if (i % 7 == 6)
				tuner_tell(&tuner, tuner.experiment.trials[i - 3]->id, i);
		}
		tuner_close(&tuner);
	}
}

static void evolution_forgets_by_age_and_changes_one_parameter(void **state)
{
	struct tuner tuner;

	open_strategy(&tuner, "evolution", 10, 1, "\"sample\": 10");
	for (int i = 0; i < 100; i++) {
		struct trial *trial = tuner_ask(&tuner), *best = NULL;
		size_t differ = 0;
		const char *name;
		json_t *value;

		tuner_tell(&tuner, trial->id, (i * 37) % 101);
		if (i < 10) {
			assert_true(trial->parent == TRIAL_NONE);
			continue;
		}
		/* a tournament of all: the best of the ten before it */
		for (int j = i - 10; j < i; j++)
			if (!best || tuner.experiment.trials[j]->value > best->value)
				best = tuner.experiment.trials[j];
		assert_ptr_equal(tuner.experiment.trials[trial->parent], best);
		json_object_foreach((json_t *)trial->parameters, name, value) differ +=
			!json_equal(value, json_object_get(best->parameters, name));
		assert_int_equal(differ, 1);
	}
	tuner_close(&tuner);
}

static void morphism_gives_the_best_its_neighbours(void **state)
{
	struct tuner tuner;

	open_strategy(&tuner, "morphism", 1, 1, "\"neighbours\": 3, \"morphisms\": 1");
	for (int i = 0; i < 10; i++) {
		/* the second step has come to nothing better than its parent: the best of it goes on nevertheless, the parent trained further is among it */
		static const int parents[] = {-1, 0, 0, 0, 2, 2, 2, 6, 6, 6};
		static const double values[] = {1, 2, 5, 3, 3, 3, 4, 4, 4, 4};
		struct trial *trial = tuner_ask(&tuner);

		assert_true(trial->parent == (parents[i] < 0 ? TRIAL_NONE : (size_t)parents[i]));
		if (i > 0)
			assert_int_equal(json_equal((json_t *)trial->parameters, (json_t *)tuner.experiment.trials[parents[i]]->parameters), i % 3 == 0);
		tuner_tell(&tuner, trial->id, values[i]);
	}
	tuner_close(&tuner);
}

static void morphism_with_one_neighbour_keeps_the_better_one(void **state)
{
	struct tuner tuner;

	open_strategy(&tuner, "morphism", 1, 1, "\"neighbours\": 1");
	for (int i = 0; i < 5; i++) {
		static const int parents[] = {-1, 0, 1, 1, 3};
		static const double values[] = {1, 2, 1, 3, 1};
		struct trial *trial = tuner_ask(&tuner);

		assert_true(trial->parent == (parents[i] < 0 ? TRIAL_NONE : (size_t)parents[i]));
		tuner_tell(&tuner, trial->id, values[i]);
	}
	tuner_close(&tuner);
}

/* Nothing is told: whoever asks gets something nevertheless, and no step is cut short for that. */
static void morphism_goes_on_without_results(void **state)
{
	struct tuner tuner;

	open_strategy(&tuner, "morphism", 1, 1, "\"neighbours\": 3");
	for (int i = 0; i < 10; i++) {
		static const int parents[] = {-1, 0, 0, 0, 3, 3, 3, 6, 6, 6};

		assert_true(tuner_ask(&tuner)->parent == (parents[i] < 0 ? TRIAL_NONE : (size_t)parents[i]));
	}
	tuner_close(&tuner);
}

static void pbt_replaces_the_worst_by_the_best(void **state)
{
	struct tuner tuner;

	open_strategy(&tuner, "pbt", 5, 1, "\"fraction\": 0.2");
	for (int i = 0; i < 10; i++) {
		struct trial *trial = tuner_ask(&tuner);

		assert_int_equal(json_integer_value(json_object_get(trial->note, "member")), i % 5);
		assert_int_equal(json_integer_value(json_object_get(trial->note, "generation")), i / 5);
		if (i < 5)
			assert_true(trial->parent == TRIAL_NONE);
		else if (i == 7) /* member 2 was the worst, member 4 the best */
			assert_true(trial->parent == 4);
		else
			assert_true(trial->parent == (size_t)i - 5);
		if (i >= 5 && i != 7)
			assert_true(json_equal((json_t *)trial->parameters, (json_t *)tuner.experiment.trials[i - 5]->parameters));
		/* the others do not move in the ranking while it is member 2's turn */
		tuner_tell(&tuner, trial->id, i % 5 == 2 ? 0 : i % 5 + 1);
	}
	tuner_close(&tuner);
}

static void enas_is_a_chain_with_readers(void **state)
{
	struct tuner tuner;

	open_strategy(&tuner, "enas", 1, 1, "\"fanout\": 3");
	for (int i = 0; i < 12; i++) {
		struct trial *trial = tuner_ask(&tuner);
		size_t link = (size_t)i / 4 * 4;

		if (i % 4 == 0) {
			assert_string_equal(trial->role, "train");
			assert_true(trial->parent == (i ? link - 4 : TRIAL_NONE));
		} else {
			assert_string_equal(trial->role, "evaluate");
			assert_true(trial->parent == link);
		}
	}
	tuner_close(&tuner);
}

static void darts_takes_turns_and_goes_round_what_has_failed(void **state)
{
	static const char *const roles[] = {"weights", "architecture", "weights", "architecture", "architecture", "weights"};
	struct tuner tuner;

	open_strategy(&tuner, "darts", 1, 1, "");
	for (size_t i = 0; i < 6; i++) {
		struct trial *trial = tuner_ask(&tuner);

		assert_string_equal(trial->role, roles[i]);
		assert_true(trial->parent == (i == 0 ? TRIAL_NONE : i == 4 ? 2 : i - 1));
		assert_true(json_equal((json_t *)trial->parameters, (json_t *)tuner.experiment.trials[0]->parameters));
		if (i == 3)
			tuner_fail(&tuner, trial->id);
	}
	tuner_close(&tuner);
}

static void minimize_turns_it_round(void **state)
{
	struct tuner tuner;

	tuner_open(&tuner, "{\"version\": 1, \"strategy\": \"evolution\", \"goal\": \"minimize\", \"population\": 3, \"seed\": 1, "
			   "\"settings\": {\"sample\": 3}, " SPACE "}");
	for (int i = 0; i < 3; i++)
		tuner_tell(&tuner, tuner_ask(&tuner)->id, i == 1 ? -5 : i);
	assert_true(tuner_ask(&tuner)->parent == 1);
	assert_string_equal(experiment_best(&tuner.experiment)->id, "t0002");
	tuner_close(&tuner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sharing_strategies_beat_random_by_a_margin),
		cmocka_unit_test(same_seed_and_results_give_the_same_trials),
		cmocka_unit_test(no_strategy_waits_or_chooses_what_has_failed),
		cmocka_unit_test(evolution_forgets_by_age_and_changes_one_parameter),
		cmocka_unit_test(morphism_gives_the_best_its_neighbours),
		cmocka_unit_test(morphism_with_one_neighbour_keeps_the_better_one),
		cmocka_unit_test(morphism_goes_on_without_results),
		cmocka_unit_test(pbt_replaces_the_worst_by_the_best),
		cmocka_unit_test(enas_is_a_chain_with_readers),
		cmocka_unit_test(darts_takes_turns_and_goes_round_what_has_failed),
		cmocka_unit_test(minimize_turns_it_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
