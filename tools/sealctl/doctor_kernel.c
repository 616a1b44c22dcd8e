#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"

/* The kernel's pidfd_info in its first version, which older headers lack. */
struct exit_info {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t exit_code;
};
#define EXIT_INFO_IOCTL _IOWR(0xFF, 11, struct exit_info)
#define EXIT_INFO_MASK (1u << 3)

static bool kernel_at_least(unsigned int major, unsigned int minor)
{
	struct utsname name;
	unsigned int have_major = 0, have_minor = 0;

	uname(&name);
	if (sscanf(name.release, "%u.%u", &have_major, &have_minor) != 2)
		return false;
	return have_major > major || (have_major == major && have_minor >= minor);
}

static bool mount_says(const struct doctor *doctor, const char *key)
{
	return json_is_true(json_object_get(doctor->target->info, key));
}

void doctor_kernel(struct doctor *doctor)
{
	struct utsname name;

	uname(&name);
	if (kernel_at_least(5, 6))
		doctor_add(doctor, DOCTOR_OK, "kernel", NULL, "Linux %s", name.release);
	else
		doctor_add(doctor, DOCTOR_FAIL, "kernel", "use Linux 5.6 or newer", "Linux %s lacks openat2(2)",
			   name.release);
}

void doctor_fuse_device(struct doctor *doctor)
{
	AUTO_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		doctor_add(doctor, DOCTOR_OK, "/dev/fuse", NULL, "can be opened");
	else if (errno == EACCES || errno == EPERM)
		doctor_add(doctor, DOCTOR_FAIL, "/dev/fuse",
			   "let this user read and write it, or in a container allow the device",
			   "cannot be opened: %s", strerror(errno));
	else
		doctor_add(doctor, DOCTOR_FAIL, "/dev/fuse", "'modprobe fuse', or in a container pass the device in",
			   "cannot be opened: %s", strerror(errno));
}

static bool user_allow_other(void)
{
	AUTO_FCLOSE FILE *file = fopen("/etc/fuse.conf", "re");
	AUTO_FREE char *line = NULL;
	size_t capacity = 0;

	while (file && getline(&line, &capacity, file) >= 0) {
		line[strcspn(line, " \t\n")] = '\0';
		if (!strcmp(line, "user_allow_other"))
			return true;
	}
	return false;
}

void doctor_allow_other(struct doctor *doctor)
{
	if (doctor->target->kind == TARGET_MOUNT && mount_says(doctor, "allow_other"))
		doctor_add(doctor, DOCTOR_OK, "allow_other", NULL, "all users may use this mount");
	else if (doctor->target->kind == TARGET_MOUNT)
		doctor_add(doctor, DOCTOR_OK, "allow_other", NULL, "off: only the user who mounted may use this mount");
	else if (geteuid() == 0 || user_allow_other())
		doctor_add(doctor, DOCTOR_OK, "allow_other", NULL, "this user may let others use the mount");
	else
		doctor_add(doctor, DOCTOR_WARN, "allow_other",
			   "write 'user_allow_other' into /etc/fuse.conf if others must",
			   "only this user can use a mount that this user makes");
}

static bool may_administrate(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/status", "re");
	AUTO_FREE char *line = NULL;
	size_t capacity = 0;
	uint64_t effective = 0;

	while (file && getline(&line, &capacity, file) >= 0)
		if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1)
			break;
	return effective >> CAP_SYS_ADMIN & 1;
}

/* Where libfuse looks, and then execlp(). Allocated, or NULL. */
static char *find_fusermount(void)
{
	AUTO_FREE char *places = NULL;
	const char *path = getenv("PATH");
	char *rest;

	if (asprintf(&places, "/usr/bin:/bin:/usr/local/bin:%s", path ? path : "") < 0) {
		places = NULL;
		return NULL;
	}
	rest = places;
	for (char *place = strsep(&rest, ":"); place; place = strsep(&rest, ":")) {
		AUTO_FREE char *file = path_join(place, "fusermount3");

		if (file && place[0] == '/' && !access(file, X_OK)) {
			char *found = file;

			file = NULL;
			return found;
		}
	}
	return NULL;
}

/* Whoever is not root mounts and unmounts through it. */
void doctor_fusermount(struct doctor *doctor)
{
	AUTO_FREE char *path = find_fusermount();
	bool need_it = doctor->target->kind != TARGET_MOUNT && !may_administrate();
	enum doctor_level level = need_it ? DOCTOR_FAIL : DOCTOR_WARN;
	struct stat st;

	if (!path)
		doctor_add(doctor, level, "fusermount3", "install the package fuse3",
			   "this user cannot run it: only root can mount, and unmount by umount(8)");
	else if (stat(path, &st) || st.st_uid || !(st.st_mode & S_ISUID))
		doctor_add(doctor, level, "fusermount3", "reinstall the package fuse3, or mount as root",
			   "'%s' is not set-uid root: only root can mount", path);
	else
		doctor_add(doctor, DOCTOR_OK, "fusermount3", NULL, "'%s' lets users mount", path);
}

/* fusermount3 keeps the table of what users mounted in it, or finds it to be a link to the kernel's own. */
void doctor_mtab(struct doctor *doctor)
{
	if (!access("/etc/mtab", R_OK))
		doctor_add(doctor, DOCTOR_OK, "mtab", NULL, "/etc/mtab is there");
	else
		doctor_add(doctor, DOCTOR_WARN, "mtab", "ln -s ../proc/self/mounts /etc/mtab",
			   "/etc/mtab is missing: 'fusermount3 -u' cannot unmount (a small container, say)");
}

void doctor_passthrough(struct doctor *doctor)
{
	if (doctor->target->kind == TARGET_MOUNT && mount_says(doctor, "passthrough"))
		doctor_add(doctor, DOCTOR_OK, "passthrough", NULL, "on: reads and writes go straight to the export");
	else if (!kernel_at_least(6, 9))
		doctor_add(doctor, DOCTOR_WARN, "passthrough", "use Linux 6.9 or newer for full speed",
			   "this kernel has none: data pass through the daemon");
	else if (doctor->target->kind == TARGET_MOUNT)
		doctor_add(doctor, DOCTOR_WARN, "passthrough", "mount as root, without passthrough=off, for full speed",
			   "off: data pass through the daemon");
	else if (!may_administrate())
		doctor_add(doctor, DOCTOR_WARN, "passthrough", "mount as root for full speed",
			   "needs CAP_SYS_ADMIN, which this user lacks: data would pass through the daemon");
	else
		doctor_add(doctor, DOCTOR_OK, "passthrough", NULL, "kernel and capabilities allow it");
}

/* Does a pidfd still tell how a process ended after that was reaped? */
static bool exit_info_works(void)
{
	struct exit_info info = {.mask = EXIT_INFO_MASK};
	AUTO_CLOSE int fd = -1;
	pid_t child = fork();

	if (child < 0)
		return false;
	if (child == 0)
		_exit(7);
	fd = (int)syscall(SYS_pidfd_open, child, 0);
	waitpid(child, NULL, 0);
	return fd >= 0 && ioctl(fd, EXIT_INFO_IOCTL, &info) == 0 && info.mask & EXIT_INFO_MASK &&
	       WEXITSTATUS(info.exit_code) == 7;
}

void doctor_exit_info(struct doctor *doctor)
{
	bool works = doctor->target->kind == TARGET_MOUNT ? mount_says(doctor, "exit_info") : exit_info_works();

	if (works)
		doctor_add(doctor, DOCTOR_OK, "exit status", NULL, "the kernel tells how a trial ended");
	else
		doctor_add(doctor, DOCTOR_WARN, "exit status",
			   "start trials with 'sealctl run', or use Linux 6.15 or newer",
			   "the kernel does not tell how a trial ended, so trials without a wrapper are abandoned");
}

/* 0 when it is off or unknown to this kernel. */
static unsigned long read_seconds(const char *name)
{
	AUTO_FREE char *path = NULL;
	AUTO_FCLOSE FILE *file = NULL;
	unsigned long seconds = 0;

	if (asprintf(&path, "/proc/sys/fs/fuse/%s", name) < 0) {
		path = NULL;
		return 0;
	}
	file = fopen(path, "re");
	return file && fscanf(file, "%lu", &seconds) == 1 ? seconds : 0;
}

void doctor_request_timeouts(struct doctor *doctor)
{
	static const char *const names[] = {"default_request_timeout", "max_request_timeout"};
	json_int_t limit = json_integer_value(json_object_get(doctor->target->info, "wait_timeout"));
	bool all_good = true;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unsigned long seconds = read_seconds(names[i]);

		if (!seconds || (limit > 0 && (unsigned long)limit < seconds))
			continue;
		all_good = false;
		doctor_add(doctor, DOCTOR_WARN, "request timeout",
			   "set it to 0 with sysctl(8) and mount again, or mount with a smaller wait_timeout",
			   "fs.fuse.%s is %lu s: the kernel aborts the whole mount when a process waits longer",
			   names[i], seconds);
	}
	if (all_good)
		doctor_add(doctor, DOCTOR_OK, "request timeout", NULL, "none that a waiting process could reach");
}
