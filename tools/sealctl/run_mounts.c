#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "cleanup.h"
#include "report.h"
#include "run.h"
#include "sealfs/config.h"
#include "target.h"

static void free_strings(char **strings)
{
	for (char **string = strings; string && *string; string++)
		free(*string);
	free(strings);
}

void run_free(struct run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		cleanup_close(&run->mounts[i].fd);
		free(run->mounts[i].point);
		free(run->mounts[i].device);
		free(run->mounts[i].export);
		free_strings(run->mounts[i].trial_env);
	}
	free(run->mounts);
}

static char **copy_strings(char *const *strings)
{
	char **copy;
	size_t count = 0;

	while (strings[count])
		count++;
	copy = calloc(count + 1, sizeof(char *));
	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = strdup(strings[i]);
		if (!copy[i]) {
			free_strings(copy);
			return NULL;
		}
	}
	return copy;
}

/* What the mount itself tells, or else its export, or else the defaults. */
static int load_config(const json_t *info, struct config *config)
{
	AUTO_FREE char *export = target_mounted_export(info), *why = NULL;
	const char *told = report_string(info, "trial_env");
	int error;

	if (!told[0] && export && !target_load_config(export, config, &why))
		return 0;
	error = config_default(config);
	if (error || !told[0])
		return error;
	error = config_set_trial_env(config, told);
	if (error)
		config_free(config);
	return error;
}

static int load_trial_env(const json_t *info, struct run_mount *mount)
{
	struct config config;
	int error = load_config(info, &config);

	if (error)
		return error;
	mount->trial_env = copy_strings(config.trial_env);
	config_free(&config);
	return mount->trial_env ? 0 : -ENOMEM;
}

static int add_mount(struct run *run, struct target *target)
{
	struct run_mount *bigger = realloc(run->mounts, (run->count + 1) * sizeof(*bigger));
	struct run_mount *mount;

	if (!bigger)
		return -ENOMEM;
	run->mounts = bigger;
	mount = &bigger[run->count++];
	*mount = (struct run_mount){.point = target->root,
				    .device = target->device,
				    .export = target_mounted_export(target->info),
				    .depth = target->depth,
				    .fd = target->fd};
	target->root = NULL;
	target->device = NULL;
	target->fd = -1;
	return load_trial_env(target->info, mount);
}

/* A mount of another user, or whose daemon is gone, must not keep the command from running. */
static int open_mount(struct run *run, const struct mount_table *mounts, const struct mount_entry *entry)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	AUTO_FREE char *why = NULL;
	int error = target_of_mount(mounts, entry, &target);

	if (error)
		return error;
	error = target_connect(&target, &why);
	if (!error)
		return add_mount(run, &target);
	if (error != -EACCES && error != -EPERM)
		report_note("mount '%s' is left out: %s%s", entry->point, why ? why : strerror(-error),
			    error == -ENOTCONN ? "; its daemon is gone: unmount it with 'fusermount3 -u', mount it again" : "");
	return 0;
}

static bool is_known(const struct run *run, const char *device)
{
	for (size_t i = 0; i < run->count; i++)
		if (!strcmp(run->mounts[i].device, device))
			return true;
	return false;
}

int run_open_mounts(struct run *run)
{
	CLEANUP(mount_table_free) struct mount_table mounts = {0};
	int error = target_mounts(&mounts);

	for (size_t i = 0; !error && i < mounts.count; i++)
		if (mount_entry_is_sealfs(&mounts.entries[i]) && !is_known(run, mounts.entries[i].device))
			error = open_mount(run, &mounts, &mounts.entries[i]);
	if (error)
		return report_failure("open", "the sealfs mounts", error, NULL);
	if (!run->count)
		report_note(
			"there is no sealfs mount that this user may open, so nothing will be sealed; see sealfs(8)");
	return EXIT_GOOD;
}

int run_begin(struct run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		struct call call = {
			.op = SEALFS_CALL_RUN_BEGIN, .trial = run->trial, .detail = run->join ? "join" : ""};
		json_auto_t *reply = NULL;
		int result = call_mount(run->mounts[i].fd, &call, &reply);

		if (result)
			return report_failure("begin a run on", run->mounts[i].point, result, call_why(reply, result));
		run->mounts[i].begun = true;
	}
	return EXIT_GOOD;
}

static const struct run_mount *find_mount(const struct run *run, const struct target *target)
{
	for (size_t i = 0; target->kind == TARGET_MOUNT && i < run->count; i++)
		if (!strcmp(run->mounts[i].device, target->device))
			return &run->mounts[i];
	return NULL;
}

/* `given`: by a scheduler. It may name a directory in directories that are still to be made, by the script. */
static int claim(struct run *run, const struct run_mount *mount, const char *path, bool given)
{
	struct call call = {.op = SEALFS_CALL_CLAIM, .path = path, .trial = run->trial};
	json_auto_t *reply = NULL;
	int result = call_mount(mount->fd, &call, &reply);

	if (given && result == -ENOENT) {
		report_note("the save path '%s' is not claimed yet: the directory above it does not exist", path);
		return EXIT_GOOD;
	}
	return result ? report_failure("save to", path, result, result == -ENOENT ? "the directory above it does not exist; make that first" : call_why(reply, result))
		      : EXIT_GOOD;
}

int run_claim(struct run *run, const char *path)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	const struct run_mount *mount = NULL;
	AUTO_FREE char *why = NULL;
	int error = target_locate(path, &target);

	if (!error && !(mount = find_mount(run, &target)))
		return report_failure(
			"save to", path, -EINVAL,
			"it is not in a sealfs mount that this user may open; mount the export with sealfs(8)");
	if (!error) {
		target.depth = mount->depth;
		error = target_check_depth(&target, &why);
	}
	return error ? report_failure("save to", path, error, why) : claim(run, mount, target.path, false);
}

int run_claim_given(struct run *run, const char *path)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	const struct run_mount *mount;
	AUTO_FREE char *head = NULL, *why = NULL;
	int error = target_locate(path, &target);

	if (error)
		return report_failure("save to", path, error, NULL);
	mount = find_mount(run, &target);
	if (!mount)
		return EXIT_GOOD;
	head = target.path;
	target.depth = mount->depth;
	target.path = path_head(head, mount->depth);
	if (!target.path)
		return report_failure("save to", path, -ENOMEM, NULL);
	if (!target_check_depth(&target, &why))
		return claim(run, mount, target.path, true);
	report_note("the save path '%s' is not claimed: %s", path, why ? why : "");
	return EXIT_GOOD;
}
