#include "give.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "sealfs/record.h"
#include "strategy.h"

static int __attribute__((format(printf, 3, 4))) explain(char **why, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
	return error;
}

static json_t *text_or_null(const char *text)
{
	return text ? report_json_text(text) : json_null();
}

/* ---- names ---- */

static int check_id(const char *id, char **why)
{
	json_auto_t *text = json_string(id);

	if (text && !strchr(id, '/') && strlen(id) <= NAME_MAX && state_path_valid(id, 1) && id[0] != '.')
		return 0;
	return explain(why, -EINVAL, "'%s' cannot be the name of a checkpoint", id);
}

/* Nothing may be there yet, but what an earlier attempt has left. */
static int check_free(struct place *place, const char *id, char **why)
{
	enum state_kind kind;
	int error = place_state(place, id, &kind);

	if (error || kind == STATE_ABSENT || kind == STATE_FAILED)
		return error;
	return explain(why, -EEXIST, "there is a checkpoint '%s' already, it is %s; name another trial", id,
		       state_name(kind));
}

/* tNNNN, or where that is taken tNNNN-2, … Allocated in *out. */
static int make_id(struct place *place, const struct experiment *experiment, char **out)
{
	for (unsigned int i = 1;; i++) {
		AUTO_FREE char *id = NULL, *ignored = NULL;
		int size = i == 1 ? asprintf(&id, "t%04u", experiment->asked + 1)
				  : asprintf(&id, "t%04u-%u", experiment->asked + 1, i);
		int error;

		if (size < 0) {
			id = NULL;
			return -ENOMEM;
		}
		error = experiment_find(experiment, id) ? -EEXIST : check_free(place, id, &ignored);
		if (error == -EEXIST)
			continue;
		*out = id;
		id = NULL;
		return error;
	}
}

/* ---- asking ---- */

static json_t *ask_entry(const struct experiment *experiment, const struct proposal *proposal, const char *id,
			 const struct give_request *request)
{
	const char *parent = proposal->parent == TRIAL_NONE ? NULL : experiment->trials[proposal->parent]->id;
	json_t *entry = experiment_entry("ask");
	CLEANUP(record_free) struct record here = {0};

	if (!entry || record_init(&here, RECORD_RESERVE) ||
	    json_object_set_new(entry, "id", json_string(id)) ||
	    json_object_set_new(entry, "number", json_integer((json_int_t)experiment->asked + 1)) ||
	    json_object_set(entry, "parameters", proposal->parameters) ||
	    json_object_set_new(entry, "parent", text_or_null(parent)) ||
	    json_object_set_new(entry, "role", text_or_null(proposal->role)) ||
	    json_object_set_new(entry, "writer", text_or_null(request->writer ? id : NULL)) ||
	    json_object_set_new(entry, "boot", text_or_null(here.boot)) ||
	    json_object_set_new(entry, "run", json_boolean(request->run)) ||
	    (proposal->note && json_object_set(entry, "note", proposal->note))) {
		json_decref(entry);
		return NULL;
	}
	return entry;
}

/* Has the checkpoint of a trial with a result come to nothing? Then children would only fail, or wait for ever. */
static int find_lost(struct place *place, struct trial *parent)
{
	enum state_kind kind;
	int error = place_state(place, parent->id, &kind);

	parent->lost = !error && (kind == STATE_FAILED || kind == STATE_DAMAGED ||
				  (kind == STATE_ABSENT && parent->state == TRIAL_DONE));
	return error;
}

/* What the strategy wants, with a parent that can be restored. */
static int propose(struct place *place, struct experiment *experiment, struct proposal *out)
{
	for (;;) {
		int error = strategy_propose(experiment, out);
		struct trial *parent = error || out->parent == TRIAL_NONE ? NULL : experiment->trials[out->parent];

		if (parent)
			error = find_lost(place, parent);
		if (error || !parent || !parent->lost)
			return error;
		proposal_free(out);
	}
}

/* One attempt: -EEXIST with *why NULL when another entry was first. *out is not simply the last one: others may have followed it already. */
static int ask_once(struct place *place, struct experiment *experiment, const struct give_request *request,
		    struct trial **out, char **why)
{
	CLEANUP(proposal_free) struct proposal proposal = {0};
	AUTO_FREE char *id = NULL;
	json_auto_t *entry = NULL;
	int error = request->id ? check_free(place, request->id, why) : make_id(place, experiment, &id);

	if (!error)
		error = propose(place, experiment, &proposal);
	if (error)
		return error;
	entry = ask_entry(experiment, &proposal, request->id ? request->id : id, request);
	error = entry ? experiment_append(experiment, entry) : -ENOMEM;
	if (!error)
		*out = experiment_find(experiment, request->id ? request->id : id);
	return error;
}

static int ask_new(struct place *place, struct experiment *experiment, const struct give_request *request,
		   struct trial **out, char **why)
{
	int error;

	do {
		*out = experiment_find(experiment, request->id);
		if (*out)
			return 0;
		error = ask_once(place, experiment, request, out, why);
	} while (error == -EEXIST && !*why);
	return error;
}

static const struct trial *parent_of(const struct experiment *experiment, const struct trial *trial)
{
	return trial->parent == TRIAL_NONE ? NULL : experiment->trials[trial->parent];
}

static int check_parent_kept(const struct trial *parent, char **why)
{
	if (!parent || !parent->removing)
		return 0;
	return explain(why, -ESTALE, "the checkpoint of its parent '%s' has been removed; ask for another trial", parent->id);
}

/* One that has failed is tried again. What it is to restore could be removed as long as it had failed, so whenever another entry was first that is looked at anew. */
static int revive(struct experiment *experiment, struct trial *trial, char **why)
{
	int error = 0;

	while (trial->state == TRIAL_FAILED) {
		json_auto_t *entry = experiment_entry("again");

		error = check_parent_kept(parent_of(experiment, trial), why);
		if (error)
			return error;
		if (!entry || json_object_set_new(entry, "id", json_string(trial->id)))
			return -ENOMEM;
		error = experiment_append(experiment, entry);
		if (error && error != -EEXIST)
			return error;
	}
	return 0;
}

/* Whatever has been reserved, begun or done already is as good. */
static int reserve(struct place *place, const struct trial *trial, char **why)
{
	enum state_kind kind;
	int error = place_state(place, trial->id, &kind);

	if (error || (kind != STATE_ABSENT && kind != STATE_FAILED))
		return error;
	error = place_call(place, SEALFS_CALL_RESERVE, trial->id, trial->writer, NULL, why);
	if (error != -EEXIST && error != -EROFS)
		return error;
	free(*why);
	*why = NULL;
	return 0;
}

/* Its maker may have been killed before he reserved it. */
static int reserve_parent(struct place *place, const struct trial *parent, char **why)
{
	enum state_kind kind;
	int error = check_parent_kept(parent, why);

	if (error)
		return error;
	error = place_state(place, parent->id, &kind);
	if (error || kind != STATE_ABSENT)
		return error;
	if (parent->state == TRIAL_RUNNING)
		return reserve(place, parent, why);
	return explain(why, -ESTALE, "the checkpoint of its parent '%s' is gone; ask for another trial", parent->id);
}

int give_trial(struct place *place, struct experiment *experiment, const struct give_request *request,
	       struct trial **out, char **why)
{
	const struct trial *parent;
	int error;

	*why = NULL;
	error = request->id ? check_id(request->id, why) : 0;
	if (error || (error = ask_new(place, experiment, request, out, why)))
		return error;
	parent = parent_of(experiment, *out);
	if (parent && (*out)->state != TRIAL_DONE)
		error = reserve_parent(place, parent, why);
	if (!error)
		error = revive(experiment, *out, why);
	if (!error && (*out)->state == TRIAL_RUNNING)
		error = reserve(place, *out, why);
	return error;
}

/* ---- the answer ---- */

static json_t *path_json(const struct place *place, const char *name)
{
	AUTO_FREE char *path = place_shown(place, name);

	return path ? report_json_text(path) : NULL;
}

static json_t *answer_parameters(const struct place *place, const struct trial *trial, const struct trial *parent)
{
	json_t *parameters = json_deep_copy(trial->parameters);

	if (parameters && !json_object_set_new(parameters, "save_path", path_json(place, trial->id)) &&
	    !json_object_set_new(parameters, "restore_path", parent ? path_json(place, parent->id) : json_null()) &&
	    (!trial->role || !json_object_set_new(parameters, "role", json_string(trial->role))))
		return parameters;
	json_decref(parameters);
	return NULL;
}

json_t *give_answer(const struct place *place, const struct experiment *experiment, const struct trial *trial)
{
	const struct trial *parent = parent_of(experiment, trial);
	AUTO_FREE char *checkpoint = place_checkpoint(place, trial->id);

	if (!checkpoint)
		return NULL;
	return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o}", "id", trial->id, "number", (json_int_t)trial->number, "parent",
			 text_or_null(parent ? parent->id : NULL), "role", text_or_null(trial->role), "checkpoint",
			 report_json_path(checkpoint), "parameters", answer_parameters(place, trial, parent));
}

/* ---- telling ---- */

/* Did what it was to restore come to nothing? Then it cannot have begun with it, whatever its script says. */
static bool parent_failed(struct place *place, const struct experiment *experiment, const struct trial *trial)
{
	const struct trial *parent = parent_of(experiment, trial);
	enum state_kind kind;

	if (!parent || parent->removing || place_state(place, parent->id, &kind))
		return false;
	return kind == STATE_FAILED;
}

static json_t *tell_entry(const char *id, const char *failed, double value)
{
	json_t *entry = experiment_entry("tell");

	if (entry && !json_object_set_new(entry, "id", json_string(id)) &&
	    !json_object_set_new(entry, failed ? "failed" : "value", failed ? report_json_text(failed) : json_real(value)))
		return entry;
	json_decref(entry);
	return NULL;
}

/* 1: it is known already, nothing is to be written. */
static int check_known(const struct trial *trial, const char *failed, double value, char **why)
{
	if (trial->imported)
		return explain(why, -EEXIST, "it was imported with the value %.17g", trial->value);
	if (trial->state == TRIAL_DONE && (failed || trial->value != value))
		return explain(why, -EEXIST, "its result is known already: %.17g", trial->value);
	return trial->state == TRIAL_DONE || (trial->state == TRIAL_FAILED && failed);
}

/* What it was to restore was removed while it had failed: it may have found nothing there, and nobody can tell. */
static bool parent_removed(const struct experiment *experiment, const struct trial *trial)
{
	const struct trial *parent = parent_of(experiment, trial);

	return trial->state == TRIAL_FAILED && parent && parent->removing;
}

/* *failed: why, when a value can not be believed. */
static int write_result(struct experiment *experiment, const char *id, const char **failed, double value, char **why)
{
	for (;;) {
		const struct trial *trial = experiment_find(experiment, id);
		json_auto_t *entry = NULL;
		int error;

		if (trial && !*failed && parent_removed(experiment, trial))
			*failed = "the checkpoint that it was to restore has been removed, since it was told to have failed";
		error = trial ? check_known(trial, *failed, value, why) : -ENOENT;
		if (error)
			return error < 0 ? error : 0;
		entry = tell_entry(id, *failed, value);
		error = entry ? experiment_append(experiment, entry) : -ENOMEM;
		if (error != -EEXIST)
			return error;
	}
}

/* A checkpoint that has ended otherwise, or never was, is not the trial's any more. */
static void abandon(struct place *place, const char *id, const char *reason, char **note)
{
	enum state_kind kind;
	AUTO_FREE char *why = NULL;
	int error = place_state(place, id, &kind);

	if (!error && kind != STATE_PENDING && kind != STATE_OPEN)
		return;
	if (!error)
		error = place_call(place, SEALFS_CALL_ABANDON, id, NULL, reason, &why);
	if (error && error != -EROFS && error != -EINVAL)
		explain(note, 0, "cannot abandon '%s': %s", id, why ? why : strerror(-error));
}

static int seal(struct place *place, const char *id, char **note)
{
	AUTO_FREE char *why = NULL;
	enum state_kind kind;
	int error = place_state(place, id, &kind);

	if (!error && kind == STATE_SEALED)
		return 0;
	if (!error)
		error = place_call(place, SEALFS_CALL_SEAL, id, NULL, NULL, &why);
	if (error)
		explain(note, 0, "cannot seal '%s': %s", id, why ? why : strerror(-error));
	return error;
}

int give_tell(struct place *place, struct experiment *experiment, const char *id, const struct give_result *result,
	      char **why, char **note)
{
	const struct trial *trial = experiment_find(experiment, id);
	const char *failed = result->failed;
	bool orphan;
	int error;

	*why = *note = NULL;
	if (!trial)
		return explain(why, -ENOENT, "there is no such trial; 'sealtuner status' lists them");
	orphan = !failed && trial->state != TRIAL_DONE && parent_failed(place, experiment, trial);
	if (orphan)
		failed = "the checkpoint that it was to restore has failed";
	else if (!failed && !isfinite(result->value))
		failed = "its result is not a number";
	error = write_result(experiment, id, &failed, result->value, why);
	if (error)
		return error;
	if (failed)
		abandon(place, id, failed, note);
	else if (result->seal && (error = seal(place, id, note)))
		return explain(why, error, "its result is recorded, but its checkpoint is not sealed: tell it once more, or see 'sealctl seal'");
	if (!error)
		error = keep_apply(place, experiment, note);
	if (!error && failed && !result->failed)
		return explain(why, -EOWNERDEAD, "it is recorded as failed: %s", failed);
	return error;
}
