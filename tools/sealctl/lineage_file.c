/* lineage_file - the page in its file */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "lineage.h"
#include "sealfs/store.h"

/* The file itself when `file` is a symlink to one. Allocated; NULL with errno. */
static char *real_file(const char *file)
{
	struct stat st;
	char *real = realpath(file, NULL);

	if (!real)
		return errno == ENOENT ? strdup(file) : NULL;
	if (!stat(real, &st) && S_ISREG(st.st_mode))
		return real;
	free(real);
	errno = EINVAL; /* a rename would put a device or directory aside */
	return NULL;
}

static int write_stream(int fd, const struct lineage *lineage)
{
	FILE *stream = fdopen(fd, "w");
	int error;

	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	error = lineage_print_page(stream, lineage);
	if (!error && (fflush(stream) || fsync(fd)))
		error = -errno;
	if (fclose(stream) && !error)
		error = -errno;
	return error;
}

int lineage_write_page(const char *file, const struct lineage *lineage)
{
	AUTO_FREE char *real = real_file(file), *temporary = NULL;
	char token[STORE_TOKEN_SIZE];
	int fd, error;

	if (!real)
		return -errno;
	store_token(token);
	if (asprintf(&temporary, "%s.%s.tmp", real, token) < 0)
		return -ENOMEM;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	error = write_stream(fd, lineage);
	if (!error && rename(temporary, real))
		error = -errno;
	if (error)
		unlink(temporary);
	return error;
}
