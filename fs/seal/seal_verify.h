/*
 * seal_verify - what comparing lists (seal_verify.c) and comparing content (seal_verify_content.c) share
 */
#ifndef SEAL_SEAL_VERIFY_H
#define SEAL_SEAL_VERIFY_H

#include "seal_internal.h"
#include "sealfs/seal.h"

/* One path of the manifest or of what is there, and what was found out about it. */
struct seal_item {
	const char *path;
	const struct manifest_entry *sealed; /* set while the content is still to be compared */
	const char *why;                     /* NULL: nothing is wrong */
	uint64_t tree_base;                  /* where its hashes begin in the tree file */
	uint64_t first_block, last_block;
	int error;
	bool blocks_known, mode_differs;
};

struct seal_content {
	struct seal_place place;
	int tree; /* the tree file, or -errno */
	unsigned int threads;
	const struct digest_progress *progress;
	struct seal_item *items;
	size_t count;
};

/* Compares the content of all items that have `sealed` set. A file that can not be read is noted in its item;
 * -ECANCELED, -ENOMEM. */
int seal_verify_content(struct seal_content *content);

#endif
