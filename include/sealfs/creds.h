/*
 * creds - to act on the export as somebody
 *
 * Per thread: file-system uid and gid and supplementary groups. Switched off (everything is then a no-op) unless creds_enable() was called, which
 * only a privileged daemon does. Scopes may be nested; each restores what was before it.
 */
#ifndef SEALFS_CREDS_H
#define SEALFS_CREDS_H

#include <stdbool.h>
#include <sys/types.h>

void creds_enable(void);
bool creds_enabled(void);

/* What was before. */
struct creds {
	bool switched;
	uid_t uid;
	gid_t gid;
	pid_t tid;
};

/* The thread becomes uid, gid with the groups of thread `tid` (0: no groups). Root needs no switching. */
void creds_enter(struct creds *creds, uid_t uid, gid_t gid, pid_t tid);
void creds_leave(struct creds *creds);

/* In a scope: CREDS_SCOPE(uid, gid, tid); is undone where the scope ends. */
#define CREDS_SCOPE(uid, gid, tid)                                                                                                 \
	__attribute__((cleanup(creds_leave))) struct creds creds_scope_;                                                            \
	creds_enter(&creds_scope_, (uid), (gid), (tid))

/* The thread's own umask (0 otherwise) until the scope ends. */
void creds_umask_enter(mode_t mask);
void creds_umask_leave(const int *unused);
#define CREDS_UMASK_SCOPE(mask)                                                                                                    \
	__attribute__((cleanup(creds_umask_leave), unused)) const int creds_umask_scope_ = 0;                                      \
	creds_umask_enter(mask)

#endif
