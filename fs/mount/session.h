/*
 * session - one mounted file system, from the mount to the unmount
 *
 * session_run() returns when the file system was unmounted or a signal (INT, TERM, HUP) came. `ready` in struct mount is called once INIT was answered.
 */
#ifndef SEALFS_SESSION_H
#define SEALFS_SESSION_H

#include "mount.h"

/* Would session_mount() know these options? 0, -EINVAL when not (libfuse has then said which), -ENOMEM. */
int session_check(const char *program, const char *options);
/* Mounts. `options` go to libfuse and the kernel ("fsname=…,subtype=sealfs,…"). 0 or -errno; libfuse has then said why. */
int session_mount(struct mount *mount, const char *program, const char *options, bool debug, const char *mountpoint);
/* Serves; the mount's threads are started in here. 0 or -errno. */
int session_run(struct mount *mount, bool single_threaded);
/* Wakes all that wait, unmounts, frees. */
void session_end(struct mount *mount);

#endif
