#include "sealfs/cycle.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Trials that were looked at, so that none is twice: few, so a list serves. */
struct search {
	const char *start;
	cycle_waits_fn *waits;
	void *arg;
	struct cycle_wait *path;
	size_t depth;
	const char *visited[CYCLE_VISITS];
	size_t visits;
	bool found;
};

static int follow(struct search *search, const char *trial);

static bool is_visited(const struct search *search, const char *trial)
{
	for (size_t i = 0; i < search->visits; i++)
		if (!strcmp(search->visited[i], trial))
			return true;
	return false;
}

static int step(void *walk, const struct cycle_wait *wait)
{
	struct search *search = walk;

	if (search->depth == CYCLE_MAX)
		return 0;
	search->path[search->depth] = *wait;
	if (!strcmp(wait->awaited, search->start)) {
		search->depth++;
		search->found = true;
		return 1;
	}
	if (is_visited(search, wait->awaited))
		return 0;
	search->depth++;
	int stop = follow(search, wait->awaited);
	if (!stop)
		search->depth--;
	return stop;
}

static int follow(struct search *search, const char *trial)
{
	if (search->visits == CYCLE_VISITS)
		return 0;
	search->visited[search->visits++] = trial;
	return search->waits(search->arg, trial, step, search);
}

int cycle_find(const char *trial, cycle_waits_fn *waits, void *arg, struct cycle_wait out[CYCLE_MAX])
{
	struct search *search = calloc(1, sizeof(*search));
	if (!search)
		return -ENOMEM;
	search->start = trial;
	search->waits = waits;
	search->arg = arg;
	search->path = out;
	int result = follow(search, trial);
	if (result >= 0)
		result = search->found ? (int)search->depth : 0;
	free(search);
	return result;
}

static int compare(const struct cycle_wait *a, const struct cycle_wait *b)
{
	if (a->since_ns != b->since_ns)
		return a->since_ns < b->since_ns ? -1 : 1;
	int order = strcmp(a->trial, b->trial);
	if (!order)
		order = strcmp(a->mount, b->mount);
	return order ? order : strcmp(a->checkpoint, b->checkpoint);
}

size_t cycle_victim(const struct cycle_wait *waits, size_t count)
{
	size_t victim = 0;

	for (size_t i = 1; i < count; i++)
		if (compare(&waits[i], &waits[victim]) > 0)
			victim = i;
	return victim;
}
