/*
 * layout_internal - the graph while it is laid out: edges cut into pieces that lead from one layer to the next
 */
#ifndef SEALCTL_LAYOUT_INTERNAL_H
#define SEALCTL_LAYOUT_INTERNAL_H

#include "layout.h"

/* Neighbours of all vertices in one array. */
struct layout_adjacency {
	size_t *start; /* of vertex v: start[v] to start[v + 1] */
	size_t *list;
};

/* The nodes are the first vertices; each layer that an edge passes has one more. */
struct layout_work {
	const struct layout_graph *graph;
	size_t count;
	size_t *layer; /* of each vertex */
	bool *back;    /* of each edge */
	size_t *chain; /* of each edge: its first vertex between, or SIZE_MAX */
	struct layout_edge *pieces;
	size_t piece_count;
	struct layout_adjacency before, after;

	size_t layers;
	size_t *layer_start; /* in `order`; one more than there are layers */
	size_t *order;       /* vertices, layer after layer */
	size_t *place;       /* of each vertex in its layer */
	double *y;           /* of each vertex' middle */
};

/* layout_layers.c: layer, layers, back. -ENOMEM. */
int layout_find_layers(struct layout_work *work);
/* layout_order.c: order, place. -ENOMEM. */
int layout_find_order(struct layout_work *work, size_t *crossings);
/* layout_place.c: y. -ENOMEM. */
int layout_find_places(struct layout_work *work, const struct layout_sizes *sizes);

#endif
