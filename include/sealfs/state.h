/*
 * state - a checkpoint's state on the export, and its transitions
 *
 * .sealfs/state/<checkpoint>/ holds N.reserve, N.claim, N.end (record.h) for generations N = 1, 2, … and `lock`. The state is a function of
 * which of them exist; each transition is one atomic link(2) of a finished, fsynced file, so the first wins everywhere:
 *
 *     nothing, no data      absent
 *     nothing, data         plain     (or sealed, when the data brings a seal of its own: a copy)
 *     N.reserve             pending
 *     N.claim               open
 *     N.end                 sealed or failed; generation N+1 may be reserved or claimed only after failed
 *                           (or, to be failed at once, by a removal); plain, if it failed, N.claim says `plain`, and the data are there
 *
 * N is the highest that occurs. A record that is there but can not be read makes the state damaged, never anything else.
 *
 * A `path` is a checkpoint's path below the export's root, without leading or trailing '/', exactly `depth` components.
 * Nothing here blocks but for the export's I/O. All functions: 0 or -errno.
 */
#ifndef SEALFS_STATE_H
#define SEALFS_STATE_H

#include <stdbool.h>

#include "sealfs/config.h"
#include "sealfs/record.h"
#include "sealfs/store.h"

#define STATE_DIR ".sealfs/state"
#define STATE_FAILED_DIR ".sealfs/failed"
#define STATE_MOUNTS_DIR ".sealfs/mounts"

enum state_kind { STATE_ABSENT, STATE_PLAIN, STATE_PENDING, STATE_OPEN, STATE_SEALED, STATE_FAILED, STATE_DAMAGED };

/* "absent", "plain", "pending", "open", "sealed", "failed", "damaged" */
const char *state_name(enum state_kind kind);

struct state {
	enum state_kind kind;
	unsigned int generation;  /* 0 when there is no record */
	bool has_reserve, has_claim, has_end; /* of this generation: which of the three below are filled */
	struct record reserve, claim, end;
	bool travelled;		  /* sealed by the seal beside the data alone, without a record here: a copy */
	bool has_data;		  /* something is at the checkpoint's path */
	bool is_file;		  /* … and it is a regular file: a checkpoint of one file */
	uint64_t data_inode;	  /* … its inode */
	char *damage;		  /* damaged: which file and what is wrong with it, for people */
};

/* Reads the state. Reads only the records of the highest generation. -ENOMEM or the export's -errno: then nothing is to be freed. A path that has no
 * state folder is absent or plain. */
int state_read(const struct store *store, const char *path, struct state *out);
void state_free(struct state *state);

/* True when `writer` is the trial that may write: the claim's trial, or the reservation's writer. */
bool state_is_writer(const struct state *state, const char *trial);
/* The trial that writes or will write, or NULL. */
const char *state_writer(const struct state *state);

/* The claim of one generation, also of an earlier one. -ENOENT, -EBADMSG, … */
int state_read_claim(const struct store *store, const char *path, unsigned int generation, struct record *out);

/* A cheap look: 1 if N.end (or any record of a later generation) is there, 0 if not, -errno. One system call for N.end. */
int state_has_ended(const struct store *store, const char *path, unsigned int generation);

/*
 * absent, plain without data or failed → pending. `record` is a RECORD_RESERVE with trial, writer, uid and gid set; checkpoint and generation are
 * filled in. Without a writer the directory is made too (mode 0777 less the umask), after the old content was moved aside.
 * -EEXIST when it is pending, open or has plain data; -EROFS when sealed; -EBADMSG when damaged.
 */
int state_reserve(const struct store *store, const char *path, struct record *record);

/*
 * absent, plain, pending or failed → open. The caller must hold the shared lease (lease.h) already. `record` is a RECORD_CLAIM with trial, pid, uid,
 * gid set; checkpoint and generation are filled in; `plain` is taken back unless data that are plain are claimed. After a failed generation the old content is first moved aside (state_move_aside), so that the
 * new one has new inodes. Plain data stays in place and becomes the content of the open checkpoint.
 * Who may claim a reservation with a named writer is the caller's to check.
 * -EEXIST when another won the link (read the state again); -EROFS when sealed; -EBUSY when open; -EBADMSG when damaged.
 */
int state_claim(const struct store *store, const char *path, struct record *record);

/*
 * open or pending → sealed or failed: links N.end. `record` is a RECORD_END with trial, uid, gid and the end's members set; checkpoint is filled in, `generation`
 * must be the one that is ended (it is a number only: after a removal generations are counted from 1 again, so who comes back after long compares
 * claim.token with his own first). -EEXIST when it has ended already: *out (if not NULL) is then filled with what is decided. -ENOENT when there is no
 * state, or it is removed meanwhile; -EINVAL to seal what nobody has claimed. A link whose answer was lost (the file that is there carries our token) is success.
 */
int state_end(const struct store *store, const char *path, struct record *record, struct record *out);

/*
 * Further mounts of the trial that writes join its open generation before their first change, and leave when their part of the trial has ended well and is on the
 * server. Who seals closes the generation to further joins first, and then waits until all that joined have left; one that is dead (liveness.h) and has not left makes it fail.
 *
 * state_join(): `record` is a RECORD_JOIN with generation (the open one), trial, pid, uid, gid and mount set; it is to be kept for state_leave(). -EBUSY when
 * the generation is closed, -EEXIST when it has ended, or another one is there. After any error nobody waits for us, unless the server can not be reached.
 * state_reopen(): for one who closed it and can not seal yet.
 * state_joined(): the records of those who joined and have not left; allocated, to be given to state_joined_free(), whatever is returned.
 */
int state_join(const struct store *store, const char *path, struct record *record);
int state_leave(const struct store *store, const char *path, const struct record *join);
int state_close(const struct store *store, const char *path, unsigned int generation);
int state_reopen(const struct store *store, const char *path, unsigned int generation);
int state_joined(const struct store *store, const char *path, unsigned int generation, struct record **out, size_t *count);
void state_joined_free(struct record *list, size_t count);

/* Moves what is at the checkpoint's path (and its sidecar) to .sealfs/failed/<token>/<last component>. 0 also when nothing is there. Looks at no state: the
 * transitions do not use it but move content in a way that can not come too late (fs/seal/state_aside.c). */
int state_move_aside(const struct store *store, const char *path);

/*
 * Removes a sealed, failed, pending or plain checkpoint: it is ended as failed (a sealed or plain one by a generation that nobody claims and that fails
 * at once), then the data is moved aside, then the state folder by one rename, then both are deleted. A crash leaves it as it was, or failed
 * with or without its data, or gone with a leftover in .sealfs/failed; to remove it again goes on from there. A process that has a file open keeps its data.
 * -EBUSY when it is open; -ENOENT when there is nothing; -EBADMSG when damaged.
 */
int state_remove(const struct store *store, const char *path);

/*
 * May the thread (by its file-system ids) write what is at the path, or make something there? And move it away for good? To be asked before a transition by
 * hand, which itself would find out too late. 0, -EACCES, -EPERM, -errno. A race with a change of permissions is harmless: the transition fails then.
 */
int state_may_write(const struct store *store, const char *path);
int state_may_remove(const struct store *store, const char *path);

/* Calls `each` for every checkpoint that has a state folder. */
int state_each(const struct store *store, const struct config *config, int (*each)(void *arg, const char *path), void *arg);

/* The seal folder of a checkpoint, relative to the export's root: "<path>/.seal" for a directory, the sidecar for a file: "<parent>/.<name>.seal",
 * or, where that is longer than 255 bytes, "<parent>/.<64 hex: SHA-256 of the name>.seal". Allocated. */
char *state_seal_dir(const char *path, bool is_file);
/* True for names at checkpoint depth that look like a sidecar: they begin with '.' and end with ".seal". */
bool state_name_is_sidecar(const char *name);
/* What a tuner keeps beside the checkpoints that it gives out; no mount shows it, and no checkpoint may be called so. */
#define STATE_TUNER_NAME ".sealtuner"
/* True for names at checkpoint depth that are kept for sealfs: a sidecar's, and STATE_TUNER_NAME. */
bool state_name_is_kept(const char *name);
/* True when `path` has exactly `depth` components, none empty, ".", "..", ".sealfs" (first) or a kept name (last). */
bool state_path_valid(const char *path, unsigned int depth);

/*
 * What differs when a record has come into a state folder, or it was removed: for whoever waits, one request instead of a whole look. Two changes in the
 * same tick of the server's clock look alike, so a stamp tells "nothing new" only when the state was read well after the stamp was first seen.
 * -ESTALE when the folder `dir` is gone.
 */
struct state_stamp {
	uint64_t inode;
	struct statx_timestamp mtime, ctime;
};
int state_stamp(const struct store *store, int dir, struct state_stamp *out);
bool state_stamp_equal(const struct state_stamp *a, const struct state_stamp *b);

/* Makes (if need be) and opens the state folder of `path`; a descriptor. Folders above it are 1777, itself 0755. */
int state_open_dir(const struct store *store, const char *path, bool create);

#endif
