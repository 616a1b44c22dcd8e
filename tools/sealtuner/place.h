/*
 * place - the directory of an experiment: in a mount or on an export, and where its journal is
 *
 * Checkpoints are spoken of as the user named the directory: through the mount, if he named one. The tuner's own files lie in
 * STATE_TUNER_NAME in that directory and are read and written on the export itself, where no gate is.
 */
#ifndef SEALTUNER_PLACE_H
#define SEALTUNER_PLACE_H

#include <jansson.h>

#include "../sealctl/target.h"
#include "sealfs/state.h"

struct place {
	struct target target; /* connected */
	struct store store;   /* the export */
	char *shown;          /* the directory's absolute path, in the mount if that was named */
	int own;              /* descriptor of its STATE_TUNER_NAME, or -1 */
};
#define PLACE_INIT                                                                                                     \
	{                                                                                                              \
		.target = TARGET_INIT, .store = {.root = -1 }, .own = -1                                                 \
	}

/*
 * Finds and opens what `given` names; with `make`, the tuner's own folder is made. On failure the message ("cannot
 * <verb> …") is printed and the exit status returned; 0 otherwise.
 */
int place_open(const char *verb, const char *given, bool make, struct place *out);
void place_free(struct place *place);

/* The path of an entry below the export, and as the user knows it. Allocated; NULL when memory is out. */
char *place_checkpoint(const struct place *place, const char *name);
char *place_shown(const struct place *place, const char *name);

/* ---- calls on the checkpoint `name`; 0 or -errno, *why (may be NULL) allocated or NULL ---- */

/* What STATUS says of it: an object with "state", "writer", … */
int place_status(struct place *place, const char *name, json_t **out);
/* Its state's name into a constant of state.h. */
int place_state(struct place *place, const char *name, enum state_kind *out);
int place_call(struct place *place, enum sealfs_call_op op, const char *name, const char *writer, const char *detail,
	       char **why);

#endif
