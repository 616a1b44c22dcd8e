/* posix_lock - fcntl(2) locks of open files on the export; see posix_lock.c */
#ifndef SEALFS_MOUNT_POSIX_LOCK_H
#define SEALFS_MOUNT_POSIX_LOCK_H

#include "mount.h"

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int may_wait);

/* The owner has closed a descriptor of the file: as POSIX has it, all his locks of it end. */
void posix_lock_closed(struct handle *handle, uint64_t owner);
/* Nobody has the handle open any more: so end those locks whose owner was the open file itself. With no lock held. */
void posix_lock_release(struct handle *handle);
/* When nobody waits any more (lock_wait_end()). */
void posix_lock_end(void);

#endif
