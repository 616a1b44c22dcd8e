#include "follow.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "cleanup.h"
#include "progress.h"
#include "report.h"
#include "sealfs/escape.h"

#define INTERVAL_NS 200000000

struct follow {
	char *root, *path, *writer; /* the writer escaped, as replies have it; or NULL */
	atomic_uint_least64_t done, total;
	struct progress *progress;
	pthread_t thread;
	pthread_mutex_t lock; /* ended */
	pthread_cond_t changed;
	bool ended;
};

static uint64_t number(const json_t *checkpoint, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(checkpoint, key));
}

static void look(struct follow *follow)
{
	AUTO_CLOSE int fd = open(follow->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_auto_t *reply = NULL;
	json_t *checkpoint;
	uint64_t done = 0, total = 0;
	size_t i;

	if (fd < 0 || call_mount(fd, &(struct call){.op = SEALFS_CALL_STATUS, .path = follow->path}, &reply))
		return;
	if (json_is_object(reply)) {
		done = number(reply, "bytes_done");
		total = number(reply, "bytes_total");
	}
	json_array_foreach(reply, i, checkpoint)
	{
		if (follow->writer && strcmp(report_string(checkpoint, "writer"), follow->writer))
			continue;
		done += number(checkpoint, "bytes_done");
		total += number(checkpoint, "bytes_total");
	}
	atomic_store(&follow->total, total);
	atomic_store(&follow->done, done);
	/* a line that says nothing yet is not worth a flicker */
	if (total)
		progress_show(follow->progress);
	else
		progress_hide(follow->progress);
}

/* False once it is to end. */
static bool wait_a_moment(struct follow *follow)
{
	struct timespec until;
	bool goes_on;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += INTERVAL_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&follow->lock);
	if (!follow->ended)
		pthread_cond_timedwait(&follow->changed, &follow->lock, &until);
	goes_on = !follow->ended;
	pthread_mutex_unlock(&follow->lock);
	return goes_on;
}

static void *run(void *arg)
{
	while (wait_a_moment(arg))
		look(arg);
	return NULL;
}

static void follow_free(struct follow *follow)
{
	progress_stop(follow->progress);
	pthread_cond_destroy(&follow->changed);
	pthread_mutex_destroy(&follow->lock);
	free(follow->root);
	free(follow->path);
	free(follow->writer);
	free(follow);
}

/* Signals are for the command's own threads. */
static int start_thread(struct follow *follow)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&follow->thread, NULL, run, follow);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct follow *follow_start(const char *root, const char *path, const char *writer)
{
	struct follow *follow = isatty(STDERR_FILENO) ? calloc(1, sizeof(*follow)) : NULL;

	if (!follow)
		return NULL;
	pthread_mutex_init(&follow->lock, NULL);
	pthread_cond_init(&follow->changed, NULL);
	follow->root = strdup(root);
	follow->path = strdup(path);
	follow->writer = writer ? escape_text(writer) : NULL;
	follow->progress = progress_start("sealing", &follow->done, &follow->total);
	progress_hide(follow->progress);
	if (!follow->root || !follow->path || (writer && !follow->writer) || start_thread(follow)) {
		follow_free(follow);
		return NULL;
	}
	return follow;
}

void follow_stop(struct follow *follow)
{
	if (!follow)
		return;
	pthread_mutex_lock(&follow->lock);
	follow->ended = true;
	pthread_cond_signal(&follow->changed);
	pthread_mutex_unlock(&follow->lock);
	pthread_join(follow->thread, NULL);
	follow_free(follow);
}
