/*
 * tuner - an experiment of its own for a test: without checkpoints, its journal in a scratch directory
 */
#ifndef TESTS_TUNER_H
#define TESTS_TUNER_H

#include "scratch.h"

#include "../../tools/sealtuner/experiment.h"
#include "../../tools/sealtuner/strategy.h"

struct tuner {
	struct scratch scratch;
	struct place place;
	struct experiment experiment;
};

static inline void tuner_append(struct experiment *experiment, json_t *entry)
{
	assert_non_null(entry);
	assert_int_equal(experiment_append(experiment, entry), 0);
	json_decref(entry);
}

/* `init` is the JSON of the first entry's own members. */
static inline void tuner_open(struct tuner *tuner, const char *init)
{
	json_t *entry = experiment_entry("init"), *members = json_loads(init, 0, NULL);
	int fd;

	assert_non_null(members);
	scratch_open(&tuner->scratch);
	tuner->place = (struct place)PLACE_INIT;
	tuner->place.store = tuner->scratch.store;
	tuner->place.own = store_make_dir(&tuner->place.store, tuner->place.store.root, STATE_TUNER_NAME, 0755);
	assert_true(tuner->place.own >= 0);
	fd = store_make_dir(&tuner->place.store, tuner->place.own, "journal", 0755);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(experiment_open(&tuner->place, &tuner->experiment), -ENOENT);
	assert_int_equal(json_object_update(entry, members), 0);
	json_decref(members);
	tuner_append(&tuner->experiment, entry);
}

static inline void tuner_close(struct tuner *tuner)
{
	experiment_free(&tuner->experiment);
	close(tuner->place.own);
	scratch_close(&tuner->scratch);
}

/* Gives out what the strategy proposes. */
static inline struct trial *tuner_ask(struct tuner *tuner)
{
	struct experiment *experiment = &tuner->experiment;
	struct proposal proposal;
	json_t *entry = experiment_entry("ask");
	char id[32];

	assert_int_equal(strategy_propose(experiment, &proposal), 0);
	snprintf(id, sizeof(id), "t%04u", experiment->asked + 1);
	json_object_set_new(entry, "id", json_string(id));
	json_object_set_new(entry, "number", json_integer(experiment->asked + 1));
	json_object_set(entry, "parameters", proposal.parameters);
	if (proposal.parent != TRIAL_NONE)
		json_object_set_new(entry, "parent", json_string(experiment->trials[proposal.parent]->id));
	if (proposal.role)
		json_object_set_new(entry, "role", json_string(proposal.role));
	if (proposal.note)
		json_object_set(entry, "note", proposal.note);
	proposal_free(&proposal);
	tuner_append(experiment, entry);
	return experiment->trials[experiment->count - 1];
}

static inline void tuner_tell(struct tuner *tuner, const char *id, double value)
{
	json_t *entry = experiment_entry("tell");

	json_object_set_new(entry, "id", json_string(id));
	json_object_set_new(entry, "value", json_real(value));
	tuner_append(&tuner->experiment, entry);
}

static inline void tuner_fail(struct tuner *tuner, const char *id)
{
	json_t *entry = experiment_entry("tell");

	json_object_set_new(entry, "id", json_string(id));
	json_object_set_new(entry, "failed", json_string("as the test wants it"));
	tuner_append(&tuner->experiment, entry);
}

#endif
