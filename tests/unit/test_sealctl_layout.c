/* Where nodes and edges of a graph are drawn. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/sealctl/layout.h"

static const struct layout_sizes sizes = {.width = 100, .height = 50, .column_gap = 40, .gap = 10};

static void lay_out(size_t nodes, const struct layout_edge *edges, size_t count, const bool *late, struct layout *out)
{
	struct layout_graph graph = {nodes, edges, count, late};

	assert_int_equal(layout_compute(&graph, &sizes, out), 0);
}

/* What must hold of every picture. */
static void check(size_t nodes, const struct layout_edge *edges, const struct layout *layout)
{
	for (size_t i = 0; i < nodes; i++) {
		assert_true(layout->nodes[i].x >= 0 && layout->nodes[i].x + sizes.width <= layout->width + .001);
		assert_true(layout->nodes[i].y >= -.001 && layout->nodes[i].y + sizes.height <= layout->height + .001);
		for (size_t j = 0; j < i; j++) {
			double apart = layout->nodes[i].y - layout->nodes[j].y;

			if (layout->layers[i] == layout->layers[j])
				assert_true(apart >= 60 - .001 || apart <= -60 + .001);
		}
	}
	for (size_t i = 0; i < layout->route_count; i++) {
		const struct layout_route *route = &layout->routes[i];

		if (edges[i].from == edges[i].to)
			continue;
		assert_true(route->count >= 2 && route->count % 2 == 0);
		assert_true(route->points[0].x == layout->nodes[edges[i].from].x + sizes.width);
		assert_true(route->points[route->count - 1].x == layout->nodes[edges[i].to].x);
		if (!route->back)
			assert_true(layout->layers[edges[i].from] < layout->layers[edges[i].to]);
	}
}

static void nothing_and_one_node(void **state)
{
	struct layout layout;

	lay_out(0, NULL, 0, NULL, &layout);
	assert_true(layout.width == 0 && layout.height == 0);
	layout_free(&layout);
	lay_out(1, NULL, 0, NULL, &layout);
	assert_true(layout.nodes[0].x == 0 && layout.nodes[0].y == 0);
	assert_true(layout.width == 100 && layout.height == 50);
	layout_free(&layout);
}

static void chain_is_a_straight_line(void **state)
{
	static const struct layout_edge edges[] = {{2, 0}, {0, 1}};
	struct layout layout;

	lay_out(3, edges, 2, NULL, &layout);
	check(3, edges, &layout);
	assert_int_equal(layout.layers[2], 0);
	assert_int_equal(layout.layers[0], 1);
	assert_int_equal(layout.layers[1], 2);
	assert_true(layout.nodes[0].y == layout.nodes[1].y && layout.nodes[1].y == layout.nodes[2].y);
	layout_free(&layout);
}

static void tree_has_no_crossings(void **state)
{
	struct layout_edge edges[200];
	struct layout layout;

	/* Children in an order that is not that of their parents. */
	for (size_t i = 1; i <= 200; i++)
		edges[i - 1] = (struct layout_edge){i * 7919 % (i < 14 ? i : i / 2), i};
	lay_out(201, edges, 200, NULL, &layout);
	check(201, edges, &layout);
	assert_int_equal(layout.crossings, 0);
	layout_free(&layout);
}

static void crossing_that_can_be_avoided_is(void **state)
{
	static const struct layout_edge edges[] = {{0, 3}, {1, 2}, {0, 5}, {1, 4}};
	struct layout layout;

	lay_out(6, edges, 4, NULL, &layout);
	check(6, edges, &layout);
	assert_int_equal(layout.crossings, 0);
	layout_free(&layout);
}

static void crossing_that_cannot_be_avoided_is_counted(void **state)
{
	static const struct layout_edge edges[] = {{0, 2}, {0, 3}, {1, 2}, {1, 3}};
	struct layout layout;

	lay_out(4, edges, 4, NULL, &layout);
	assert_int_equal(layout.crossings, 1);
	layout_free(&layout);
}

static void edge_that_passes_columns_is_led_past_their_nodes(void **state)
{
	static const struct layout_edge edges[] = {{0, 1}, {1, 2}, {2, 3}, {0, 3}};
	struct layout layout;
	const struct layout_route *route;

	lay_out(4, edges, 4, NULL, &layout);
	check(4, edges, &layout);
	route = &layout.routes[3];
	assert_int_equal(route->count, 6);
	for (size_t i = 1; i < 5; i++) {
		double node = layout.nodes[i < 3 ? 1 : 2].y;

		assert_true(route->points[i].y < node || route->points[i].y > node + sizes.height);
	}
	assert_true(route->points[1].y == route->points[2].y);
	layout_free(&layout);
}

static void late_node_stands_before_its_child(void **state)
{
	static const struct layout_edge edges[] = {{0, 1}, {1, 2}, {3, 2}};
	static const bool late[] = {false, false, false, true};
	struct layout layout;

	lay_out(4, edges, 3, late, &layout);
	check(4, edges, &layout);
	assert_int_equal(layout.layers[3], 1);
	layout_free(&layout);
	lay_out(4, edges, 3, NULL, &layout);
	assert_int_equal(layout.layers[3], 0);
	layout_free(&layout);
}

static void circles_are_drawn_too(void **state)
{
	static const struct layout_edge edges[] = {{0, 1}, {1, 2}, {2, 0}, {2, 3}, {4, 4}};
	struct layout layout;

	lay_out(5, edges, 5, NULL, &layout);
	check(5, edges, &layout);
	assert_true(layout.routes[2].back && !layout.routes[0].back && !layout.routes[3].back);
	assert_int_equal(layout.routes[4].count, 0);
	layout_free(&layout);
}

static void anything_can_be_laid_out(void **state)
{
	srand(1);
	for (int round = 0; round < 300; round++) {
		size_t nodes = 1 + (size_t)rand() % 40, count = (size_t)rand() % 80;
		struct layout_edge edges[80];
		bool late[40];
		struct layout layout;

		for (size_t i = 0; i < nodes; i++)
			late[i] = rand() % 4 == 0;
		for (size_t i = 0; i < count; i++)
			edges[i] = (struct layout_edge){(size_t)rand() % nodes, (size_t)rand() % nodes};
		lay_out(nodes, edges, count, late, &layout);
		check(nodes, edges, &layout);
		layout_free(&layout);
	}
}

static void long_and_wide_graphs_are_bounded(void **state)
{
	const size_t nodes = 3000;
	struct layout_edge *edges = calloc(2 * nodes, sizeof(*edges));
	struct layout layout;

	/* A chain, and from its first node an edge to each. */
	for (size_t i = 0; i + 1 < nodes; i++) {
		edges[2 * i] = (struct layout_edge){i, i + 1};
		edges[2 * i + 1] = (struct layout_edge){0, i + 1};
	}
	lay_out(nodes, edges, 2 * (nodes - 1), NULL, &layout);
	assert_int_equal(layout.layers[nodes - 1], nodes - 1);
	layout_free(&layout);
	free(edges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_and_one_node),
		cmocka_unit_test(chain_is_a_straight_line),
		cmocka_unit_test(tree_has_no_crossings),
		cmocka_unit_test(crossing_that_can_be_avoided_is),
		cmocka_unit_test(crossing_that_cannot_be_avoided_is_counted),
		cmocka_unit_test(edge_that_passes_columns_is_led_past_their_nodes),
		cmocka_unit_test(late_node_stands_before_its_child),
		cmocka_unit_test(circles_are_drawn_too),
		cmocka_unit_test(anything_can_be_laid_out),
		cmocka_unit_test(long_and_wide_graphs_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
