/*
 * losing_export - a file system that loses what is written, and says so late
 *
 *     losing_export DIRECTORY MOUNTPOINT
 *
 * It shows the directory. Files of these names are lost as network file systems lose them, where the write itself went well; as there, the error is told
 * once for a write, and whoever opens the file afterwards learns nothing of it:
 *
 *     close-*    ENOSPC at the next close
 *     fsync-*    EIO at the next fsync
 *     full-*     ENOSPC at each write: those of a mapping tell nobody of it
 *     slow-*     nothing is lost, but they are not read while there is a file `stands-still` at its top
 *
 * And while there is a file of this name at its top, which the tests make in DIRECTORY:
 *
 *     no-ends       EIO, when a name with .end is linked
 *     late-records  EIO, when a folder of sealfs's state is fsynced, and so after a record was linked
 *
 * For the tests of the mount, which has it as its export.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int top;

static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(long rc)
{
	return rc < 0 ? -errno : (int)rc;
}

static bool is_called(const char *path, const char *prefix)
{
	return strncmp(strrchr(path, '/') + 1, prefix, strlen(prefix)) == 0;
}

static int lose_getattr(const char *path, struct stat *out, struct fuse_file_info *fi)
{
	return result(fi ? fstat((int)fi->fh, out) : fstatat(top, below(path), out, AT_SYMLINK_NOFOLLOW));
}

static int lose_mkdir(const char *path, mode_t mode)
{
	return result(mkdirat(top, below(path), mode));
}

static int lose_unlink(const char *path)
{
	return result(unlinkat(top, below(path), 0));
}

static int lose_rmdir(const char *path)
{
	return result(unlinkat(top, below(path), AT_REMOVEDIR));
}

static int lose_rename(const char *from, const char *to, unsigned int flags)
{
	return result(renameat2(top, below(from), top, below(to), flags));
}

static int lose_link(const char *from, const char *to)
{
	size_t size = strlen(to);

	if (size > 4 && strcmp(to + size - 4, ".end") == 0 && faccessat(top, "no-ends", F_OK, 0) == 0)
		return -EIO;
	return result(linkat(top, below(from), top, below(to), 0));
}

static int lose_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(fchmodat(top, below(path), mode, 0));
}

static int lose_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return result(fchownat(top, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int lose_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int fd = openat(top, below(path), O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : result(ftruncate(fd, size));

	if (fd >= 0)
		close(fd);
	return rc;
}

static int lose_open(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(top, below(path), fi->flags & ~(O_CREAT | O_EXCL));

	fi->fh = (uint64_t)fd;
	/* else a few reads that wait hold up all others */
	fi->direct_io = is_called(path, "slow-");
	return fd < 0 ? -errno : 0;
}

static int lose_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(top, below(path), fi->flags | O_CREAT, mode);

	fi->fh = (uint64_t)fd;
	return fd < 0 ? -errno : 0;
}

static int lose_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct timespec pause = {.tv_nsec = 10000000};

	while (is_called(path, "slow-") && !faccessat(top, "stands-still", F_OK, 0))
		nanosleep(&pause, NULL);
	return result(pread((int)fi->fh, buffer, size, offset));
}

/* One a kind is enough: a test writes one such file at a time. */
static atomic_bool close_fails, fsync_fails;

static int lose_write(const char *path, const char *buffer, size_t size, off_t offset, struct fuse_file_info *fi)
{
	if (is_called(path, "close-"))
		close_fails = true;
	else if (is_called(path, "fsync-"))
		fsync_fails = true;
	else if (is_called(path, "full-"))
		return -ENOSPC;
	else
		return result(pwrite((int)fi->fh, buffer, size, offset));
	/* a hole where the data should be */
	return ftruncate((int)fi->fh, offset + (off_t)size) < 0 ? -errno : (int)size;
}

static int lose_flush(const char *path, struct fuse_file_info *fi)
{
	return is_called(path, "close-") && atomic_exchange(&close_fails, false) ? -ENOSPC : 0;
}

static int lose_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	return is_called(path, "fsync-") && atomic_exchange(&fsync_fails, false) ? -EIO : result(fsync((int)fi->fh));
}

static int lose_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	return strncmp(path, "/.sealfs/state/", 15) == 0 && faccessat(top, "late-records", F_OK, 0) == 0 ? -EIO : 0;
}

static int lose_release(const char *path, struct fuse_file_info *fi)
{
	return result(close((int)fi->fh));
}

static int lose_statfs(const char *path, struct statvfs *out)
{
	return result(fstatvfs(top, out));
}

static int lose_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
			enum fuse_readdir_flags flags)
{
	int fd = openat(top, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		fill(buffer, entry->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = lose_getattr,
	.readdir = lose_readdir,
	.mkdir = lose_mkdir,
	.unlink = lose_unlink,
	.rmdir = lose_rmdir,
	.rename = lose_rename,
	.link = lose_link,
	.chmod = lose_chmod,
	.chown = lose_chown,
	.truncate = lose_truncate,
	.open = lose_open,
	.create = lose_create,
	.read = lose_read,
	.write = lose_write,
	.flush = lose_flush,
	.fsync = lose_fsync,
	.fsyncdir = lose_fsyncdir,
	.release = lose_release,
	.statfs = lose_statfs,
};

int main(int argc, char **argv)
{
	char *arguments[] = {argv[0], "-f", "-o", "allow_other,default_permissions,max_threads=200", argc > 2 ? argv[2] : NULL, NULL};

	if (argc != 3) {
		fprintf(stderr, "usage: losing_export DIRECTORY MOUNTPOINT\n");
		return 2;
	}
	top = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0) {
		perror(argv[1]);
		return 1;
	}
	umask(0);
	return fuse_main(5, arguments, &operations, NULL);
}
