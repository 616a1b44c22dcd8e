#include "sealfs/creds.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUPS_MAX 1024 /* more are not carried over NFS either */

static bool enabled;

void creds_enable(void)
{
	enabled = true;
}

bool creds_enabled(void)
{
	return enabled;
}

/* "Groups:" of /proc/<tid>/status. */
static size_t groups_of(pid_t tid, gid_t groups[GROUPS_MAX])
{
	char path[64], text[16384];
	size_t count = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t size = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (size <= 0)
		return 0;
	text[size] = '\0';
	char *line = strstr(text, "\nGroups:");
	if (!line)
		return 0;
	line += strlen("\nGroups:");
	while (count < GROUPS_MAX) {
		char *end;
		while (*line == ' ' || *line == '\t')
			line++;
		unsigned long group = strtoul(line, &end, 10);
		if (end == line)
			break;
		groups[count++] = (gid_t)group;
		line = end;
	}
	return count;
}

/* glibc's setgroups() changes all threads; the system call changes this one. */
static void set_groups(const gid_t *groups, size_t count)
{
	if (syscall(SYS_setgroups, count, groups))
		abort(); /* with the wrong groups nothing may go on */
}

/* Who the thread is now. */
static _Thread_local uid_t current_uid;
static _Thread_local gid_t current_gid;
static _Thread_local pid_t current_tid;

static void become(uid_t uid, gid_t gid, pid_t tid)
{
	gid_t groups[GROUPS_MAX];

	/* back to root first: only root may change groups and ids */
	setfsuid(0);
	if (tid != current_tid || uid != current_uid || gid != current_gid)
		set_groups(groups, tid > 0 && uid != 0 ? groups_of(tid, groups) : 0);
	setfsgid(gid);
	setfsuid(uid);
	if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
		abort();
	current_uid = uid;
	current_gid = gid;
	current_tid = tid;
}

void creds_enter(struct creds *creds, uid_t uid, gid_t gid, pid_t tid)
{
	creds->switched = enabled && (uid != current_uid || gid != current_gid || (uid != 0 && tid != current_tid));
	if (!creds->switched)
		return;
	creds->uid = current_uid;
	creds->gid = current_gid;
	creds->tid = current_tid;
	become(uid, gid, tid);
}

void creds_leave(struct creds *creds)
{
	if (creds->switched)
		become(creds->uid, creds->gid, creds->tid);
}

void creds_umask_enter(mode_t mask)
{
	/* the mask belongs to what clone(2) calls CLONE_FS: each thread needs one of its own */
	static _Thread_local bool alone;
	if (!alone)
		alone = unshare(CLONE_FS) == 0;
	umask(alone ? mask : 0);
}

void creds_umask_leave(const int *unused)
{
	umask(0);
}
