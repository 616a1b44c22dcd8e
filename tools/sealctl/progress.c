#include "progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "report.h"

#define INTERVAL_NS 100000000
/* Before that, a rate says nothing. */
#define SETTLED_SECONDS 0.5

struct progress {
	const char *what;
	const atomic_uint_least64_t *done, *total;
	int64_t began_ns;
	pthread_t thread;
	pthread_mutex_t lock; /* all below, and the line itself */
	pthread_cond_t changed;
	bool hidden, ended, drawn;
};

static void add_time(char *end, size_t room, double left)
{
	uint64_t seconds = (uint64_t)(left + 0.999);

	if (seconds < 100)
		snprintf(end, room, ", %" PRIu64 " s left", seconds);
	else if (seconds < 100 * 60)
		snprintf(end, room, ", %" PRIu64 " min left", (seconds + 59) / 60);
	else
		snprintf(end, room, ", %" PRIu64 " h left", (seconds + 3599) / 3600);
}

void progress_format(char text[PROGRESS_LENGTH], size_t width, const char *what, uint64_t done, uint64_t total,
		     double seconds)
{
	char done_text[REPORT_SIZE_LENGTH], other[REPORT_SIZE_LENGTH];
	int size;

	if (total > 0 && done <= total)
		size = snprintf(text, PROGRESS_LENGTH, "%s %3d%%, %s of %s", what,
				(int)((double)done / (double)total * 100), report_size(done, done_text),
				report_size(total, other));
	else
		size = snprintf(text, PROGRESS_LENGTH, "%s, %s", what, report_size(done, done_text));
	if (seconds >= SETTLED_SECONDS && done > 0 && size < PROGRESS_LENGTH) {
		double rate = (double)done / seconds;

		size += snprintf(text + size, PROGRESS_LENGTH - (size_t)size, ", %s/s",
				 report_size((uint64_t)rate, other));
		if (total > done && size < PROGRESS_LENGTH)
			add_time(text + size, PROGRESS_LENGTH - (size_t)size, (double)(total - done) / rate);
	}
	if (width < PROGRESS_LENGTH)
		text[width] = '\0';
}

static size_t columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 2 ? 79 : size.ws_col - 1u;
}

/* In one write, so that it does not mix with what others print. Under the lock. */
static void draw(struct progress *progress)
{
	char text[PROGRESS_LENGTH];

	progress_format(text, columns(), progress->what, atomic_load(progress->done), atomic_load(progress->total),
			(double)(call_now_ns() - progress->began_ns) / 1e9);
	dprintf(STDERR_FILENO, "\r%s\033[K", text);
	progress->drawn = true;
}

static void clear(struct progress *progress)
{
	if (progress->drawn)
		dprintf(STDERR_FILENO, "\r\033[K");
	progress->drawn = false;
}

static void wait_a_moment(struct progress *progress)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += INTERVAL_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&progress->changed, &progress->lock, &until);
}

static void *run(void *arg)
{
	struct progress *progress = arg;

	pthread_mutex_lock(&progress->lock);
	while (!progress->ended) {
		wait_a_moment(progress);
		if (!progress->hidden && !progress->ended)
			draw(progress);
	}
	pthread_mutex_unlock(&progress->lock);
	return NULL;
}

static void destroy(struct progress *progress)
{
	pthread_cond_destroy(&progress->changed);
	pthread_mutex_destroy(&progress->lock);
	free(progress);
}

/* Signals are for the command's own threads. */
static int start_thread(struct progress *progress)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&progress->thread, NULL, run, progress);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct progress *progress_start(const char *what, const atomic_uint_least64_t *done, const atomic_uint_least64_t *total)
{
	struct progress *progress = isatty(STDERR_FILENO) ? calloc(1, sizeof(*progress)) : NULL;
	pthread_condattr_t clock;

	if (!progress)
		return NULL;
	progress->what = what;
	progress->done = done;
	progress->total = total;
	progress->began_ns = call_now_ns();
	pthread_mutex_init(&progress->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->changed, &clock);
	pthread_condattr_destroy(&clock);
	if (!start_thread(progress))
		return progress;
	destroy(progress);
	return NULL;
}

static void set_hidden(struct progress *progress, bool hidden)
{
	if (!progress)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->hidden = hidden;
	if (hidden)
		clear(progress);
	pthread_mutex_unlock(&progress->lock);
}

void progress_hide(struct progress *progress)
{
	set_hidden(progress, true);
}

void progress_show(struct progress *progress)
{
	set_hidden(progress, false);
}

void progress_stop(struct progress *progress)
{
	if (!progress)
		return;
	pthread_mutex_lock(&progress->lock);
	progress->ended = true;
	clear(progress);
	pthread_cond_signal(&progress->changed);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->thread, NULL);
	destroy(progress);
}
