/*
 * layout_place - heights within the columns: as near to the neighbours as order and distances allow
 */
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "layout_internal.h"

#define SWEEPS 16
#define PASSING 0.25 /* of a node's height: how much room an edge takes that passes by */

/* A run of vertices that touch each other, and where its first would like to be. */
struct run {
	double sum; /* of the wishes of its members, each less its distance from the column's first */
	size_t count;
};

static double height_of(const struct layout_work *work, const struct layout_sizes *sizes, size_t vertex)
{
	return vertex < work->graph->nodes ? sizes->height : sizes->height * PASSING;
}

/* Between the middles of two that follow one another. */
static double distance(const struct layout_work *work, const struct layout_sizes *sizes, size_t a, size_t b)
{
	return (height_of(work, sizes, a) + height_of(work, sizes, b)) / 2 + sizes->gap;
}

static double wish(const struct layout_work *work, const struct layout_adjacency *adjacency, size_t vertex)
{
	size_t start = adjacency->start[vertex], end = adjacency->start[vertex + 1];
	double sum = 0;

	if (start == end)
		return work->y[vertex];
	for (size_t i = start; i < end; i++)
		sum += work->y[adjacency->list[i]];
	return sum / (double)(end - start);
}

static bool overlap(const struct run *above, const struct run *below)
{
	return above->sum * (double)below->count >= below->sum * (double)above->count;
}

/*
 * The heights with the least squares of distances from the wishes: runs that would overlap are made one (pooling
 * adjacent violators).
 */
static void place_column(struct layout_work *work, const struct layout_sizes *sizes, size_t layer,
			 const struct layout_adjacency *adjacency, struct run *runs)
{
	const size_t *order = work->order + work->layer_start[layer];
	size_t size = work->layer_start[layer + 1] - work->layer_start[layer], count = 0, next = 0;
	double offset = 0;

	for (size_t i = 0; i < size; i++) {
		offset += i ? distance(work, sizes, order[i - 1], order[i]) : 0;
		runs[count++] = (struct run){wish(work, adjacency, order[i]) - offset, 1};
		for (; count > 1 && overlap(&runs[count - 2], &runs[count - 1]); count--) {
			runs[count - 2].sum += runs[count - 1].sum;
			runs[count - 2].count += runs[count - 1].count;
		}
	}
	offset = 0;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < runs[i].count; j++, next++) {
			offset += next ? distance(work, sizes, order[next - 1], order[next]) : 0;
			work->y[order[next]] = runs[i].sum / (double)runs[i].count + offset;
		}
	}
}

static void stack_column(struct layout_work *work, const struct layout_sizes *sizes, size_t layer)
{
	double y = 0;

	for (size_t i = work->layer_start[layer]; i < work->layer_start[layer + 1]; i++) {
		if (i > work->layer_start[layer])
			y += distance(work, sizes, work->order[i - 1], work->order[i]);
		work->y[work->order[i]] = y;
	}
}

static void move_to_zero(struct layout_work *work, const struct layout_sizes *sizes)
{
	double top = 0;

	for (size_t i = 0; i < work->count; i++) {
		double edge = work->y[i] - height_of(work, sizes, i) / 2;

		if (i == 0 || edge < top)
			top = edge;
	}
	for (size_t i = 0; i < work->count; i++)
		work->y[i] -= top;
}

int layout_find_places(struct layout_work *work, const struct layout_sizes *sizes)
{
	AUTO_FREE struct run *runs = calloc(work->count + 1, sizeof(*runs));

	if (!runs)
		return -ENOMEM;
	for (size_t layer = 0; layer < work->layers; layer++)
		stack_column(work, sizes, layer);
	for (int i = 0; i < SWEEPS; i++) {
		for (size_t layer = 1; layer < work->layers; layer++)
			place_column(work, sizes, layer, &work->before, runs);
		for (size_t layer = work->layers; layer-- > 0;)
			place_column(work, sizes, layer, &work->after, runs);
	}
	move_to_zero(work, sizes);
	return 0;
}
