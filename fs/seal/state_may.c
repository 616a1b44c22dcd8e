/*
 * state_may - what the permissions of the export allow the caller
 *
 * A state's transitions are links in folders of .sealfs, where everybody may make some: what they mean for somebody else's data must be asked before
 * the first of them is made, or a refusal would come when the damage is done. Nothing is written here.
 */
#include "sealfs/state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "state_internal.h"

static int may(const struct store *store, const char *path, int mode, int flags)
{
	return faccessat(store->root, path, mode, AT_EACCESS | flags) ? -errno : 0;
}

static void path_above(const char *path, char above[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	snprintf(above, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

/* Who may replace a file may as well seal it: what is made then lies beside it. */
static bool is_replaceable_file(const struct store *store, const char *path)
{
	struct statx entry;

	return store->ops->statx(store->ctx, store->root, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &entry) == 0 &&
	       S_ISREG(entry.stx_mode) && state_may_remove(store, path) == 0;
}

int state_may_write(const struct store *store, const char *path)
{
	char above[PATH_MAX];
	int rc = may(store, path, W_OK, AT_SYMLINK_NOFOLLOW);

	if (rc == -EACCES && is_replaceable_file(store, path))
		return 0;
	if (rc != -ENOENT)
		return rc;
	path_above(path, above);
	return may(store, above, W_OK | X_OK, 0);
}

/* Of a sticky directory: who may take `entry` away from it. */
static int may_take(const struct statx *directory, const struct statx *entry)
{
	/* An id of -1 is never set: this only asks for the thread's own. */
	uid_t self = (uid_t)setfsuid((uid_t)-1);

	if (!(directory->stx_mode & S_ISVTX) || self == 0 || self == directory->stx_uid || self == entry->stx_uid)
		return 0;
	return -EPERM;
}

int state_may_remove(const struct store *store, const char *path)
{
	struct statx directory, entry;
	char above[PATH_MAX];
	int rc = store->ops->statx(store->ctx, store->root, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &entry);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* no data: its records are guarded by their own folder */
	path_above(path, above);
	rc = may(store, above, W_OK | X_OK, 0);
	if (rc == 0)
		rc = store->ops->statx(store->ctx, store->root, above, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &directory);
	if (rc == 0)
		rc = may_take(&directory, &entry);
	/* a directory that is moved elsewhere has its ".." changed */
	if (rc == 0 && S_ISDIR(entry.stx_mode))
		rc = may(store, path, W_OK, AT_SYMLINK_NOFOLLOW);
	return rc;
}
