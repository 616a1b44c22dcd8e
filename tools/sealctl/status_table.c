#include "status_table.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"
#include "target_path.h"

enum {
	COLUMN_PATH,
	COLUMN_STATE,
	COLUMN_GENERATION,
	COLUMN_WRITER,
	COLUMN_HOST,
	COLUMN_SINCE,
	COLUMN_WAITERS,
	COLUMN_NOTE,
	COLUMNS
};

#define NAMED_MOST 4 /* of those who wait or write: --json has them all */

static const char *const titles[COLUMNS] = {"PATH", "STATE", "GEN", "WRITER", "HOST", "SINCE", "WAITERS", "NOTE"};

/* One line of the table; all strings allocated, NULL when memory is out. */
struct row {
	char *cells[COLUMNS];
};

static void row_free(struct row *row)
{
	for (size_t i = 0; i < COLUMNS; i++)
		free(row->cells[i]);
}

static char *or_dash(const char *text)
{
	return strdup(text[0] ? text : "-");
}

static char *number(size_t value)
{
	char *text;

	return asprintf(&text, "%zu", value) < 0 ? NULL : text;
}

const char *status_table_root(const json_t *checkpoint)
{
	const char *root = report_string(checkpoint, "mount");

	return root[0] ? root : report_string(checkpoint, "export");
}

static char *full_path(const json_t *checkpoint)
{
	return path_join(status_table_root(checkpoint), report_string(checkpoint, "path"));
}

/* "pid 4711 (python3), pid 4712 (python3) of trial 't4' on node7, 3 more" */
static void list_processes(FILE *stream, const json_t *processes)
{
	char here[HOST_NAME_MAX + 1] = "";
	json_t *process;
	size_t i;

	gethostname(here, sizeof(here) - 1);
	json_array_foreach(processes, i, process)
	{
		const char *trial = report_string(process, "trial"), *host = report_string(process, "host");

		if (i == NAMED_MOST) {
			fprintf(stream, ", %zu more", json_array_size(processes) - i);
			break;
		}
		fprintf(stream, "%spid %lld (%s)", i ? ", " : "", (long long)json_integer_value(json_object_get(process, "pid")),
			report_string(process, "command"));
		if (trial[0])
			fprintf(stream, " of trial '%s'", trial);
		if (host[0] && strcmp(host, here) != 0)
			fprintf(stream, " on %s", host);
		if (json_is_true(json_object_get(process, "unconfirmed")))
			fputs(" (unconfirmed)", stream);
	}
}

/* The state's own remark: why it failed, what it was sealed as, who has it open. */
static void note_state(FILE *note, const json_t *checkpoint)
{
	const json_t *writing = json_object_get(checkpoint, "open_for_writing");
	const char *const keys[] = {"error", "reason", "root"};

	if (json_array_size(writing)) {
		fputs("open for writing by ", note);
		list_processes(note, writing);
		return;
	}
	if (report_string(checkpoint, "waits_for")[0]) {
		fprintf(note, "waits until its trial has ended on %s", report_string(checkpoint, "waits_for"));
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		if (!report_string(checkpoint, keys[i])[0])
			continue;
		fputs(report_string(checkpoint, keys[i]), note);
		return;
	}
}

static char *note(const json_t *checkpoint)
{
	const json_t *waiters = json_object_get(checkpoint, "waiters");
	char *text = NULL;
	size_t size;
	FILE *note = open_memstream(&text, &size);

	if (!note)
		return NULL;
	note_state(note, checkpoint);
	if (json_array_size(waiters)) {
		fprintf(note, "%sawaited by ", ftell(note) > 0 ? "; " : "");
		list_processes(note, waiters);
	}
	if (ftell(note) <= 0)
		fputs("-", note);
	fclose(note);
	return text;
}

static void row_fill(struct row *row, const json_t *checkpoint)
{
	bool sealing = json_is_true(json_object_get(checkpoint, "sealing"));

	row->cells[COLUMN_PATH] = full_path(checkpoint);
	row->cells[COLUMN_STATE] = strdup(sealing ? "sealing" : report_string(checkpoint, "state"));
	row->cells[COLUMN_GENERATION] = number((size_t)json_integer_value(json_object_get(checkpoint, "generation")));
	row->cells[COLUMN_WRITER] = or_dash(report_string(checkpoint, "writer"));
	row->cells[COLUMN_HOST] = or_dash(report_string(checkpoint, "host"));
	row->cells[COLUMN_SINCE] = or_dash(report_string(checkpoint, "since"));
	row->cells[COLUMN_WAITERS] = number(json_array_size(json_object_get(checkpoint, "waiters")));
	row->cells[COLUMN_NOTE] = note(checkpoint);
}

/* Terminal columns, as far as UTF-8 characters are one column wide each. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void widen(size_t widths[COLUMNS], const char *const cells[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++)
		if (cells[i] && text_width(cells[i]) > widths[i])
			widths[i] = text_width(cells[i]);
}

static void print_cells(const size_t widths[COLUMNS], const char *const cells[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		const char *cell = cells[i] ? cells[i] : "";

		report_print_plain(stdout, cell);
		if (i + 1 < COLUMNS)
			printf("%*s", (int)(widths[i] - text_width(cell)) + 2, "");
	}
	putchar('\n');
}

int status_table_print(const json_t *array)
{
	size_t count = json_array_size(array), widths[COLUMNS] = {0};
	AUTO_FREE struct row *rows = calloc(count + 1, sizeof(*rows));

	if (!rows)
		return EXIT_ERROR;
	widen(widths, titles);
	for (size_t i = 0; i < count; i++) {
		row_fill(&rows[i], json_array_get(array, i));
		widen(widths, (const char *const *)rows[i].cells);
	}
	print_cells(widths, titles);
	for (size_t i = 0; i < count; i++) {
		print_cells(widths, (const char *const *)rows[i].cells);
		row_free(&rows[i]);
	}
	return EXIT_GOOD;
}
