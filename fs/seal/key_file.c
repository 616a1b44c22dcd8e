/*
 * key_file - a private key's file, and who else could have read it
 *
 * All is asked of the open file, so that what is checked is what is read.
 */
#include "sealfs/key.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "key_internal.h"

int key_complain(char **why, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
	return error;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define AUTO_CLOSE __attribute__((cleanup(fd_close)))

int key_file_open(int dirfd, const char *path, struct stat *st)
{
	/* O_NONBLOCK: a FIFO that lies in the way must not hold us up. */
	int fd = openat(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int key_file_read(int fd, char buffer[KEY_FILE_LIMIT + 1], size_t *size)
{
	for (*size = 0;;) {
		ssize_t got = read(fd, buffer + *size, KEY_FILE_LIMIT + 1 - *size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		*size += (size_t)got;
		if (*size > KEY_FILE_LIMIT)
			return -EFBIG;
		if (got == 0)
			return 0;
	}
}

static int check_access(const char *path, const struct stat *st, char **why)
{
	unsigned int mode = st->st_mode & 07777;

	if (!S_ISREG(st->st_mode))
		return key_complain(why, -EPERM, "the private key '%s' is not a regular file; name the file itself",
				    path);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return key_complain(why, -EPERM,
				    "the private key '%s' belongs to user %u, who could put another in its place; "
				    "'chown %u %s' if it is yours",
				    path, st->st_uid, geteuid(), path);
	if (mode & 077)
		return key_complain(why, -EPERM,
				    "the private key '%s' has mode %04o, which gives rights to others than its owner; "
				    "'chmod 600 %s' takes them away",
				    path, mode, path);
	return 0;
}

static int read_key(int fd, const char *path, struct signing_key **out, char **why)
{
	char *text = malloc(KEY_FILE_LIMIT + 1);
	const char *reason = NULL;
	size_t size = 0;
	int rc = text ? key_file_read(fd, text, &size) : -ENOMEM;

	if (rc < 0)
		key_complain(why, rc, "can not read the private key '%s': %s", path, strerror(-rc));
	if (rc == 0) {
		rc = key_private_parse(text, size, out, &reason);
		if (rc < 0)
			key_complain(why, rc, "the private key '%s' can not be used: %s; 'sealctl keygen' makes one",
				     path, rc == -EBADMSG ? reason : strerror(-rc));
	}
	key_text_free(text, KEY_FILE_LIMIT + 1);
	return rc;
}

int key_private_load(const char *path, struct signing_key **out, char **why)
{
	struct stat st;
	AUTO_CLOSE int fd = key_file_open(AT_FDCWD, path, &st);
	int rc;

	*why = NULL;
	if (fd < 0)
		return key_complain(why, fd, "can not open the private key '%s': %s", path, strerror(-fd));
	rc = check_access(path, &st, why);
	return rc < 0 ? rc : read_key(fd, path, out, why);
}
