/*
 * node - what the kernel knows by number
 *
 * A real node stands for one inode of the export, found by (device, inode) and by its names; a promise stands for a name that is not
 * known to exist yet. A file with several hard links has a node in each checkpoint that it is linked into, and for each of its names in a sealed one: the kernel
 * opens nodes, not names, and what is opened must be judged by its own name's seal. A node is named to the kernel by its address. One lock (nodes->lock) guards names, tables and counts.
 *
 * Directories hold an O_PATH descriptor of theirs; files hold none (over NFS that would turn unlink into .nfs leftovers).
 */
#ifndef SEALFS_NODE_H
#define SEALFS_NODE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <uthash.h>

#include "sealfs/gate.h"

/* Bytes of a path inside a checkpoint: programs that go down step by step get deeper than PATH_MAX. */
#define NODE_PATH_MAX 32768

struct node;
struct nodes;

struct node_name; /* private */

/* How the kernel reads and writes the inode, the same for all that have it open. */
enum node_io { NODE_IO_CLOSED, NODE_IO_PASSTHROUGH, NODE_IO_DAEMON };

struct node_key {
	uint64_t device, inode;
	const void *scope; /* files in a checkpoint: its top directory's node; one-file checkpoints: the checkpoint; else NULL */
	uint64_t entry;	   /* files in a sealed checkpoint: their place in the manifest, from 1; else 0 */
};

struct node {
	UT_hash_handle hh;
	struct node_key key;
	bool promise;
	bool hashed;
	mode_t type;	     /* S_IFMT bits */
	atomic_uint depth;   /* components below the root when it was made; exact down to the checkpoints */
	uint64_t generation; /* tells nodes apart that were given the same address */
	struct timespec born;
	struct node_name *names;       /* real nodes */
	struct node *promise_parent;   /* promises */
	char *promise_name;
	struct gate_checkpoint *checkpoint; /* nodes at checkpoint depth only; nodes->lock */
	struct node *all_prev, *all_next; /* of nodes->all */
	uint64_t lookups;	       /* the kernel's references */
	unsigned int refs;	       /* ours */
	int directory;		       /* O_PATH descriptor or -1 */
	/* guarded by nodes->io_lock */
	enum node_io io;
	unsigned int io_count;
	int32_t backing_id;
	struct timespec cached_of; /* change time of the sealed file or directory whose content the kernel may have kept */
	uint64_t cached_ns;	   /* directories: when that time was first seen (CLOCK_MONOTONIC) */
	uint64_t complete;	   /* … and the beginning of the root digest of the seal whose names were all found since then; or 0 */
	struct handle *handles; /* open files, for what has no name any more; guarded by nodes->lock */
};

struct nodes {
	pthread_mutex_t lock;
	pthread_mutex_t io_lock;
	struct node *by_inode;
	struct node_name *by_name;
	struct node *root;
	struct node *all; /* every node there is */
	uint64_t next_generation;
	atomic_ulong count, freed; /* nodes there are, and freed since memory was given back to the system */
	unsigned int depth; /* of checkpoints */
	int descriptors;    /* directories get lower numbers only: what is above is for open files, seals and questions */
	struct gate *gate;
};

/* Where a node's name is: directory node (a reference) and name. */
struct place {
	struct nodes *nodes;
	struct node *parent;
	int directory; /* its descriptor */
	char name[NAME_MAX + 1];
};

/* `root` is an O_PATH descriptor of the export; it stays the caller's. 0 or -errno. */
int nodes_init(struct nodes *nodes, struct gate *gate, int root, unsigned int depth);
/* Frees every node, whoever still refers to it: the session is over, and the kernel forgets nothing one by one. */
void nodes_destroy(struct nodes *nodes);

/* Attributes of `name` in the directory `fd`, not following symlinks ("" for itself); born is 0 where the file system has no birth times. */
int node_attributes(int fd, const char *name, struct stat *out, struct timespec *born);

/* The node for what stands at parent/name, with one more kernel reference. Directories get their descriptor. `entry` is as in the key. 0 or -errno. */
int node_look_up(struct nodes *nodes, struct node *parent, const char *name, const struct stat *attributes, const struct timespec *born,
		 uint64_t entry, struct node **out);
/* A promise for parent/name, with one kernel reference: S_IFDIR for a name that may come to be, S_IFREG for one that a failed generation never made. */
int node_promise(struct nodes *nodes, struct node *parent, const char *name, mode_t type, struct node **out);
void node_forget(struct nodes *nodes, struct node *node, uint64_t count);

struct node *node_ref(struct nodes *nodes, struct node *node);
/* The checkpoint whose own node it is, as a reference; or NULL. */
struct gate_checkpoint *node_checkpoint(struct nodes *nodes, struct node *node);
void node_put(struct nodes *nodes, struct node *node);

/* The place of a node's first name. -ESTALE when it has none (any more); the root has none. */
int node_place(struct nodes *nodes, struct node *node, struct place *place);
void place_put(struct place *place);

/* What happened on the export through us. */
void node_unlinked(struct nodes *nodes, struct node *parent, const char *name);
void node_renamed(struct nodes *nodes, struct node *old_parent, const char *old_name, struct node *new_parent, const char *new_name, bool exchange);

/* The checkpoint that the node belongs to, as a reference, its top node (no reference; valid as long as `node` has its name), and the path below it
 * ("" for itself). NULL above checkpoints. -1 as `error` when it has no name any more. */
struct node_home {
	struct gate_checkpoint *checkpoint; /* NULL: above checkpoints */
	struct node_key top;		    /* the inode at the checkpoint's path through which the node was reached */
	bool orphan;			    /* it has no name any more */
	bool ambiguous;			    /* a file that was looked up before its checkpoint was sealed, if ever, and by more than one name: `path` is one of them */
	char path[NODE_PATH_MAX];	    /* below the checkpoint */
};
void node_home(struct nodes *nodes, struct node *node, struct node_home *home);
void node_home_put(struct node_home *home);

/* The path below the export's root of parent/name (name "" for the parent itself), in a buffer of PATH_MAX. -ENAMETOOLONG, -ESTALE. */
int node_path(struct nodes *nodes, struct node *parent, const char *name, char path[PATH_MAX]);

/* The checkpoint's files that the kernel knows: references, NULL-terminated, allocated; NULL when memory is out. */
struct node **nodes_of(struct nodes *nodes, const struct gate_checkpoint *checkpoint);
/* Has the checkpoint a file with this inode number? */
bool node_is_in(struct nodes *nodes, uint64_t inode, const struct gate_checkpoint *checkpoint);

/* The node at `path`, if the kernel knows it: a reference; or NULL. */
struct node *node_find_path(struct nodes *nodes, const char *path);

/* Opens the directory's descriptor anew by its name, for one that has become stale. */
int node_reopen(struct nodes *nodes, struct node *node);

#endif
