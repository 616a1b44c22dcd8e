#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "layout.h"
#include "lineage_page.h"
#include "report.h"
#include "sealfs/record.h"

#define MARGIN 24
#define TITLE 28 /* above the columns */
#define PATH_CHARACTERS 27
#define LINE_CHARACTERS 36
#define SHOWN_DIGITS 12

static const struct layout_sizes sizes = {.width = 236, .height = 86, .column_gap = 84, .gap = 16};

/* ---- the graph ---- */

struct graph {
	struct layout_graph in;
	struct layout_edge *edges;
	bool *late;
	struct layout out;
};

static void graph_free(struct graph *graph)
{
	free(graph->edges);
	free(graph->late);
	layout_free(&graph->out);
}

static int compute(const struct lineage *lineage, struct graph *graph)
{
	size_t count = 0;

	for (size_t i = 0; i < lineage->count; i++)
		count += lineage->nodes[i].parents.count;
	graph->edges = calloc(count + 1, sizeof(*graph->edges));
	graph->late = calloc(lineage->count + 1, sizeof(*graph->late));
	if (!graph->edges || !graph->late)
		return -ENOMEM;
	count = 0;
	for (size_t i = 0; i < lineage->count; i++) {
		const struct lineage_links *parents = &lineage->nodes[i].parents;

		/* Of what is no more it is not known how old it was. */
		graph->late[i] = lineage->nodes[i].standing != LINEAGE_PRESENT;
		for (size_t j = 0; j < parents->count; j++)
			graph->edges[count++] = (struct layout_edge){parents->nodes[j], i};
	}
	graph->in = (struct layout_graph){lineage->count, graph->edges, count, graph->late};
	return layout_compute(&graph->in, &sizes, &graph->out);
}

/* ---- edges ---- */

static void print_curve(FILE *stream, struct layout_point a, struct layout_point b)
{
	double bend = (b.x - a.x) / 2;

	if (bend < 0)
		bend = sizes.column_gap;
	fprintf(stream, "C%.1f %.1f %.1f %.1f %.1f %.1f", a.x + bend, a.y, b.x - bend, b.y, b.x, b.y);
}

static void print_edge(FILE *stream, const struct lineage *lineage, const struct layout_edge *edge,
		       const struct layout_route *route)
{
	bool present = lineage->nodes[edge->from].standing == LINEAGE_PRESENT;

	if (!route->count)
		return;
	fprintf(stream,
		"<path class=\"edge%s%s\" data-from=\"%zu\" data-to=\"%zu\" marker-end=\"url(#arrow)\" d=\"M%.1f %.1f",
		present ? "" : " missing", route->back ? " back" : "", edge->from, edge->to, route->points[0].x,
		route->points[0].y);
	for (size_t i = 1; i < route->count; i++) {
		if (i % 2)
			print_curve(stream, route->points[i - 1], route->points[i]);
		else
			fprintf(stream, "L%.1f %.1f", route->points[i].x, route->points[i].y);
	}
	fputs("\"/>\n", stream);
}

/* ---- nodes ---- */

static void print_state_line(FILE *stream, const struct lineage_node *node)
{
	char root[LINEAGE_ROOT_SIZE];

	lineage_root(node->has_root, &node->root, node->has_seal ? SHOWN_DIGITS : SHOWN_DIGITS - 4, root);
	fprintf(stream, "<text class=\"state\" x=\"14\" y=\"40\">%s<tspan class=\"digest\" dx=\"6\">%s</tspan></text>",
		lineage_state(node), root);
}

static void print_seal_lines(FILE *stream, const struct lineage_node *node)
{
	AUTO_FREE char *who = NULL;
	char time[RECORD_TIME_SIZE], size[REPORT_SIZE_LENGTH];

	if (asprintf(&who, "%s on %s", node->trial, node->host) < 0)
		who = NULL;
	record_time_format(node->time_ns, time);
	fputs("<text class=\"small\" x=\"14\" y=\"58\">", stream);
	lineage_page_text(stream, who ? who : "?", LINE_CHARACTERS);
	fprintf(stream, "</text><text class=\"small\" x=\"14\" y=\"75\">%.10s %.8sZ · %s</text>", time, time + 11,
		report_size(node->bytes, size));
}

static void print_other_lines(FILE *stream, const struct lineage_node *node)
{
	char other[LINEAGE_ROOT_SIZE];

	lineage_root(node->has_other, &node->other, SHOWN_DIGITS, other);
	if (node->standing == LINEAGE_PRESENT && !node->damage)
		return;
	fputs("<text class=\"small\" x=\"14\" y=\"58\">", stream);
	if (node->damage)
		lineage_page_text(stream, node->damage, LINE_CHARACTERS);
	else if (node->has_other)
		fprintf(stream, "there is now %s", other);
	else if (node->standing != LINEAGE_ELSEWHERE)
		fprintf(stream, "there is now: %s", node->now == STATE_ABSENT ? "nothing" : state_name(node->now));
	else
		fputs("not looked up: this is a copy", stream);
	fputs("</text>", stream);
}

/* The inner svg element cuts off what is too long whatever the font. */
static void print_node(FILE *stream, const struct lineage_node *node, size_t id, struct layout_point at)
{
	double room = sizes.width - 8;

	fprintf(stream,
		"<g class=\"node %s\" id=\"n%zu\" data-id=\"%zu\" role=\"button\" tabindex=\"%d\" "
		"transform=\"translate(%.1f %.1f)\" aria-label=\"",
		lineage_class(node), id, id, id ? -1 : 0, at.x, at.y);
	lineage_page_path(stream, node->path, SIZE_MAX);
	fprintf(stream, ", %s\"><title>", lineage_state(node));
	lineage_page_path(stream, node->path, SIZE_MAX);
	fprintf(stream,
		"</title><rect class=\"box\" width=\"%g\" height=\"%g\" rx=\"8\"/>"
		"<rect class=\"mark\" x=\"0\" y=\"10\" width=\"5\" height=\"%g\" rx=\"2.5\"/>"
		"<svg width=\"%g\" height=\"%g\"><text class=\"path\" x=\"14\" y=\"21\">",
		sizes.width, sizes.height, sizes.height - 20, room, sizes.height);
	lineage_page_path(stream, node->path, PATH_CHARACTERS);
	fputs("</text>", stream);
	if (node->metric) {
		fprintf(stream, "<text class=\"metric\" x=\"%g\" y=\"21\">", room - 4);
		lineage_page_text(stream, node->metric, 10);
		fputs("</text>", stream);
	}
	print_state_line(stream, node);
	if (node->has_seal)
		print_seal_lines(stream, node);
	else
		print_other_lines(stream, node);
	fputs("</svg></g>\n", stream);
}

/* ---- all ---- */

static void print_titles(FILE *stream, size_t columns)
{
	for (size_t i = 0; i < columns; i++)
		fprintf(stream, "<text class=\"column\" x=\"%.1f\" y=\"-14\">generation %zu</text>\n",
			(double)i * (sizes.width + sizes.column_gap), i);
}

static size_t count_columns(const struct layout *layout, size_t nodes)
{
	size_t columns = 0;

	for (size_t i = 0; i < nodes; i++)
		if (columns < layout->layers[i] + 1)
			columns = layout->layers[i] + 1;
	return columns;
}

int lineage_page_drawing(FILE *stream, const struct lineage *lineage, size_t *columns)
{
	CLEANUP(graph_free) struct graph graph = {0};
	double width, height;

	if (compute(lineage, &graph))
		return -ENOMEM;
	*columns = count_columns(&graph.out, lineage->count);
	width = graph.out.width + 2 * MARGIN;
	height = graph.out.height + 2 * MARGIN + TITLE;
	fprintf(stream,
		"<svg id=\"drawing\" role=\"group\" aria-label=\"Lineage\" width=\"%.0f\" height=\"%.0f\" "
		"viewBox=\"%d %d %.0f %.0f\">\n"
		"<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
		"markerHeight=\"7\" "
		"orient=\"auto\"><path d=\"M0 .5 7.5 4 0 7.5z\"/></marker></defs>\n",
		width, height, -MARGIN, -MARGIN - TITLE, width, height);
	print_titles(stream, *columns);
	for (size_t i = 0; i < graph.in.edge_count; i++)
		print_edge(stream, lineage, &graph.edges[i], &graph.out.routes[i]);
	for (size_t i = 0; i < lineage->count; i++)
		print_node(stream, &lineage->nodes[i], i, graph.out.nodes[i]);
	fputs("</svg>\n", stream);
	return 0;
}
