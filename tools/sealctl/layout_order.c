/*
 * layout_order - the order within the columns: each vertex near the middle of its neighbours
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "layout_internal.h"

#define SWEEPS 24

struct rank {
	double wish;
	size_t place; /* before; keeps the order of equals */
	size_t vertex;
};

static size_t layer_size(const struct layout_work *work, size_t layer)
{
	return work->layer_start[layer + 1] - work->layer_start[layer];
}

static void note_places(struct layout_work *work, size_t layer)
{
	for (size_t i = 0; i < layer_size(work, layer); i++)
		work->place[work->order[work->layer_start[layer] + i]] = i;
}

/* ---- the first order: what hangs together stays together ---- */

struct search {
	struct layout_work *work;
	bool *seen;
	size_t *stack, *filled; /* filled: how many of each layer have their place */
	size_t height;
};

static void search_free(struct search *search)
{
	free(search->seen);
	free(search->stack);
	free(search->filled);
}

static void push_all(struct search *search, const struct layout_adjacency *adjacency, size_t vertex)
{
	/* The first is to be on top. */
	for (size_t i = adjacency->start[vertex + 1]; i-- > adjacency->start[vertex];) {
		size_t neighbour = adjacency->list[i];

		if (search->seen[neighbour])
			continue;
		search->seen[neighbour] = true;
		search->stack[search->height++] = neighbour;
	}
}

static void search_from(struct search *search, size_t vertex)
{
	struct layout_work *work = search->work;

	search->seen[vertex] = true;
	search->stack[search->height++] = vertex;
	while (search->height) {
		size_t layer;

		vertex = search->stack[--search->height];
		layer = work->layer[vertex];
		work->order[work->layer_start[layer] + search->filled[layer]++] = vertex;
		push_all(search, &work->before, vertex);
		push_all(search, &work->after, vertex);
	}
}

static bool has_neighbours(const struct layout_work *work, size_t vertex)
{
	return work->before.start[vertex] != work->before.start[vertex + 1] ||
	       work->after.start[vertex] != work->after.start[vertex + 1];
}

static int first_order(struct layout_work *work)
{
	CLEANUP(search_free) struct search search = {.work = work};

	search.seen = calloc(work->count + 1, sizeof(*search.seen));
	search.stack = calloc(work->count + 1, sizeof(*search.stack));
	search.filled = calloc(work->layers + 1, sizeof(*search.filled));
	if (!search.seen || !search.stack || !search.filled)
		return -ENOMEM;
	/* What stands alone comes last. */
	for (int alone = 0; alone < 2; alone++)
		for (size_t i = 0; i < work->count; i++)
			if (!search.seen[i] && (alone || has_neighbours(work, i)))
				search_from(&search, i);
	for (size_t layer = 0; layer < work->layers; layer++)
		note_places(work, layer);
	return 0;
}

/* ---- better ones ---- */

static int compare_ranks(const void *a, const void *b)
{
	const struct rank *left = a, *right = b;

	if (left->wish != right->wish)
		return left->wish < right->wish ? -1 : 1;
	return (left->place > right->place) - (left->place < right->place);
}

static double mean_place(const struct layout_work *work, const struct layout_adjacency *adjacency, size_t vertex)
{
	size_t start = adjacency->start[vertex], end = adjacency->start[vertex + 1];
	double sum = 0;

	if (start == end)
		return (double)work->place[vertex];
	for (size_t i = start; i < end; i++)
		sum += (double)work->place[adjacency->list[i]];
	return sum / (double)(end - start);
}

static void order_layer(struct layout_work *work, size_t layer, const struct layout_adjacency *adjacency,
			struct rank *ranks)
{
	size_t *order = work->order + work->layer_start[layer], size = layer_size(work, layer);

	for (size_t i = 0; i < size; i++)
		ranks[i] = (struct rank){mean_place(work, adjacency, order[i]), i, order[i]};
	qsort(ranks, size, sizeof(*ranks), compare_ranks);
	for (size_t i = 0; i < size; i++)
		order[i] = ranks[i].vertex;
	note_places(work, layer);
}

static void sweep(struct layout_work *work, bool rightwards, struct rank *ranks)
{
	if (rightwards)
		for (size_t layer = 1; layer < work->layers; layer++)
			order_layer(work, layer, &work->before, ranks);
	else
		for (size_t layer = work->layers - 1; layer-- > 0;)
			order_layer(work, layer, &work->after, ranks);
}

/* ---- how good one is ---- */

static int compare_sizes(const void *a, const void *b)
{
	size_t left = *(const size_t *)a, right = *(const size_t *)b;

	return (left > right) - (left < right);
}

/* Fenwick tree: counts of places. */
static void tree_add(size_t *tree, size_t size, size_t place)
{
	for (place++; place <= size; place += place & -place)
		tree[place]++;
}

static size_t tree_sum(const size_t *tree, size_t place)
{
	size_t sum = 0;

	for (; place > 0; place -= place & -place)
		sum += tree[place];
	return sum;
}

/* Two pieces cross when they leave in one order and arrive in the other. */
static size_t count_layer(const struct layout_work *work, size_t layer, size_t *tree, size_t *places)
{
	size_t size = layer_size(work, layer + 1), crossings = 0, so_far = 0;

	memset(tree, 0, (size + 1) * sizeof(*tree));
	for (size_t i = work->layer_start[layer]; i < work->layer_start[layer + 1]; i++) {
		size_t vertex = work->order[i], start = work->after.start[vertex], count = 0;

		for (; start + count < work->after.start[vertex + 1]; count++)
			places[count] = work->place[work->after.list[start + count]];
		qsort(places, count, sizeof(*places), compare_sizes);
		for (size_t j = 0; j < count; j++)
			crossings += so_far - tree_sum(tree, places[j] + 1);
		for (size_t j = 0; j < count; j++)
			tree_add(tree, size, places[j]);
		so_far += count;
	}
	return crossings;
}

static size_t count_crossings(const struct layout_work *work, size_t *tree, size_t *places)
{
	size_t crossings = 0;

	for (size_t layer = 0; layer + 1 < work->layers; layer++)
		crossings += count_layer(work, layer, tree, places);
	return crossings;
}

int layout_find_order(struct layout_work *work, size_t *crossings)
{
	size_t room = work->count + work->piece_count + 2;
	AUTO_FREE size_t *best = calloc(room, sizeof(*best)), *tree = calloc(room, sizeof(*tree)),
			 *places = calloc(room, sizeof(*places));
	AUTO_FREE struct rank *ranks = calloc(work->count + 1, sizeof(*ranks));

	*crossings = 0;
	if (!best || !tree || !places || !ranks || first_order(work))
		return -ENOMEM;
	*crossings = count_crossings(work, tree, places);
	memcpy(best, work->order, work->count * sizeof(*best));
	for (int i = 0; i < SWEEPS && *crossings; i++) {
		size_t now;

		sweep(work, i % 2 == 0, ranks);
		now = count_crossings(work, tree, places);
		if (now >= *crossings)
			continue;
		*crossings = now;
		memcpy(best, work->order, work->count * sizeof(*best));
	}
	memcpy(work->order, best, work->count * sizeof(*best));
	for (size_t layer = 0; layer < work->layers; layer++)
		note_places(work, layer);
	return 0;
}
