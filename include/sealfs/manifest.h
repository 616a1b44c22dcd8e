/*
 * manifest - the list of everything in a sealed checkpoint
 *
 * Text, one line an entry, sorted by the bytes of the path, which is relative to the checkpoint and escaped (escape.h);
 * two blanks between the columns:
 *
 *     sealfs manifest 1
 *     sha256:<64 hex>  <size>  <path>          a regular file; the digest is that of digest.h
 *     sha256:<64 hex>:x  <size>  <path>        a regular file that its owner may execute
 *     dir  0  <path>
 *     symlink  <length of target>  <path> -> <target>
 *
 * A checkpoint of one file has one line with the path ".". The SHA-256 of the whole text is the root digest.
 * Parsing does no I/O and accepts nothing but what manifest_format() writes.
 */
#ifndef SEALFS_MANIFEST_H
#define SEALFS_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sealfs/digest.h"
#include "sealfs/store.h"

#define MANIFEST_SIZE_LIMIT (1u << 30) /* bytes; a larger one is refused */

enum manifest_type { MANIFEST_FILE, MANIFEST_DIR, MANIFEST_SYMLINK };

struct manifest_entry {
	enum manifest_type type;
	bool executable;
	uint64_t size;	       /* bytes; of the target for a symlink; 0 for a directory */
	struct digest digest;  /* files only */
	char *path;	       /* not escaped; NUL-terminated */
	char *target;	       /* symlinks only */
};

struct manifest {
	struct manifest_entry *entries; /* sorted by path (strcmp) once manifest_sort() or manifest_parse() ran */
	size_t count;
	size_t capacity;
};

void manifest_init(struct manifest *manifest);
void manifest_free(struct manifest *manifest);

/* Appends a copy of *entry (its strings too). -ENOMEM. */
int manifest_add(struct manifest *manifest, const struct manifest_entry *entry);
void manifest_sort(struct manifest *manifest);

/* The text of a sorted manifest, allocated, and its root digest. -ENOMEM. */
int manifest_format(const struct manifest *manifest, char **text, size_t *size, struct digest *root);

/* -EBADMSG for anything that manifest_format() would not have written, byte for byte (unsorted, duplicate, absolute, "..", empty
 * component, a parent directory that has no line of its own, not canonical, torn); *why (if not NULL) then points to a constant sentence. */
int manifest_parse(const char *text, size_t size, struct manifest *out, const char **why);

/* Binary search; NULL if there is none. */
struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path);

/* The range [*first, *end) of indices that holds everything below directory `path` ("" for all). */
void manifest_range(const struct manifest *manifest, const char *path, size_t *first, size_t *end);

/* What is left out when a checkpoint is listed. */
struct manifest_filter {
	char *const *live; /* NULL-terminated list of globs matched against the last component (fnmatch), or NULL */
	void (*skipped)(void *arg, const char *path, const char *why); /* FIFOs, sockets, devices: a warning; or NULL */
	void *arg;
};
/* True for names that never belong to a checkpoint's content: ".nfs*" anywhere, ".seal" at its top. */
bool manifest_name_hidden(const char *name, bool at_top);
/* True when `name` (a last component) matches one of the globs. */
bool manifest_name_live(char *const *live, const char *name);

/*
 * Lists what is in the checkpoint at `dirfd`/`name` (a directory or a regular file), opening nothing outside of it: entries without digests,
 * sizes as they are now, sorted.
 * -ENOENT if it is not there, -EINVAL if it is neither directory nor regular file, -errno of the export.
 */
int manifest_scan(const struct store *store, int dirfd, const char *name, const struct manifest_filter *filter,
		  struct manifest *out);

#endif
