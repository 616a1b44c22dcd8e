/*
 * seal - to seal a checkpoint, and to check one
 *
 * <seal folder>/manifest (manifest.h) and <seal folder>/seal, a text of record_lines (record.h):
 *
 *     sealfs seal 1
 *     checkpoint: run1/t4
 *     generation: 1
 *     trial: t4
 *     host: node7
 *     time: 2026-11-24T04:21:40.123456789Z
 *     root: sha256:<64 hex>
 *     files: 12
 *     bytes: 73400320
 *     parent: sha256:<64 hex> run1/t3            any number
 *     sha256: <64 hex>
 */
#ifndef SEALFS_SEAL_H
#define SEALFS_SEAL_H

#include "sealfs/config.h"
#include "sealfs/digest.h"
#include "sealfs/key.h"
#include "sealfs/manifest.h"
#include "sealfs/state.h"

#define SEAL_SIZE_LIMIT (16u << 20) /* bytes; a larger seal file is refused */

struct seal_parent {
	char *path;
	struct digest root;
};

/* A seal file, parsed. */
struct seal {
	char *checkpoint;
	unsigned int generation;
	char *trial, *host;
	int64_t time_ns; /* CLOCK_REALTIME */
	struct digest root;
	uint64_t files, bytes;
	struct seal_parent *parents;
	size_t parent_count;
	struct digest digest; /* the SHA-256 of the text; filled in by seal_parse() */
};
void seal_free(struct seal *seal);
int seal_format(const struct seal *seal, char **text, size_t *size);
int seal_parse(const char *text, size_t size, struct seal *out, const char **why);

/* What a sealing is asked and what it found. */
struct seal_job {
	const char *path;	 /* the checkpoint */
	unsigned int generation; /* must be open (or pending is -EINVAL) */
	const char *claim;	 /* the token of its claim; NULL: whichever it is. After a removal generations are counted from 1 again */
	const char *trial;	 /* who seals */
	int64_t pid;
	uid_t uid;
	gid_t gid;
	char *const *live;	 /* globs, or NULL */
	unsigned int threads;	 /* for hashing; 0: one */
	const struct seal_parent *parents;
	size_t parent_count;
	const struct signing_key *key; /* signs the seal (signature.h); NULL: nobody does */
	void (*warn)(void *arg, const char *path, const char *why);
	void *arg;
	struct digest_progress progress;
	atomic_uint_least64_t *bytes_total; /* set once the scan is done; or NULL */
	/* out */
	struct digest root;
	uint64_t files, bytes;
	char *error_path;	 /* on failure: the object that failed, relative to the export, or NULL; freed by the caller */
};

/*
 * Seals an open checkpoint whose writing has stopped. The caller holds the lease exclusively and keeps it. Order: scan; fsync every file, hash it, see that its
 * size and mtime did not move meanwhile (-EAGAIN); write the manifest, the seal file and its signature, fsync them and their folder;
 * fsync every directory of the checkpoint and its parent; link N.end. A crash anywhere leaves the checkpoint open or sealed.
 * -ENODATA when there is nothing at the checkpoint's path. -EEXIST when the generation has ended otherwise, or is another claim's.
 * On any other error nothing is sealed; the caller decides whether the checkpoint is abandoned. Blocks for as long as reading everything takes.
 */
int seal_checkpoint(const struct store *store, struct seal_job *job);

/* fsyncs every file that a seal of the checkpoint would hold, so that whoever seals it on another machine finds what was written on this one. 0 also when
 * there is nothing at its path; else *error_path (allocated, or NULL) is the file below it that failed. */
int seal_sync(const struct store *store, const char *path, char *const *live, char **error_path);

/*
 * Loads the manifest of a sealed checkpoint and checks it against the record (or, for a copy that travelled, against the seal file beside it): manifest's
 * SHA-256 = root; seal file's SHA-256 = the record's; both parse. -EBADMSG with *why allocated (free it) otherwise. `seal` may be NULL.
 */
int seal_load(const struct store *store, const char *path, const struct state *state, struct manifest *manifest, struct seal *seal,
	      char **why);

/* Opens the file of Merkle trees beside the seal (tree.h) for reading. A descriptor; -ENOENT when there is none. */
int seal_open_tree(const struct store *store, const char *path, const struct state *state);

/* The root digest that the state stands for: the record's, or for a copy that of its seal file. */
int seal_root(const struct store *store, const char *path, const struct state *state, struct digest *root);

/* Where and how content contradicts a manifest. */
struct seal_fault {
	const char *path; /* relative to the checkpoint */
	const char *why;  /* "content differs", "size differs", "missing", "not in the manifest", "type differs", "mode differs", "target differs",
			   * or "can not be read": then `error` says why not */
	bool blocks_known; /* the content differs, and a tree (tree.h) told where: */
	uint64_t first_block, last_block; /* the first and last 4096-byte block that differ; else 0, 0 */
	int error;	   /* errno, or 0 */
};

/*
 * Checks everything of the checkpoint at `dirfd`/`name` against `manifest`: presence, type, size, executable bit, target, content; and that there is nothing
 * else (except live and hidden names). Calls `fault` from the caller's thread for each contradiction, sorted by path, when all has been looked at.
 * `threads` are at work at once, on as many small files or on one large one; memory is bounded as in digest_file(), besides some 80 bytes an entry.
 * Returns the number of faults, or -errno: -ECANCELED; what a file that can not be read gave (all others are checked and reported nevertheless).
 */
int seal_verify(const struct store *store, int dirfd, const char *name, const struct manifest *manifest, char *const *live, unsigned int threads,
		const struct digest_progress *progress, void (*fault)(void *arg, const struct seal_fault *fault), void *arg);

/* The same without content: no file is opened. */
int seal_verify_quick(const struct store *store, int dirfd, const char *name, const struct manifest *manifest, char *const *live,
		      void (*fault)(void *arg, const struct seal_fault *fault), void *arg);

#endif
