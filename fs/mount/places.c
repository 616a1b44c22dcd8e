#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sealfs/log.h"

static int errno_of_access(const char *path)
{
	return access(path, W_OK | X_OK) ? errno : 0;
}

static int check_export(const struct options *options, char export_path[PATH_MAX])
{
	struct stat attributes;

	if (!realpath(options->export_path, export_path) || stat(export_path, &attributes)) {
		log_error("can not mount: the export '%s': %s; name an existing directory", options->export_path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(attributes.st_mode)) {
		log_error("can not mount: the export '%s' is not a directory", export_path);
		return -1;
	}
	/* of a server that takes root for nobody, root may not be allowed to write what the users may */
	bool for_users = geteuid() == 0 && options->allow_other && errno_of_access(export_path) == EACCES;
	if (for_users)
		log_notice("the export '%s' is not writable for root (root_squash?): what is done for its users is done with their ids; root's own trials can not save there",
			   export_path);
	if (!options->read_only && !for_users && access(export_path, W_OK | X_OK)) {
		log_error("can not mount: the export '%s' is not writable (%s); mount it with -o ro, or as a user who may write there", export_path,
			  strerror(errno));
		return -1;
	}
	return 0;
}

/* What lies below would still be served, but nobody could reach it any more, neither who waits there nor sealctl. */
static bool is_taken(const char *mountpoint)
{
	FILE *table = setmntent("/proc/self/mounts", "re");
	char export_path[PATH_MAX] = "";
	struct mntent *entry;

	while (table && (entry = getmntent(table)))
		if (!strcmp(entry->mnt_dir, mountpoint))
			snprintf(export_path, sizeof(export_path), "%s", strcmp(entry->mnt_type, "fuse.sealfs") ? "" : entry->mnt_fsname);
	if (table)
		endmntent(table);
	if (!export_path[0])
		return false;
	log_error("can not mount: on '%s' sealfs has mounted '%s' already; unmount that first ('fusermount3 -u %s', or 'umount %s' as root), or choose another mount point",
		  mountpoint, export_path, mountpoint, mountpoint);
	return true;
}

static int check_mountpoint(const struct options *options, char mountpoint[PATH_MAX])
{
	struct stat attributes;
	struct statx fresh;

	/* asked anew: the kernel may remember the attributes of a root whose daemon is gone */
	if (statx(AT_FDCWD, options->mountpoint, AT_STATX_FORCE_SYNC, STATX_TYPE, &fresh) && (errno == ENOTCONN || errno == ECONNABORTED)) {
		log_error("can not mount: a dead mount is left on '%s'; clear it with 'fusermount3 -u %s' (or 'umount %s' as root)",
			  options->mountpoint, options->mountpoint, options->mountpoint);
		return -1;
	}
	if (!realpath(options->mountpoint, mountpoint) || stat(mountpoint, &attributes)) {
		log_error("can not mount: the mount point '%s': %s%s", options->mountpoint, strerror(errno), errno == ENOENT ? "; make it with mkdir" : "");
		return -1;
	}
	if (!S_ISDIR(attributes.st_mode)) {
		log_error("can not mount: the mount point '%s' is not a directory", mountpoint);
		return -1;
	}
	return is_taken(mountpoint) ? -1 : 0;
}

static bool is_within(const char *path, const char *directory)
{
	size_t length = strlen(directory);
	if (!strcmp(directory, "/"))
		return true;
	return !strncmp(path, directory, length) && (path[length] == '/' || !path[length]);
}

static int check_nesting(const char *export_path, const char *mountpoint)
{
	const char *what = NULL;

	if (!strcmp(export_path, mountpoint))
		what = "the export and the mount point are the same directory";
	else if (is_within(export_path, mountpoint))
		what = "the export lies inside the mount point";
	else if (is_within(mountpoint, export_path))
		what = "the mount point lies inside the export";
	if (!what)
		return 0;
	log_error("can not mount '%s' on '%s': %s; choose a mount point elsewhere", export_path, mountpoint, what);
	return -1;
}

int places_check(const struct options *options, char export_path[PATH_MAX], char mountpoint[PATH_MAX])
{
	return check_export(options, export_path) || check_mountpoint(options, mountpoint) || check_nesting(export_path, mountpoint) ? -1 : 0;
}
