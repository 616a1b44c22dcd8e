#include "sealfs/intent.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sealfs/creds.h"

#define TRIES 40
#define PAUSE_NS 25000 /* between them: the thread is about to sleep, on another processor */

/* How the calls that open or make names give their flags. */
enum flags_at { ALWAYS_CREATES, ALWAYS_CHANGES, FLAGS_SECOND, FLAGS_THIRD, FLAGS_IN_STRUCT };

static const struct {
	long number;
	enum flags_at flags;
} calls[] = {
#ifdef SYS_open
	{SYS_open, FLAGS_SECOND},
#endif
#ifdef SYS_creat
	{SYS_creat, ALWAYS_CREATES},
#endif
#ifdef SYS_mkdir
	{SYS_mkdir, ALWAYS_CREATES},
#endif
#ifdef SYS_mknod
	{SYS_mknod, ALWAYS_CREATES},
#endif
#ifdef SYS_link
	{SYS_link, ALWAYS_CREATES},
#endif
#ifdef SYS_symlink
	{SYS_symlink, ALWAYS_CREATES},
#endif
#ifdef SYS_rename
	{SYS_rename, ALWAYS_CREATES},
#endif
#ifdef SYS_renameat
	{SYS_renameat, ALWAYS_CREATES},
#endif
#ifdef SYS_chmod
	{SYS_chmod, ALWAYS_CHANGES},
#endif
#ifdef SYS_chown
	{SYS_chown, ALWAYS_CHANGES},
	{SYS_lchown, ALWAYS_CHANGES},
#endif
#ifdef SYS_utime
	{SYS_utime, ALWAYS_CHANGES},
#endif
#ifdef SYS_utimes
	{SYS_utimes, ALWAYS_CHANGES},
	{SYS_futimesat, ALWAYS_CHANGES},
#endif
	{SYS_utimensat, ALWAYS_CHANGES}, {SYS_fchmodat, ALWAYS_CHANGES}, {SYS_fchownat, ALWAYS_CHANGES},
	{SYS_openat, FLAGS_THIRD},     {SYS_openat2, FLAGS_IN_STRUCT}, {SYS_mkdirat, ALWAYS_CREATES},  {SYS_mknodat, ALWAYS_CREATES},
	{SYS_truncate, ALWAYS_CHANGES}, {SYS_setxattr, ALWAYS_CHANGES}, {SYS_lsetxattr, ALWAYS_CHANGES},
	{SYS_removexattr, ALWAYS_CHANGES}, {SYS_lremovexattr, ALWAYS_CHANGES},
	{SYS_linkat, ALWAYS_CREATES},  {SYS_symlinkat, ALWAYS_CREATES}, {SYS_renameat2, ALWAYS_CREATES},
};

/* "<number> 0x<argument> …", or "running" as long as it is not asleep. 0, or -1: can not be told. */
static int read_syscall(pid_t tid, long *number, unsigned long arguments[3])
{
	char path[64], text[256];

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	for (int i = 0; i < TRIES; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -1;
		ssize_t size = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (size <= 0)
			return -1;
		text[size] = '\0';
		if (sscanf(text, "%ld 0x%lx 0x%lx 0x%lx", number, &arguments[0], &arguments[1], &arguments[2]) == 4)
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
	return -1;
}

static enum intent by_flags(unsigned long flags)
{
	if (flags & O_CREAT)
		return INTENT_CREATE;
	if (flags & O_PATH)
		return INTENT_OPEN;
	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return INTENT_CHANGE;
	return flags & O_NONBLOCK && !(flags & O_DIRECTORY) ? INTENT_OPEN_AT_ONCE : INTENT_OPEN;
}

static enum intent by_struct(pid_t tid, unsigned long address)
{
	struct open_how how;
	struct iovec here = {&how, sizeof(how)}, there = {(void *)address, sizeof(how)}; // NOLINT: an address in the other process

	return process_vm_readv(tid, &here, 1, &there, 1, 0) == sizeof(how) ? by_flags(how.flags) : INTENT_UNKNOWN;
}

enum intent intent_of(pid_t tid)
{
	unsigned long arguments[3];
	long number;

	CREDS_SCOPE(0, 0, 0);
	if (tid <= 0 || read_syscall(tid, &number, arguments))
		return INTENT_UNKNOWN;
	/* requests of a ring are carried out by whoever is at hand */
	if (number < 0 || number == SYS_io_uring_enter)
		return INTENT_UNKNOWN;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].number != number)
			continue;
		switch (calls[i].flags) {
		case FLAGS_SECOND:
			return by_flags(arguments[1]);
		case FLAGS_THIRD:
			return by_flags(arguments[2]);
		case FLAGS_IN_STRUCT:
			return by_struct(tid, arguments[2]);
		case ALWAYS_CHANGES:
			return INTENT_CHANGE;
		default:
			return INTENT_CREATE;
		}
	}
	return INTENT_OTHER;
}
