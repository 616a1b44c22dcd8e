/*
 * intent - is this look-up made in order to create something?
 *
 * FUSE does not say why a name is looked up. Where "it is not there (yet)" would keep nobody but a reader from being misled, and a promise would keep a
 * writer from creating, the system call in which the asking thread is blocked tells (/proc/TID/syscall: the same user, or CAP_SYS_PTRACE).
 */
#ifndef SEALFS_INTENT_H
#define SEALFS_INTENT_H

#include <sys/types.h>

enum intent { INTENT_UNKNOWN, INTENT_CREATE, INTENT_OTHER };

/* May wait for up to about a millisecond until the thread has fallen asleep in its call. */
enum intent intent_of(pid_t tid);

#endif
