#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/state.h"

static void report_config(struct doctor *doctor, int error, const struct config *config, const char *why)
{
	if (!error)
		doctor_add(doctor, DOCTOR_OK, "config", NULL, "version %u, checkpoints at depth %u", config->version,
			   config->depth);
	else if (error == -ENOENT)
		doctor_add(doctor, DOCTOR_WARN, "config",
			   "'sealctl init' it; else the first mount does, with the defaults",
			   "the directory is not an export yet");
	else if (error == -EPROTO)
		doctor_add(doctor, DOCTOR_FAIL, "config", "install a newer sealfs on this machine", "%s",
			   why ? why : "written by a newer version");
	else
		doctor_add(doctor, DOCTOR_FAIL, "config", "repair .sealfs/config; it must be readable for all users",
			   "%s", why ? why : strerror(-error));
}

void doctor_config(struct doctor *doctor)
{
	AUTO_FREE char *why = NULL;
	struct config config;
	int error;

	if (!doctor->export)
		return;
	error = target_load_config(doctor->export, &config, &why);
	report_config(doctor, error, &config, why);
	if (!error)
		config_free(&config);
}

static void check_links(struct doctor *doctor, int dirfd, const char *name)
{
	AUTO_FREE char *other = NULL;
	int first, again;

	if (asprintf(&other, "%s.link", name) < 0) {
		other = NULL;
		return;
	}
	first = linkat(dirfd, name, dirfd, other, 0) ? errno : 0;
	again = linkat(dirfd, name, dirfd, other, 0) ? errno : 0;
	unlinkat(dirfd, other, 0);
	if (first)
		doctor_add(doctor, DOCTOR_FAIL, "links", "use an export on a file system with hard links",
			   "link(2), on which every decision rests, does not work: %s", strerror(first));
	else if (again != EEXIST)
		doctor_add(doctor, DOCTOR_FAIL, "links", "use another file system for the export",
			   "a second link of the same name is not refused, so two machines could decide differently");
	else
		doctor_add(doctor, DOCTOR_OK, "links", NULL, "the first link of a name wins");
}

static int lock_whole(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) ? errno : 0;
}

static void check_locks(struct doctor *doctor, int dirfd, const char *name, int fd)
{
	AUTO_CLOSE int second = openat(dirfd, name, O_RDWR | O_CLOEXEC);
	int error = lock_whole(fd), other = lock_whole(second);

	if (error)
		doctor_add(doctor, DOCTOR_WARN, "locks", "turn the file system's lock service on",
			   "no lock can be had, so heartbeats stand in for them: %s", strerror(error));
	else if (other != EAGAIN && other != EACCES)
		doctor_add(doctor, DOCTOR_WARN, "locks", "mount sealfs with -o locks=off on all machines",
			   "an exclusive lock is granted twice, so locks tell nothing");
	else
		doctor_add(doctor, DOCTOR_OK, "locks", NULL, "exclusive locks exclude");
}

void doctor_links_and_locks(struct doctor *doctor)
{
	AUTO_CLOSE int directory = doctor->export ? doctor_open_scratch(doctor->export) : -1, fd = -1;
	char token[STORE_TOKEN_SIZE], name[sizeof(".tmp.") + STORE_TOKEN_SIZE];

	if (!doctor->export)
		return;
	store_token(token);
	snprintf(name, sizeof(name), ".tmp.%s", token);
	if (directory >= 0)
		fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		doctor_add(doctor, DOCTOR_WARN, "locks", "run doctor as a user who may write to the export",
			   "links and locks cannot be tried: %s", strerror(errno));
		return;
	}
	check_links(doctor, directory, name);
	check_locks(doctor, directory, name, fd);
	unlinkat(directory, name, 0);
}
