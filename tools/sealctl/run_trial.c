#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"
#include "run.h"

#define VARIABLE "SEALFS_TRIAL"
#define HOST_SIZE 256

/* As the mounts do: a variable that is empty counts as not set. */
static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

/* The first of the names that is set, or NULL. */
static const char *first_set(char *const *names)
{
	for (; *names; names++)
		if (environment(*names))
			return *names;
	return NULL;
}

/* Field 22 of /proc/self/stat, in clock ticks since boot: with it a process id is unique until the next boot. */
static unsigned long long start_time(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/stat", "re");
	AUTO_FREE char *line = NULL;
	size_t capacity = 0;
	const char *at;

	if (!file || getline(&line, &capacity, file) < 0 || !(at = strrchr(line, ')')))
		return 0;
	for (int field = 2; field < 22 && at; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

static char *make_up_trial(void)
{
	char host[HOST_SIZE] = "localhost";
	char *trial;

	gethostname(host, sizeof(host) - 1);
	return asprintf(&trial, "run:%s:%d:%llu", host, (int)getpid(), start_time()) < 0 ? NULL : trial;
}

char *run_find_trial(const struct run *run)
{
	static char *const defaults[] = {VARIABLE, "NNI_TRIAL_JOB_ID", NULL};
	const char *name = run->count ? NULL : first_set(defaults);

	for (size_t i = 0; i < run->count && !name; i++)
		name = first_set(run->mounts[i].trial_env);
	return name ? strdup(getenv(name)) : make_up_trial();
}

int run_set_trial(const struct run *run)
{
	if (setenv(VARIABLE, run->trial, 1))
		return -errno;
	for (size_t i = 0; i < run->count; i++) {
		char *const *names = run->mounts[i].trial_env;
		const char *name = first_set(names);

		if (names[0] && (!name || strcmp(getenv(name), run->trial)) && setenv(names[0], run->trial, 1))
			return -errno;
	}
	return 0;
}

static json_t *load_parameters(void)
{
	const char *directory = environment("NNI_SYS_DIR");
	AUTO_FREE char *path = NULL;
	json_error_t error;
	json_t *parameters;

	if (!directory || asprintf(&path, "%s/parameter.cfg", directory) < 0) {
		path = NULL;
		return NULL;
	}
	/* NNI's other ways to hand parameters over have no such file. */
	if (access(path, F_OK))
		return NULL;
	parameters = json_load_file(path, 0, &error);
	if (!parameters)
		report_note("cannot read '%s': %s; name the checkpoint with --save", path, error.text);
	return parameters;
}

char *run_nni_save_path(void)
{
	static const char *const keys[] = {"save_path", "save_dir", "save_checkpoint_dir"};
	json_auto_t *root = load_parameters();
	const json_t *parameters = json_object_get(root, "parameters");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *path = report_string(parameters, keys[i]);

		if (path[0])
			return strdup(path);
	}
	return NULL;
}
