/* internal - what the gate's own files share */
#ifndef SEALFS_GATE_INTERNAL_H
#define SEALFS_GATE_INTERNAL_H

#include <pthread.h>
#include <uthash.h>

#include "sealfs/bucket.h"
#include "sealfs/gate.h"
#include "sealfs/hint.h"
#include "sealfs/identity.h"
#include "sealfs/lease.h"
#include "sealfs/pool.h"
#include "sealfs/state_watch.h"

enum ending {
	ENDING_NONE,
	ENDING_CLOSING, /* is to be sealed once the last file that is open for writing is closed */
	ENDING_SEALING,
	ENDING_ABANDONING,
};

/* What is asked of the mount that can tell when the awaited stage is over (follow.c). Guarded by the lock of gate->hints. */
struct gate_follow {
	UT_hash_handle hh; /* by the question's nonce */
	struct gate_follow *prev, *next;
	bool on;	 /* then it has a reference of the checkpoint */
	bool proven;	 /* its last question was answered: the end will be told */
	bool challenged; /* since the last question in its turn */
	bool nudged;	 /* a datagram said "look" */
	struct hint_place to;
	struct hint asked;
	unsigned int unanswered;
	uint64_t due_ns;
	struct bucket looks;
};

struct gate_checkpoint {
	UT_hash_handle hh;   /* gate->lock */
	atomic_uint refs;
	struct gate *gate;
	char *path;
	struct wait_point readers; /* waiters' lock */
	struct wait_point enders;  /* waiters' lock: those who wait for an end under way */
	_Atomic uint64_t content_device, content_inode;

	pthread_mutex_t lock; /* guards all below */
	struct state state;
	bool state_known;
	uint64_t looked_ns; /* when `state` was read (CLOCK_MONOTONIC) */
	uint64_t refused_ns; /* when it was last told that a change of what is sealed was refused, 0: never */
	/* poll.c: what the state folder looked like */
	struct state_watch seen;
	uint64_t judged_ns; /* when its writer was last judged, by a poll */
	struct gate_sealed *sealed;
	char *damage;	    /* why the seal does not hold */
	struct lease lease; /* held while this mount writes; generation `own` */
	unsigned int own;
	char own_claim[STORE_TOKEN_SIZE]; /* whose token is that of its claim: when it was removed, numbers are counted from 1 again */
	bool claimer;	    /* this mount made the claim: it seals; others that joined only leave */
	struct record join; /* of one that joined */
	unsigned int blind_told; /* the generation of which it was said that nobody here can tell whether its writer lives */
	bool lost;	    /* its end could not be written; answered as failed here */
	char *unrecorded;   /* why it ended, when its end is still to be recorded: then it has a reference of its own; NULL */
	uint64_t unrecorded_ns;			/* … and when, as end_uptime_ns */
	uint64_t record_due_ns, record_wait_ns; /* when that is tried again */
	struct trial *trial;
	struct gate_write_handle *handles;
	unsigned int changes;	    /* admitted, not yet made */
	int write_error;	    /* what was written in this generation was lost: -errno, and where (below the checkpoint) */
	char *write_error_path;
	bool vacated;		    /* its trial renamed or removed all of it */
	bool end_running;	    /* the end's job is at work (it lets go of the lock while it hashes) */
	bool wait_lease;	    /* SEALING, but other mounts, or mappings of files, have not let go yet, or leaving did not succeed yet: the end's job is to run again */
	unsigned int end_tries;	    /* how often it did */
	char awaited_host[100];	    /* … on which its trial has not ended yet; "" */
	bool may_be_mapped;	    /* something of it was open to read and write: all processes must be looked at before it is sealed */
	pid_t open_told;	    /* who still has a file open at the trial's end, as was told; 0: nobody */
	unsigned int opened;	    /* how often files of it were opened to read and write, or came with a rename */
	pid_t mapped_by;	    /* who has a file mapped for writing, as far as was told or is waited for; 0: nobody; -errno: it could not be told */
	enum ending ending;
	bool by_hand;	    /* the end was asked for by hand: give up when it can not be had soon */
	char *end_reason;   /* ABANDONING: why */
	struct {
		char *trial; /* NULL: nobody */
		struct gate_caller caller;
	} sealer; /* of plain data, which are claimed for him once nobody writes to them */
	uint64_t end_uptime_ns;	    /* trials that began before may have survivors; 0: there are none */
	struct gate_outcome outcome;
	atomic_uint_least64_t bytes_done, bytes_total; /* of a sealing under way; no lock */
	struct gate_checkpoint *mine_prev, *mine_next; /* gate->lock: those with a lease */
	bool is_mine;

	/* gate->lock: attention of the loop */
	struct gate_checkpoint *timed_prev, *timed_next;
	bool is_timed, poll_running;
	uint64_t attention_ns, interval_ns;
	int watch; /* inotify, -1 */
	struct pool_job end_job, poll_job;

	struct gate_follow follow;
};

/* How often things happened since the mount began. */
struct gate_counters {
	atomic_uint_least64_t waits, polls, looks, judgements, hints_sent, hints_received, hints_dropped;
};

struct gate_parents;
struct gate_peers;
struct gate_beats;
struct gate_lost;
struct gate_hints;
struct gate_waits;
struct gate {
	struct gate_options options;
	char token[STORE_TOKEN_SIZE]; /* this mount's name in records */
	struct gate_counters stats;
	struct gate_beats *beats;
	struct waiters *waiters;
	struct trials *trials;
	struct gate_parents *parents;
	struct gate_peers *peers;
	struct gate_hints *hints;
	struct gate_waits *waits;
	struct pool *pool;
	pthread_mutex_t lock;
	struct gate_checkpoint *by_path; /* lock */
	struct gate_checkpoint *mine;	 /* lock */
	struct gate_checkpoint *timed;	 /* lock */
	struct gate_lost *lost;		 /* lock */
	uint64_t began_ns;		 /* CLOCK_BOOTTIME */
	bool stopping;			 /* lock */
	_Atomic uint64_t trust_looked_ns;
	atomic_bool cancel;		 /* the file system goes away: what takes long ends */
	int inotify, event;
	pthread_t thread;
	bool started;
};

#define AGAIN 1 /* the state changed under our hands: decide anew */

/* ---- checkpoint.c: without locks ---- */
/* A reference to every checkpoint, or to those with a lease (`mine`); NULL-terminated, allocated; NULL when memory is out. */
struct gate_checkpoint **gate_snapshot_(struct gate *gate, bool mine);

/* ---- refresh.c: under checkpoint->lock ---- */
int gate_refresh_(struct gate_checkpoint *checkpoint, bool even_if_sealed);
/* Reads the state anew, whatever is known. */
int gate_reread_(struct gate_checkpoint *checkpoint);
/* Is this the generation that this mount writes, or wrote last? */
bool gate_is_own_(const struct gate_checkpoint *checkpoint, const struct state *state);
/* An open generation that is not this mount's: if its writer is gone, it is ended and the state is read anew. */
void gate_judge_(struct gate_checkpoint *checkpoint);
/* The end of this mount's generation could not be recorded: it is tried again, until it is or the mount ends. */
void gate_record_later_(struct gate_checkpoint *checkpoint, const char *reason);
/* The export answered a claim with an error, so it may have been made all the same: then it is ended, likewise. */
void gate_claim_untold_(struct gate_checkpoint *checkpoint);
/* In the poll: if it is time for that. */
void gate_record_again_(struct gate_checkpoint *checkpoint);
void gate_record_no_more_(struct gate_checkpoint *checkpoint);
/* What readers that wait for generation `of` are to be told now; 1: go on waiting. */
int gate_verdict_(struct gate_checkpoint *checkpoint, unsigned int of);

/* ---- claim.c: under checkpoint->lock ---- */
/* Makes this mount the holder of a new generation. With `watch` the caller's process is watched as a writer. `plain`: the data that are there are only to be sealed,
 * and are plain again if it comes to nothing. */
int gate_claim_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, bool watch, bool plain);
/* A reservation, claim or join says which mount made it, where that can be asked, and by what others see that it lives. -ENOMEM. */
int gate_sign_record_(const struct gate *gate, struct record *record);
void gate_let_go_(struct gate_checkpoint *checkpoint);
/* Puts it on the list of those with a lease, which has a reference, or takes it off. */
void gate_set_mine_(struct gate_checkpoint *checkpoint, bool mine);
/* The trial of the checkpoint's writers; with `watch` the caller's process is watched as one. -EBUSY: its run before this one is still ending. */
int gate_watch_caller_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial, bool watch);

/* ---- survivor.c: under checkpoint->lock ---- */
/* Had the root of this process's trial begun before the generation failed that is the newest? */
bool gate_is_survivor_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial);
/* A trial that wrote into a generation that failed has lost half of its content: it must not open or join the next one and have the rest sealed. -EOWNERDEAD, logged. */
int gate_refuse_survivor_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial);
/* The generation that this mount writes has ended without its doing. */
void gate_note_lost_(struct gate_checkpoint *checkpoint);
/* The trial has ended (NULL: all have). Without locks. */
void gate_forget_lost_(struct gate *gate, const struct trial *trial);
/* What the trial has lost so: references into `list` (NULL: only counted). Under gate->lock. */
size_t gate_list_lost_(struct gate *gate, const struct trial *trial, struct gate_checkpoint **list);

/* ---- joined.c: under checkpoint->lock ---- */
/* Another mount of the same trial writes: this one does now, too. 0, AGAIN, -errno. */
int gate_join_(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *trial);
/* The trial is done on this mount, which had joined: it has nothing to decide when all went well. */
void gate_leave_(struct gate_checkpoint *checkpoint);
/* May the claimer seal: have all other mounts let go? False: they still write, and it is asked again later; or it has ended without. */
bool gate_take_exclusively_(struct gate_checkpoint *checkpoint);
/* The end's job runs once more in a moment. */
void gate_end_later_(struct gate_checkpoint *checkpoint);

/* ---- beats.c ---- */
struct gate_beats *gate_beats_create_(struct gate *gate);
void gate_beats_destroy_(struct gate_beats *beats);
/* Before anything is claimed: from here this mount gives heartbeats while it writes. 0 or -errno. */
int gate_beats_begin_(struct gate *gate);
/* The lease of what this mount writes had lapsed, and was taken anew. */
void gate_tell_lease_lost_(const struct gate_checkpoint *checkpoint);
void gate_beats_stop_(struct gate_beats *beats);
/* Has the export not answered to the last heartbeat for a while? */
bool gate_beats_stuck_(const struct gate_beats *beats);
/* Is the mount dead that made this claim? 1; 0: it lives, or that is not known yet; -errno: it can not be told. Under checkpoint->lock. */
int gate_is_dead_(struct gate_checkpoint *checkpoint, const struct record *claim);
/* The same by its heartbeats alone. */
int gate_is_silent_(struct gate *gate, const struct record *who);

/* ---- sealed.c: under checkpoint->lock ---- */
int gate_load_seal_(struct gate_checkpoint *checkpoint);

/* ---- end.c: under checkpoint->lock, but the job ---- */
/* Begins to end an open checkpoint of this mount. */
void gate_begin_end_(struct gate_checkpoint *checkpoint, const char *failure, bool by_hand);
/* Has the end's job run; the job has a reference of its own. */
void gate_submit_end_(struct gate_checkpoint *checkpoint);
void gate_end_job_(struct pool_job *job);
/* The generation that this mount writes has an end already: its state is read anew, and the lease dropped. */
void gate_decided_elsewhere_(struct gate_checkpoint *checkpoint);
/* An end that has not begun its work, and has nothing to hash, is made on the spot: true if it was. For a trial whose next command comes at once. */
bool gate_end_now_(struct gate_checkpoint *checkpoint);
void gate_attention_end_(struct gate_checkpoint *checkpoint);
/* Nobody seals plain data (any more). */
void gate_drop_sealer_(struct gate_checkpoint *checkpoint);
/* How the end went, for who waits for it and for status. */
void gate_set_outcome_(struct gate_checkpoint *checkpoint, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Links "failed"; it happened `when` (gate_uptime_ns_()). */
int gate_link_failed_(struct gate_checkpoint *checkpoint, unsigned int generation, const char *reason, uint64_t when);
/* The generation that this mount writes has failed; the lease is dropped. */
void gate_abandon_(struct gate_checkpoint *checkpoint, const char *reason);
/* CLOCK_BOOTTIME, as records have it. */
uint64_t gate_uptime_ns_(void);

/* ---- sealing.c: under checkpoint->lock ---- */
/* Is there anything that a seal would hold? */
bool gate_has_content_(struct gate_checkpoint *checkpoint);
/* Under the lock on entry and exit, not in between: hashing takes long. */
void gate_seal_(struct gate_checkpoint *checkpoint);

/* ---- writing.c: under checkpoint->lock ---- */
/* What is open for writing counts no more. */
void gate_forget_handles_(struct gate_checkpoint *checkpoint);
/* Why a generation of which something written was lost (write_error) has failed. */
void gate_tell_write_error_(const struct gate_checkpoint *checkpoint, char *reason, size_t size);
/* The last thing that a seal waited for may be gone. */
void gate_check_closed_(struct gate_checkpoint *checkpoint);
/* The lock is let go of meanwhile: who has a file mapped so that he can still write it? 0: nobody; -errno: it can not be told. */
pid_t gate_mapped_by_(struct gate_checkpoint *checkpoint, pid_t only);

/* ---- run.c ---- */
void gate_trial_ended_(void *arg, struct trial *trial, const char *failure);

/* ---- watch.c ---- */
void *gate_loop_(void *arg);
void gate_kick_(void *arg);
/* The loop looks at the checkpoint in `delay_ns`, or sooner if that was said before. */
void gate_attend_(struct gate_checkpoint *checkpoint, uint64_t delay_ns);
/* The same under gate->lock, and without a kick of the loop. */
void gate_attend_locked_(struct gate_checkpoint *checkpoint, uint64_t delay_ns);
/* Tells readers and enders what came of it. Without locks. */
void gate_tell_(struct gate_checkpoint *checkpoint);

/* ---- poll.c ---- */
void gate_poll_job_(struct pool_job *job);

/* ---- hints.c, follow.c: hints to and from other mounts ---- */
/* `remote`: the export `export` is on another machine. NULL when memory is out; without a socket it serves nobody. */
struct gate_hints *gate_hints_create_(const struct hints_option *option, int export, bool remote);
void gate_hints_destroy_(struct gate_hints *hints);
/* Once the loop has ended: what is still to be told is sent, once. */
void gate_hints_stop_(struct gate *gate);
/* What records are to say; NULL: nothing. */
const char *gate_hints_place_(const struct gate_hints *hints);
unsigned int gate_hints_subscribers_(const struct gate_hints *hints);
/* In the loop: sends what is due. When there is more to do, 0: nothing known; *fd is to be polled, or -1. */
uint64_t gate_hints_work_(struct gate *gate, uint64_t now, int *fd);
void gate_hints_dispatch_(struct gate *gate);
/* A record that names this mount was made, or what it began is over. Any lock but gate->lock may be held. */
void gate_hints_announce_(struct gate_checkpoint *checkpoint, unsigned int generation, enum hint_stage stage);
void gate_hints_over_(struct gate_checkpoint *checkpoint, unsigned int generation, enum hint_stage stage);
/* This mount has ended what that record began: whoever made it is told, so that he tells those who subscribed. */
void gate_hints_ended_(struct gate_checkpoint *checkpoint, const struct record *record);
/* Under checkpoint->lock: the mount that the state's record names is asked to tell of the end, if it can be. */
void gate_hints_follow_(struct gate_checkpoint *checkpoint);
/* Nobody waits any more. The caller has a reference of his own. */
void gate_hints_leave_(struct gate_checkpoint *checkpoint);
/* Is it known that the end will be told? */
bool gate_hints_proven_(struct gate_checkpoint *checkpoint);
/* Did a datagram ask for this look? Asked once. */
bool gate_hints_nudged_(struct gate_checkpoint *checkpoint);

/* ---- publish.c: what waits here, for other mounts to see ---- */
struct gate_waits *gate_waits_create_(struct gate *gate);
/* After the pool has ended: takes back what was published. */
void gate_waits_destroy_(struct gate_waits *waits);
/* In the loop: has published what is due. When the next is; 0: nothing. */
uint64_t gate_waits_work_(struct gate *gate, uint64_t now);

/* ---- signed.c ---- */
/* Under the checkpoint's lock, of one whose seal is loaded: 0, or -EKEYREJECTED (logged when it was found). */
int gate_check_signature_(struct gate_checkpoint *checkpoint);

/* ---- parents.c ---- */
/* `variables` stays the caller's. NULL when memory is out. */
struct gate_parents *gate_parents_create_(char *const *variables);
void gate_parents_destroy_(struct gate_parents *parents);
/* What the trial opened, sorted by path; to be freed by gate_parents_free_(), also after an error. 0 or -ENOMEM. */
int gate_parents_of_(struct gate_parents *parents, const char *trial, struct seal_parent **out, size_t *count);
void gate_parents_free_(struct seal_parent *list, size_t count);
void gate_parents_sort_(struct seal_parent *list, size_t count);

/* ---- peers.c ---- */
/* `export` is the export's root. NULL when memory is out; without a socket it knows nobody. */
struct gate_peers *gate_peers_create_(int export);
void gate_peers_destroy_(struct gate_peers *peers);
/* Readable when gate_peers_dispatch_() has something to do; or -1. */
int gate_peers_fd_(const struct gate_peers *peers);
void gate_peers_dispatch_(struct gate *gate);
/* Adds to the list (allocated) what the trial opened through other mounts of this machine; `uid` is the user who seals. Waits a moment for their answers. 0 or -ENOMEM. */
int gate_peers_add_parents_(struct gate *gate, const char *path, const char *trial, uid_t uid, struct seal_parent **parents, size_t *count);

/* ---- prefetch.c: without locks ---- */
/* File `index` was opened and is being verified: the others follow, once a checkpoint. With PREFETCH_ALL it was awaited, and all of them are verified. */
#define PREFETCH_ALL SIZE_MAX
void gate_prefetch_(struct gate *gate, struct gate_sealed *sealed, size_t index, const struct gate_caller *caller);

/* ---- verify.c ---- */
int gate_checks_init_(struct gate_sealed *sealed);
void gate_checks_free_(struct gate_sealed *sealed);

#endif
