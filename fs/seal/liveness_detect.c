/*
 * liveness_detect - which locks can be believed on the export's file system
 */
#include "sealfs/liveness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "state_internal.h"

/* Locks that every machine sees, and that the server takes away from one that vanished. */
static const char *const shared_types[] = {"nfs4", "ceph", "gfs2", "ocfs2"};
/* What is not one machine's own. Whether their locks leave it, and what becomes of them, can not be seen from here. */
static const char *const doubtful_types[] = {"cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "coda", "pvfs2", "gpfs", "beegfs", "panfs"};

static bool is_in(const char *type, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(type, list[i]) == 0)
			return true;
	}
	return false;
}
#define IS_IN(type, list) is_in(type, list, sizeof(list) / sizeof((list)[0]))

static bool has_option(const char *options, const char *option)
{
	size_t size = strlen(option);

	for (const char *at = options; at && *at; at += strcspn(at, ","), at += *at == ',') {
		if (strcspn(at, ",") == size && strncmp(at, option, size) == 0)
			return true;
	}
	return false;
}

static void decide(struct liveness *out, bool leases, bool probes, const char *why)
{
	out->leases = leases;
	out->probes = probes;
	snprintf(out->why, sizeof(out->why), "%s", why);
}

static void of_nfs(bool v4, const char *options, struct liveness *out)
{
	if (has_option(options, "nolock") || has_option(options, "local_lock=all") ||
	    has_option(options, "local_lock=posix"))
		decide(out, false, false, "the NFS mount keeps its locks to this machine (nolock, local_lock)");
	else if (v4)
		decide(out, true, true, "the locks of NFSv4 have leases");
	else
		decide(out, false, true, "NFSv3 never frees the lock of a machine that vanished");
}

void liveness_of_mount(const char *type, const char *options, struct liveness *out)
{
	snprintf(out->type, sizeof(out->type), "%s", type);
	if (strcmp(type, "nfs") == 0 && !options)
		decide(out, false, false, "it is not to be seen how the NFS export is mounted");
	else if (strcmp(type, "nfs") == 0 || strcmp(type, "nfs4") == 0)
		of_nfs(type[3] == '4' || !has_option(options, "vers=3"), options, out);
	else if (strcmp(type, "lustre") == 0 && has_option(options, "flock"))
		decide(out, true, true, "the locks of Lustre (flock) are known to all machines");
	else if (strcmp(type, "lustre") == 0)
		decide(out, false, false, "Lustre is mounted without 'flock', so locks do not leave this machine");
	else if (strncmp(type, "fuse", 4) == 0 || IS_IN(type, doubtful_types))
		decide(out, false, false, "whether locks leave this machine is not known of such a file system");
	else if (IS_IN(type, shared_types))
		decide(out, true, true, "its locks are known to all machines");
	else
		decide(out, true, true, "the locks of a local file system end with their process");
}

/* --- where the export is --- */

struct covering {
	char type[32], options[4096];
};

/* "36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue" */
static bool take_line(const char *line, unsigned long long id, struct covering *out)
{
	const char *dash = strstr(line, " - ");
	unsigned long long found;

	return sscanf(line, "%llu", &found) == 1 && found == id && dash &&
	       sscanf(dash, " - %31s %*s %4095s", out->type, out->options) == 2;
}

static bool find_mount(const struct store *store, struct covering *out)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	bool found = false;
	struct statx st;
	size_t size = 0;

	if (!file)
		return false;
	if (statx(store->root, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 && (st.stx_mask & STATX_MNT_ID)) {
		while (!found && getline(&line, &size, file) >= 0)
			found = take_line(line, st.stx_mnt_id, out);
	}
	fclose(file);
	return found;
}

/* On the one file that every export has; a shared lock for a moment, which comes in nobody's way. */
static int try_lock(const struct store *store, bool take)
{
	AUTO_FD(dir, store);
	AUTO_FD(file, store);
	int rc;

	dir.fd = store_open_known_dir(store, store->root, ".sealfs");
	if (dir.fd < 0)
		return dir.fd;
	file.fd = store->ops->openat(store->ctx, dir.fd, "config", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (file.fd < 0)
		return file.fd;
	rc = store->ops->lock_probe(store->ctx, file.fd, F_WRLCK, 0, 0);
	if (rc < 0 || !take)
		return rc < 0 ? rc : 0;
	rc = store->ops->lock(store->ctx, file.fd, F_RDLCK, 0, 0);
	if (rc == 0)
		store->ops->lock(store->ctx, file.fd, F_UNLCK, 0, 0);
	/* Somebody holds one: so there are locks. */
	return rc == -EAGAIN ? 0 : rc;
}

static int check_locks(const struct store *store, enum liveness_locks locks, struct liveness *out)
{
	int rc = out->probes ? try_lock(store, out->leases) : 0;

	/* An export without a config has nothing that could be locked yet. */
	if (rc == 0 || rc == -ENOENT)
		return 0;
	decide(out, false, false, "");
	snprintf(out->why, sizeof(out->why), "no lock can be had there: %s", strerror(-rc));
	return locks == LIVENESS_LOCKS_ON ? rc : 0;
}

int liveness_detect(const struct store *store, enum liveness_locks locks, unsigned int heartbeat, struct liveness *out)
{
	struct covering covering;
	int rc = 0;

	*out = (struct liveness){0};
	if (find_mount(store, &covering))
		liveness_of_mount(covering.type, covering.options, out);
	else
		liveness_of_mount("unknown", NULL, out);
	if (!*out->type || strcmp(out->type, "unknown") == 0)
		decide(out, false, false, "the export's mount is not to be seen from here");
	if (locks == LIVENESS_LOCKS_ON)
		decide(out, true, true, "locks=on was given");
	if (locks == LIVENESS_LOCKS_OFF)
		decide(out, false, false, "locks=off was given");
	else
		rc = check_locks(store, locks, out);
	out->heartbeat = heartbeat ? heartbeat : LIVENESS_HEARTBEAT;
	if (out->leases)
		out->heartbeat *= LIVENESS_SLOWER;
	return rc;
}
