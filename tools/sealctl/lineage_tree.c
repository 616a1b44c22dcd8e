#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "lineage.h"
#include "report.h"
#include "sealfs/escape.h"
#include "sealfs/record.h"

#define SHOWN_DIGITS 12

/* A way from the top of a tree down to the node that is printed. */
struct step {
	size_t node;
	size_t next; /* which of its links comes next */
};

struct drawing {
	FILE *stream;
	const struct lineage *lineage;
	bool up; /* below a node come its parents, else its children */
	bool *printed;
	struct step *way;
	size_t length;
};

static const struct lineage_links *links_of(const struct drawing *drawing, size_t node)
{
	const struct lineage_node *at = &drawing->lineage->nodes[node];

	return drawing->up ? &at->parents : &at->children;
}

static void print_text(FILE *stream, const char *before, const char *text)
{
	AUTO_FREE char *line = escape_line(text ? text : "");

	fprintf(stream, "%s%s", before, line ? line : "?");
}

static void print_what_became(FILE *stream, const struct lineage_node *node)
{
	char other[LINEAGE_ROOT_SIZE];

	lineage_root(node->has_other, &node->other, SHOWN_DIGITS, other);
	if (node->has_other)
		fprintf(stream, "  (now %s)", other);
	else if (node->standing == LINEAGE_NOT_SEALED)
		fprintf(stream, "  (now %s)", state_name(node->now));
	if (node->damage)
		print_text(stream, "  ", node->damage);
}

static void print_seal(FILE *stream, const struct lineage_node *node)
{
	char size[REPORT_SIZE_LENGTH], time[RECORD_TIME_SIZE];

	if (!node->has_seal)
		return;
	record_time_format(node->time_ns, time);
	print_text(stream, "  ", node->trial);
	print_text(stream, " on ", node->host);
	fprintf(stream, ", %.19sZ, %s", time, report_size(node->bytes, size));
	if (node->metric)
		print_text(stream, ", ", node->metric);
}

static void print_node(FILE *stream, const struct lineage_node *node)
{
	AUTO_FREE char *path = escape_text(node->path);
	char root[LINEAGE_ROOT_SIZE];

	lineage_root(node->has_root, &node->root, SHOWN_DIGITS, root);
	fprintf(stream, "%s  %s%s%s", path ? path : "?", lineage_state(node), node->has_root ? "  " : "", root);
	print_seal(stream, node);
	print_what_became(stream, node);
}

static bool has_more(const struct drawing *drawing, size_t depth)
{
	const struct step *step = &drawing->way[depth];

	return step->next < links_of(drawing, step->node)->count;
}

/* The branches that lead to a node below the end of the way. */
static void print_branches(const struct drawing *drawing)
{
	for (size_t depth = 0; depth + 1 < drawing->length; depth++)
		fputs(has_more(drawing, depth) ? "│  " : "   ", drawing->stream);
	if (drawing->length)
		fputs(has_more(drawing, drawing->length - 1) ? "├─ " : "└─ ", drawing->stream);
}

static void refer(FILE *stream, const struct lineage_node *node)
{
	AUTO_FREE char *path = escape_text(node->path);

	fprintf(stream, "%s  (see above)\n", path ? path : "?");
}

static void visit(struct drawing *drawing, size_t node)
{
	print_branches(drawing);
	if (drawing->printed[node]) {
		refer(drawing->stream, &drawing->lineage->nodes[node]);
		return;
	}
	print_node(drawing->stream, &drawing->lineage->nodes[node]);
	fputc('\n', drawing->stream);
	drawing->printed[node] = true;
	drawing->way[drawing->length++] = (struct step){.node = node};
}

/* No recursion: a lineage may be as long as it likes. Each node is on the way at most once. */
static void draw(struct drawing *drawing, size_t top)
{
	visit(drawing, top);
	while (drawing->length) {
		struct step *step = &drawing->way[drawing->length - 1];
		const struct lineage_links *links = links_of(drawing, step->node);

		if (step->next == links->count)
			drawing->length--;
		else
			visit(drawing, links->nodes[step->next++]);
	}
}

static int begin(struct drawing *drawing, FILE *stream, const struct lineage *lineage, bool up)
{
	*drawing = (struct drawing){.stream = stream, .lineage = lineage, .up = up};
	drawing->printed = calloc(lineage->count + 1, sizeof(*drawing->printed));
	drawing->way = calloc(lineage->count + 1, sizeof(*drawing->way));
	return drawing->printed && drawing->way ? 0 : -ENOMEM;
}

static void end(struct drawing *drawing)
{
	free(drawing->printed);
	free(drawing->way);
}

int lineage_print_ancestors(FILE *stream, const struct lineage *lineage, size_t node)
{
	CLEANUP(end) struct drawing drawing;

	if (begin(&drawing, stream, lineage, true))
		return -ENOMEM;
	draw(&drawing, node);
	return 0;
}

int lineage_print_forest(FILE *stream, const struct lineage *lineage, const char *where)
{
	CLEANUP(end) struct drawing drawing;

	if (begin(&drawing, stream, lineage, false))
		return -ENOMEM;
	/* First what has no parents; then what is left: circles, which forged seals can make. */
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < lineage->count; i++)
			if (!drawing.printed[i] && !strcmp(lineage->nodes[i].where, where) &&
			    (round || !lineage->nodes[i].parents.count))
				draw(&drawing, i);
	return 0;
}
