#include "layout.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "cleanup.h"
#include "layout_internal.h"

/* More passed columns than that are not worth the search for gaps. */
#define PASSED_MAX 100000

void layout_free(struct layout *layout)
{
	for (size_t i = 0; i < layout->route_count; i++)
		free(layout->routes[i].points);
	free(layout->routes);
	free(layout->nodes);
	free(layout->layers);
	*layout = (struct layout){0};
}

static void adjacency_free(struct layout_adjacency *adjacency)
{
	free(adjacency->start);
	free(adjacency->list);
}

static void work_free(struct layout_work *work)
{
	adjacency_free(&work->before);
	adjacency_free(&work->after);
	free(work->layer);
	free(work->back);
	free(work->chain);
	free(work->pieces);
	free(work->layer_start);
	free(work->order);
	free(work->place);
	free(work->y);
}

/* How many columns an edge passes on its way to the right. */
static size_t passed(const struct layout_work *work, size_t edge)
{
	const struct layout_edge *at = &work->graph->edges[edge];

	if (work->back[edge] || at->from == at->to)
		return 0;
	return work->layer[at->to] - work->layer[at->from] - 1;
}

static void add_piece(struct layout_work *work, size_t from, size_t to)
{
	work->pieces[work->piece_count++] = (struct layout_edge){from, to};
}

static void cut_edge(struct layout_work *work, size_t edge)
{
	const struct layout_edge *at = &work->graph->edges[edge];
	size_t from = at->from, between = passed(work, edge);

	if (work->back[edge] || at->from == at->to)
		return;
	if (between)
		work->chain[edge] = work->count;
	for (size_t i = 0; i < between; i++) {
		work->layer[work->count] = work->layer[from] + 1;
		add_piece(work, from, work->count);
		from = work->count++;
	}
	add_piece(work, from, at->to);
}

static int cut_edges(struct layout_work *work)
{
	const struct layout_graph *graph = work->graph;
	size_t all = 0, *layer;

	for (size_t i = 0; i < graph->edge_count; i++)
		all += passed(work, i);
	if (all > PASSED_MAX)
		all = 0;
	layer = reallocarray(work->layer, graph->nodes + all + 1, sizeof(*layer));
	if (!layer)
		return -ENOMEM;
	work->layer = layer;
	work->pieces = calloc(graph->edge_count + all + 1, sizeof(*work->pieces));
	if (!work->pieces)
		return -ENOMEM;
	for (size_t i = 0; i < graph->edge_count; i++) {
		work->chain[i] = SIZE_MAX;
		if (all || !passed(work, i))
			cut_edge(work, i);
	}
	return 0;
}

static int find_neighbours(struct layout_work *work, bool after, struct layout_adjacency *out)
{
	out->start = calloc(work->count + 2, sizeof(*out->start));
	out->list = calloc(work->piece_count + 1, sizeof(*out->list));
	if (!out->start || !out->list)
		return -ENOMEM;
	for (size_t i = 0; i < work->piece_count; i++)
		out->start[(after ? work->pieces[i].from : work->pieces[i].to) + 1]++;
	for (size_t i = 1; i <= work->count; i++)
		out->start[i] += out->start[i - 1];
	/* Filled from the end, so that the starts end where they belong. */
	for (size_t i = work->piece_count; i-- > 0;) {
		size_t vertex = after ? work->pieces[i].from : work->pieces[i].to;

		out->list[--out->start[vertex + 1]] = after ? work->pieces[i].to : work->pieces[i].from;
	}
	for (size_t i = 0; i < work->count; i++)
		out->start[i] = out->start[i + 1];
	out->start[work->count] = work->piece_count;
	return 0;
}

static int start_layers(struct layout_work *work)
{
	work->layer_start = calloc(work->layers + 2, sizeof(*work->layer_start));
	work->order = calloc(work->count + 1, sizeof(*work->order));
	work->place = calloc(work->count + 1, sizeof(*work->place));
	work->y = calloc(work->count + 1, sizeof(*work->y));
	if (!work->layer_start || !work->order || !work->place || !work->y)
		return -ENOMEM;
	for (size_t i = 0; i < work->count; i++)
		work->layer_start[work->layer[i] + 1]++;
	for (size_t i = 1; i <= work->layers; i++)
		work->layer_start[i] += work->layer_start[i - 1];
	return 0;
}

static int prepare(struct layout_work *work)
{
	const struct layout_graph *graph = work->graph;
	int error;

	work->count = graph->nodes;
	work->layer = calloc(graph->nodes + 1, sizeof(*work->layer));
	work->back = calloc(graph->edge_count + 1, sizeof(*work->back));
	work->chain = calloc(graph->edge_count + 1, sizeof(*work->chain));
	if (!work->layer || !work->back || !work->chain)
		return -ENOMEM;
	error = layout_find_layers(work);
	if (!error)
		error = cut_edges(work);
	if (!error)
		error = find_neighbours(work, false, &work->before);
	if (!error)
		error = find_neighbours(work, true, &work->after);
	return error ? error : start_layers(work);
}

static double column(const struct layout_sizes *sizes, size_t layer)
{
	return (double)layer * (sizes->width + sizes->column_gap);
}

static int place_nodes(const struct layout_work *work, const struct layout_sizes *sizes, struct layout *out)
{
	size_t nodes = work->graph->nodes;

	out->nodes = calloc(nodes + 1, sizeof(*out->nodes));
	out->layers = calloc(nodes + 1, sizeof(*out->layers));
	if (!out->nodes || !out->layers)
		return -ENOMEM;
	for (size_t i = 0; i < nodes; i++) {
		out->layers[i] = work->layer[i];
		out->nodes[i] = (struct layout_point){column(sizes, work->layer[i]), work->y[i] - sizes->height / 2};
		if (out->height < out->nodes[i].y + sizes->height)
			out->height = out->nodes[i].y + sizes->height;
	}
	out->width = work->layers ? column(sizes, work->layers) - sizes->column_gap : 0;
	return 0;
}

static int lead_edge(const struct layout_work *work, const struct layout_sizes *sizes, size_t edge,
		     struct layout_route *out)
{
	const struct layout_edge *at = &work->graph->edges[edge];
	size_t between = work->chain[edge] == SIZE_MAX ? 0 : passed(work, edge);

	if (at->from == at->to)
		return 0;
	out->points = calloc(2 + 2 * between, sizeof(*out->points));
	if (!out->points)
		return -ENOMEM;
	out->back = work->back[edge];
	out->points[out->count++] =
		(struct layout_point){column(sizes, work->layer[at->from]) + sizes->width, work->y[at->from]};
	for (size_t i = 0; i < between; i++) {
		size_t vertex = work->chain[edge] + i;
		double x = column(sizes, work->layer[vertex]);

		out->points[out->count++] = (struct layout_point){x, work->y[vertex]};
		out->points[out->count++] = (struct layout_point){x + sizes->width, work->y[vertex]};
	}
	out->points[out->count++] = (struct layout_point){column(sizes, work->layer[at->to]), work->y[at->to]};
	return 0;
}

static int lead_edges(const struct layout_work *work, const struct layout_sizes *sizes, struct layout *out)
{
	int error = 0;

	out->routes = calloc(work->graph->edge_count + 1, sizeof(*out->routes));
	if (!out->routes)
		return -ENOMEM;
	out->route_count = work->graph->edge_count;
	for (size_t i = 0; i < out->route_count && !error; i++)
		error = lead_edge(work, sizes, i, &out->routes[i]);
	return error;
}

int layout_compute(const struct layout_graph *graph, const struct layout_sizes *sizes, struct layout *out)
{
	CLEANUP(work_free) struct layout_work work = {.graph = graph};
	int error = prepare(&work);

	*out = (struct layout){0};
	if (!error && work.layers)
		error = layout_find_order(&work, &out->crossings);
	if (!error)
		error = layout_find_places(&work, sizes);
	if (!error)
		error = place_nodes(&work, sizes, out);
	if (!error)
		error = lead_edges(&work, sizes, out);
	if (error)
		layout_free(out);
	return error;
}
