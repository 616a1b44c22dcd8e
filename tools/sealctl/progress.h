/*
 * progress - one line on standard error that tells how far something is, while it goes on
 *
 * Nothing is drawn when standard error is no terminal: then progress_start() returns NULL, which all functions take.
 */
#ifndef SEALCTL_PROGRESS_H
#define SEALCTL_PROGRESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct progress;

/*
 * Draws now and then (at most 10 times a second, from a thread of its own) until progress_stop(). `what` is a verb like
 * "verifying". The counters, in bytes, are anybody's to change; `total` may be 0 for as long as it is not known. `what`
 * and the counters must outlive it. NULL also when there is no memory or thread for it.
 */
struct progress *progress_start(const char *what, const atomic_uint_least64_t *done,
				const atomic_uint_least64_t *total);

/* Clears the line so that something else can be printed, and keeps it away until progress_show(). */
void progress_hide(struct progress *progress);
void progress_show(struct progress *progress);

/* Clears the line for good and frees. */
void progress_stop(struct progress *progress);

/*
 * The line's text: what, share, bytes, rate, time left; cut to `width` columns. Pure.
 * "verifying  41%, 1.2 GB of 2.9 GB, 510.0 MB/s, 3 s left"
 */
#define PROGRESS_LENGTH 256
void progress_format(char text[PROGRESS_LENGTH], size_t width, const char *what, uint64_t done, uint64_t total,
		     double seconds);

#endif
