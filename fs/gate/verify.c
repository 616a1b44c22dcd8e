/* verify.c - is the content what was sealed? Asked once a file and mount, while the file stays as it is */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/log.h"

enum check_state { CHECK_UNKNOWN, CHECK_RUNNING, CHECK_GOOD, CHECK_BAD };

/* What a file looked like when it was read. */
struct stamp {
	uint64_t device, inode, size;
	struct timespec mtime, ctime;
};

struct check {
	struct wait_point point;
	enum check_state state;
	struct stamp stamp;
};

struct gate_file_check {
	pthread_mutex_t lock; /* guards the states and stamps */
	struct check checks[];
};

struct verification {
	struct pool_job job;
	struct gate *gate;
	struct gate_sealed *sealed;
	size_t index;
	int fd;
	struct stamp stamp;
};

int gate_checks_init_(struct gate_sealed *sealed)
{
	sealed->checks = calloc(1, sizeof(*sealed->checks) + sealed->manifest.count * sizeof(struct check));
	if (!sealed->checks)
		return -ENOMEM;
	pthread_mutex_init(&sealed->checks->lock, NULL);
	return 0;
}

void gate_checks_free_(struct gate_sealed *sealed)
{
	if (!sealed->checks)
		return;
	for (size_t i = 0; i < sealed->manifest.count; i++)
		free(sealed->checks->checks[i].point.awaited);
	pthread_mutex_destroy(&sealed->checks->lock);
	free(sealed->checks);
}

static struct stamp stamp_of(const struct stat *attributes)
{
	return (struct stamp){.device = attributes->st_dev,
			      .inode = attributes->st_ino,
			      .size = (uint64_t)attributes->st_size,
			      .mtime = attributes->st_mtim,
			      .ctime = attributes->st_ctim};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

static void complain(const struct gate_sealed *sealed, size_t index, const char *what)
{
	const char *path = sealed->manifest.entries[index].path;
	bool alone = !strcmp(path, ".");
	log_error("'%s%s%s': %s: that is not what was sealed (EBADMSG); 'sealctl verify %s' tells more; restore it on the export, or 'sealctl rm %s'",
		  sealed->path, alone ? "" : "/", alone ? "" : path, what, sealed->path, sealed->path);
}

static void verify_job(struct pool_job *job)
{
	struct verification *work = (struct verification *)job;
	const struct manifest_entry *entry = &work->sealed->manifest.entries[work->index];
	struct check *check = &work->sealed->checks->checks[work->index];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct digest_progress progress = {NULL, NULL};
	struct digest digest;
	struct stat after;

	int error = digest_file(&work->gate->options.store, work->fd, entry->size, cpus > 0 ? (unsigned int)cpus : 1, &progress, &digest);
	if (!error && !digest_equal(&digest, &entry->digest))
		error = -EBADMSG;
	if (error == -EBADMSG)
		complain(work->sealed, work->index, "its content differs");
	/* changed while it was read: what was read may be neither the one nor the other */
	if (!error && !fstat(work->fd, &after)) {
		struct stamp now = stamp_of(&after);
		if (!same_stamp(&now, &work->stamp))
			error = -EBADMSG;
	}
	pthread_mutex_lock(&work->sealed->checks->lock);
	check->state = error == 0 ? CHECK_GOOD : error == -EBADMSG ? CHECK_BAD : CHECK_UNKNOWN;
	check->stamp = work->stamp;
	pthread_mutex_unlock(&work->sealed->checks->lock);
	waiters_wake(work->gate->waiters, &check->point, error, 0);
	close(work->fd);
	gate_sealed_put(work->sealed);
	free(work);
}

/* Under the checks' lock. */
static int start(struct gate *gate, struct gate_sealed *sealed, size_t index, int fd, const struct stamp *stamp)
{
	struct verification *work = calloc(1, sizeof(*work));
	if (!work)
		return -ENOMEM;
	/* a descriptor of its own: the asker may be interrupted and close his */
	work->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (work->fd < 0) {
		free(work);
		return -errno;
	}
	work->job.run = verify_job;
	work->gate = gate;
	work->sealed = gate_sealed_ref(sealed);
	work->index = index;
	work->stamp = *stamp;
	sealed->checks->checks[index].state = CHECK_RUNNING;
	sealed->checks->checks[index].stamp = *stamp;
	pool_submit(gate->pool, &work->job);
	return 0;
}

int gate_verify(struct gate *gate, struct gate_sealed *sealed, size_t index, int fd, const struct stat *attributes, struct waiter *waiter,
		bool (*interrupted)(const void *key))
{
	struct stamp stamp = stamp_of(attributes);
	struct check *check = &sealed->checks->checks[index];
	int result = 0;

	if (stamp.size != sealed->manifest.entries[index].size) {
		complain(sealed, index, "its size differs");
		return -EBADMSG;
	}
	if (!gate->options.verify)
		return 0;
	pthread_mutex_lock(&sealed->checks->lock);
	bool same = same_stamp(&check->stamp, &stamp);
	if (check->state == CHECK_GOOD && same)
		goto out;
	result = -EBADMSG;
	if (check->state == CHECK_BAD && same)
		goto out;
	result = -EAGAIN;
	if (!waiter)
		goto out;
	if (check->state != CHECK_RUNNING)
		result = start(gate, sealed, index, fd, &stamp);
	else
		result = 0;
	if (!result)
		result = waiters_park(gate->waiters, waiter, &check->point, "", NULL, 0, interrupted);
	if (!result)
		result = 1;
out:
	pthread_mutex_unlock(&sealed->checks->lock);
	return result;
}

void gate_interrupt(struct gate *gate, const void *key)
{
	waiters_interrupt(gate->waiters, key);
}
