/*
 * outcome - what a trial has reported, in whichever way
 *
 * In this order: NNI's final result (nni.report_final_result() on the platform "local"), the file that SEALTUNER_RESULT
 * names, the last line of its standard output. A result is a number, a JSON object with "default" or "value", or, the
 * way NNI's SDK writes it, a JSON string with one of those in it.
 */
#ifndef SEALTUNER_OUTCOME_H
#define SEALTUNER_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>

#include "sealfs/store.h"

#define OUTCOME_METRICS ".nni/metrics"
#define OUTCOME_RESULT "result"
#define OUTCOME_OUTPUT "stdout"
#define OUTCOME_ERRORS "stderr"

/* Looks in the trial's work directory. 0, or -ENODATA when it has reported nothing that is a number; the store's -errno. */
int outcome_read(const struct store *store, int work, double *value);

/* What it has reported last through NNI's SDK, intermediate or final. As outcome_read(). */
int outcome_progress(const struct store *store, int work, double *value);

/* The last line of what it wrote to standard error that is not blank, without the name of the program that ran it. Allocated; NULL when there is none. */
char *outcome_complaint(const struct store *store, int work);

/* ---- the parts; no I/O ---- */

/* Records are "ME", six digits, so many bytes of JSON, maybe a newline; one that is cut short ends it. The last final result counts, or with `any`
 * the last of all. -ENODATA. */
int outcome_parse_metrics(const char *data, size_t size, bool any, double *value);

/* -ENODATA when it is no result. May be NAN: a diverged training says so. */
int outcome_parse_result(const char *text, size_t size, double *value);

/* The last line that is not blank: its start and size in *line, *length; 0 when there is none. */
size_t outcome_last_line(const char *text, size_t size, const char **line);

#endif
