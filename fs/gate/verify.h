/* verify - what is known of the files of a sealed checkpoint: shared by verify.c and prefetch.c */
#ifndef SEALFS_GATE_VERIFY_H
#define SEALFS_GATE_VERIFY_H

#include "internal.h"

enum gate_check_state { GATE_CHECK_UNKNOWN, GATE_CHECK_RUNNING, GATE_CHECK_GOOD, GATE_CHECK_BAD };

/* What a file looked like when it was read. */
struct gate_stamp {
	uint64_t device, inode, size;
	struct timespec mtime, ctime;
};

struct gate_check {
	struct wait_point point;
	enum gate_check_state state;
	struct gate_stamp stamp;
	uint64_t tree_base; /* where its hashes begin in the tree file of the seal */
	unsigned int restless; /* how often in a row it changed while it was read */
	int tree; /* a Merkle tree of our own, in memory; 0: none */
};

struct gate_file_check {
	pthread_mutex_t lock; /* guards all but bytes_read */
	atomic_uint_least64_t bytes_read;
	bool prefetched;
	struct gate_check checks[];
};

struct gate_stamp gate_stamp_(const struct stat *attributes);
bool gate_same_stamp_(const struct gate_stamp *a, const struct gate_stamp *b);

/* Under the checks' lock: the work of hashing the open file, to be run or submitted by the caller; its askers wait for that. NULL when memory or descriptors
 * are out. */
struct pool_job *gate_verification_(struct gate *gate, struct gate_sealed *sealed, size_t index, int fd, const struct gate_stamp *stamp);

#endif
