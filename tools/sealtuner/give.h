/*
 * give - trials are given out, and their results taken in: what the commands ask and tell, and the launcher, share
 *
 * The journal decides; checkpoints follow. A trial is in the journal before its checkpoint is reserved, and nobody is given a
 * child before the parent's checkpoint is more than absent: so a kill between the two leaves nothing that the next
 * command would not complete, and no child ever finds nothing.
 */
#ifndef SEALTUNER_GIVE_H
#define SEALTUNER_GIVE_H

#include "experiment.h"

struct give_request {
	const char *id;     /* what the trial is to be called, or NULL */
	bool writer;        /* the reservation names it as the writer */
	bool run;           /* the launcher's own */
};

/*
 * The next trial, or, when there is one of that id, that one again. 0 with *out; or -errno with *why allocated or NULL:
 * -EINVAL the id cannot be a checkpoint's name, -EEXIST something else is at its path, -ESTALE its parent's
 * checkpoint has been removed.
 */
int give_trial(struct place *place, struct experiment *experiment, const struct give_request *request,
	       struct trial **out, char **why);

/* What is handed to a trial: {"id", "number", "parent", "role", "checkpoint", "parameters"}. NULL when memory is out. */
json_t *give_answer(const struct place *place, const struct experiment *experiment, const struct trial *trial);

struct give_result {
	const char *failed; /* why; NULL: it ended well */
	double value;       /* may be NAN, which is a failure */
	bool seal;
};

/*
 * Takes in a result. -ENOENT no such trial, -EEXIST another result is known (*why says which), -EOWNERDEAD taken in as
 * a failure because its parent has failed. The checkpoint of a failed trial is abandoned; what retention no longer
 * needs is removed, and what goes wrong with that is *note, for people.
 */
int give_tell(struct place *place, struct experiment *experiment, const char *id, const struct give_result *result,
	      char **why, char **note);

/* keep.c: removes what retention does not keep. *note, allocated, when a checkpoint could not be removed. -errno of the journal. */
int keep_apply(struct place *place, struct experiment *experiment, char **note);
/* Those that it would remove, no I/O; allocated in *out, *count of them. */
int keep_find(const struct experiment *experiment, struct trial ***out, size_t *count);

#endif
