/*
 * control - how tools talk to a mount: one ioctl on any directory of it
 *
 * The root of a mount can always be opened, so tools open that and issue SEALFS_IOC_CALL. A call that takes long (seal, wait, the end of a
 * run) is parked by the mount: no thread is held, and a signal ends it with EINTR. This header is the ABI and needs nothing but Linux.
 *
 * Request: `op`, and in `text` four strings, each closed by a NUL: path, trial, writer, detail ("" where not used). `path` is the checkpoint's
 * path below the mount, bytes as they are. Reply: `result` is 0 or -errno; `text` holds JSON (UTF-8, paths escaped as in
 * sealfs(5)); after a failure {"error": "<sentence>"}. A reply longer than the buffer: `total` tells how long, SEALFS_CALL_MORE with `offset` on the same
 * open file gives the rest. The ioctl itself fails only with EINTR, ENOTTY (not a sealfs mount), EINVAL (malformed), ENOMEM.
 */
#ifndef SEALFS_CONTROL_H
#define SEALFS_CONTROL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SEALFS_CALL_VERSION 1
#define SEALFS_CALL_TEXT 12000 /* bytes */

enum sealfs_call_op {
	/* {"version", "export", "depth", "passthrough": bool, "exit_info": bool, "verify", "wait_timeout", "pid", "fuse": "7.45", "allow_other": bool,
	 * "trial_env": "A:B"} */
	SEALFS_CALL_INFO = 1,
	/* path, writer ("" for none). The reserving trial is the caller's identity. {"path", "generation"} */
	SEALFS_CALL_RESERVE = 2,
	/* path, trial: opens the checkpoint for that trial ("" the caller's own identity). {"path", "generation"} */
	SEALFS_CALL_CLAIM = 3,
	/* path. Parked until the seal is there or has failed. {"path", "root": "sha256:…", "files", "bytes", "generation"}.
	 * -EBUSY: still open for writing, the sentence says by whom. Old data that are plain can be sealed, too, and stay plain if that fails. */
	SEALFS_CALL_SEAL = 4,
	/* path, detail: the reason. */
	SEALFS_CALL_ABANDON = 5,
	/* path. Parked until the checkpoint has ended. result 0 sealed: {"path", "root"}; -EOWNERDEAD; -ETIMEDOUT; -EDEADLK; -ENOENT when it is absent */
	SEALFS_CALL_WAIT = 6,
	/* path ("" for all that has state or that this mount knows). [{"path", "state", "generation", "writer", "host", "since" (ISO 8601), "reason", "root",
	 * "sealing": bool, "bytes_done", "bytes_total" (while sealing, once known), "error", "waiters": [{"trial", "pid", "command", "since", "seconds", "host"}] (of all mounts that published theirs;
	 * with "unconfirmed": true when it can not be told whether that mount still lives), "open_for_writing": [{"pid", "command"}]}] */
	SEALFS_CALL_STATUS = 7,
	/* path: sealed, failed, pending or plain: removed with its data. -EBUSY when open. */
	SEALFS_CALL_REMOVE = 8,
	/* trial: this open file is from now on the sign of life of a wrapper that runs the trial: when it is closed without RUN_END,
	 * what the trial has open on this mount is abandoned. detail "join": another machine's or mount's run decides, this one only reports. */
	SEALFS_CALL_RUN_BEGIN = 9,
	/* detail "" : the command ended well; otherwise the reason why not ("exit status 1", "killed by SIGKILL"). Parked until everything that the trial
	 * has open on this mount has ended, which waits for other processes of the trial that have files open for writing.
	 * After EINTR it may be called again, on the same open file, and goes on.
	 * {"sealed": [{"path", "root", "files", "bytes"}], "failed": [{"path", "reason"}], "joined": [{"path"}]} */
	SEALFS_CALL_RUN_END = 10,
	SEALFS_CALL_MORE = 11,
	/* What this mount has done since it began. {"hints": "ADDRESS:PORT" or null, "subscribers", "waiters", "hinted" (checkpoints that are waited for and
	 * whose end will be told), "waits", "polls", "looks", "judgements", "hints_sent", "hints_received", "hints_dropped"} */
	SEALFS_CALL_STATS = 12,
};

struct sealfs_call {
	__u32 version;	/* SEALFS_CALL_VERSION */
	__u32 op;
	__s32 result;
	__u32 size;	/* bytes of text used, request and reply */
	__u64 total;	/* reply: the whole text's size */
	__u64 offset;	/* SEALFS_CALL_MORE */
	char text[SEALFS_CALL_TEXT];
};

#define SEALFS_IOC_CALL _IOWR('S', 0x5e, struct sealfs_call)

#endif
