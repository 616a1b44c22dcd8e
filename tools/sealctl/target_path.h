/*
 * target_path - what a path means, told from its text and the list of mounts
 *
 * A stat inside an unsealed checkpoint waits until it is sealed, so a tool that only wants to talk about the checkpoint
 * must not touch anything below a sealfs mount. Nothing here does I/O by itself: what must be asked of the file system
 * goes through struct path_probe.
 */
#ifndef SEALCTL_TARGET_PATH_H
#define SEALCTL_TARGET_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct path_probe {
	/* True when nothing at `path` or below it may be touched; it and what follows is then taken as it is written.
	 */
	bool (*boundary)(void *arg, const char *path);
	/* As readlink(2), but -errno. Anything negative means: not a symlink. */
	ssize_t (*readlink)(void *arg, const char *path, char *buffer, size_t size);
	void *arg;
};

/*
 * The absolute path that `path` stands for when `cwd` (absolute) is the working directory: no symlink above a boundary,
 * no "." or "..", no doubled or trailing '/'. What does not exist is kept as it is written. Allocated in *out. -ELOOP,
 * -ENOMEM.
 */
int path_resolve(const char *cwd, const char *path, const struct path_probe *probe, char **out);

/* When `path` is `dir` or below it (both as path_resolve() writes them): the rest, without leading '/'; else NULL. */
const char *path_below(const char *path, const char *dir);

/* How many components a relative path has; "" has none. */
unsigned int path_depth(const char *path);

/* The first `count` components of a relative path, allocated. NULL when memory is out. */
char *path_head(const char *path, unsigned int count);

/* `directory` and `name` joined by one '/'; either may be "". Allocated; NULL when memory is out. */
char *path_join(const char *directory, const char *name);

struct mount_entry {
	char *device; /* "major:minor" */
	char *root;   /* which directory of the file system is mounted; "/" but for bind mounts */
	char *point;
	char *type;
	char *source;
	char *options; /* of the mount, then of the file system, comma separated */
};

struct mount_table {
	struct mount_entry *entries;
	size_t count;
};

/* Parses the text of /proc/PID/mountinfo. Lines that are not of its form are left out. -ENOMEM. */
int mount_table_parse(const char *text, struct mount_table *out);
void mount_table_free(struct mount_table *table);

/* The mount that an absolute path as path_resolve() writes it lies in: the longest mount point, the last mounted of
 * equal ones; or NULL. */
const struct mount_entry *mount_table_cover(const struct mount_table *table, const char *path);

bool mount_entry_is_sealfs(const struct mount_entry *entry);

/* True when the comma-separated options hold `option`, whole. */
bool mount_entry_has_option(const struct mount_entry *entry, const char *option);

#endif
