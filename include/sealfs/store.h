/*
 * store - the one table through which sealfs touches the export
 *
 * Everything that sealfs does on the export on its own account (records, locks, seals, moving aside) goes through
 * this table, so that a test can fail, shorten or crash at the n-th operation. What a caller asks of his own files
 * is forwarded by fs/mount one to one and does not pass here.
 *
 * All functions return 0 (or a count, or a descriptor) or -errno; none retries, except where said; all may block for as
 * long as the export's file system does. They act with the file-system ids of the calling thread.
 */
#ifndef SEALFS_STORE_H
#define SEALFS_STORE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct store_ops {
	int (*openat)(void *ctx, int dirfd, const char *name, int flags, mode_t mode);
	int (*close)(void *ctx, int fd);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t size, off_t offset);
	ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t size, off_t offset);
	int (*fsync)(void *ctx, int fd);
	int (*statx)(void *ctx, int dirfd, const char *name, int flags, unsigned int mask, struct statx *out);
	int (*mkdirat)(void *ctx, int dirfd, const char *name, mode_t mode);
	int (*unlinkat)(void *ctx, int dirfd, const char *name, int flags);
	int (*linkat)(void *ctx, int olddir, const char *oldname, int newdir, const char *newname);
	int (*renameat2)(void *ctx, int olddir, const char *oldname, int newdir, const char *newname, unsigned int flags);
	int (*symlinkat)(void *ctx, const char *target, int dirfd, const char *name);
	ssize_t (*readlinkat)(void *ctx, int dirfd, const char *name, char *buf, size_t size);
	ssize_t (*getdents)(void *ctx, int fd, void *buf, size_t size); /* struct linux_dirent64 records */
	/* type: F_RDLCK, F_WRLCK or F_UNLCK on so many bytes (0: all from there on), open-file-description lock, never
	 * blocks: -EAGAIN when refused */
	int (*lock)(void *ctx, int fd, int type, off_t from, off_t size);
	/* 1 if a lock of this type would be refused, 0 if it would be granted; works on a read-only descriptor */
	int (*lock_probe)(void *ctx, int fd, int type, off_t from, off_t size);
	int (*fchmod)(void *ctx, int fd, mode_t mode);
	/* sets both times to now, by the clock of whoever keeps the file */
	int (*touch)(void *ctx, int fd);
};

/* An export that is open. Copied freely; owns nothing. */
struct store {
	const struct store_ops *ops;
	void *ctx;
	int root; /* O_PATH or O_RDONLY descriptor of the export's root directory, owned by whoever opened it */
	bool remote; /* an NFS client keeps the export: others go by a directory's times to learn that it has changed (store_sync_dir) */
	bool local; /* this kernel alone keeps the export: nothing that it says is ever old, and nothing need be looked up anew */
	bool no_locks; /* its locks are no sign of life (liveness.h): none are taken, and whoever would need one goes on without */
};

/* The system calls themselves, with EINTR retried. */
extern const struct store_ops store_system_ops;

/* Opens the directory `path` as an export on the system's own calls. The caller closes it with store_close().
 * -ENOTDIR, -ENOENT, … as open(2). */
int store_open(struct store *store, const char *path);
void store_close(struct store *store);

/* Makes the names in the directory `dirfd` be looked up anew from now on: an NFS client otherwise believes for up to half a minute that a name which it
 * once missed is still missing, and that one which it found still leads to the same file. One request to the server; nothing at all on a local export. */
void store_refresh(const struct store *store, int dirfd);

/* Opens the directory `path`, relative to `dirfd`, one component at a time without following any symlink. `path`
 * may be "" or ".": `dirfd` itself, anew. Each is looked up anew (store_refresh). Returns a descriptor
 * (O_RDONLY|O_DIRECTORY|O_CLOEXEC) or -errno. */
int store_open_dir(const struct store *store, int dirfd, const char *path);

/* The same, for what never leads elsewhere once it is there: only before -ENOENT is believed it is looked up anew. */
int store_open_known_dir(const struct store *store, int dirfd, const char *path);

/* Opens the directory that holds the last component of `path`, as an O_PATH descriptor (searching it must be allowed, listing
 * need not be). *last points into `path`. */
int store_open_parent(const struct store *store, int dirfd, const char *path, const char **last);

/* Writes all of it at `offset`. -EIO when nothing can be written any more. */
int store_pwrite(const struct store *store, int fd, const void *data, size_t size, off_t offset);

/* Reads `size` bytes at `offset`; the count, less only where the file ends. */
ssize_t store_pread(const struct store *store, int fd, void *data, size_t size, off_t offset);

/* Opens a regular file for reading and fills *st. -EINVAL when it is anything else, a symlink too. */
int store_open_regular(const struct store *store, int dirfd, const char *name, struct statx *st);

/*
 * Opens a file that is locked, or asked for its locks, and neither read nor written. An NFS server that delegates a file to a client leaves its locks to that
 * client, and takes both away when it can not call the client back, as in the seconds after a network cut: who lives would be found dead. So it is
 * opened in the way for which no client asks for a delegation (NFS 4.1 and newer). -EINVAL: it is a symlink.
 */
int store_open_lock(const struct store *store, int dirfd, const char *name, int flags);

/* statx(2) of `name` itself (no symlink followed), basic attributes; name and attributes are fetched anew (store_refresh). */
int store_statx(const struct store *store, int dirfd, const char *name, struct statx *out);

/* Opens the directory `name` of `dirfd`; one that is missing is made first, with exactly this mode whatever the umask, and `dirfd` is fsynced. */
int store_make_dir(const struct store *store, int dirfd, const char *name, mode_t mode);

/* As store_open_dir, and makes the directories that are missing with `mode` (the umask applies), fsyncing each parent. */
int store_make_dirs(const struct store *store, int dirfd, const char *path, mode_t mode);

/* Reads a whole small file. Refuses one larger than `limit` with -EFBIG, anything but a regular file with -EINVAL.
 * *data is NUL-terminated (the NUL not counted in *size), freed by the caller. */
int store_read_file(const struct store *store, int dirfd, const char *name, size_t limit, char **data, size_t *size);

/* Makes the file `name` with exactly this content, durable when it returns: temporary file in the same directory, written, fsynced,
 * then linked to `name` (fails with -EEXIST if it is there: it is never replaced) or, with `replace`, renamed over it;
 * the directory is fsynced. `mode` is exact, the umask does not apply. When it fails the file may be there nevertheless (the answer or
 * the directory's fsync was lost), never half of it. The temporary file is gone afterwards, except after a crash (names: ".tmp.<32 hex>"). */
int store_create_file(const struct store *store, int dirfd, const char *name, const void *data, size_t size, mode_t mode,
		      int replace);

/* Calls `each` for every entry of the open directory `fd` from its start, without "." and "..", in no order.
 * A return other than 0 ends the walk and is returned. */
int store_each_entry(const struct store *store, int fd, int (*each)(void *arg, const char *name, unsigned char type, uint64_t ino),
		     void *arg);

/* Deletes the entry `name` of `dirfd` with everything below it; what is already gone is no error. Symlinks are not followed. */
int store_remove_tree(const struct store *store, int dirfd, const char *name);

/* fsyncs the directory `path` below `dirfd` ("" for itself). Over NFS it also gets a new ctime, later than that of all changes that were made in it so
 * far: a server's clock may tick only every 10 ms, and to a client that looked between two changes of one tick the directory
 * is the same after the second, for as long as nothing else happens in it. May take as long as a tick. */
int store_sync_dir(const struct store *store, int dirfd, const char *path);

/* Where a program was started without standard input, output or error, no file of its own may become that: /dev/null takes the place, opened so that to use it fails as
 * before. For the beginning of main(); 0 or -errno. */
int store_guard_standard(void);

/* 32 random lower-case hex digits and a NUL. */
#define STORE_TOKEN_SIZE 33
void store_token(char token[STORE_TOKEN_SIZE]);

#endif
