/*
 * keep - retention: which checkpoints are needed no more
 *
 * Choosing a parent and removing a checkpoint are both entries of the journal, so one comes before the other: what an unfinished trial may restore
 * is never removed, and what is to be removed is chosen by nobody any more. Only then is it removed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "give.h"

static int compare(const void *a, const void *b, void *arg)
{
	const struct experiment *experiment = arg;
	const struct trial *left = *(struct trial *const *)a, *right = *(struct trial *const *)b;

	if (experiment->keep.kind == KEEP_BEST && left->value != right->value)
		return experiment_better(experiment, left, right) ? -1 : 1;
	if (experiment->keep.kind == KEEP_BEST)
		return left->told_order < right->told_order ? -1 : 1;
	return left->told_order > right->told_order ? -1 : 1;
}

/* The best trial, and with KEEP_ANCESTORS what it was made from. */
static void spare_best(const struct experiment *experiment, bool *needed)
{
	size_t at = experiment_index(experiment, experiment_best(experiment));

	for (; at != TRIAL_NONE; at = experiment->trials[at]->parent) {
		needed[at] = true;
		if (experiment->keep.kind != KEEP_ANCESTORS)
			break;
	}
}

static void spare_parents(const struct experiment *experiment, bool *needed)
{
	for (size_t i = 0; i < experiment->count; i++)
		if (experiment->trials[i]->state == TRIAL_RUNNING && experiment->trials[i]->parent != TRIAL_NONE)
			needed[experiment->trials[i]->parent] = true;
}

/* Its own checkpoint, with a result, and not on its way out. */
static bool is_candidate(const struct trial *trial)
{
	return trial->state == TRIAL_DONE && !trial->imported && !trial->removing;
}

int keep_find(const struct experiment *experiment, struct trial ***out, size_t *count)
{
	AUTO_FREE bool *needed = calloc(experiment->count + 1, sizeof(bool));
	struct trial **list = calloc(experiment->count + 1, sizeof(*list));
	size_t candidates = 0, kept = 0;

	*out = list;
	*count = 0;
	if (!needed || !list || experiment->keep.kind == KEEP_ALL)
		return needed && list ? 0 : -ENOMEM;
	spare_parents(experiment, needed);
	spare_best(experiment, needed);
	for (size_t i = 0; i < experiment->count; i++)
		if (is_candidate(experiment->trials[i]))
			list[candidates++] = experiment->trials[i];
	qsort_r(list, candidates, sizeof(*list), compare, (void *)experiment);
	for (size_t i = 0; i < candidates; i++) {
		bool among = i < experiment->keep.count;

		if (!among && !needed[experiment_index(experiment, list[i])])
			list[kept++] = list[i];
	}
	*count = kept;
	return 0;
}

static json_t *ids_entry(const char *event, struct trial *const *list, size_t count)
{
	json_t *entry = experiment_entry(event), *ids = json_array();

	if (!entry || json_object_set_new(entry, "ids", ids)) {
		json_decref(entry);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(ids, json_string(list[i]->id))) {
			json_decref(entry);
			return NULL;
		}
	return entry;
}

/* Says in the journal what is going to be removed. */
static int announce(struct experiment *experiment)
{
	for (;;) {
		AUTO_FREE struct trial **list = NULL;
		json_auto_t *entry = NULL;
		size_t count;
		int error = keep_find(experiment, &list, &count);

		if (error || !count)
			return error;
		entry = ids_entry("remove", list, count);
		error = entry ? experiment_append(experiment, entry) : -ENOMEM;
		if (error != -EEXIST)
			return error;
	}
}

/* 1 when it is gone; 0 when it is not to be removed, or not yet. */
static int remove_one(struct place *place, const struct trial *trial, char **note)
{
	AUTO_FREE char *why = NULL;
	enum state_kind kind;
	int error = place_state(place, trial->id, &kind);

	if (!error && kind == STATE_ABSENT)
		return 1;
	if (!error && (kind == STATE_PENDING || kind == STATE_DAMAGED))
		return 0;
	/* A removal that was broken off has left it failed, or open with nobody who writes. */
	if (!error)
		error = place_call(place, SEALFS_CALL_REMOVE, trial->id, NULL, NULL, &why);
	if (!error || error == -ENOENT)
		return 1;
	/* One that told its result before it saved is removed when it is sealed. */
	if (error == -EBUSY)
		return 0;
	free(*note);
	if (asprintf(note, "cannot remove '%s': %s", trial->id, why ? why : strerror(-error)) < 0)
		*note = NULL;
	return 0;
}

int keep_apply(struct place *place, struct experiment *experiment, char **note)
{
	AUTO_FREE struct trial **gone = NULL;
	json_auto_t *entry = NULL;
	size_t count = 0;
	int error = announce(experiment);

	if (error || experiment->keep.kind == KEEP_ALL)
		return error;
	gone = calloc(experiment->count + 1, sizeof(*gone));
	if (!gone)
		return -ENOMEM;
	for (size_t i = 0; i < experiment->count; i++) {
		struct trial *trial = experiment->trials[i];

		if (trial->removing && !trial->removed && remove_one(place, trial, note))
			gone[count++] = trial;
	}
	if (!count)
		return 0;
	entry = ids_entry("removed", gone, count);
	if (!entry)
		return -ENOMEM;
	/* When another entry was first, the next one who tells finds them absent. */
	error = experiment_append(experiment, entry);
	return error == -EEXIST ? 0 : error;
}
