/* verify.c - is the content what was sealed? Asked once a file and mount, while the file stays as it is */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sealfs/log.h"
#include "verify.h"

#define SMALL (1u << 20) /* bytes: so few are read in no time, and need not wait until large files have been */

struct verification {
	struct pool_job job;
	struct gate *gate;
	struct gate_sealed *sealed;
	size_t index;
	int fd;
	struct gate_stamp stamp;
};

int gate_checks_init_(struct gate_sealed *sealed)
{
	sealed->checks = calloc(1, sizeof(*sealed->checks) + sealed->manifest.count * sizeof(struct gate_check));
	if (!sealed->checks)
		return -ENOMEM;
	pthread_mutex_init(&sealed->checks->lock, NULL);
	/* once for all: to ask for the place of each anew takes as long as there are files */
	uint64_t base = 0;
	for (size_t i = 0; i < sealed->manifest.count; i++) {
		struct tree_shape shape = {.total = 0};
		if (sealed->manifest.entries[i].type == MANIFEST_FILE)
			tree_shape_of(sealed->manifest.entries[i].size, &shape);
		sealed->checks->checks[i].tree_base = base;
		base += shape.total;
	}
	return 0;
}

void gate_checks_free_(struct gate_sealed *sealed)
{
	if (!sealed->checks)
		return;
	for (size_t i = 0; i < sealed->manifest.count; i++) {
		free(sealed->checks->checks[i].point.awaited);
		if (sealed->checks->checks[i].tree > 0)
			close(sealed->checks->checks[i].tree);
	}
	pthread_mutex_destroy(&sealed->checks->lock);
	free(sealed->checks);
}

struct gate_stamp gate_stamp_(const struct stat *attributes)
{
	return (struct gate_stamp){.device = attributes->st_dev,
				   .inode = attributes->st_ino,
				   .size = (uint64_t)attributes->st_size,
				   .mtime = attributes->st_mtim,
				   .ctime = attributes->st_ctim};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool gate_same_stamp_(const struct gate_stamp *a, const struct gate_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

/* -EBADMSG, logged; or -ESTALE, when the checkpoint was removed or written anew elsewhere. */
static int contradicted(struct gate *gate, const struct gate_sealed *sealed, size_t index, const char *what)
{
	const char *path = sealed->manifest.entries[index].path;
	bool alone = !strcmp(path, ".");

	int error = gate_confirm_sealed(gate, sealed);
	if (error)
		return error;
	log_error("'%s%s%s': %s: that is not what was sealed (EBADMSG); 'sealctl verify %s' tells more; restore it on the export, or 'sealctl rm %s'",
		  sealed->path, alone ? "" : "/", alone ? "" : path, what, sealed->path, sealed->path);
	return -EBADMSG;
}

/* ---- the whole file ---- */

static int hash(struct verification *work, const struct digest_sink *sink)
{
	const struct manifest_entry *entry = &work->sealed->manifest.entries[work->index];
	struct gate_file_check *checks = work->sealed->checks;
	struct digest_progress progress = {.bytes_done = &checks->bytes_read, .cancel = &work->gate->cancel};
	struct digest digest;

	int error = digest_file_tree(&work->gate->options.store, work->fd, entry->size, digest_threads(), &progress, sink,
				     &digest);
	if (!error && !digest_equal(&digest, &entry->digest))
		error = -EBADMSG;
	return error;
}

/* Where the seal brought no good tree along and blocks are to be checked one by one, one is made in memory. */
static int hash_with_tree(struct verification *work, int *tree)
{
	struct tree_writer writer = {.store = &work->gate->options.store};
	struct digest_sink sink = tree_writer_sink(&writer);

	tree_shape_of(work->sealed->manifest.entries[work->index].size, &writer.shape);
	if (work->gate->options.verify != GATE_VERIFY_READ || !writer.shape.total)
		return hash(work, NULL);
	writer.fd = memfd_create("sealfs-tree", MFD_CLOEXEC);
	if (writer.fd < 0)
		return -errno;
	int error = hash(work, &sink);
	if (error)
		close(writer.fd);
	else
		*tree = writer.fd;
	return error;
}

#define RESTLESS_LIMIT 8 /* a file that is left in peace for no longer than its verification takes is given up after so many */

static void verify_job(struct pool_job *job)
{
	struct verification *work = (struct verification *)job;
	struct gate_check *check = &work->sealed->checks->checks[work->index];
	struct stat after;
	int tree = 0;

	int error = hash_with_tree(work, &tree);
	if (error == -EBADMSG)
		error = contradicted(work->gate, work->sealed, work->index, "its content differs");
	/* changed while it was read, be it that a name was given or taken (a backup by links, its removal): what was read may be neither the one nor the other */
	if (!error && fstat(work->fd, &after))
		error = -errno;
	bool changed = false;
	if (!error) {
		struct gate_stamp now = gate_stamp_(&after);
		changed = !gate_same_stamp_(&now, &work->stamp);
	}
	/* only the thread that verifies it counts */
	check->restless = changed ? check->restless + 1 : 0;
	if (check->restless > RESTLESS_LIMIT)
		error = contradicted(work->gate, work->sealed, work->index, "it is changed again and again while it is verified");
	pthread_mutex_lock(&work->sealed->checks->lock);
	check->state = error == -EBADMSG ? GATE_CHECK_BAD : error || changed ? GATE_CHECK_UNKNOWN : GATE_CHECK_GOOD;
	check->stamp = work->stamp;
	if (check->tree > 0)
		close(check->tree);
	check->tree = tree;
	pthread_mutex_unlock(&work->sealed->checks->lock);
	waiters_wake(work->gate->waiters, &check->point, error, 0);
	close(work->fd);
	gate_sealed_put(work->sealed);
	free(work);
}

struct pool_job *gate_verification_(struct gate *gate, struct gate_sealed *sealed, size_t index, int fd, const struct gate_stamp *stamp)
{
	struct verification *work = calloc(1, sizeof(*work));
	if (!work)
		return NULL;
	/* a descriptor of its own: the asker may be interrupted and close his */
	work->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (work->fd < 0) {
		free(work);
		return NULL;
	}
	work->job.run = verify_job;
	work->gate = gate;
	work->sealed = gate_sealed_ref(sealed);
	work->index = index;
	work->stamp = *stamp;
	sealed->checks->checks[index].state = GATE_CHECK_RUNNING;
	sealed->checks->checks[index].stamp = *stamp;
	return &work->job;
}

int gate_verify(struct gate *gate, struct gate_sealed *sealed, size_t index, int fd, const struct stat *attributes, const struct gate_caller *caller,
		struct waiter *waiter, bool (*interrupted)(const void *key))
{
	struct gate_stamp stamp = gate_stamp_(attributes);
	struct gate_check *check = &sealed->checks->checks[index];
	struct pool_job *job = NULL;
	int result = 0;

	if (stamp.size != sealed->manifest.entries[index].size)
		return contradicted(gate, sealed, index, "its size differs");
	if (gate->options.verify == GATE_VERIFY_OFF)
		return 0;
	pthread_mutex_lock(&sealed->checks->lock);
	bool same = gate_same_stamp_(&check->stamp, &stamp);
	if (check->state == GATE_CHECK_GOOD && same)
		goto out;
	result = -EBADMSG;
	if (check->state == GATE_CHECK_BAD && same)
		goto out;
	result = -EAGAIN;
	if (!waiter)
		goto out;
	errno = ENOMEM;
	if (check->state != GATE_CHECK_RUNNING && !(job = gate_verification_(gate, sealed, index, fd, &stamp))) {
		result = -errno;
		goto out;
	}
	/* an asker who was interrupted meanwhile leaves the work to the next one */
	result = waiters_park(gate->waiters, waiter, &check->point, "", NULL, 0, interrupted);
	if (!result)
		result = 1;
	if (job)
		pool_submit(gate->pool, stamp.size > SMALL ? POOL_VERIFY : POOL_LOOK, job);
out:
	pthread_mutex_unlock(&sealed->checks->lock);
	if (job)
		gate_prefetch_(gate, sealed, index, caller);
	return result;
}

int gate_check_content(struct gate *gate, const struct gate_sealed *sealed, size_t index, const void *data, size_t size)
{
	const struct manifest_entry *entry = &sealed->manifest.entries[index];
	struct digest digest;

	if (gate->options.verify == GATE_VERIFY_OFF)
		return 0;
	int error = size == entry->size ? digest_buffer(data, size, &digest) : -EBADMSG;
	if (!error && !digest_equal(&digest, &entry->digest))
		error = -EBADMSG;
	return error == -EBADMSG ? contradicted(gate, sealed, index, "its content differs") : error;
}

void gate_interrupt(struct gate *gate, const void *key)
{
	if (waiters_interrupt(gate->waiters, key))
		gate_kick_(gate);
}

/* ---- block by block ---- */

int gate_reader(struct gate *gate, struct gate_sealed *sealed, size_t index, const struct stat *attributes, struct tree_reader **out)
{
	const struct manifest_entry *entry = &sealed->manifest.entries[index];
	const struct store *store = &gate->options.store;
	struct gate_check *check = &sealed->checks->checks[index];
	struct gate_stamp stamp = gate_stamp_(attributes);

	if (stamp.size != entry->size)
		return contradicted(gate, sealed, index, "its size differs");
	int error = sealed->tree >= 0 || entry->size <= DIGEST_BLOCK_SIZE
			    ? tree_reader_open(store, sealed->tree, check->tree_base, entry->size, &entry->digest, out)
			    : -EBADMSG;
	if (error != -EBADMSG)
		return error;
	pthread_mutex_lock(&sealed->checks->lock);
	int own = check->state == GATE_CHECK_GOOD && gate_same_stamp_(&check->stamp, &stamp) ? check->tree : 0;
	pthread_mutex_unlock(&sealed->checks->lock);
	if (own <= 0) {
		log_notice("'%s': '%s' has no good Merkle tree beside the seal; all of it is read once to make one", sealed->path, entry->path);
		return -EAGAIN;
	}
	return tree_reader_open(store, own, 0, entry->size, &entry->digest, out);
}

int gate_read_fault(struct gate *gate, const struct gate_sealed *sealed, size_t index, uint64_t block, enum tree_fault fault)
{
	char what[100];

	if (fault == TREE_FAULT_TREE)
		snprintf(what, sizeof(what), "its Merkle tree beside the seal is damaged at block %llu", (unsigned long long)block);
	else
		snprintf(what, sizeof(what), "its block %llu (of %d bytes) differs", (unsigned long long)block, DIGEST_BLOCK_SIZE);
	return contradicted(gate, sealed, index, what);
}
