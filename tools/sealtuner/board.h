/*
 * board - what `sealtuner run` shows: a line for each trial that has ended; on a terminal, below them, a table of those
 * that run
 */
#ifndef SEALTUNER_BOARD_H
#define SEALTUNER_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "experiment.h"

struct board_row {
	const struct trial *trial;
	const char *waits_for; /* the id of the trial whose checkpoint it waits for, or NULL */
	bool has_metric;
	double metric; /* what it has reported last */
	int64_t began_ns;      /* CLOCK_MONOTONIC; 0: an earlier launcher began it */
};

struct board {
	bool terminal;
	unsigned int lines; /* how many of the table are drawn */
};

void board_begin(struct board *board);

/* One line for a trial that has ended, which stays. */
void board_ended(struct board *board, const struct experiment *experiment, const struct trial *trial, double seconds);

/* Draws the table anew; nothing where there is no terminal. `wanted`: how many trials there are to be in all. */
void board_draw(struct board *board, const struct experiment *experiment, const struct board_row *rows, size_t count,
		unsigned int wanted);
void board_clear(struct board *board);

/* The table's text, each line at most `width` bytes; no I/O. Allocated, *lines of them; NULL when memory is out. */
char *board_format(const struct experiment *experiment, const struct board_row *rows, size_t count, unsigned int wanted,
		   int64_t now_ns, size_t width, unsigned int *lines);

#endif
