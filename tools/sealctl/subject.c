#include "subject.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/escape.h"
#include "target.h"

const char *subject_kind_name(const struct subject *subject)
{
	static const char *const names[] = {
		[SUBJECT_EXPORT] = "export", [SUBJECT_MOUNT] = "mount", [SUBJECT_COPY] = "copy"};

	return names[subject->kind];
}

char *const *subject_live(const struct subject *subject)
{
	return subject->config.live;
}

char *subject_shown(const struct subject *subject, const char *path)
{
	return path_join(subject->root, path);
}

void subject_free(struct subject *subject)
{
	if (subject->store.root >= 0)
		store_close(&subject->store);
	config_free(&subject->config);
	checkpoint_list_free(&subject->checkpoints);
	free(subject->root);
	*subject = (struct subject)SUBJECT_INIT;
}

static int __attribute__((format(printf, 3, 4))) explain(char **why, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
	return error;
}

static int open_store(struct subject *subject, const char *directory)
{
	int error = store_open(&subject->store, directory);

	if (error)
		subject->store.root = -1;
	return error;
}

/* ---- copies ---- */

static const char *last_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* An absolute path's directory. Allocated. */
static char *directory_of(const char *path)
{
	size_t size = (size_t)(last_of(path) - path);

	return strndup(path, size > 1 ? size - 1 : 1);
}

/* Whether the seal is beside `path` (absolute, not "/"), be it good or damaged. 1, 0 or -errno. */
static int has_seal(const char *path, bool *is_file)
{
	CLEANUP(state_free) struct state state = {0};
	AUTO_FREE char *directory = directory_of(path);
	struct store store;
	int error = directory ? store_open(&store, directory) : -ENOMEM;

	if (error)
		return error;
	error = state_read(&store, last_of(path), &state);
	store_close(&store);
	if (error)
		return error;
	*is_file = state.is_file;
	if (state.kind == STATE_ABSENT)
		return -ENOENT;
	return state.kind == STATE_SEALED || state.kind == STATE_DAMAGED;
}

static int no_seal(const char *path, bool is_file, char **why)
{
	AUTO_FREE char *folder = is_file ? state_seal_dir(last_of(path), true) : NULL;
	AUTO_FREE char *escaped = folder ? escape_text(folder) : NULL;

	if (is_file)
		return explain(
			why, -EINVAL,
			"there is no seal beside it: '%s' was looked for in its directory; copy that folder along, "
			"or name the checkpoint on its export or in a mount",
			escaped ? escaped : "?");
	return explain(why, -EINVAL,
		       "there is no seal beside it: neither in '.seal' in it, nor beside anything in it; copy it with "
		       "all its hidden files (cp -a, rsync -a), or name the checkpoint on its export or in a mount");
}

static int open_one_copy(struct subject *subject, const char *path)
{
	int error;

	subject->root = directory_of(path);
	error = subject->root ? open_store(subject, subject->root) : -ENOMEM;
	return error ? error : checkpoint_list_add(&subject->checkpoints, last_of(path));
}

static int open_copies_in(struct subject *subject, const char *path, char **why)
{
	int error = open_store(subject, path);

	subject->whole = true;
	subject->root = strdup(path);
	if (!error && !subject->root)
		error = -ENOMEM;
	if (!error)
		error = checkpoint_list_copies(&subject->store, &subject->checkpoints);
	return error || subject->checkpoints.count ? error : no_seal(path, false, why);
}

static int open_copy(struct subject *subject, const char *path, char **why)
{
	bool is_file = false;
	int found = strcmp(path, "/") ? has_seal(path, &is_file) : 0;

	subject->kind = SUBJECT_COPY;
	if (found < 0)
		return found;
	if (found)
		return open_one_copy(subject, path);
	return is_file ? no_seal(path, true, why) : open_copies_in(subject, path, why);
}

/* ---- exports ---- */

static int open_export(struct subject *subject, const struct target *target, char **why)
{
	int error;

	subject->kind = target->kind == TARGET_MOUNT ? SUBJECT_MOUNT : SUBJECT_EXPORT;
	subject->root = strdup(target->root);
	error = subject->root ? target_open_store(target, &subject->store, why) : -ENOMEM;
	return error ? error : config_load(&subject->store, &subject->config, why);
}

static int list_export(struct subject *subject, const struct target *target)
{
	if (path_depth(target->path) >= target->depth)
		return checkpoint_list_add(&subject->checkpoints, target->path);
	subject->whole = true;
	return checkpoint_list_export(&subject->store, &subject->config, target->path, &subject->checkpoints);
}

/* A copy may lie deep in an export, too, where no checkpoint of its own can be. */
static bool is_copy_inside(const struct target *target, char **path)
{
	bool is_file;

	if (target->kind != TARGET_EXPORT || path_depth(target->path) <= target->depth)
		return false;
	*path = path_join(target->root, target->path);
	return *path && has_seal(*path, &is_file) > 0;
}

static int open_given(const char *given, struct subject *subject, char **why)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	AUTO_FREE char *inside = NULL;
	int error = target_locate(given, &target);

	if (error)
		return error;
	if (target.kind == TARGET_NONE)
		return open_copy(subject, target.path, why);
	error = target_connect(&target, why);
	if (error)
		return error;
	if (is_copy_inside(&target, &inside))
		return open_copy(subject, inside, why);
	if (path_depth(target.path) >= target.depth)
		error = target_check_depth(&target, why);
	if (!error)
		error = open_export(subject, &target, why);
	return error ? error : list_export(subject, &target);
}

int subject_open(const char *verb, const char *given, struct subject *out)
{
	AUTO_FREE char *why = NULL;
	int error, status;

	*out = (struct subject)SUBJECT_INIT;
	error = open_given(given, out, &why);
	if (!error)
		return EXIT_GOOD;
	status = report_failure(verb, given, error, why);
	subject_free(out);
	return status;
}
