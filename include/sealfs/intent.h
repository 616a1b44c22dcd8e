/*
 * intent - in order to do what is this asked?
 *
 * FUSE does not say why a name is looked up or attributes are fetched. A reader who asks for attributes must wait; an open whose permissions the
 * kernel checks first must not, since only at OPEN it is known whether it may wait. A reader must not be told that a name is missing; who creates it must. The
 * system call in which the asking thread is blocked tells (/proc/TID/syscall: the same user, or CAP_SYS_PTRACE).
 */
#ifndef SEALFS_INTENT_H
#define SEALFS_INTENT_H

#include <sys/types.h>

enum intent {
	INTENT_UNKNOWN,
	INTENT_CREATE, /* makes a name (an open with O_CREAT too) */
	INTENT_OPEN,   /* opens what is there */
	INTENT_OPEN_AT_ONCE, /* the same, and does not want to wait (O_NONBLOCK; with O_DIRECTORY that means nothing, opendir() always asks so) */
	INTENT_CHANGE, /* opens what is there for writing, or changes it by its path: truncate, modes, times, extended attributes */
	INTENT_OTHER,  /* stat, access, … */
};

/* May wait for up to about a millisecond until the thread has fallen asleep in its call. */
enum intent intent_of(pid_t tid);

#endif
