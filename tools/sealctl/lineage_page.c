#include "lineage_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/escape.h"

#define MANIFESTS_SIZE (16u << 20) /* bytes of manifests in all; a browser has to take it */

void lineage_page_escape(FILE *stream, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", stream);
			break;
		case '<':
			fputs("&lt;", stream);
			break;
		case '>':
			fputs("&gt;", stream);
			break;
		case '"':
			fputs("&quot;", stream);
			break;
		case '\'':
			fputs("&#39;", stream);
			break;
		default:
			fputc(*text, stream);
		}
	}
}

static bool begins_character(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

static size_t count_characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += begins_character(*text);
	return count;
}

/* After so many characters of valid UTF-8. */
static char *skip_characters(char *text, size_t characters)
{
	for (; *text; text++)
		if (begins_character(*text) && characters-- == 0)
			break;
	return text;
}

void lineage_page_text(FILE *stream, const char *bytes, size_t characters)
{
	AUTO_FREE char *text = escape_line(bytes);
	bool cut = text && count_characters(text) > characters;

	if (cut)
		*skip_characters(text, characters - 1) = '\0';
	lineage_page_escape(stream, text ? text : "?");
	fputs(cut ? "…" : "", stream);
}

void lineage_page_path(FILE *stream, const char *bytes, size_t characters)
{
	AUTO_FREE char *text = escape_text(bytes);
	size_t count = text ? count_characters(text) : 0;

	if (count > characters) {
		fputs("…", stream);
		lineage_page_escape(stream, skip_characters(text, count - characters + 1));
		return;
	}
	lineage_page_escape(stream, text ? text : "?");
}

/* ---- the data of the side panel ---- */

/* In a script element nothing but "</script" and "<!--" means something. No '<' comes out as itself. */
static void print_data(FILE *stream, const char *json)
{
	for (; *json; json++) {
		if (*json == '<' || *json == '>' || *json == '&')
			fprintf(stream, "\\u%04x", (unsigned int)*json);
		else
			fputc(*json, stream);
	}
}

static void add_manifest(const struct lineage_node *node, json_t *object, size_t *room)
{
	size_t size = node->manifest ? strlen(node->manifest) : 0;

	if (!node->manifest)
		return;
	json_object_set_new(object, "manifest_lines", json_integer((json_int_t)node->manifest_lines));
	if (size > *room)
		return;
	*room -= size;
	json_object_set_new(object, "manifest", json_string(node->manifest));
}

static int print_nodes_data(FILE *stream, const struct lineage *lineage)
{
	json_auto_t *all = lineage_json(lineage);
	json_t *nodes = json_object_get(all, "nodes");
	AUTO_FREE char *text = NULL;
	size_t room = MANIFESTS_SIZE;

	for (size_t i = 0; i < lineage->count && nodes; i++)
		add_manifest(&lineage->nodes[i], json_array_get(nodes, i), &room);
	text = nodes ? json_dumps(nodes, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	fputs("<script id=\"data\" type=\"application/json\">", stream);
	print_data(stream, text);
	fputs("</script>\n", stream);
	return 0;
}

/* ---- the head ---- */

/* The places that the nodes lie in, in the order of their first node. */
static void print_places(FILE *stream, const struct lineage *lineage)
{
	const char *separator = "";

	for (size_t i = 0; i < lineage->count; i++) {
		size_t first = 0;

		while (strcmp(lineage->nodes[first].where, lineage->nodes[i].where))
			first++;
		if (first < i)
			continue;
		fputs(separator, stream);
		lineage_page_path(stream, lineage->nodes[i].where, SIZE_MAX);
		separator = ", ";
	}
}

static const struct {
	const char *class, *text;
} legend[] = {
	{"sealed", "sealed"},
	{"open", "open: being written"},
	{"pending", "pending: reserved"},
	{"failed", "failed"},
	{"damaged", "damaged"},
	{"plain", "plain: not sealed"},
	{"replaced", "replaced since it was read"},
	{"gone", "gone"},
	{"not-sealed", "no longer sealed"},
	{"elsewhere", "not looked up"},
};

static size_t count_class(const struct lineage *lineage, const char *class)
{
	size_t count = 0;

	for (size_t i = 0; i < lineage->count; i++)
		count += !strcmp(lineage_class(&lineage->nodes[i]), class);
	return count;
}

/* Of the states that occur. */
static void print_legend(FILE *stream, const struct lineage *lineage)
{
	fputs("<ul class=\"legend\" aria-label=\"Legend\">", stream);
	for (size_t i = 0; i < sizeof(legend) / sizeof(legend[0]); i++) {
		size_t count = count_class(lineage, legend[i].class);

		if (count)
			fprintf(stream, "<li class=\"%s\"><i></i>%s <b>%zu</b></li>", legend[i].class, legend[i].text,
				count);
	}
	fputs("</ul>\n", stream);
}

static void print_head(FILE *stream, const struct lineage *lineage)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
	      "script-src 'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Lineage of ",
	      stream);
	print_places(stream, lineage);
	fputs("</title>\n<style>\n", stream);
	fputs(lineage_page_style, stream);
	fputs("</style>\n</head>\n<body>\n<header>\n<h1>Lineage of <span class=\"where\">", stream);
	print_places(stream, lineage);
	fputs("</span></h1>\n", stream);
}

static void print_sum(FILE *stream, const struct lineage *lineage, size_t columns)
{
	fprintf(stream, "<p class=\"sum\">%zu checkpoint%s in %zu generation%s", lineage->count,
		lineage->count == 1 ? "" : "s", columns, columns == 1 ? "" : "s");
	if (lineage->replaced)
		fprintf(stream, "; <strong>%zu listed parent%s replaced since</strong>", lineage->replaced,
			lineage->replaced == 1 ? " was" : "s were");
	if (lineage->damaged)
		fprintf(stream, "; <strong>%zu damaged</strong>", lineage->damaged);
	fputs("</p>\n", stream);
}

int lineage_print_page(FILE *stream, const struct lineage *lineage)
{
	AUTO_FREE char *drawing = NULL;
	size_t size, columns = 0;
	FILE *memory = open_memstream(&drawing, &size);
	int error = memory ? lineage_page_drawing(memory, lineage, &columns) : -ENOMEM;

	if (memory && fclose(memory))
		error = -ENOMEM;
	if (error)
		return error;
	print_head(stream, lineage);
	print_sum(stream, lineage, columns);
	print_legend(stream, lineage);
	fputs("<p class=\"tools\"><button id=\"smaller\" aria-label=\"Smaller\">−</button>"
	      "<button id=\"larger\" aria-label=\"Larger\">+</button><button id=\"fit\">Fit</button>"
	      "<button id=\"natural\">1:1</button></p>\n"
	      "</header>\n<main>\n<div id=\"view\">\n",
	      stream);
	fputs(drawing, stream);
	fputs("</div>\n<aside id=\"panel\" aria-live=\"polite\" aria-label=\"The chosen checkpoint\">"
	      "<p class=\"hint\">Click a checkpoint to see its root digest and manifest. With the keyboard: Tab to the "
	      "drawing, arrow keys to parents, children and neighbours, Escape to let go.</p></aside>\n</main>\n",
	      stream);
	error = print_nodes_data(stream, lineage);
	fputs("<script>\n", stream);
	fputs(lineage_page_script, stream);
	fputs("</script>\n</body>\n</html>\n", stream);
	return error;
}
