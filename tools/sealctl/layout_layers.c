/*
 * layout_layers - columns: each node one to the right of the rightmost that leads to it
 */
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "layout_internal.h"

struct layering {
	struct layout_work *work;
	size_t *waits_for; /* edges that lead here from nodes without a layer */
	bool *done;
	size_t *queue;
	size_t head, tail;
	struct layout_adjacency out; /* edges, by where they come from */
};

static bool is_loop(const struct layout_edge *edge)
{
	return edge->from == edge->to;
}

/* The indices of edges by their origin. */
static int sort_edges(const struct layout_graph *graph, struct layout_adjacency *out)
{
	out->start = calloc(graph->nodes + 2, sizeof(*out->start));
	out->list = calloc(graph->edge_count + 1, sizeof(*out->list));
	if (!out->start || !out->list)
		return -ENOMEM;
	for (size_t i = 0; i < graph->edge_count; i++)
		out->start[graph->edges[i].from + 2]++;
	for (size_t i = 2; i < graph->nodes + 2; i++)
		out->start[i] += out->start[i - 1];
	for (size_t i = 0; i < graph->edge_count; i++)
		out->list[out->start[graph->edges[i].from + 1]++] = i;
	return 0;
}

static void enqueue(struct layering *layering, size_t node)
{
	layering->done[node] = true;
	layering->queue[layering->tail++] = node;
}

static void settle(struct layering *layering, size_t node)
{
	struct layout_work *work = layering->work;

	for (size_t i = layering->out.start[node]; i < layering->out.start[node + 1]; i++) {
		const struct layout_edge *edge = &work->graph->edges[layering->out.list[i]];

		if (is_loop(edge))
			continue;
		if (layering->done[edge->to]) {
			work->back[layering->out.list[i]] = true;
			continue;
		}
		if (work->layer[edge->to] < work->layer[node] + 1)
			work->layer[edge->to] = work->layer[node] + 1;
		if (--layering->waits_for[edge->to] == 0)
			enqueue(layering, edge->to);
	}
}

/* When only circles and what they lead to are left, one node of a circle is taken as if nothing led to it. */
static void settle_all(struct layering *layering)
{
	size_t nodes = layering->work->graph->nodes;

	for (size_t i = 0; i < nodes; i++)
		if (!layering->waits_for[i])
			enqueue(layering, i);
	for (size_t next = 0; layering->head < nodes;) {
		while (layering->head < layering->tail)
			settle(layering, layering->queue[layering->head++]);
		while (next < nodes && layering->done[next])
			next++;
		if (next < nodes)
			enqueue(layering, next);
	}
}

/* Nothing leads to a late node, so it may stand further right. */
static int move_late(struct layering *layering)
{
	struct layout_work *work = layering->work;
	const struct layout_graph *graph = work->graph;
	AUTO_FREE size_t *nearest = calloc(graph->nodes + 1, sizeof(*nearest));

	if (!nearest)
		return -ENOMEM;
	for (size_t i = 0; i < graph->edge_count; i++) {
		const struct layout_edge *edge = &graph->edges[i];

		if (!work->back[i] && !is_loop(edge) &&
		    (!nearest[edge->from] || work->layer[edge->to] < nearest[edge->from]))
			nearest[edge->from] = work->layer[edge->to];
	}
	for (size_t i = 0; i < graph->nodes; i++)
		if (graph->late[i] && work->layer[i] == 0 && nearest[i])
			work->layer[i] = nearest[i] - 1;
	return 0;
}

static void layering_free(struct layering *layering)
{
	free(layering->waits_for);
	free(layering->done);
	free(layering->queue);
	free(layering->out.start);
	free(layering->out.list);
}

int layout_find_layers(struct layout_work *work)
{
	const struct layout_graph *graph = work->graph;
	CLEANUP(layering_free) struct layering layering = {.work = work};
	int error = sort_edges(graph, &layering.out);

	layering.waits_for = calloc(graph->nodes + 1, sizeof(*layering.waits_for));
	layering.done = calloc(graph->nodes + 1, sizeof(*layering.done));
	layering.queue = calloc(graph->nodes + 1, sizeof(*layering.queue));
	if (error || !layering.waits_for || !layering.done || !layering.queue)
		return -ENOMEM;
	for (size_t i = 0; i < graph->edge_count; i++)
		layering.waits_for[graph->edges[i].to] += !is_loop(&graph->edges[i]);
	settle_all(&layering);
	if (graph->late)
		error = move_late(&layering);
	for (size_t i = 0; i < graph->nodes; i++)
		if (work->layers < work->layer[i] + 1)
			work->layers = work->layer[i] + 1;
	return error;
}
