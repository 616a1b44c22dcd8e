/* prefetch.c - who opened one file of a checkpoint opens the others next, and who waited for it opens them all: they are verified ahead */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/creds.h"
#include "sealfs/log.h"
#include "verify.h"

struct prefetch {
	struct pool_job job;
	struct gate *gate;
	struct gate_sealed *sealed;
	size_t first; /* an index: that one is at work already; or PREFETCH_ALL */
	struct gate_caller caller;
};

/* What is read ahead shall still be in memory when it is asked for. */
static uint64_t room(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : 0;
}

static int open_sealed_file(const struct prefetch *work, const struct manifest_entry *entry)
{
	const struct store *store = &work->gate->options.store;
	char path[PATH_MAX];
	struct statx found;
	const char *name;

	if (snprintf(path, sizeof(path), "%s%s%s", work->sealed->path, strcmp(entry->path, ".") ? "/" : "",
		     strcmp(entry->path, ".") ? entry->path : "") >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int parent = store_open_parent(store, store->root, path, &name);
	if (parent < 0)
		return parent;
	int fd = store_open_regular(store, parent, name, &found);
	store->ops->close(store->ctx, parent);
	return fd;
}

/* Only what nobody has verified yet, and nobody is at. */
static void prefetch_file(const struct prefetch *work, size_t index)
{
	const struct manifest_entry *entry = &work->sealed->manifest.entries[index];
	struct gate_file_check *checks = work->sealed->checks;
	struct pool_job *verification = NULL;
	struct stat attributes;

	int fd = open_sealed_file(work, entry);
	if (fd < 0)
		return; /* whoever opens it will be told */
	pthread_mutex_lock(&checks->lock);
	if (checks->checks[index].state == GATE_CHECK_UNKNOWN && !fstat(fd, &attributes) && (uint64_t)attributes.st_size == entry->size) {
		struct gate_stamp stamp = gate_stamp_(&attributes);
		verification = gate_verification_(work->gate, work->sealed, index, fd, &stamp);
	}
	pthread_mutex_unlock(&checks->lock);
	close(fd);
	/* one at a time, here: the pool is for those who wait */
	if (verification)
		verification->run(verification);
}

static bool is_known(const struct prefetch *work, size_t index)
{
	struct gate_file_check *checks = work->sealed->checks;

	pthread_mutex_lock(&checks->lock);
	bool known = checks->checks[index].state != GATE_CHECK_UNKNOWN;
	pthread_mutex_unlock(&checks->lock);
	return known;
}

static void prefetch_job(struct pool_job *job)
{
	struct prefetch *work = (struct prefetch *)job;
	size_t count = work->sealed->manifest.count;
	uint64_t left = room();

	CREDS_SCOPE(work->caller.uid, work->caller.gid, 0);
	for (size_t i = 1; i <= count && !atomic_load(&work->gate->cancel); i++) {
		size_t index = work->first == PREFETCH_ALL ? i - 1 : (work->first + i) % count;
		const struct manifest_entry *entry = &work->sealed->manifest.entries[index];
		if (entry->type != MANIFEST_FILE || is_known(work, index))
			continue;
		if (entry->size > left)
			break;
		left -= entry->size;
		prefetch_file(work, index);
	}
	gate_sealed_put(work->sealed);
	free(work);
}

void gate_prefetch_(struct gate *gate, struct gate_sealed *sealed, size_t index, const struct gate_caller *caller)
{
	if (!gate->options.prefetch || gate->options.verify != GATE_VERIFY_OPEN || (index != PREFETCH_ALL && sealed->manifest.count < 2))
		return;
	pthread_mutex_lock(&sealed->checks->lock);
	bool again = sealed->checks->prefetched;
	sealed->checks->prefetched = true;
	pthread_mutex_unlock(&sealed->checks->lock);
	struct prefetch *work = again ? NULL : calloc(1, sizeof(*work));
	if (!work)
		return; /* nothing is lost but time */
	work->job.run = prefetch_job;
	work->gate = gate;
	work->sealed = gate_sealed_ref(sealed);
	work->first = index;
	work->caller = *caller;
	pool_submit(gate->pool, POOL_VERIFY, &work->job);
}
