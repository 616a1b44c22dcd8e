/* flock - locks of open files on the export; see flock.c */
#ifndef SEALFS_MOUNT_FLOCK_H
#define SEALFS_MOUNT_FLOCK_H

#include "mount.h"

/* Gives back what the handle has locked. Before its file is closed, with no lock held. */
void flock_release(struct handle *handle);

#endif
