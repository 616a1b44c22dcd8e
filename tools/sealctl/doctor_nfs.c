#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/liveness.h"
#include "sealfs/state.h"
#include "sealfs/store.h"

#define LEASE_UNKNOWN (-1L)
#define CLOCK_SKEW 2.0 /* seconds; less is not worth a word */

static const struct {
	const char *option, *text, *remedy;
} hazards[] = {
	{"nolock", "nolock: locks do not leave this machine, so heartbeats stand in for them", "mount without nolock"},
	{"local_lock=all", "local_lock=all: locks do not leave this machine, so heartbeats stand in for them",
	 "mount with local_lock=none"},
	{"local_lock=posix", "local_lock=posix: locks do not leave this machine, so heartbeats stand in for them",
	 "mount with local_lock=none"},
	{"soft", "soft: while the server is slow or away, reads and writes of trials fail, and their checkpoints with them",
	 "mount with hard"},
	{"softerr",
	 "softerr: while the server is slow or away, reads and writes of trials fail, and their checkpoints with them",
	 "mount with hard"},
	{"nocto", "nocto: a file that is opened may be an older one; sealfs then finds that it is not what was sealed",
	 "mount without nocto"},
	{"vers=3", "NFSv3: the lock of a machine that vanished is never freed, so heartbeats stand in for locks",
	 "mount with vers=4.2, where the server has it"},
	{"vers=2", "NFSv2: too old for large files and for locks with leases", "mount with vers=4.2"},
	{"proto=udp", "proto=udp: fragments that are put together wrongly can damage what is written", "mount with proto=tcp"},
	{"noac", "noac: every look at an attribute is a request to the server, which sealfs does not need",
	 "mount without noac"},
	{"lookupcache=none",
	 "lookupcache=none: every name is looked up at the server each time, which sealfs does not need",
	 "mount without lookupcache=none"},
};

static const struct mount_entry *find_entry(struct doctor *doctor, struct mount_table *mounts)
{
	AUTO_FREE char *real = doctor->export ? realpath(doctor->export, NULL) : NULL;

	return real && !target_mounts(mounts) ? mount_table_cover(mounts, real) : NULL;
}

static bool is_nfs(const struct mount_entry *entry)
{
	return !strcmp(entry->type, "nfs") || !strcmp(entry->type, "nfs4");
}

/* The option's value ("4.2" of "vers"), at most `size` - 1 characters. */
static void option_value(const struct mount_entry *entry, const char *name, char *out, size_t size)
{
	size_t length = strlen(name);

	out[0] = '\0';
	for (const char *at = entry->options; at && *at; at += strcspn(at, ","), at += *at == ',') {
		if (!strncmp(at, name, length) && at[length] == '=')
			snprintf(out, size, "%.*s", (int)strcspn(at + length + 1, ","), at + length + 1);
	}
}

static void report_nfs(struct doctor *doctor, const struct mount_entry *entry)
{
	char version[16], protocol[16];

	option_value(entry, "vers", version, sizeof(version));
	option_value(entry, "proto", protocol, sizeof(protocol));
	doctor_add(doctor, DOCTOR_OK, "nfs", NULL, "NFS %s over %s, mounted on '%s'", version[0] ? version : "?",
		   protocol[0] ? protocol : "?", entry->point);
	for (size_t i = 0; i < sizeof(hazards) / sizeof(hazards[0]); i++) {
		if (mount_entry_has_option(entry, hazards[i].option))
			doctor_add(doctor, DOCTOR_WARN, "nfs", hazards[i].remedy, "%s", hazards[i].text);
	}
}

void doctor_nfs(struct doctor *doctor)
{
	CLEANUP(mount_table_free) struct mount_table mounts = {0};
	const struct mount_entry *entry = find_entry(doctor, &mounts);

	if (entry && is_nfs(entry))
		report_nfs(doctor, entry);
	else if (entry)
		doctor_add(doctor, DOCTOR_OK, "file system", NULL, "%s on '%s'", entry->type, entry->point);
}

/* ---- signs of life ---- */

/* What the kernel's client was told by the server of NFSv4; LEASE_UNKNOWN where it does not say. Points are escaped as in mountinfo. */
static long read_lease(const char *point)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/mountstats", "re");
	AUTO_FREE char *line = NULL;
	size_t capacity = 0;
	bool here = false;

	while (file && getline(&line, &capacity, file) >= 0) {
		const char *at = strstr(line, " mounted on "), *lease = strstr(line, "lease_time=");

		if (!strncmp(line, "device ", 7) && at)
			here = !strncmp(at + 12, point, strlen(point)) && at[12 + strlen(point)] == ' ';
		else if (here && lease)
			return strtol(lease + strlen("lease_time="), NULL, 10);
	}
	return LEASE_UNKNOWN;
}

/* By what the mount itself goes, or what one would that was made now. */
static void get_liveness(const struct doctor *doctor, struct liveness *out)
{
	const json_t *told = json_object_get(doctor->target->info, "liveness");
	struct store store;

	*out = (struct liveness){0};
	if (told) {
		out->leases = !strcmp(report_string(told, "sign"), "lease");
		out->heartbeat = (unsigned int)json_integer_value(json_object_get(told, "heartbeat"));
		snprintf(out->why, sizeof(out->why), "%s", report_string(told, "why"));
	} else if (!store_open(&store, doctor->export)) {
		liveness_detect(&store, LIVENESS_LOCKS_AUTO, 0, out);
		store_close(&store);
	}
}

static void report_lease(struct doctor *doctor, const struct mount_entry *entry, const struct liveness *liveness)
{
	long lease = entry && is_nfs(entry) ? read_lease(entry->point) : 0;

	if (lease > 0)
		doctor_add(doctor, DOCTOR_OK, "signs of life", NULL,
			   "locks: %s; a machine that vanishes is noticed after the server's lease of %ld s",
			   liveness->why, lease);
	else if (lease == LEASE_UNKNOWN)
		doctor_add(doctor, DOCTOR_OK, "signs of life", NULL,
			   "locks: %s; a machine that vanishes is noticed after the server's lease, which this kernel does not tell (90 s, as a rule)",
			   liveness->why);
	else
		doctor_add(doctor, DOCTOR_OK, "signs of life", NULL, "locks: %s", liveness->why);
}

void doctor_liveness(struct doctor *doctor)
{
	CLEANUP(mount_table_free) struct mount_table mounts = {0};
	const struct mount_entry *entry;
	struct liveness liveness;

	if (!doctor->export)
		return;
	entry = find_entry(doctor, &mounts);
	get_liveness(doctor, &liveness);
	if (liveness.leases)
		report_lease(doctor, entry, &liveness);
	else
		doctor_add(doctor, DOCTOR_OK, "signs of life", NULL,
			   "heartbeats every %u s: %s; a machine that vanishes is noticed after %u to %u s",
			   liveness.heartbeat, liveness.why, liveness.heartbeat * LIVENESS_MISSES,
			   liveness_limit(liveness.heartbeat));
}

/* ---- whom and what the server takes us for ---- */

/* The folder of the mounts is open to all users and hidden from all mounts; a directory that is no export yet has only
 * itself. */
int doctor_open_scratch(const char *export)
{
	AUTO_FREE char *mounts = path_join(export, STATE_MOUNTS_DIR);
	int fd = mounts ? open(mounts, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd >= 0 ? fd : open(export, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void check_owner(struct doctor *doctor, const struct statx *made)
{
	if (geteuid() == 0 && made->stx_uid != 0)
		doctor_add(doctor, DOCTOR_WARN, "root_squash",
			   "start trials as ordinary users, and 'sealctl init', 'rm' and 'seal' on the export as one who may",
			   "the server takes root for uid %u: a mount made by root serves all other users as themselves, but root's own trials may not write where uid %u may not",
			   made->stx_uid, made->stx_uid);
	else if (made->stx_uid != geteuid())
		doctor_add(doctor, DOCTOR_WARN, "owner",
			   "map users on the server one to one (no all_squash, one id domain)",
			   "the server takes uid %u for uid %u, so a trial may not write in the directories that it makes, and whose checkpoint is whose is not known",
			   geteuid(), made->stx_uid);
	else
		doctor_add(doctor, DOCTOR_OK, "owner", NULL, "the server takes uid %u for what it is", geteuid());
}

/* That nothing can be made there is said where links and locks are tried; that it is refused to root needs a reason. */
static void check_squashed(struct doctor *doctor, int error)
{
	if (geteuid() == 0 && error == EACCES)
		doctor_add(doctor, DOCTOR_WARN, "root_squash",
			   "let whoever owns the directory run 'sealctl init' on it, and start trials as ordinary users",
			   "the server does not let root write there: it takes root for somebody else");
}

static void check_clock(struct doctor *doctor, const struct statx *made)
{
	struct timespec now;
	double skew;

	clock_gettime(CLOCK_REALTIME, &now);
	skew = (double)(made->stx_mtime.tv_sec - now.tv_sec) + ((double)made->stx_mtime.tv_nsec - (double)now.tv_nsec) / 1e9;
	if (skew > -CLOCK_SKEW && skew < CLOCK_SKEW)
		doctor_add(doctor, DOCTOR_OK, "clock", NULL, "agrees with the server's");
	else
		doctor_add(doctor, DOCTOR_OK, "clock", NULL,
			   "%.0f s %s the server's; nothing depends on it but the times that people read",
			   skew > 0 ? skew : -skew, skew > 0 ? "behind" : "ahead of");
}

void doctor_server(struct doctor *doctor)
{
	AUTO_CLOSE int directory = doctor->export ? doctor_open_scratch(doctor->export) : -1, fd = -1;
	char token[STORE_TOKEN_SIZE], name[sizeof(".tmp.") + STORE_TOKEN_SIZE];
	struct statx made;

	store_token(token);
	snprintf(name, sizeof(name), ".tmp.%s", token);
	if (directory >= 0)
		fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		check_squashed(doctor, errno);
		return;
	}
	if (write(fd, "x", 1) == 1 && !fsync(fd) &&
	    !statx(directory, name, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &made)) {
		check_owner(doctor, &made);
		check_clock(doctor, &made);
	}
	unlinkat(directory, name, 0);
}
