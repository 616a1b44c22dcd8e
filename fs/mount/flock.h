/* flock - locks of open files on the export; see flock.c */
#ifndef SEALFS_MOUNT_FLOCK_H
#define SEALFS_MOUNT_FLOCK_H

#include "mount.h"

/* Gives back what the handle has locked. Before its file is closed, with no lock held. */
void flock_release(struct handle *handle);
/* Answers all that wait with ENOTCONN, and ends the thread. The session must be there still, and no request may come any more. */
void flock_end(void);

#endif
