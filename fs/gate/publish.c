/* publish.c - what waits on this mount is published for the other mounts */
#include "publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

#define YOUNG_NS 1000000000u	  /* shorter waits are nobody's business */
#define PUBLISH_NS 1000000000u	  /* at most once in this time */

/* ---- collecting ---- */

struct collection {
	struct gate_waits *waits;
	struct waits found;
	const char *checkpoint, *awaited;
	uint64_t now;
	bool young;
	int error;
};

static void set_awaited(struct collection *collection, struct waits_entry *entry)
{
	entry->awaited = collection->awaited ? strdup(collection->awaited) : NULL;
	if (collection->awaited && !entry->awaited)
		collection->error = -ENOMEM;
}

/* Under the waiters' lock. */
static void collect_waiter(void *arg, const struct waiter *waiter, const char *trial)
{
	struct collection *collection = arg;

	if (collection->now < waiter->since_ns + YOUNG_NS) {
		collection->young = true;
		return;
	}
	struct waits_entry *entry = collection->found.count < WAITS_MAX && !collection->error ? waits_add(&collection->found) : NULL;
	if (!entry)
		return;
	entry->checkpoint = strdup(collection->checkpoint);
	entry->generation = waiter->generation;
	entry->trial = strdup(trial);
	entry->pid = waiter->tid;
	entry->since_ns = collection->waits->wall_ns + (int64_t)waiter->since_ns;
	set_awaited(collection, entry);
	if (!entry->checkpoint || !entry->trial)
		collection->error = -ENOMEM;
}

static void collect_checkpoint(void *arg, struct gate_checkpoint *checkpoint)
{
	struct collection *collection = arg;
	struct gate *gate = checkpoint->gate;

	if (!waiters_count(gate->waiters, &checkpoint->readers))
		return;
	pthread_mutex_lock(&checkpoint->lock);
	collection->checkpoint = checkpoint->path;
	collection->awaited = checkpoint->state_known ? state_writer(&checkpoint->state) : NULL;
	waiters_each(gate->waiters, &checkpoint->readers, collect_waiter, collection);
	pthread_mutex_unlock(&checkpoint->lock);
}

/* The entries have the numbers of threads so far. */
static int name_processes(struct waits *waits)
{
	for (size_t i = 0; i < waits->count; i++) {
		struct waits_entry *entry = &waits->entries[i];
		struct identity_process process = {.pid = (pid_t)entry->pid, .command = "?"};
		identity_process((pid_t)entry->pid, &process);
		entry->pid = process.pid;
		entry->command = strdup(process.command);
		if (!entry->command)
			return -ENOMEM;
	}
	return 0;
}

/* The same order whoever looks. */
static int compare_entries(const void *a, const void *b)
{
	const struct waits_entry *left = a, *right = b;
	int order = strcmp(left->checkpoint, right->checkpoint);

	if (!order)
		order = strcmp(left->trial, right->trial);
	if (!order && left->since_ns != right->since_ns)
		order = left->since_ns < right->since_ns ? -1 : 1;
	return order ? order : (left->pid > right->pid) - (left->pid < right->pid);
}

static void sort_entries(struct waits *waits)
{
	if (waits->count)
		qsort(waits->entries, waits->count, sizeof(*waits->entries), compare_entries);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* Are they the same waits, whatever their processes are called? */
static bool same_waits(const struct waits *a, const struct waits *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct waits_entry *left = &a->entries[i], *right = &b->entries[i];
		if (strcmp(left->checkpoint, right->checkpoint) || strcmp(left->trial, right->trial) || left->since_ns != right->since_ns ||
		    left->generation != right->generation || !same_text(left->awaited, right->awaited))
			return false;
	}
	return true;
}

/* AGAIN: they are what is published. Then nobody is asked for the names of their processes, which may be a thousand, for as long as they wait. */
static int collect(struct gate_waits *waits, struct waits *out)
{
	struct collection collection = {.waits = waits, .now = waiters_now_ns()};
	struct record here;

	gate_each_checkpoint(waits->gate, collect_checkpoint, &collection);
	waits->young = collection.young;
	*out = collection.found;
	if (collection.error)
		return collection.error;
	sort_entries(out);
	if (same_waits(out, &waits->published))
		return AGAIN;
	int error = name_processes(out);
	if (error)
		return error;
	sort_entries(out);
	error = record_init(&here, RECORD_CLAIM);
	if (error)
		return error;
	memcpy(out->mount, waits->gate->token, sizeof(out->mount));
	out->host = here.host;
	out->time_ns = here.time_ns;
	here.host = NULL;
	record_free(&here);
	return 0;
}

/* ---- publishing ---- */

static bool has_trial(const struct waits *waits, const char *trial, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (!strcmp(waits->entries[i].trial, trial))
			return true;
	return false;
}

/* The links by which trials are found: those of new ones are made, those of trials that wait no more removed. */
static int relink(const struct gate_waits *waits, int dir, const struct waits *fresh)
{
	const struct store *store = &waits->gate->options.store;
	const struct waits *old = &waits->published;
	int error = 0;

	for (size_t i = 0; !error && i < fresh->count; i++) {
		const char *trial = fresh->entries[i].trial;
		if (!has_trial(fresh, trial, i) && !has_trial(old, trial, old->count))
			error = waits_link(store, dir, trial, waits->gate->token);
	}
	for (size_t i = 0; i < old->count; i++) {
		const char *trial = old->entries[i].trial;
		if (!has_trial(old, trial, i) && !has_trial(fresh, trial, fresh->count))
			waits_unlink(store, dir, trial, waits->gate->token);
	}
	return error;
}

/* Waits before links: a link never leads to what does not tell of its trial yet. */
static int publish(struct gate_waits *waits, const struct waits *fresh)
{
	const struct store *store = &waits->gate->options.store;
	char *text = NULL;
	size_t size = 0;

	int error = fresh->count ? waits_format(fresh, &text, &size) : 0;
	if (error)
		return error;
	int dir = waits_open_dir(store);
	if (dir < 0) {
		free(text);
		return dir;
	}
	bool first = waits->alive < 0;
	if (first && size) {
		waits->alive = waits_begin(store, dir, waits->gate->token);
		error = waits->alive < 0 ? waits->alive : 0;
	}
	if (!error)
		error = waits_write(store, dir, waits->gate->token, text, size);
	if (!error)
		error = relink(waits, dir, fresh);
	if (!error && first && size)
		waits_sweep(store, dir, waits->gate->token);
	store->ops->close(store->ctx, dir);
	free(text);
	return error;
}

static void refresh(struct gate_waits *waits, uint64_t now)
{
	struct waits fresh;
	int error = collect(waits, &fresh);

	if (!error) {
		error = publish(waits, &fresh);
		if (!error) {
			waits_free(&waits->published);
			waits->published = fresh;
			gate_deadlock_restart_(waits, now);
			return;
		}
	}
	waits_free(&fresh);
	if (error == -EACCES || error == -EPERM || error == -EROFS) {
		waits->off = true;
		log_notice("what waits here can not be published in '%s/" STATE_MOUNTS_DIR "': %s; other machines' 'sealctl status' does not show it, and trials of several machines that wait for each other are not noticed",
			   waits->gate->options.export_path, strerror(-error));
	}
}

static void run(struct pool_job *job)
{
	struct gate_waits *waits = (struct gate_waits *)job;
	uint64_t now = waiters_now_ns(), next = 0;

	refresh(waits, now);
	gate_deadlock_check_(waits, now);
	if (waits->young)
		next = now + YOUNG_NS;
	if (waits->published.count && (!next || waits->check_ns < next))
		next = waits->check_ns;
	pthread_mutex_lock(&waits->lock);
	waits->running = false;
	waits->due_ns = next;
	pthread_mutex_unlock(&waits->lock);
	gate_kick_(waits->gate);
}

struct gate_waits *gate_waits_create_(struct gate *gate)
{
	struct gate_waits *waits = calloc(1, sizeof(*waits));
	struct timespec wall;

	if (!waits)
		return NULL;
	pthread_mutex_init(&waits->lock, NULL);
	waits->job.run = run;
	waits->gate = gate;
	waits->alive = -1;
	waits->off = gate->options.read_only;
	clock_gettime(CLOCK_REALTIME, &wall);
	waits->wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)waiters_now_ns();
	return waits;
}

uint64_t gate_waits_work_(struct gate *gate, uint64_t now)
{
	struct gate_waits *waits = gate->waits;

	if (waits->off)
		return 0;
	uint64_t changes = waiters_changes(gate->waiters);
	pthread_mutex_lock(&waits->lock);
	if (changes != waits->changes && !waits->running) {
		waits->changes = changes;
		if (!waits->due_ns || waits->due_ns > now + PUBLISH_NS)
			waits->due_ns = now + PUBLISH_NS;
	}
	bool due = !waits->running && waits->due_ns && waits->due_ns <= now;
	if (due)
		waits->running = true;
	uint64_t next = waits->running ? 0 : waits->due_ns;
	pthread_mutex_unlock(&waits->lock);
	if (due)
		pool_submit(gate->pool, POOL_LOOK, &waits->job);
	return next;
}

void gate_waits_destroy_(struct gate_waits *waits)
{
	if (!waits)
		return;
	const struct store *store = &waits->gate->options.store;
	struct waits none = {.count = 0};
	int dir = waits->alive >= 0 ? waits_open_dir(store) : -1;

	if (dir >= 0) {
		relink(waits, dir, &none);
		waits_end(store, dir, waits->gate->token, waits->alive);
		store->ops->close(store->ctx, dir);
	} else if (waits->alive >= 0) {
		store->ops->close(store->ctx, waits->alive);
	}
	waits_free(&waits->published);
	free(waits->suspected);
	pthread_mutex_destroy(&waits->lock);
	free(waits);
}
