/*
 * test_cycle - a circle of waits is found from each of its trials, and all choose the same one to be refused
 */
#include "sealfs/cycle.h"

#include "scratch.h"

struct graph {
	struct cycle_wait waits[2000];
	size_t count;
};

static void add(struct graph *graph, const char *trial, const char *awaited, const char *mount, int64_t since)
{
	graph->waits[graph->count++] = (struct cycle_wait){
		.trial = trial, .awaited = awaited, .checkpoint = awaited, .mount = mount, .host = "h", .generation = 1, .since_ns = since};
}

static int waits_of(void *arg, const char *trial, int (*each)(void *walk, const struct cycle_wait *wait), void *walk)
{
	const struct graph *graph = arg;
	int stop = 0;

	for (size_t i = 0; !stop && i < graph->count; i++)
		if (strcmp(graph->waits[i].trial, trial) == 0)
			stop = each(walk, &graph->waits[i]);
	return stop;
}

static void circle_is_found_from_each_of_its_trials_with_the_same_victim(void **state)
{
	struct graph graph = {.count = 0};
	struct cycle_wait found[CYCLE_MAX];
	const char *const trials[] = {"a", "b", "c"};

	add(&graph, "a", "x", "m1", 9);
	add(&graph, "a", "b", "m1", 1);
	add(&graph, "b", "c", "m2", 3);
	add(&graph, "c", "y", "m3", 8);
	add(&graph, "c", "a", "m3", 2);
	add(&graph, "x", "y", "m4", 7);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cycle_find(trials[i], waits_of, &graph, found), 3);
		assert_string_equal(found[0].trial, trials[i]);
		assert_string_equal(found[2].awaited, trials[i]);
		assert_string_equal(found[cycle_victim(found, 3)].trial, "b");
	}
}

static void who_only_waits_for_a_circle_is_not_in_it(void **state)
{
	struct graph graph = {.count = 0};
	struct cycle_wait found[CYCLE_MAX];

	add(&graph, "outside", "a", "m0", 1);
	add(&graph, "a", "b", "m1", 1);
	add(&graph, "b", "a", "m2", 1);
	assert_int_equal(cycle_find("outside", waits_of, &graph, found), 0);
	assert_int_equal(cycle_find("a", waits_of, &graph, found), 2);
}

static void no_circle_is_no_circle(void **state)
{
	struct graph graph = {.count = 0};
	struct cycle_wait found[CYCLE_MAX];

	add(&graph, "a", "b", "m1", 1);
	add(&graph, "a", "c", "m1", 1);
	add(&graph, "b", "d", "m2", 1);
	add(&graph, "c", "d", "m3", 1);
	assert_int_equal(cycle_find("a", waits_of, &graph, found), 0);
	assert_int_equal(cycle_find("d", waits_of, &graph, found), 0);
	assert_int_equal(cycle_find("nobody", waits_of, &graph, found), 0);
}

static void order_of_victims_is_total(void **state)
{
	struct cycle_wait waits[] = {
		{.trial = "a", .mount = "m1", .checkpoint = "c", .since_ns = 5},
		{.trial = "b", .mount = "m1", .checkpoint = "c", .since_ns = 5},
		{.trial = "b", .mount = "m2", .checkpoint = "c", .since_ns = 5},
		{.trial = "b", .mount = "m2", .checkpoint = "d", .since_ns = 5},
		{.trial = "a", .mount = "m0", .checkpoint = "b", .since_ns = 6},
	};

	for (size_t i = 1; i <= 5; i++)
		assert_int_equal(cycle_victim(waits, i), i - 1);
}

static void search_is_bounded(void **state)
{
	static char names[1500][8];
	struct graph *graph = calloc(1, sizeof(*graph));
	struct cycle_wait found[CYCLE_MAX];

	/* one long circle: too long to be found, but the search ends */
	for (size_t i = 0; i < 1500; i++)
		snprintf(names[i], sizeof(names[i]), "t%zu", i);
	for (size_t i = 0; i < 1500; i++)
		add(graph, names[i], names[(i + 1) % 1500], "m", (int64_t)i);
	assert_int_equal(cycle_find("t0", waits_of, graph, found), 0);
	/* the longest that is found */
	graph->count = 0;
	for (size_t i = 0; i < CYCLE_MAX; i++)
		add(graph, names[i], names[(i + 1) % CYCLE_MAX], "m", (int64_t)i);
	assert_int_equal(cycle_find("t0", waits_of, graph, found), CYCLE_MAX);
	assert_string_equal(found[cycle_victim(found, CYCLE_MAX)].trial, "t63");
	free(graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(circle_is_found_from_each_of_its_trials_with_the_same_victim),
		cmocka_unit_test(who_only_waits_for_a_circle_is_not_in_it),
		cmocka_unit_test(no_circle_is_no_circle),
		cmocka_unit_test(order_of_victims_is_total),
		cmocka_unit_test(search_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
