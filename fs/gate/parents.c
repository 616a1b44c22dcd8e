/* parents.c - which sealed checkpoints a trial opened: what it seals was made from those */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "sealfs/identity.h"
#include "sealfs/log.h"

#define TRIALS_MOST 1024   /* more than these, and those whose processes are gone are forgotten */
#define PARENTS_MOST 10000 /* of one trial: a scan of a whole archive is no ancestry */
#define NOTED_SECONDS 1u

struct parent {
	UT_hash_handle hh; /* by `key`: the digest's bytes, then the path; both, since equal content may lie at two paths */
	size_t key_size;
	char key[];
};

/* A trial that opened something sealed. */
struct reader {
	UT_hash_handle hh; /* by name, the longest unused first */
	char *trial;
	pid_t root;
	uint64_t root_start;
	struct parent *parents;
};

struct gate_parents {
	pthread_mutex_t lock; /* guards all below */
	char *const *variables;
	struct reader *readers;
};

struct gate_parents *gate_parents_create_(char *const *variables)
{
	struct gate_parents *parents = calloc(1, sizeof(*parents));
	if (!parents)
		return NULL;
	pthread_mutex_init(&parents->lock, NULL);
	parents->variables = variables;
	return parents;
}

static void forget(struct gate_parents *parents, struct reader *reader)
{
	struct parent *parent, *next;

	HASH_DEL(parents->readers, reader);
	HASH_ITER(hh, reader->parents, parent, next)
	{
		HASH_DEL(reader->parents, parent);
		free(parent);
	}
	free(reader->trial);
	free(reader);
}

void gate_parents_destroy_(struct gate_parents *parents)
{
	struct reader *reader, *next;

	if (!parents)
		return;
	HASH_ITER(hh, parents->readers, reader, next)
	{
		forget(parents, reader);
	}
	pthread_mutex_destroy(&parents->lock);
	free(parents);
}

static bool lives(const struct reader *reader)
{
	struct identity_process process;
	return !identity_process(reader->root, &process) && process.start == reader->root_start;
}

/* Under the lock. A trial whose topmost process is gone seals nothing any more that was not being sealed already. */
static void make_room(struct gate_parents *parents)
{
	struct reader *reader, *next;

	if (HASH_COUNT(parents->readers) < TRIALS_MOST)
		return;
	HASH_ITER(hh, parents->readers, reader, next)
	{
		if (!lives(reader))
			forget(parents, reader);
	}
}

/* Under the lock. */
static struct reader *find_reader(struct gate_parents *parents, char **trial, pid_t tid)
{
	struct identity_process process = {.pid = 0};
	struct reader *reader;

	HASH_FIND_STR(parents->readers, *trial, reader);
	if (reader && lives(reader))
		return reader;
	if (!reader) {
		make_room(parents);
		reader = calloc(1, sizeof(*reader));
		if (!reader)
			return NULL;
		reader->trial = *trial;
		*trial = NULL;
		HASH_ADD_KEYPTR(hh, parents->readers, reader->trial, strlen(reader->trial), reader);
	}
	if (!identity_process(tid, &process))
		identity_process(identity_root(process.pid, reader->trial, parents->variables), &process);
	reader->root = process.pid;
	reader->root_start = process.start;
	return reader;
}

static struct parent *new_parent(const struct gate_sealed *sealed)
{
	size_t length = strlen(sealed->path);
	struct parent *parent = calloc(1, sizeof(*parent) + DIGEST_SIZE + length + 1);

	if (!parent)
		return NULL;
	parent->key_size = DIGEST_SIZE + length;
	memcpy(parent->key, sealed->root.bytes, DIGEST_SIZE);
	memcpy(parent->key + DIGEST_SIZE, sealed->path, length);
	return parent;
}

static void add_parent(struct reader *reader, const struct gate_sealed *sealed)
{
	struct parent *known, *parent = new_parent(sealed);

	if (!parent)
		return;
	HASH_FIND(hh, reader->parents, parent->key, parent->key_size, known);
	if (!known && HASH_COUNT(reader->parents) < PARENTS_MOST) {
		HASH_ADD_KEYPTR(hh, reader->parents, parent->key, parent->key_size, parent);
		return;
	}
	if (!known)
		log_warning("trial '%s' has opened %d sealed checkpoints: '%s' will not be among the parents of what it seals", reader->trial,
			    PARENTS_MOST, sealed->path);
	free(parent);
}

/* Was this thread looked at a moment ago? Thread and second in one word, so that no lock is needed. */
static bool just_noted(struct gate_sealed *sealed, pid_t tid)
{
	uint64_t now = (uint64_t)(uint32_t)tid << 32 | (uint32_t)(waiters_now_ns() / (NOTED_SECONDS * 1000000000u));
	return atomic_exchange(&sealed->noted[(uint32_t)tid % GATE_NOTED], now) == now;
}

void gate_opened_sealed(struct gate *gate, struct gate_sealed *sealed, const struct gate_caller *caller)
{
	struct gate_parents *parents = gate->parents;
	char *trial = NULL;

	if (gate->options.read_only || caller->tid <= 0 || just_noted(sealed, caller->tid) ||
	    identity_of(caller->tid, parents->variables, &trial))
		return;
	pthread_mutex_lock(&parents->lock);
	struct reader *reader = find_reader(parents, &trial, caller->tid);
	if (reader)
		add_parent(reader, sealed);
	pthread_mutex_unlock(&parents->lock);
	free(trial);
}

static int by_path(const void *a, const void *b)
{
	const struct seal_parent *one = a, *other = b;
	int order = strcmp(one->path, other->path);
	return order ? order : memcmp(&one->root, &other->root, sizeof(one->root));
}

int gate_parents_of_(struct gate_parents *parents, const char *trial, struct seal_parent **out, size_t *count)
{
	struct reader *reader;
	struct parent *parent;
	int error = 0;

	*out = NULL;
	*count = 0;
	pthread_mutex_lock(&parents->lock);
	HASH_FIND_STR(parents->readers, trial, reader);
	if (reader)
		*out = calloc(HASH_COUNT(reader->parents) + 1, sizeof(**out));
	if (reader && !*out)
		error = -ENOMEM;
	for (parent = reader && *out ? reader->parents : NULL; parent && !error; parent = parent->hh.next) {
		struct seal_parent *copy = &(*out)[*count];
		memcpy(copy->root.bytes, parent->key, DIGEST_SIZE);
		copy->path = strdup(parent->key + DIGEST_SIZE);
		if (copy->path)
			++*count;
		else
			error = -ENOMEM;
	}
	pthread_mutex_unlock(&parents->lock);
	gate_parents_sort_(*out, *count);
	return error;
}

void gate_parents_sort_(struct seal_parent *list, size_t count)
{
	if (count)
		qsort(list, count, sizeof(*list), by_path);
}

void gate_parents_free_(struct seal_parent *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].path);
	free(list);
}
