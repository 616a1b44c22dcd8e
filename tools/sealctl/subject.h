/*
 * subject - where what is sealed can be read: on an export (also the one under a mount), or in a copy
 *
 * Unlike target.h, which speaks to mounts: sealed data are looked at directly, so that no cache lies between.
 */
#ifndef SEALCTL_SUBJECT_H
#define SEALCTL_SUBJECT_H

#include <stdbool.h>

#include "checkpoint_list.h"
#include "sealfs/config.h"
#include "sealfs/state.h"
#include "sealfs/store.h"

enum subject_kind { SUBJECT_EXPORT, SUBJECT_MOUNT, SUBJECT_COPY };

/* Made by subject_open(), freed by subject_free(). */
struct subject {
	enum subject_kind kind;
	char *root;         /* for people: the mount point, the export's directory, or the one that holds the copies */
	struct store store; /* the export's directory, or that one */
	struct config config; /* not of copies: they come without */
	bool whole;           /* an export, or a directory of copies, was named; else one checkpoint */
	struct checkpoint_list checkpoints;
};
#define SUBJECT_INIT                                                                                                   \
	{                                                                                                              \
		.store = {.root = -1 }                                                                                 \
	}

/*
 * Finds out what `given` is, opens it and lists the checkpoints. On failure the message is printed and the exit status
 * returned; 0 otherwise. `verb` is for the message: "cannot <verb> …".
 */
int subject_open(const char *verb, const char *given, struct subject *out);
void subject_free(struct subject *subject);

/* The checkpoint's whole path as people know it. Allocated; NULL when memory is out. */
char *subject_shown(const struct subject *subject, const char *path);

/* "export", "mount" or "copy" */
const char *subject_kind_name(const struct subject *subject);

/* The globs of names that are not sealed; NULL for copies. */
char *const *subject_live(const struct subject *subject);

#endif
