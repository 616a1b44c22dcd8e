/* sealing.c - an open generation is hashed and sealed; without content, or when that can not be had, it has failed */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/log.h"

#define MOVED_RETRIES 3		       /* content that changes while it is hashed */

static void warn_skipped(void *arg, const char *path, const char *why)
{
	struct gate_checkpoint *checkpoint = arg;
	log_warning("'%s': '%s' is not sealed: %s", checkpoint->path, path, why);
}

struct content_search {
	const struct store *store;
	int directory;
	char *const *live;
	bool at_top;
};

/* 1 for the first entry that is neither a directory nor left out of seals anyhow; directories are searched. */
static int is_content(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	struct content_search *search = arg;

	if (manifest_name_hidden(name, search->at_top) || manifest_name_live(search->live, name))
		return 0;
	if (type != DT_DIR)
		return 1;
	int fd = store_open_dir(search->store, search->directory, name);
	if (fd < 0)
		return 1; /* the seal itself will say what is wrong */
	struct content_search below = {search->store, fd, search->live, false};
	int found = store_each_entry(search->store, fd, is_content, &below);
	search->store->ops->close(search->store->ctx, fd);
	return found != 0;
}

bool gate_has_content_(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;

	int fd = store_open_dir(store, store->root, checkpoint->path);
	if (fd < 0)
		return fd != -ENOENT;
	struct content_search search = {store, fd, checkpoint->gate->options.config.live, true};
	int found = store_each_entry(store, fd, is_content, &search);
	store->ops->close(store->ctx, fd);
	return found != 0;
}

static int run_seal(struct gate_checkpoint *checkpoint, struct seal_job *job)
{
	const struct store *store = &checkpoint->gate->options.store;
	int error = 0;

	for (int turn = 0; turn < MOVED_RETRIES; turn++) {
		free(job->error_path);
		job->error_path = NULL;
		atomic_store(&checkpoint->bytes_done, 0);
		atomic_store(&checkpoint->bytes_total, 0);
		error = seal_checkpoint(store, job);
		if (error != -EAGAIN)
			break;
	}
	return error;
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(waiters_now_ns() - start_ns) / 1e9;
}

/* Under the lock, after a seal that could not be had. */
static void seal_failed(struct gate_checkpoint *checkpoint, struct seal_job *job, int error)
{
	char reason[400];

	if (error == -EEXIST) {
		gate_decided_elsewhere_(checkpoint);
		return;
	}
	bool vacated = error == -ENODATA && checkpoint->vacated;
	if (checkpoint->write_error)
		gate_tell_write_error_(checkpoint, reason, sizeof(reason));
	else if (vacated)
		snprintf(reason, sizeof(reason), "its trial renamed or removed it");
	else if (error == -ENODATA)
		snprintf(reason, sizeof(reason), "its trial ended without having saved anything");
	else
		snprintf(reason, sizeof(reason), "it could not be sealed: %.200s%s%s",
			 job->error_path ? job->error_path : "", job->error_path ? ": " : "",
			 error == -EAGAIN ? "it changed while it was read" : strerror(-error));
	bool plain = checkpoint->state.has_claim && checkpoint->state.claim.plain;
	gate_abandon_(checkpoint, reason);
	checkpoint->outcome.vacated = vacated;
	if (plain)
		checkpoint->outcome.result = error;
}

static void sealed_now(struct gate_checkpoint *checkpoint, struct seal_job *job, uint64_t start_ns)
{
	char hex[DIGEST_HEX_SIZE];

	gate_set_outcome_(checkpoint, 0, "%s", "");
	checkpoint->outcome.root = job->root;
	checkpoint->outcome.files = job->files;
	checkpoint->outcome.bytes = job->bytes;
	checkpoint->outcome.seconds = seconds_since(start_ns);
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
	int error = gate_reread_(checkpoint);
	if (!error)
		error = gate_load_seal_(checkpoint);
	digest_to_hex(&job->root, hex);
	if (error)
		log_error("'%s': sealed, but the seal can not be read back: %s", checkpoint->path, strerror(-error));
	else
		log_notice("'%s': sealed by trial '%s': sha256:%s (%llu files, %llu bytes, %.3f s)", checkpoint->path, job->trial, hex,
			   (unsigned long long)job->files, (unsigned long long)job->bytes, checkpoint->outcome.seconds);
}

void gate_seal_(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	const struct record *claim = &checkpoint->state.claim;
	char *const *live = gate->options.config.live;
	struct seal_job job = {.path = checkpoint->path,
			       .generation = checkpoint->own,
			       .claim = checkpoint->own_claim,
			       .trial = strdup(claim->trial),
			       .uid = claim->uid,
			       .gid = claim->gid,
			       .live = live,
			       .threads = digest_threads(),
			       .key = gate->options.key,
			       .warn = warn_skipped,
			       .arg = checkpoint,
			       .progress = {.bytes_done = &checkpoint->bytes_done},
			       .bytes_total = &checkpoint->bytes_total};
	struct seal_parent *parents = NULL;
	bool by_hand = checkpoint->by_hand;
	uint64_t start = waiters_now_ns();
	int error = job.trial ? gate_parents_of_(gate->parents, job.trial, &parents, &job.parent_count) : -ENOMEM;

	if (!error)
		error = checkpoint->write_error;
	/* a trial that ended without a single file has not saved: its child must not find an empty, good checkpoint */
	if (!error && !by_hand && !gate_has_content_(checkpoint))
		error = -ENODATA;
	if (!error) {
		pthread_mutex_unlock(&checkpoint->lock);
		error = gate_peers_add_parents_(gate, checkpoint->path, job.trial, job.uid, &parents, &job.parent_count);
		job.parents = parents;
		if (!error)
			error = run_seal(checkpoint, &job);
		pthread_mutex_lock(&checkpoint->lock);
	}
	if (error)
		seal_failed(checkpoint, &job, error);
	else
		sealed_now(checkpoint, &job, start);
	gate_parents_free_(parents, job.parent_count);
	free(job.error_path);
	free((char *)job.trial);
}
