#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "fill.h"
#include "give.h"
#include "outcome.h"
#include "strategy.h"

#define TRIALS_DIR "trials"
#define FILE_MODE 0644
#define NUMBER_SIZE 32

/* ---- the work directory ---- */

int launch_open_work(const struct place *place, const char *id, bool make)
{
	const struct store *store = &place->store;
	AUTO_FREE char *path = path_join(TRIALS_DIR, id);
	struct statx st;
	int trials, work;

	if (!path)
		return -ENOMEM;
	if (!make)
		return store_open_dir(store, place->own, path);
	work = store->ops->statx(store->ctx, place->own, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st);
	if (work)
		return work;
	trials = store_make_dir(store, place->own, TRIALS_DIR, st.stx_mode & 01777);
	if (trials < 0)
		return trials;
	work = store_make_dir(store, trials, id, st.stx_mode & 0777);
	store->ops->close(store->ctx, trials);
	return work;
}

char *launch_work_path(const struct place *place, const char *id)
{
	AUTO_FREE char *export = place->target.kind == TARGET_MOUNT ? target_mounted_export(place->target.info)
								     : strdup(place->target.root);
	AUTO_FREE char *directory = export ? path_join(export, place->target.path) : NULL;
	char *path;

	if (!directory || asprintf(&path, "%s/" STATE_TUNER_NAME "/" TRIALS_DIR "/%s", directory, id) < 0)
		return NULL;
	return path;
}

/* A small file with a number in it. */
static int read_number(const struct store *store, int work, const char *name, long *number)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	char *end;
	int error = store_read_file(store, work, name, 4096, &text, &size);

	if (error)
		return error;
	*number = strtol(text, &end, 10);
	return end == text || *end != '\n' ? -ENODATA : 0;
}

/* The lock file's descriptor with the lock, -EBUSY when somebody holds it. */
static int take_lock(const struct store *store, int work)
{
	int fd = store_open_lock(store, work, "lock", O_RDWR | O_CREAT), error;

	if (fd < 0)
		return fd;
	error = store->ops->lock(store->ctx, fd, F_WRLCK, 0, 0);
	if (!error)
		return fd;
	store->ops->close(store->ctx, fd);
	return error == -EAGAIN || error == -EACCES ? -EBUSY : error;
}

static bool is_locked(const struct store *store, int work)
{
	int fd = store_open_lock(store, work, "lock", O_RDONLY | O_NONBLOCK);
	bool locked = fd >= 0 && store->ops->lock_probe(store->ctx, fd, F_WRLCK, 0, 0) == 1;

	if (fd >= 0)
		store->ops->close(store->ctx, fd);
	return locked;
}

int launch_look(const struct place *place, const char *id, enum launch_standing *standing, int *status, pid_t *pid)
{
	int work = launch_open_work(place, id, false);
	long number = 0;

	*standing = LAUNCH_NEVER;
	*status = *pid = 0;
	if (work < 0)
		return work == -ENOENT ? 0 : work;
	/* The lock first: who holds it may write the end at any moment. */
	if (is_locked(&place->store, work)) {
		*standing = LAUNCH_RUNNING;
		if (!read_number(&place->store, work, "lock", &number))
			*pid = (pid_t)number;
	} else if (!read_number(&place->store, work, "end", &number)) {
		*standing = LAUNCH_ENDED;
		*status = (int)number;
	}
	place->store.ops->close(place->store.ctx, work);
	return 0;
}

void launch_forget(const struct place *place, const char *id)
{
	int work = launch_open_work(place, id, false);

	if (work < 0)
		return;
	place->store.ops->unlinkat(place->store.ctx, work, "end", 0);
	place->store.ops->close(place->store.ctx, work);
}

/* ---- what the trial finds ---- */

static int write_json(const struct store *store, int work, const char *name, const json_t *json)
{
	AUTO_FREE char *text = json_dumps(json, JSON_INDENT(2));

	return text ? store_create_file(store, work, name, text, strlen(text), FILE_MODE, 1) : -ENOMEM;
}

static int write_parameters(const struct store *store, int work, const struct trial *trial, const json_t *parameters)
{
	json_auto_t *nni = json_pack("{s:I, s:s, s:O, s:I}", "parameter_id", (json_int_t)trial->number - 1,
				     "parameter_source", "algorithm", "parameters", parameters, "parameter_index",
				     (json_int_t)0);
	int error = nni ? write_json(store, work, "parameters.json", parameters) : -ENOMEM;

	return error ? error : write_json(store, work, "parameter.cfg", nni);
}

/* Of an earlier attempt. */
static int clear(const struct store *store, int work)
{
	static const char *const names[] = {"end", OUTCOME_RESULT, OUTCOME_OUTPUT, OUTCOME_ERRORS};
	int error = store_remove_tree(store, work, ".nni");

	for (size_t i = 0; !error && i < sizeof(names) / sizeof(names[0]); i++) {
		error = store->ops->unlinkat(store->ctx, work, names[i], 0);
		if (error == -ENOENT)
			error = 0;
	}
	return error;
}

static int set(const char *name, const char *value)
{
	return value ? setenv(name, value, 1) : unsetenv(name);
}

static int set_under(const char *name, const char *work, const char *file)
{
	AUTO_FREE char *path = path_join(work, file);

	return path ? setenv(name, path, 1) : -1;
}

static int set_environment(const struct place *place, const struct trial *trial, const char *work, const json_t *parameters)
{
	char sequence[NUMBER_SIZE];
	const char *restore = json_string_value(json_object_get(parameters, "restore_path"));

	snprintf(sequence, sizeof(sequence), "%u", trial->number - 1);
	return set("SEALFS_TRIAL", trial->id) || set("SEALTUNER_DIR", place->shown) || set("SEALTUNER_ID", trial->id) ||
	       set("SEALTUNER_ROLE", trial->role) || set("SEALTUNER_SAVE_PATH", report_string(parameters, "save_path")) ||
	       set("SEALTUNER_RESTORE_PATH", restore) || set("SEALTUNER_WORK", work) ||
	       set_under("SEALTUNER_PARAMETERS", work, "parameters.json") ||
	       set_under("SEALTUNER_RESULT", work, OUTCOME_RESULT) || set("NNI_PLATFORM", "local") ||
	       set("NNI_EXP_ID", place->target.path[0] ? place->target.path : "experiment") ||
	       set("NNI_TRIAL_JOB_ID", trial->id) || set("NNI_TRIAL_SEQ_ID", sequence) || set("NNI_SYS_DIR", work) ||
	       set("NNI_OUTPUT_DIR", work) || set("MULTI_PHASE", "false") || set("REUSE_MODE", "false")
		       ? -errno
		       : 0;
}

/* ---- the command ---- */

/* What placeholders stand for: the parameters, and what else there is. */
static json_t *placeholder_values(const struct trial *trial, const char *work, const json_t *parameters)
{
	json_t *values = json_copy((json_t *)parameters);
	AUTO_FREE char *file = path_join(work, "parameters.json");

	if (values && file && !json_object_set_new(values, "id", json_string(trial->id)) &&
	    !json_object_set_new(values, "number", json_integer((json_int_t)trial->number)) &&
	    !json_object_set_new(values, "role", json_string(trial->role ? trial->role : "")) &&
	    !json_object_set_new(values, "work", report_json_text(work)) &&
	    !json_object_set_new(values, "parameters", report_json_text(file)))
		return values;
	json_decref(values);
	return NULL;
}

bool launch_must_save(const struct experiment *experiment, const struct trial *trial)
{
	return experiment->strategy != &strategy_random && !(trial->role && !strcmp(trial->role, "evaluate"));
}

/*
 * The arguments of `sealctl run`. Allocated with its strings, NULL-terminated; NULL when memory is out. With NNI_SYS_DIR in its environment it opens the save path at
 * once, and fails if nothing is written there; a trial that need not save gets the variable behind its back.
 */
static char **build_arguments(const struct launch *launch, const struct trial *trial, const char *work, const json_t *values)
{
	size_t count = 0, at = 0;
	char **argv;

	while (launch->command[count])
		count++;
	argv = calloc(count + 8, sizeof(char *));
	if (!argv)
		return NULL;
	argv[at++] = strdup("sealctl run");
	argv[at++] = strdup("--trial");
	argv[at++] = strdup(trial->id);
	argv[at++] = strdup("--");
	if (!launch_must_save(launch->experiment, trial)) {
		argv[at++] = strdup("env");
		if (asprintf(&argv[at++], "NNI_SYS_DIR=%s", work) < 0)
			return NULL;
		unsetenv("NNI_SYS_DIR");
	}
	for (size_t i = 0; i < count; i++)
		argv[at + i] = fill_text(launch->command[i], values);
	return argv;
}

/* ---- the process that runs it ---- */

static int redirect(int work)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out = openat(work, OUTCOME_OUTPUT, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	int err = openat(work, OUTCOME_ERRORS, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);

	if (null < 0 || out < 0 || err < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		return -errno;
	return 0;
}

static void write_pid(int lock)
{
	char text[NUMBER_SIZE];
	int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* Only for who wants to stop it later. */
	if (ftruncate(lock, 0) || pwrite(lock, text, (size_t)size, 0) != size)
		return;
}

static int write_end(const struct store *store, int work, int status)
{
	char text[NUMBER_SIZE];
	int size = snprintf(text, sizeof(text), "%d\n", status);

	return store_create_file(store, work, "end", text, (size_t)size, FILE_MODE, 1);
}

/* Does not return. `lock` is held until this process is gone, its command does not inherit it. */
static void become_trial(const struct launch *launch, const struct trial *trial, const char *path, int work, int lock,
			 const json_t *parameters)
{
	static const struct command run = {.name = "run", .run = cmd_run};
	json_auto_t *values = placeholder_values(trial, path, parameters);
	char **argv = NULL;
	int status = EXIT_ERROR, count = 0;

	setpgid(0, 0);
	write_pid(lock);
	sigprocmask(SIG_SETMASK, &launch->signals, NULL);
	report_set_program("sealctl");
	if (values && !redirect(work) && !set_environment(launch->place, trial, path, parameters))
		argv = build_arguments(launch, trial, path, values);
	while (argv && argv[count])
		count++;
	if (argv) {
		optind = 0;
		status = cmd_run(&run, count, argv);
	}
	fflush(NULL);
	_exit(write_end(&launch->place->store, work, status) ? EXIT_ERROR : status);
}

static int prepare(const struct launch *launch, const struct trial *trial, int work, json_t **parameters)
{
	json_auto_t *answer = give_answer(launch->place, launch->experiment, trial);
	int error = clear(&launch->place->store, work);

	*parameters = json_incref(json_object_get(answer, "parameters"));
	if (error || !*parameters)
		return error ? error : -ENOMEM;
	return write_parameters(&launch->place->store, work, trial, *parameters);
}

int launch_start(const struct launch *launch, const struct trial *trial, pid_t *pid)
{
	const struct store *store = &launch->place->store;
	AUTO_FREE char *path = launch_work_path(launch->place, trial->id);
	AUTO_CLOSE int work = path ? launch_open_work(launch->place, trial->id, true) : -ENOMEM, lock = -1;
	json_auto_t *parameters = NULL;
	int error;

	if (work < 0)
		return work;
	lock = take_lock(store, work);
	if (lock < 0)
		return lock;
	error = prepare(launch, trial, work, &parameters);
	if (error)
		return error;
	fflush(NULL);
	*pid = fork();
	if (*pid == 0)
		become_trial(launch, trial, path, work, lock, parameters);
	if (*pid < 0)
		return -errno;
	setpgid(*pid, *pid);
	return 0;
}
