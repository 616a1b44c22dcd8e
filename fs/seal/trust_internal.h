/*
 * trust_internal - a trust directory as it was read (trust_folder.c), for the object that keeps it (trust.c)
 */
#ifndef SEAL_TRUST_INTERNAL_H
#define SEAL_TRUST_INTERNAL_H

#include "internal.h"
#include "sealfs/trust.h"

struct trust_folder {
	struct trust_key *keys;
	size_t count;
	char *complaints;    /* of key files that can not be used: sentences, each with a newline */
	struct digest stamp; /* of the names, inodes, sizes, modes and times, taken before anything was read */
	bool settled;        /* all times are so long ago that a later change can not have the same */
};

void trust_folder_free(struct trust_folder *folder);
/* -errno with *why allocated: then nothing is to be freed but that. */
int trust_folder_read(const char *path, struct trust_folder *out, char **why);
/* Only stamp and settled. */
int trust_folder_look(const char *path, struct trust_folder *out);
/* Whether the same keys, with the same names and periods, are trusted, for the same complaints. */
bool trust_folder_same(const struct trust_folder *a, const struct trust_folder *b);

#endif
