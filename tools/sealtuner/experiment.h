/*
 * experiment - what an experiment is and which trials it has had: the journal, read from its beginning
 *
 * Entries are objects with "event", "time", "host":
 *
 *     init      version, strategy, goal, population, seed, keep, settings, space
 *     ask       id, number, parameters, parent, role, note, writer, run, boot
 *     tell      id and either value or failed (a sentence)
 *     again     id: it had failed, and is tried once more
 *     import    trials: objects with id, parameters, value, restorable
 *     remove    ids: their checkpoints are about to be removed
 *     removed   ids: they are
 */
#ifndef SEALTUNER_EXPERIMENT_H
#define SEALTUNER_EXPERIMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "journal.h"
#include "place.h"
#include "space.h"

#define EXPERIMENT_VERSION 1
#define TRIAL_NONE SIZE_MAX

enum trial_state { TRIAL_RUNNING, TRIAL_DONE, TRIAL_FAILED };

/* Strings and objects belong to the journal's entries. */
struct trial {
	const char *id;      /* its checkpoint's name */
	unsigned int number; /* from 1; 0: imported */
	enum trial_state state;
	double value;       /* done */
	const char *reason; /* failed */
	size_t parent;      /* whose checkpoint it restores, or TRIAL_NONE */
	const char *role;   /* of a strategy whose trials have different ones, or NULL */
	const char *writer; /* whom the reservation names, or NULL */
	const json_t *parameters, *note; /* the strategy's own note */
	const json_t *asked, *told;      /* the entries, or NULL */
	bool imported;
	bool restorable; /* imported: there is a checkpoint */
	bool removing, removed;
	bool barred; /* may not become a parent now: whoever asks knows why */
	bool lost;   /* its checkpoint was seen to have failed, or to be gone, although it has a result */
	size_t told_order; /* counts what was told, from 1; 0: not yet */
	UT_hash_handle hh;
};

struct strategy;

enum keep_kind { KEEP_ALL, KEEP_LAST, KEEP_BEST, KEEP_ANCESTORS };
struct keep {
	enum keep_kind kind;
	unsigned int count; /* KEEP_LAST, KEEP_BEST */
};

struct experiment {
	struct journal journal;
	size_t taken; /* entries of it that are in what follows */
	const json_t *init;
	const struct strategy *strategy;
	struct space *space;
	bool minimize;
	unsigned int population;
	uint64_t seed;
	struct keep keep;
	struct trial **trials; /* in the order of the journal */
	size_t count, capacity;
	unsigned int asked;   /* the highest number */
	size_t told;          /* results and failures in all */
	struct trial *by_id;
	char *why; /* after -EBADMSG and -EPROTO: what is wrong, for people */
};

/* Begins to read the experiment of `place`, which must outlive it. -ENOENT with experiment->why when there is no entry yet. */
int experiment_open(const struct place *place, struct experiment *out);
/* Reads what has been added since. -EBADMSG, -EPROTO with experiment->why. */
int experiment_update(struct experiment *experiment);
void experiment_free(struct experiment *experiment);

/* Opens both; prints the failure. The exit status. */
int experiment_load(const char *verb, const char *given, struct place *place, struct experiment *out);

/* An entry with what all have; the caller's. NULL when memory is out. */
json_t *experiment_entry(const char *event);
/* Appends it and takes it in. -EEXIST: somebody was first, and that has been read: decide anew. Else as experiment_update(). */
int experiment_append(struct experiment *experiment, json_t *entry);

/* NULL when there is none. */
struct trial *experiment_find(const struct experiment *experiment, const char *id);
size_t experiment_index(const struct experiment *experiment, const struct trial *trial);

/* One of the strategy's settings. */
double experiment_setting(const struct experiment *experiment, const char *name);

/* True when `a` is better than `b`; both are done. Of equal ones the earlier. */
bool experiment_better(const struct experiment *experiment, const struct trial *a, const struct trial *b);
/* The best that is done, or NULL. */
struct trial *experiment_best(const struct experiment *experiment);

/* May a new trial restore its checkpoint? That of one that still runs, too: the reader waits. */
bool trial_restorable(const struct trial *trial);

/* "running", "done", "failed", "imported" */
const char *trial_state_name(const struct trial *trial);

/* "N", "best:K", "ancestors". -EINVAL. */
int keep_parse(const char *text, struct keep *out);

#endif
