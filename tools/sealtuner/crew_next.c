#include <errno.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/export.h"
#include "../sealctl/report.h"
#include "crew.h"
#include "give.h"
#include "sealfs/record.h"

struct crew_slot *crew_find(struct crew *crew, const char *id)
{
	for (size_t i = 0; i < crew->jobs; i++)
		if (crew->slots[i].id && !strcmp(crew->slots[i].id, id))
			return &crew->slots[i];
	return NULL;
}

struct crew_slot *crew_free_slot(struct crew *crew)
{
	for (size_t i = 0; i < crew->jobs; i++)
		if (!crew->slots[i].id)
			return &crew->slots[i];
	return NULL;
}

/* Given out by a launcher like this one, and without a result. */
static bool is_left(const struct trial *trial)
{
	return trial->state == TRIAL_RUNNING && json_is_true(json_object_get(trial->asked, "run"));
}

/* Where locks do not reach other machines, what those began is theirs. */
static bool may_take_over(const struct crew *crew, const struct trial *trial)
{
	CLEANUP(record_free) struct record here = {0};

	if (export_locks_tell(crew->place->target.root))
		return true;
	return !record_init(&here, RECORD_RESERVE) && here.boot &&
	       !strcmp(here.boot, report_string(trial->asked, "boot"));
}

/* The parent that keeps a trial from being begun: it runs, and not here. */
static const struct trial *foreign_parent(struct crew *crew, const struct trial *trial)
{
	const struct trial *parent = trial->parent == TRIAL_NONE ? NULL : crew->experiment->trials[trial->parent];

	return parent && parent->state == TRIAL_RUNNING && !crew_find(crew, parent->id) ? parent : NULL;
}

static int occupy(struct crew *crew, const struct trial *trial)
{
	struct crew_slot *slot = crew_free_slot(crew);

	*slot = (struct crew_slot){.id = strdup(trial->id)};
	return slot->id ? 0 : -ENOMEM;
}

/* Its checkpoint is sealed, so it has ended well; whoever ran it was killed before he could write that down. */
static bool is_sealed(const struct crew *crew, const struct trial *trial)
{
	enum state_kind kind;

	return !place_state(crew->place, trial->id, &kind) && kind == STATE_SEALED;
}

/* 0: *out is to be begun. -EAGAIN: it is taken care of, or not our business now. */
static int look_at(struct crew *crew, struct trial *trial, struct trial **out)
{
	enum launch_standing standing;
	int status, error;
	pid_t pid;

	error = launch_look(crew->place, trial->id, &standing, &status, &pid);
	if (error)
		return error;
	if (standing == LAUNCH_NEVER && is_sealed(crew, trial))
		standing = LAUNCH_ENDED;
	if (standing != LAUNCH_NEVER) {
		error = occupy(crew, trial);
		if (!error && standing == LAUNCH_ENDED)
			crew_finish(crew, crew_find(crew, trial->id), status);
		return error ? error : -EAGAIN;
	}
	if (!may_take_over(crew, trial))
		return -EAGAIN;
	if (foreign_parent(crew, trial)) {
		if (!crew->noted)
			report_note("'%s' is not begun before its parent '%s' has ended, which is not run here", trial->id,
				    foreign_parent(crew, trial)->id);
		crew->noted = trial->id;
		return -EAGAIN;
	}
	*out = trial;
	return 0;
}

/* In the order of the journal: parents come before their children. */
static int next_left(struct crew *crew, bool *any, struct trial **out)
{
	for (size_t i = 0; i < crew->experiment->count && crew_free_slot(crew); i++) {
		struct trial *trial = crew->experiment->trials[i];
		int error;

		if (!is_left(trial) || crew_find(crew, trial->id))
			continue;
		*any = true;
		error = look_at(crew, trial, out);
		if (error != -EAGAIN)
			return error;
	}
	return -EAGAIN;
}

/* A new child waits only for trials that run here. */
static void bar_foreign(struct crew *crew)
{
	for (size_t i = 0; i < crew->experiment->count; i++) {
		struct trial *trial = crew->experiment->trials[i];

		trial->barred = trial->state == TRIAL_RUNNING && !crew_find(crew, trial->id);
	}
}

static int ask(struct crew *crew, struct trial **out)
{
	struct give_request request = {.writer = true, .run = true};
	AUTO_FREE char *why = NULL;
	int error;

	bar_foreign(crew);
	error = give_trial(crew->place, crew->experiment, &request, out, &why);
	if (error)
		report_failure("ask for a trial in", crew->place->shown, error, why ? why : crew->experiment->why);
	return error;
}

int crew_next(struct crew *crew, struct trial **out)
{
	AUTO_FREE char *why = NULL;
	struct give_request request = {.writer = true, .run = true};
	bool any = false;
	int error = experiment_update(crew->experiment);

	if (!error)
		error = next_left(crew, &any, out);
	if (error == -EAGAIN && !crew_free_slot(crew))
		return -EAGAIN;
	if (error == -EAGAIN)
		return crew->experiment->asked < crew->wanted ? ask(crew, out) : any ? -EAGAIN : -ENOENT;
	/* Its reservation was abandoned with the attempt before. */
	if (!error) {
		request.id = (*out)->id;
		error = give_trial(crew->place, crew->experiment, &request, out, &why);
	}
	if (error)
		report_failure("go on in", crew->place->shown, error, why ? why : crew->experiment->why);
	return error;
}
