/*
 * layout - where to draw the nodes and edges of a directed graph: in layers from left to right
 *
 * Each node stands in a column to the right of all nodes that lead to it. Within the columns nodes are ordered so that
 * few edges cross, and placed close to their neighbours. Edges that pass columns are led through gaps. Knows nothing of
 * checkpoints; no I/O; the same graph always gives the same picture.
 */
#ifndef SEALCTL_LAYOUT_H
#define SEALCTL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

struct layout_edge {
	size_t from, to;
};

struct layout_graph {
	size_t nodes;
	const struct layout_edge *edges;
	size_t edge_count;
	const bool *late; /* nodes that stand right before what they lead to, or NULL */
};

/* In the units of the picture. */
struct layout_sizes {
	double width, height;   /* of a node */
	double column_gap, gap; /* between columns, between nodes of one */
};

struct layout_point {
	double x, y;
};

/* The points from the right side of one node to the left side of the other; between the second and the third, the
 * fourth and the fifth and so on it passes a column and should be straight. */
struct layout_route {
	struct layout_point *points;
	size_t count;
	bool back; /* it closes a circle, and leads to the left */
};

struct layout {
	struct layout_point *nodes;  /* upper left corners */
	size_t *layers;              /* the column of each, from 0 */
	struct layout_route *routes; /* of each edge */
	size_t route_count;
	double width, height;
	size_t crossings; /* how many are left */
};

/* -ENOMEM. Edges from a node to itself have a route without points. */
int layout_compute(const struct layout_graph *graph, const struct layout_sizes *sizes, struct layout *out);
void layout_free(struct layout *layout);

#endif
