/*
 * target - what a PATH on the command line is: something in a mount, or something on an export
 */
#ifndef SEALCTL_TARGET_H
#define SEALCTL_TARGET_H

#include "call.h"
#include "sealfs/config.h"
#include "sealfs/store.h"
#include "target_path.h"

enum target_kind { TARGET_NONE, TARGET_MOUNT, TARGET_EXPORT };

/* Made by target_locate(), freed by target_free(). */
struct target {
	enum target_kind kind;
	char *root;   /* mount point, or the export's directory */
	char *path;   /* below it; "" for the root itself */
	char *device; /* mount: "major:minor" */

	/* from target_connect() on */
	unsigned int depth;
	int fd;               /* mount */
	json_t *info;         /* mount: what SEALFS_CALL_INFO says */
	struct store store;   /* export */
	struct config config; /* export */
};
#define TARGET_INIT                                                                                                    \
	{                                                                                                              \
		.fd = -1, .store = {.root = -1 }                                                                       \
	}

/* The mounts of this process's namespace. -errno. */
int target_mounts(struct mount_table *out);

/* Tells what `given` is without touching anything in a mount. Kind TARGET_NONE, with `path` the absolute path, when it
 * is neither. -errno. */
int target_locate(const char *given, struct target *out);

/* Describes the root of a mount. -ENOMEM. */
int target_of_mount(const struct mount_table *mounts, const struct mount_entry *entry, struct target *out);

/* Opens it and learns its depth. 0, or -errno with *why allocated or NULL. */
int target_connect(struct target *target, char **why);

void target_free(struct target *target);

/*
 * Opens the directory of the export itself, also the one under a mount, for what is looked at past the mounts. After
 * target_connect(); the caller closes it. -EINVAL with *why allocated when a mount's export cannot be reached from here.
 */
int target_open_store(const struct target *target, struct store *out, char **why);

/* Is `path` below the root at the depth of checkpoints? 0, or -EINVAL with *why allocated: the sentence that says how
 * it should be. */
int target_check_depth(const struct target *target, char **why);

/* The directory of the export under a mount, as the mount names it. Allocated, or NULL. */
char *target_mounted_export(const json_t *info);

/* The configuration of the export in `directory`. As config_load(). */
int target_load_config(const char *directory, struct config *out, char **why);

/* Why a path of kind TARGET_NONE is of no use, with the next step. Allocated, or NULL. */
char *target_explain_none(const char *given);

/* Locates, connects, and, with `checkpoint`, checks the depth. On failure the message is printed and the exit status
 * returned; 0 otherwise. */
int target_open(const char *verb, const char *given, bool checkpoint, struct target *out);

/*
 * Hands each sealfs mount of this machine to `each`, which prints its own failures. Other users' mounts are left out, but it is an error, and said, when there are no
 * others; `none` is said when there is no mount at all. Returns the worst exit status.
 */
typedef int target_mount_fn(void *arg, struct target *target);
int target_each_mount(const char *verb, const char *none, target_mount_fn *each, void *arg);

/* Issues a call on whatever the target is. As call_mount(). */
int target_call(struct target *target, const struct call *call, json_t **reply);

/*
 * For sub-commands that do the same to each PATH: opens it, issues *call with its path, prints a failure, hands the
 * reply to `done` (may be NULL).
 * Returns the worst exit status.
 */
typedef void target_done(const struct target *target, const json_t *reply);
int target_call_each(const char *verb, char **paths, struct call *call, target_done *done);

#endif
