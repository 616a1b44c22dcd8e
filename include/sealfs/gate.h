/*
 * gate - who may pass, who waits, when a checkpoint ends
 *
 * One object a mount. Knows nothing of FUSE: requests come as "this thread wants to read in that checkpoint" and, when they have to wait, as a
 * waiter (waiters.h) that is resumed from another thread. Nothing here waits for a trial; functions may block for the export's I/O.
 *
 * Locks: a checkpoint's own lock guards its state; it is taken before the gate's and the waiters' lock, two at once only by gate_renamed(); none is held when a waiter
 * is resumed.
 */
#ifndef SEALFS_GATE_H
#define SEALFS_GATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "sealfs/config.h"
#include "sealfs/hints.h"
#include "sealfs/liveness.h"
#include "sealfs/manifest.h"
#include "sealfs/seal.h"
#include "sealfs/state.h"
#include "sealfs/store.h"
#include "sealfs/tree.h"
#include "sealfs/trust.h"
#include "sealfs/trials.h"
#include "sealfs/waiters.h"

struct gate;
struct gate_checkpoint;

/* When content is checked against its seal. */
enum gate_verify {
	GATE_VERIFY_OFF,
	GATE_VERIFY_OPEN, /* the whole file, before its first open is answered */
	GATE_VERIFY_READ, /* each block as it is read */
};

struct gate_options {
	struct store store;
	struct config config;	    /* owned by the caller, outlives the gate */
	char *export_path;	    /* absolute, for inotify and messages */
	unsigned int wait_timeout;  /* seconds, 0: none */
	enum gate_verify verify;
	bool prefetch;		    /* GATE_VERIFY_OPEN: the first open in a checkpoint has its other files checked ahead */
	bool read_only;
	bool remote;		    /* the export's files are on another machine, whose changes the kernel does not tell of */
	struct hints_option hints;
	struct liveness liveness;   /* how others see that this mount lives, and it them; store.no_locks goes with it */
	const struct signing_key *key; /* signs what this mount seals; or NULL */
	struct trust *trust;	       /* whose signatures count; NULL: nobody looks at them */
	bool require_signature;	       /* with `trust`: what nobody trusted has signed is refused (-EKEYREJECTED) */
	/* The kernel's caches of this checkpoint's names must go. Called without locks, from a thread of the gate's. */
	void (*forget)(void *arg, const char *path);
	/* A process that has a file of the checkpoint mapped so that it can still write it, though the file may be closed; 0: none; -errno: it can not be told
	 * (-EAGAIN: now; -ENODEV: the mount's number is not known). Of all processes, which takes some milliseconds, or of the one that thread `only` is in. NULL: a file that is mapped is not closed. Called without locks. */
	pid_t (*mapped)(void *arg, struct gate_checkpoint *checkpoint, pid_t only);
	void *arg;
};

/* NULL when memory or descriptors are out. gate_start() starts its threads (after the process went to the background). */
struct gate *gate_create(const struct gate_options *options);
int gate_start(struct gate *gate);
/* Wakes everybody that waits with -ENOTCONN: the mount goes away. */
void gate_abort(struct gate *gate);
/* Abandons what is still open for writing on this mount and ends the gate's threads. Requests must have ended. */
void gate_stop(struct gate *gate);
/* Frees. All references to its checkpoints must have been put. */
void gate_destroy(struct gate *gate);

const struct store *gate_store(const struct gate *gate);
/* This mount's name in records and among published waits. */
const char *gate_token(const struct gate *gate);
const struct config *gate_config(const struct gate *gate);
const struct liveness *gate_liveness(const struct gate *gate);

/* Who asks. */
struct gate_caller {
	pid_t tid;
	uid_t uid;
	gid_t gid;
};

/* What is sealed, immutable once it is there; reference-counted, shared by all that have something of it open. */
#define GATE_NOTED 64
struct gate_file_check;
struct gate_sealed {
	atomic_uint refs;
	struct manifest manifest;
	struct digest root;
	struct digest seal_digest; /* the SHA-256 of the seal file, which is what is signed */
	int64_t seal_time_ns;
	char *sealed_as; /* the checkpoint that the seal names, where that is another: this is a copy of it; else NULL */
	uint64_t judged; /* the trust's generation, plus 1, in which `rejected` was found; 0: not yet. Both under the checkpoint's lock */
	int rejected;
	struct gate_file_check *checks; /* one a manifest entry (verify.c) */
	_Atomic uint64_t noted[GATE_NOTED]; /* threads that opened it a moment ago (parents.c) */
	int tree;			/* the open file of Merkle trees, or -1 */
	char *path;
};
struct gate_sealed *gate_sealed_ref(struct gate_sealed *sealed);
void gate_sealed_put(struct gate_sealed *sealed);

/* The checkpoint at `path` (below the export's root). A reference; NULL when memory is out. */
struct gate_checkpoint *gate_checkpoint_get(struct gate *gate, const char *path);
struct gate_checkpoint *gate_checkpoint_ref(struct gate_checkpoint *checkpoint);
void gate_checkpoint_put(struct gate_checkpoint *checkpoint);
const char *gate_checkpoint_path(const struct gate_checkpoint *checkpoint);

enum gate_want {
	GATE_LOOK,   /* to look a name up: never waits, is only told that it would have to */
	GATE_READ,   /* to read content, a listing, or a link */
	GATE_STAT,   /* to read attributes: as GATE_READ, but a refusal is not worth a line in the log */
	GATE_CHANGE, /* to change something inside that is there: never opens a new generation */
	GATE_CREATE, /* to make a name inside, or to open a file for writing: opens a pending or failed checkpoint */
	GATE_CLAIM,  /* to make the checkpoint itself, or to open it by hand */
};

enum gate_answer {
	GATE_PLAIN = 1, /* an ordinary directory or file, or nothing at all */
	GATE_WRITER,	/* the caller's trial writes here */
	GATE_SEALED,
	GATE_WAIT,	/* GATE_LOOK: a reader of something unsealed. Otherwise: `waiter` was linked; hands off the request */
};

struct gate_view {
	enum gate_answer answer;
	enum state_kind state;
	unsigned int generation;
	bool has_data; /* something is at the checkpoint's path */
	bool is_file;
	struct gate_sealed *sealed; /* GATE_SEALED: a reference, for the caller to put */
	bool anybody;	  /* whoever creates something now becomes its writer */
	bool may_restart; /* GATE_LOOK at a failed one by the trial that failed: this process may begin the next generation */
	bool changing; /* a change was admitted, of plain data too: gate_change_done() is due once it is made; sealing waits for it */
};

/*
 * Decides. 0 and *view, or -errno: -EOWNERDEAD (failed), -EBADMSG (damaged, or the seal does not hold), -EKEYREJECTED, -EROFS, -EBUSY (another trial's), -ESTALE (a failed
 * generation's content was moved aside for the caller's new one: walk the path again), -EDEADLK, -EINTR, -EACCES, …
 * With GATE_READ, GATE_STAT and a waiter, a wait links the waiter (its key and resume set; `interrupted` as in waiters_park()); without one it is -EAGAIN.
 * `what` names the object for the log (relative to the checkpoint, "" for itself).
 */
int gate_enter(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, enum gate_want want, const char *what,
	       struct waiter *waiter, bool (*interrupted)(const void *key), struct gate_view *view);

void gate_change_done(struct gate *gate, struct gate_checkpoint *checkpoint);

/* What is on the export contradicts the seal. Looks whether the checkpoint is still sealed with it, and not removed or written anew elsewhere: 0 it is, so the
 * content is damaged; -ESTALE it is not, the path must be walked again. */
int gate_confirm_sealed(struct gate *gate, const struct gate_sealed *sealed);

/* A file that is open for writing on this mount. Embedded in the caller's handle. */
struct gate_write_handle {
	struct gate_write_handle *prev, *next;
	struct gate_checkpoint *checkpoint; /* changed under the checkpoint's lock and the gate's */
	pid_t tid; /* who opened it */
	bool counts; /* it is open in the generation that this mount writes, or in plain data; under the checkpoint's lock */
};
/* Between gate_enter(GATE_CREATE) that said GATE_WRITER or GATE_PLAIN and its gate_change_done(). Takes a reference on the checkpoint. */
/* `maps`: it is open for reading, too, without which nobody can map it for writing. */
void gate_write_opened(struct gate *gate, struct gate_checkpoint *checkpoint, pid_t tid, bool maps, struct gate_write_handle *handle);
/* After something was opened or made by its name at the checkpoint's own path, and before a byte is written to it: does this mount still write the generation that it
 * was admitted to? If not (-ESTALE), what was opened may be the next one's: the request may have reached the server long after it was admitted. */
int gate_confirm_writer(struct gate *gate, struct gate_checkpoint *checkpoint);
/* Harmless on a handle that was never opened (zero). */
void gate_write_closed(struct gate *gate, struct gate_write_handle *handle);
/* What was written through the handle could not be stored, which came out at a flush, an fsync or a close: whatever is found in the file later, it is not what
 * was written, and the generation can not be sealed. `path` is below the checkpoint; `error` is -errno. */
void gate_write_failed(struct gate *gate, struct gate_write_handle *handle, const char *path, int error);
/* The checkpoint was renamed as a whole, or exchanged with the other one: what is open for writing in it goes along. */
void gate_renamed(struct gate *gate, struct gate_checkpoint *from, struct gate_checkpoint *to, bool exchange);

/* What of the checkpoint's path is in the export now: the inode of its content, so that one of an older generation is recognised. 0: not known. */
void gate_set_content(struct gate_checkpoint *checkpoint, uint64_t device, uint64_t inode);
/* 1: it is that inode, 0: another one, -1: not known. It may become unknown at any time, when another thread reads the state anew. */
int gate_content_is(struct gate_checkpoint *checkpoint, uint64_t device, uint64_t inode);
/* The trial that writes has renamed or removed all of it: with nothing there at its end, that is no failure. Any change afterwards takes it back. */
void gate_vacated(struct gate_checkpoint *checkpoint);

/*
 * Content check (verify.c). `index` is the manifest entry; `fd` is open on the file, `attributes` fresh; files are read ahead with the caller's ids. 0: it is what was sealed; -EBADMSG: it is not (logged); 1: it is
 * being read, the waiter is resumed with 0 (ask again) or an error. -EAGAIN without a waiter. The descriptor stays the caller's.
 */
int gate_verify(struct gate *gate, struct gate_sealed *sealed, size_t index, int fd, const struct stat *attributes, const struct gate_caller *caller,
		struct waiter *waiter, bool (*interrupted)(const void *key));

/* The same of a file whose whole content was just read into memory; nothing is remembered. 0, -EBADMSG (logged), or -ESTALE: it is not sealed so any more. */
int gate_check_content(struct gate *gate, const struct gate_sealed *sealed, size_t index, const void *data, size_t size);

/*
 * With GATE_VERIFY_READ, to check each block of an open file as it is read (tree.h; the caller's, to be freed before `sealed` is put). -EAGAIN: there is no good tree of it, so it must be
 * verified as a whole first (gate_verify), which makes one. -EBADMSG: its size is not what was sealed.
 */
int gate_reader(struct gate *gate, struct gate_sealed *sealed, size_t index, const struct stat *attributes, struct tree_reader **out);
/* What a reader found is said in the log. Returns -EBADMSG, or -ESTALE when the checkpoint is not sealed so any more. */
int gate_read_fault(struct gate *gate, const struct gate_sealed *sealed, size_t index, uint64_t block, enum tree_fault fault);

/* The caller opened something sealed: what his trial seals one day has that as a parent. Cheap; at most one look at the process a second. */
void gate_opened_sealed(struct gate *gate, struct gate_sealed *sealed, const struct gate_caller *caller);

/* Interrupts the waiter with this key; harmless when there is none. */
void gate_interrupt(struct gate *gate, const void *key);

/* ---- ends by hand (control) ---- */

/* How the last attempt to end a checkpoint on this mount went. */
struct gate_outcome {
	int result; /* 0 sealed; -EOWNERDEAD abandoned; other -errno: could not be sealed and is still open */
	unsigned int generation;
	struct digest root;
	uint64_t files, bytes;
	double seconds;
	bool vacated;	   /* nothing was left of it, by its own trial's doing */
	char message[512]; /* for people, when result is not 0 */
};

/* Starts to seal; plain data are claimed once nobody has them open for writing, and are plain again if it comes to nothing. 0: started (wait with gate_wait_end), -errno with *why filled. */
int gate_seal(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, char *why, size_t why_size);
/* Links the waiter until no end is under way on this mount: 0 linked; 1: nothing is under way, *outcome is filled. */
int gate_wait_end(struct gate *gate, struct gate_checkpoint *checkpoint, struct waiter *waiter, bool (*interrupted)(const void *key),
		  struct gate_outcome *outcome);
int gate_abandon(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *reason, char *why,
		 size_t why_size);
/* `trial` NULL or "": the caller's. `hold` (may be NULL) gets a reference on the trial. */
int gate_claim(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, struct gate_view *view);
int gate_reserve(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *writer,
		 unsigned int *generation);
int gate_remove(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller);

/* A wrapper's sign of life; the caller is the wrapper. */
int gate_run_begin(struct gate *gate, const struct gate_caller *caller, const char *trial, struct trial **out);
/* reason NULL: the command ended well. The checkpoints that the trial had open on this mount (references, NULL-terminated, allocated) begin to end. */
int gate_run_end(struct gate *gate, struct trial *trial, const char *reason, struct gate_checkpoint ***ending);

/* For status. */
struct gate_status {
	struct state state; /* state_free() */
	bool sealing;
	char awaited_host[100];		  /* sealing: where the trial has not ended yet, so that it is waited for; "" */
	uint64_t bytes_done, bytes_total; /* sealing: how far it is; total 0: not known yet */
	bool ours;	    /* this mount holds the lease */
	char error[512];    /* why the last end failed, or what is damaged */
};
int gate_status(struct gate *gate, struct gate_checkpoint *checkpoint, struct gate_status *out);
void gate_each_waiter(struct gate *gate, struct gate_checkpoint *checkpoint,
		      void (*each)(void *arg, const struct waiter *waiter, const char *trial), void *arg);
void gate_each_write_handle(struct gate *gate, struct gate_checkpoint *checkpoint,
			    void (*each)(void *arg, const struct gate_write_handle *handle), void *arg);
/* What this mount has done since it began. */
struct gate_stats {
	char hints[64]; /* where it listens for hints, "" when nobody is told */
	unsigned int subscribers; /* of other mounts */
	unsigned int waiters;	  /* processes that wait now */
	unsigned int hinted;	  /* checkpoints that they wait for and whose end will be told */
	uint64_t waits, polls, looks, judgements, hints_sent, hints_received, hints_dropped;
};
void gate_stats(struct gate *gate, struct gate_stats *out);

/* Every checkpoint that this mount knows of; called without locks on a snapshot. */
void gate_each_checkpoint(struct gate *gate, void (*each)(void *arg, struct gate_checkpoint *checkpoint), void *arg);

#endif
