#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "lineage.h"
#include "report.h"
#include "sealfs/escape.h"
#include "sealfs/record.h"
#include "target_path.h"

/* ---- JSON ---- */

static json_t *root_json(bool known, const struct digest *root)
{
	char text[LINEAGE_ROOT_SIZE];

	lineage_root(known, root, 2 * DIGEST_SIZE, text);
	return known ? json_string(text) : json_null();
}

static json_t *text_json(const char *text)
{
	return text ? report_json_text(text) : json_null();
}

static json_t *parents_json(const struct lineage *lineage, const struct lineage_node *node)
{
	json_t *array = json_array();

	for (size_t i = 0; i < node->parents.count; i++) {
		size_t id = node->parents.nodes[i];
		const struct lineage_node *parent = &lineage->nodes[id];
		const char *standing = parent->standing == LINEAGE_PRESENT ? "good" : lineage_class(parent);

		json_array_append_new(array,
				      json_pack("{s:I, s:o, s:o, s:s}", "id", (json_int_t)id, "path",
						report_json_path(parent->path), "root",
						root_json(parent->has_root, &parent->root), "standing", standing));
	}
	return array;
}

static void add_seal(json_t *object, const struct lineage_node *node)
{
	char time[RECORD_TIME_SIZE];

	record_time_format(node->time_ns, time);
	json_object_set_new(object, "trial", text_json(node->trial));
	json_object_set_new(object, "host", text_json(node->host));
	json_object_set_new(object, "time", json_string(time));
	json_object_set_new(object, "files", json_integer((json_int_t)node->files));
	json_object_set_new(object, "bytes", json_integer((json_int_t)node->bytes));
}

static json_t *node_json(const struct lineage *lineage, size_t id)
{
	const struct lineage_node *node = &lineage->nodes[id];
	bool present = node->standing == LINEAGE_PRESENT;
	json_t *object = json_pack("{s:I, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "id", (json_int_t)id, "path",
				   report_json_path(node->path), "below", report_json_path(node->where), "state",
				   lineage_class(node), "root", root_json(node->has_root, &node->root), "now",
				   present || node->standing == LINEAGE_ELSEWHERE ? json_null()
										  : json_string(state_name(node->now)),
				   "error", text_json(node->damage), "parents", parents_json(lineage, node));

	json_object_set_new(object, "now_root", root_json(node->has_other, &node->other));
	json_object_set_new(object, "metric", text_json(node->metric));
	if (node->has_seal)
		add_seal(object, node);
	return object;
}

json_t *lineage_json(const struct lineage *lineage)
{
	json_t *nodes = json_array();

	for (size_t i = 0; i < lineage->count; i++)
		json_array_append_new(nodes, node_json(lineage, i));
	return json_pack("{s:b, s:I, s:I, s:o}", "ok", !lineage->replaced && !lineage->damaged, "replaced",
			 (json_int_t)lineage->replaced, "damaged", (json_int_t)lineage->damaged, "nodes", nodes);
}

/* ---- Graphviz ---- */

/* Escaped text has no line ends and no other control characters; what is left to be careful with are these. */
static void print_quoted(FILE *stream, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', stream);
		fputc(*text, stream);
	}
}

static const char *dot_style(const struct lineage_node *node)
{
	static const struct {
		const char *name, *style;
	} styles[] = {
		{"sealed", "color=\"#1a7f37\""},
		{"open", "color=\"#0969da\""},
		{"pending", "color=\"#9a6700\""},
		{"failed", "color=\"#cf222e\""},
		{"damaged", "color=\"#8250df\""},
		{"plain", "color=\"#6e7781\""},
		{"replaced", "color=\"#bc4c00\", style=\"rounded,dashed\""},
	};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (!strcmp(styles[i].name, lineage_class(node)))
			return styles[i].style;
	return "color=\"#6e7781\", style=\"rounded,dashed\"";
}

static int print_dot_node(FILE *stream, const struct lineage_node *node, size_t id)
{
	AUTO_FREE char *path = escape_text(node->path), *trial = escape_line(node->trial ? node->trial : "");
	char root[LINEAGE_ROOT_SIZE], size[REPORT_SIZE_LENGTH];

	if (!path || !trial)
		return -ENOMEM;
	lineage_root(node->has_root, &node->root, 12, root);
	fprintf(stream, "\tn%zu [label=\"", id);
	print_quoted(stream, path);
	fprintf(stream, "\\n%s%s%s", lineage_state(node), root[0] ? " " : "", root);
	if (node->has_seal) {
		fputs("\\n", stream);
		print_quoted(stream, trial);
		fprintf(stream, ", %s", report_size(node->bytes, size));
	}
	fprintf(stream, "\", %s];\n", dot_style(node));
	return 0;
}

static void print_dot_edges(FILE *stream, const struct lineage *lineage, size_t id)
{
	const struct lineage_links *parents = &lineage->nodes[id].parents;

	for (size_t i = 0; i < parents->count; i++) {
		bool present = lineage->nodes[parents->nodes[i]].standing == LINEAGE_PRESENT;

		fprintf(stream, "\tn%zu -> n%zu%s;\n", parents->nodes[i], id, present ? "" : " [style=dashed]");
	}
}

int lineage_print_dot(FILE *stream, const struct lineage *lineage)
{
	int error = 0;

	fputs("digraph lineage {\n\trankdir=LR;\n\tnode [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
	      stream);
	for (size_t i = 0; i < lineage->count && !error; i++)
		error = print_dot_node(stream, &lineage->nodes[i], i);
	for (size_t i = 0; i < lineage->count; i++)
		print_dot_edges(stream, lineage, i);
	fputs("}\n", stream);
	return error;
}
