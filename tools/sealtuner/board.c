#include "board.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../sealctl/call.h"
#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "show.h"

#define PARAMETERS_WIDTH 60
#define LINE_SIZE 512
#define TIME_SIZE 32

void board_begin(struct board *board)
{
	*board = (struct board){.terminal = isatty(STDOUT_FILENO) == 1};
	/* Who follows it through a pipe sees each line when it comes. */
	setvbuf(stdout, NULL, _IOLBF, 0);
}

void board_clear(struct board *board)
{
	if (board->lines)
		printf("\033[%uA\r\033[J", board->lines);
	board->lines = 0;
	fflush(stdout);
}

static const char *parent_id(const struct experiment *experiment, const struct trial *trial)
{
	return trial->parent == TRIAL_NONE ? NULL : experiment->trials[trial->parent]->id;
}

void board_ended(struct board *board, const struct experiment *experiment, const struct trial *trial, double seconds)
{
	AUTO_FREE char *parameters = show_parameters(trial->parameters, PARAMETERS_WIDTH);
	const char *parent = parent_id(experiment, trial);
	char value[SHOW_VALUE_SIZE];

	board_clear(board);
	show_value(trial, value);
	printf("%s  %s  ", trial->id, trial->state == TRIAL_DONE ? value : "failed");
	if (parent)
		printf("from %s  ", parent);
	printf("%.1f s  ", seconds);
	report_print_plain(stdout, trial->state == TRIAL_FAILED && trial->reason ? trial->reason : parameters ? parameters : "");
	putchar('\n');
	fflush(stdout);
}

/* A line of the table, cut where the terminal ends. */
static void __attribute__((format(printf, 3, 4))) add_line(FILE *stream, size_t width, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (width < sizeof(line))
		line[width] = '\0';
	report_print_plain(stream, line);
	fputc('\n', stream);
}

/* As wide as what stands in them, so that a narrow terminal cuts off the parameters first. */
struct widths {
	int id, metric, waits_for, time;
};

static void format_metric(const struct board_row *row, char text[SHOW_VALUE_SIZE])
{
	strcpy(text, "-");
	if (row->has_metric)
		snprintf(text, SHOW_VALUE_SIZE, "%.6g", row->metric);
}

static void format_time(const struct board_row *row, int64_t now_ns, char text[TIME_SIZE])
{
	strcpy(text, "-");
	if (row->began_ns)
		snprintf(text, TIME_SIZE, "%.0f s", (double)(now_ns - row->began_ns) / 1e9);
}

static void widen(int *width, const char *text)
{
	int size = (int)strlen(text);

	if (size > *width)
		*width = size;
}

static struct widths measure(const struct board_row *rows, size_t count, int64_t now_ns)
{
	struct widths widths = {(int)strlen("ID"), (int)strlen("METRIC"), (int)strlen("WAITS FOR"), (int)strlen("TIME")};
	char metric[SHOW_VALUE_SIZE], time[TIME_SIZE];

	for (size_t i = 0; i < count; i++) {
		format_metric(&rows[i], metric);
		format_time(&rows[i], now_ns, time);
		widen(&widths.id, rows[i].trial->id);
		widen(&widths.metric, metric);
		widen(&widths.waits_for, rows[i].waits_for ? rows[i].waits_for : "-");
		widen(&widths.time, time);
	}
	return widths;
}

static void add_columns(FILE *stream, size_t width, const struct widths *widths, const char *const columns[6])
{
	add_line(stream, width, "%-*s  %-7s  %-*s  %-*s  %*s  %s", widths->id, columns[0], columns[1], widths->metric, columns[2],
		 widths->waits_for, columns[3], widths->time, columns[4], columns[5]);
}

static void add_row(FILE *stream, size_t width, const struct widths *widths, const struct board_row *row, int64_t now_ns)
{
	AUTO_FREE char *parameters = show_parameters(row->trial->parameters, PARAMETERS_WIDTH);
	char time[TIME_SIZE], metric[SHOW_VALUE_SIZE];

	format_metric(row, metric);
	format_time(row, now_ns, time);
	add_columns(stream, width, widths,
		    (const char *const[6]){row->trial->id, row->waits_for ? "waiting" : "running", metric,
					   row->waits_for ? row->waits_for : "-", time, parameters ? parameters : ""});
}

static void add_sum(FILE *stream, size_t width, const struct experiment *experiment, size_t running, unsigned int wanted)
{
	const struct trial *best = experiment_best(experiment);
	size_t done = 0, failed = 0;
	char value[SHOW_VALUE_SIZE];

	for (size_t i = 0; i < experiment->count; i++) {
		done += experiment->trials[i]->state == TRIAL_DONE && !experiment->trials[i]->imported;
		failed += experiment->trials[i]->state == TRIAL_FAILED;
	}
	if (best)
		show_value(best, value);
	add_line(stream, width, "%zu of %u done, %zu failed, %zu running%s%s%s%s", done, wanted, failed, running,
		 best ? "; best: " : "", best ? best->id : "", best ? ", " : "", best ? value : "");
}

char *board_format(const struct experiment *experiment, const struct board_row *rows, size_t count, unsigned int wanted,
		   int64_t now_ns, size_t width, unsigned int *lines)
{
	struct widths widths;
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	*lines = (unsigned int)count + 2;
	if (!stream)
		return NULL;
	widths = measure(rows, count, now_ns);
	add_columns(stream, width, &widths, (const char *const[6]){"ID", "STATE", "METRIC", "WAITS FOR", "TIME", "PARAMETERS"});
	for (size_t i = 0; i < count; i++)
		add_row(stream, width, &widths, &rows[i], now_ns);
	add_sum(stream, width, experiment, count, wanted);
	if (!fclose(stream))
		return text;
	free(text);
	return NULL;
}

static void terminal_size(size_t *width, size_t *height)
{
	struct winsize size;
	bool known = !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col > 1 && size.ws_row > 1;

	*width = known ? size.ws_col - 1u : 79;
	*height = known ? size.ws_row : 24;
}

void board_draw(struct board *board, const struct experiment *experiment, const struct board_row *rows, size_t count,
		unsigned int wanted)
{
	AUTO_FREE char *text = NULL;
	size_t width, height;
	unsigned int lines;

	if (!board->terminal)
		return;
	terminal_size(&width, &height);
	/* What does not fit could not be drawn over. */
	if (count + 3 > height)
		count = height > 3 ? height - 3 : 0;
	text = board_format(experiment, rows, count, wanted, call_now_ns(), width, &lines);
	if (!text)
		return;
	board_clear(board);
	fputs(text, stdout);
	fflush(stdout);
	board->lines = lines;
}
