/*
 * seal_internal - what sealing and verifying share
 */
#ifndef SEAL_SEAL_INTERNAL_H
#define SEAL_SEAL_INTERNAL_H

#include "internal.h"
#include "sealfs/key.h"
#include "sealfs/manifest.h"
#include "sealfs/tree.h"

#define AUTO_MANIFEST __attribute__((cleanup(manifest_free))) struct manifest

/* Where a checkpoint is: `name` in `dir`; `top` is the directory itself, or -1 when it is a file. */
struct seal_place {
	const struct store *store;
	int dir, top;
	const char *name;
};

/* Opens the directory, if it is one, for as long as the caller holds *top. */
int seal_place_open(const struct store *store, int dir, const char *name, struct held_fd *top,
		    struct seal_place *place);
/* Opens the regular file of a manifest's entry and fills *st. -EINVAL when it is something else now. */
int seal_place_open_file(const struct seal_place *place, const char *path, struct statx *st);
int seal_place_stat(const struct seal_place *place, const char *path, struct statx *st);

/* A file of the seal folder under a name of its own, finished and durable (seal_fresh.c). */
struct seal_fresh {
	char name[sizeof(".new.") + STORE_TOKEN_SIZE];
};

int seal_fresh_write(const struct store *store, int dir, const char *text, size_t size, struct seal_fresh *out);
/* Removes what this and other attempts have left under such names. */
int seal_fresh_remove(struct held_fd *dir);
/* Whether a file of the folder is the one that will be in the record; -EAGAIN when not. */
int seal_fresh_confirm(const struct store *store, int dir, const char *name, size_t limit,
		       const struct digest *expected);

/* The tree file in the making (seal_tree.c), under a name of its own until it is put in place. */
struct seal_tree {
	struct held_fd file;
	char name[sizeof(".new.") + STORE_TOKEN_SIZE];
	uint64_t size; /* bytes; 0: no file has a tree */
	struct tree_writer writer; /* of the file that is being hashed */
};
#define SEAL_TREE_INIT                                                                                                 \
	{                                                                                                              \
		.file = {.fd = -1 }                                                                                    \
	}

/* Makes the file in the seal folder, if there is anything to put into it. */
int seal_tree_begin(const struct store *store, int dir, uint64_t size, struct seal_tree *tree);
/* From here on the writer is that of the manifest's next file. */
void seal_tree_next(struct seal_tree *tree, uint64_t file_size);
/* Makes it durable. */
int seal_tree_finish(struct seal_tree *tree);
int seal_tree_place(const struct seal_tree *tree, int dir);

/* The signature file that a sealing will put in place (seal_sign.c). */
struct seal_signature {
	struct seal_fresh fresh; /* name "": there will be none */
	struct digest digest;	 /* the SHA-256 of its text */
};

/* Writes it, fsynced, into the seal folder `dir`. `key` may be NULL. */
int seal_sign_write(const struct store *store, int dir, const struct signing_key *key, const struct digest *seal,
		    struct seal_signature *out);
/* Gives it its name. */
int seal_sign_place(const struct store *store, int dir, const struct seal_signature *signature);
/* Whether it is the one that is there; -EAGAIN when another is. */
int seal_sign_confirm(const struct store *store, int dir, const struct seal_signature *signature);

#endif
