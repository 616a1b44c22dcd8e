#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/key.h"
#include "sealfs/trust.h"

#define DAYS_MOST 36500
#define NS_PER_DAY (INT64_C(86400) * 1000000000)

struct options {
	const char *name;
	long days; /* 0: for ever */
};

static bool parse_days(const char *text, long *days)
{
	char *end;

	errno = 0;
	*days = strtol(text, &end, 10);
	return isdigit((unsigned char)*text) && !*end && !errno && *days >= 1 && *days <= DAYS_MOST;
}

/* -1 to go on, else the exit status. */
static int parse_options(const struct command *self, int argc, char **argv, struct options *options)
{
	static const struct option names[] = {{"name", required_argument, NULL, 'n'},
					      {"days", required_argument, NULL, 'd'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", names, NULL)) >= 0) {
		if (option == 'h')
			return report_help(self);
		if (option == 'n' && trust_name_valid(optarg))
			options->name = optarg;
		else if (option == 'n')
			return report_usage(self, "--name: 1 to 255 bytes of text, no blank at either end");
		else if (option == 'd' && !parse_days(optarg, &options->days))
			return report_usage(self, "--days: a number from 1 to 36500");
		else if (option != 'd')
			return report_usage(self, NULL);
	}
	if (argc - optind != 1)
		return report_usage(self, argc == optind ? "a FILE is missing" : "one FILE only");
	return -1;
}

/* Makes the names in the file's directory durable. */
static int sync_directory(const char *path)
{
	AUTO_FREE char *directory = strdup(path);
	AUTO_CLOSE int fd = directory ? open(dirname(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (!directory)
		return -ENOMEM;
	/* One that may be written but not listed can not be opened: then it must do without. */
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	return fsync(fd) ? -errno : 0;
}

/* A file that was not there before; half of one does not stay. */
static int write_file(const char *path, const char *text, size_t size, mode_t mode)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode))
		error = -errno;
	for (size_t done = 0; !error && done < size;) {
		ssize_t written = write(fd, text + done, size - done);

		if (written > 0)
			done += (size_t)written;
		else if (errno != EINTR)
			error = written ? -errno : -EIO;
	}
	if (!error && fsync(fd))
		error = -errno;
	if (!error)
		error = sync_directory(path);
	if (error)
		unlink(path);
	return error;
}

static int write_private(const struct signing_key *key, const char *path)
{
	size_t size;
	char *text;
	int error = key_private_format(key, &text, &size);

	if (error)
		return error;
	error = write_file(path, text, size, 0600);
	key_text_free(text, size);
	return error;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int write_public(const struct key_public *key, const struct options *options, const char *path)
{
	struct trust_key trusted = {.key = *key,
				    .name = (char *)options->name,
				    .not_before_ns = INT64_MIN,
				    .not_after_ns = options->days ? now_ns() + options->days * NS_PER_DAY : INT64_MAX};
	AUTO_FREE char *text = NULL;
	size_t size;
	int error = trust_key_format(&trusted, &text, &size);

	return error ? error : write_file(path, text, size, 0644);
}

static int fail(const char *path, int error)
{
	return report_failure("write", path, error, error == -EEXIST ? "it is there already; keys are never overwritten: choose another name" : NULL);
}

static int make_key(const struct signing_key *key, const struct options *options, const char *path)
{
	AUTO_FREE char *public_path = NULL;
	char text[KEY_TEXT_SIZE];
	struct key_public public;
	int error;

	if (asprintf(&public_path, "%s.pub", path) < 0) {
		public_path = NULL;
		return fail(path, -ENOMEM);
	}
	error = write_private(key, path);
	if (error)
		return fail(path, error);
	key_public_of(key, &public);
	error = write_public(&public, options, public_path);
	if (error) {
		unlink(path);
		return fail(public_path, error);
	}
	key_to_text(&public, text);
	printf("%s\n"
	       "sign with it:  sealfs -o key=%s EXPORT MOUNTPOINT\n"
	       "trust it:      copy %s into the directory that readers mount with -o trust=DIRECTORY\n",
	       text, path, public_path);
	return EXIT_GOOD;
}

int cmd_keygen(const struct command *self, int argc, char **argv)
{
	struct options options = {NULL, 0};
	struct signing_key *key;
	int status = parse_options(self, argc, argv, &options), error;

	if (status >= 0)
		return status;
	error = key_generate(&key);
	if (error)
		return report_failure("make", "a key", error, NULL);
	status = make_key(key, &options, argv[optind]);
	key_free(key);
	return status;
}
