#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "follow.h"
#include "export.h"
#include "report.h"
#include "sealfs/escape.h"
#include "sealfs/state.h"

#define CONFIG_PATH ".sealfs/config"

int target_mounts(struct mount_table *out)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *text = NULL;
	size_t capacity = 0;

	*out = (struct mount_table){0};
	if (!file)
		return -errno;
	if (getdelim(&text, &capacity, '\0', file) < 0)
		return ferror(file) ? -EIO : 0;
	return mount_table_parse(text, out);
}

static bool is_export(const char *directory)
{
	AUTO_FREE char *config = path_join(directory, CONFIG_PATH);

	return config && access(config, F_OK) == 0;
}

static bool probe_boundary(void *arg, const char *path)
{
	return mount_entry_is_sealfs(mount_table_cover(arg, path)) || is_export(path);
}

static ssize_t probe_readlink(void *arg, const char *path, char *buffer, size_t size)
{
	ssize_t length = readlink(path, buffer, size);

	return length < 0 ? -errno : length;
}

int target_of_mount(const struct mount_table *mounts, const struct mount_entry *entry, struct target *out)
{
	const char *root = entry->point;

	/* A bind mount may show an unsealed checkpoint, whose opening waits: the mount itself is what is spoken to, and
	 * of. */
	for (size_t i = 0; i < mounts->count; i++)
		if (!strcmp(mounts->entries[i].device, entry->device) && !strcmp(mounts->entries[i].root, "/"))
			root = mounts->entries[i].point;
	out->kind = TARGET_MOUNT;
	out->root = strdup(strcmp(entry->root, "/") ? root : entry->point);
	out->device = strdup(entry->device);

	out->path = strdup(entry->root + 1);
	return out->root && out->device && out->path ? 0 : -ENOMEM;
}

static int locate_in_mount(const struct mount_table *mounts, const char *path, struct target *out)
{
	const struct mount_entry *entry = mount_table_cover(mounts, path);
	AUTO_FREE char *head = NULL;
	int error = target_of_mount(mounts, entry, out);

	if (error)
		return error;
	head = out->path;
	out->path = path_join(head, path_below(path, entry->point));
	return out->path ? 0 : -ENOMEM;
}

/* Nearest first: an export may lie in a directory that happens to be one too. */
static int locate_on_export(const char *path, struct target *out)
{
	AUTO_FREE char *directory = strdup(path);

	if (!directory)
		return -ENOMEM;
	while (!is_export(directory)) {
		char *slash = strrchr(directory, '/');

		if (!strcmp(directory, "/")) {
			out->path = strdup(path);
			return out->path ? 0 : -ENOMEM;
		}
		slash[slash == directory] = '\0';
	}
	out->kind = TARGET_EXPORT;
	out->path = strdup(path_below(path, directory));
	out->root = directory;
	directory = NULL;
	return out->path ? 0 : -ENOMEM;
}

int target_locate(const char *given, struct target *out)
{
	CLEANUP(mount_table_free) struct mount_table mounts = {0};
	struct path_probe probe = {probe_boundary, probe_readlink, &mounts};
	AUTO_FREE char *cwd = NULL, *path = NULL;
	int error = target_mounts(&mounts);

	*out = (struct target)TARGET_INIT;
	if (error)
		return error;
	if (!given[0])
		return -ENOENT;
	/* get_current_dir_name() would stat $PWD, which may lie in an unsealed checkpoint. */
	cwd = given[0] == '/' ? strdup("/") : getcwd(NULL, 0);
	if (!cwd)
		return -errno;
	error = path_resolve(cwd, given, &probe, &path);
	if (error)
		return error;
	if (mount_entry_is_sealfs(mount_table_cover(&mounts, path)))
		return locate_in_mount(&mounts, path, out);
	return locate_on_export(path, out);
}

static int connect_mount(struct target *target, char **why)
{
	int result;

	target->fd = open(target->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->fd < 0) {
		int error = errno;

		if (error == EACCES)
			*why = strdup("this user may not open the mount; run it as the user who mounted, or mount with '-o allow_other'");
		return -error;
	}
	result = call_mount(target->fd, &(struct call){.op = SEALFS_CALL_INFO}, &target->info);
	target->depth = (unsigned int)json_integer_value(json_object_get(target->info, "depth"));
	if (result)
		*why = strdup(call_why(target->info, result));
	return result;
}

/* A configuration that cannot be used is the export's fault, not a checkpoint's, whatever the errno. */
static int explain_config(const char *root, int error, char **why)
{
	AUTO_FREE char *what = *why;
	const char *step = error == -EPROTO ? "install a newer sealfs on this machine"
					    : "repair it, all machines must agree on it";

	if (asprintf(why, "the .sealfs/config of '%s': %s; %s", root, what ? what : strerror(-error), step) < 0)
		*why = NULL;
	return error == -EPROTO || error == -EBADMSG ? -EINVAL : error;
}

static int connect_export(struct target *target, char **why)
{
	int error = store_open(&target->store, target->root);

	if (error) {
		target->store.root = -1;
		return error;
	}
	error = config_load(&target->store, &target->config, why);
	target->depth = error ? 0 : target->config.depth;
	return error ? explain_config(target->root, error, why) : 0;
}

char *target_mounted_export(const json_t *info)
{
	const char *escaped = report_string(info, "export");
	char *path;
	size_t size;

	return escaped[0] && !escape_decode(escaped, strlen(escaped), &path, &size) ? path : NULL;
}

int target_load_config(const char *directory, struct config *out, char **why)
{
	struct store store;
	int error = store_open(&store, directory);

	*why = NULL;
	if (error)
		return error;
	error = config_load(&store, out, why);
	store_close(&store);
	return error;
}

/* A path of the name may lead elsewhere in another mount namespace, or be hidden under another mount. */
static bool is_export_of(const struct target *target, const char *directory)
{
	CLEANUP(target_free) struct target below = TARGET_INIT;
	struct stat there, shown;

	return !target_locate(directory, &below) && below.kind != TARGET_MOUNT && !access(directory, R_OK | X_OK) &&
	       !stat(directory, &there) && !fstat(target->fd, &shown) && there.st_ino == shown.st_ino;
}

int target_open_store(const struct target *target, struct store *out, char **why)
{
	AUTO_FREE char *directory =
		target->kind == TARGET_MOUNT ? target_mounted_export(target->info) : strdup(target->root);
	AUTO_FREE char *escaped = directory ? escape_text(directory) : NULL;
	int error;

	out->root = -1;
	if (!directory)
		return -ENOMEM;
	if (target->kind != TARGET_MOUNT || is_export_of(target, directory)) {
		error = store_open(out, directory);
		if (error)
			out->root = -1;
		return error;
	}
	if (asprintf(why,
		     "the export of this mount, '%s', cannot be reached from here; run it where that directory "
		     "is, as a user who may read it",
		     escaped ? escaped : "?") < 0)
		*why = NULL;
	return -EINVAL;
}

int target_connect(struct target *target, char **why)
{
	*why = NULL;
	return target->kind == TARGET_MOUNT ? connect_mount(target, why) : connect_export(target, why);
}

void target_free(struct target *target)
{
	cleanup_close(&target->fd);
	if (target->store.root >= 0)
		store_close(&target->store);
	if (target->depth && target->kind == TARGET_EXPORT)
		config_free(&target->config);
	json_decref(target->info);
	free(target->root);
	free(target->path);
	free(target->device);

	*target = (struct target)TARGET_INIT;
}

/* The path as it is, filled up to the depth of checkpoints. */
static char *example_path(const struct target *target)
{
	unsigned int depth = path_depth(target->path);
	AUTO_FREE char *head = path_head(target->path, target->depth);
	char *example = head ? path_join(target->root, head) : NULL;

	for (; example && depth < target->depth; depth++) {
		AUTO_FREE char *shorter = example;

		example = path_join(shorter, "NAME");
	}
	return example;
}

int target_check_depth(const struct target *target, char **why)
{
	unsigned int depth = path_depth(target->path);
	AUTO_FREE char *example = example_path(target), *escaped = example ? escape_text(example) : NULL;
	AUTO_FREE char *head = path_head(target->path, target->depth), *inside = head ? escape_text(head) : NULL;
	int size;

	if (state_path_valid(target->path, target->depth))
		return 0;
	*why = NULL;
	if (depth > target->depth)
		size = asprintf(
			why, "it is inside checkpoint '%s' (the checkpoints of this export are at depth %u); name '%s'",
			inside, target->depth, escaped);
	else if (depth < target->depth)
		size = asprintf(
			why, "it is above the checkpoints, which are at depth %u on this export; name one, like '%s'",
			target->depth, escaped);
	else
		size = asprintf(why, "a checkpoint cannot have this name, which sealfs keeps for itself");
	if (size < 0)
		*why = NULL;
	return -EINVAL;
}

char *target_explain_none(const char *given)
{
	struct stat st;

	if (lstat(given, &st) && (errno == ENOENT || errno == ENOTDIR))
		return strdup("it is neither in a sealfs mount nor on an export, and there is no such path; is the export mounted?");
	return strdup("it is neither in a sealfs mount nor on an export; mount the export with sealfs(8), or make a directory an export with 'sealctl init'");
}

static int open_checked(const char *given, bool checkpoint, struct target *out, char **why)
{
	int error = target_locate(given, out);

	if (error)
		return error;
	if (out->kind == TARGET_NONE) {
		*why = target_explain_none(given);
		return -EINVAL;
	}
	error = target_connect(out, why);
	return error || !checkpoint ? error : target_check_depth(out, why);
}

int target_open(const char *verb, const char *given, bool checkpoint, struct target *out)
{
	AUTO_FREE char *why = NULL;
	int error = open_checked(given, checkpoint, out, &why), status;

	if (!error)
		return EXIT_GOOD;
	status = report_failure(verb, given, error, why);
	target_free(out);
	return status;
}

int target_call(struct target *target, const struct call *call, json_t **reply)
{
	if (target->kind == TARGET_MOUNT)
		return call_mount(target->fd, call, reply);
	return export_call(&target->store, target->root, &target->config, call, reply);
}

/* A mount's answer only says that the checkpoint failed; its status says why. Allocated, or NULL. */
static char *explain_failed(struct target *target)
{
	json_auto_t *reply = NULL;
	const json_t *checkpoint;
	const char *writer;
	char *text;

	if (target_call(target, &(struct call){.op = SEALFS_CALL_STATUS, .path = target->path}, &reply))
		return NULL;
	checkpoint = json_array_get(reply, 0);
	if (strcmp(report_string(checkpoint, "state"), "failed") || !report_string(checkpoint, "reason")[0])
		return NULL;
	writer = report_string(checkpoint, "writer");
	return asprintf(&text, "generation %lld%s%s%s failed: %s",
			(long long)json_integer_value(json_object_get(checkpoint, "generation")),
			writer[0] ? " by '" : "", writer, writer[0] ? "'" : "", report_string(checkpoint, "reason")) < 0
		       ? NULL
		       : text;
}

static int call_one(const char *verb, const char *given, struct call *call, target_done *done)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	json_auto_t *reply = NULL;
	AUTO_FREE char *why = NULL;
	struct follow *follow = NULL;
	int status = target_open(verb, given, true, &target), result;

	if (status)
		return status;
	call->path = target.path;
	if (call->key && target.kind == TARGET_MOUNT)
		return report_failure(verb, target.path, -EOPNOTSUPP,
				      "a mount signs with its own key; mount it with '-o key=FILE', or name the path on the export");
	if (call->op == SEALFS_CALL_SEAL && target.kind == TARGET_MOUNT)
		follow = follow_start(target.root, target.path, NULL);
	result = target_call(&target, call, &reply);
	follow_stop(follow);
	if (result == -EOWNERDEAD)
		why = explain_failed(&target);
	if (result)
		return report_failure(verb, target.path, result, why ? why : call_why(reply, result));
	if (done)
		done(&target, reply);
	return EXIT_GOOD;
}

int target_call_each(const char *verb, char **paths, struct call *call, target_done *done)
{
	int status = EXIT_GOOD;

	for (; *paths; paths++)
		status = report_worse(status, call_one(verb, *paths, call, done));
	return status;
}
