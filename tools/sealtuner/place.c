#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"

void place_free(struct place *place)
{
	cleanup_close(&place->own);
	if (place->store.root >= 0)
		store_close(&place->store);
	target_free(&place->target);
	free(place->shown);
	*place = (struct place)PLACE_INIT;
}

/* How to say where a directory of experiments is. Allocated. */
static char *example(const struct target *target)
{
	char *path = strdup(target->root);

	for (unsigned int depth = 1; path && depth < target->depth; depth++) {
		AUTO_FREE char *above = path;

		path = path_join(above, "NAME");
	}
	return path;
}

static int check_depth(const struct target *target, char **why)
{
	unsigned int depth = path_depth(target->path);
	AUTO_FREE char *path = example(target);

	if (depth + 1 == target->depth)
		return 0;
	if (asprintf(why,
		     "what lies in it is at depth %u of the export, whose checkpoints are at depth %u; name a directory like "
		     "'%s', or one in an export that was made with 'sealctl init --depth %u'",
		     depth + 1, target->depth, path ? path : "", depth + 1) < 0)
		*why = NULL;
	return -EINVAL;
}

static int check_there(const struct place *place)
{
	int fd = store_open_dir(&place->store, place->store.root, place->target.path);

	if (fd < 0)
		return fd;
	place->store.ops->close(place->store.ctx, fd);
	return 0;
}

/* Whoever may make checkpoints in the directory may tell of them. */
static int make_own(const struct place *place)
{
	int dir = store_open_dir(&place->store, place->store.root, place->target.path), own;
	struct statx st;

	if (dir < 0)
		return dir;
	own = place->store.ops->statx(place->store.ctx, dir, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st);
	if (!own)
		own = store_make_dir(&place->store, dir, STATE_TUNER_NAME, st.stx_mode & 01777);
	place->store.ops->close(place->store.ctx, dir);
	return own;
}

static int open_own(struct place *place, bool make, char **why)
{
	AUTO_FREE char *path = NULL;

	if (make)
		return place->own = make_own(place);
	path = path_join(place->target.path, STATE_TUNER_NAME);
	if (!path)
		return -ENOMEM;
	place->own = store_open_dir(&place->store, place->store.root, path);
	if (place->own == -ENOENT)
		*why = strdup("there is no experiment in it; begin one with 'sealtuner init'");
	return place->own;
}

static int open_given(const char *given, bool make, struct place *place, char **why)
{
	int error = target_locate(given, &place->target);

	if (error)
		return error;
	if (place->target.kind == TARGET_NONE) {
		*why = target_explain_none(given);
		return -EINVAL;
	}
	error = target_connect(&place->target, why);
	if (!error)
		error = check_depth(&place->target, why);
	if (!error)
		error = target_open_store(&place->target, &place->store, why);
	if (!error)
		error = check_there(place);
	if (error)
		return error;
	place->shown = path_join(place->target.root, place->target.path);
	error = place->shown ? open_own(place, make, why) : -ENOMEM;
	return error < 0 ? error : 0;
}

int place_open(const char *verb, const char *given, bool make, struct place *out)
{
	AUTO_FREE char *why = NULL;
	int error, status;

	*out = (struct place)PLACE_INIT;
	error = open_given(given, make, out, &why);
	if (!error)
		return EXIT_GOOD;
	status = report_failure(verb, given, error, why);
	place_free(out);
	return status;
}

char *place_checkpoint(const struct place *place, const char *name)
{
	return path_join(place->target.path, name);
}

char *place_shown(const struct place *place, const char *name)
{
	return path_join(place->shown, name);
}

int place_call(struct place *place, enum sealfs_call_op op, const char *name, const char *writer, const char *detail,
	       char **why)
{
	AUTO_FREE char *path = place_checkpoint(place, name);
	struct call call = {.op = op, .path = path, .writer = writer, .detail = detail};
	json_auto_t *reply = NULL;
	int error = path ? target_call(&place->target, &call, &reply) : -ENOMEM;

	if (why)
		*why = error ? strdup(call_why(reply, error)) : NULL;
	return error;
}

int place_status(struct place *place, const char *name, json_t **out)
{
	AUTO_FREE char *path = place_checkpoint(place, name);
	json_auto_t *reply = NULL;
	int error = path ? target_call(&place->target, &(struct call){.op = SEALFS_CALL_STATUS, .path = path}, &reply)
			 : -ENOMEM;

	*out = NULL;
	if (error)
		return error;
	*out = json_incref(json_array_get(reply, 0));
	return *out ? 0 : -EPROTO;
}

int place_state(struct place *place, const char *name, enum state_kind *out)
{
	json_auto_t *status = NULL;
	int error = place_status(place, name, &status);

	if (error)
		return error;
	for (int kind = STATE_ABSENT; kind <= STATE_DAMAGED; kind++) {
		*out = (enum state_kind)kind;
		if (!strcmp(report_string(status, "state"), state_name(*out)))
			return 0;
	}
	return -EPROTO;
}
