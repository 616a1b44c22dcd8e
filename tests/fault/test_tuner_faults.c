/*
 * test_tuner_faults - asking, asking again and telling fail, crash and are overtaken at each of their operations on the export
 *
 * Whatever happens: the journal can be read; no trial is there twice; what the strategy has given as a parent to a trial that is not
 * over has not been removed; and the same command given once more does all that is left to do.
 *
 * time limit: 300
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "../unit/tuner.h"
#include "../../tools/sealtuner/give.h"
#include "faulty.h"

#define INIT                                                                                                           \
	"{\"version\": 1, \"strategy\": \"morphism\", \"goal\": \"maximize\", \"population\": 1, \"seed\": 1, \"keep\": \"1\", "  \
	"\"settings\": {\"neighbours\": 1}, \"space\": {\"x\": {\"_type\": \"uniform\", \"_value\": [0, 1]}}}"

static struct scratch scratch;

/* One process's view. */
struct view {
	struct place place;
	struct experiment experiment;
};

static void view_open(struct view *view, struct faulty *faulty)
{
	assert_int_equal(place_open("test", scratch.dir, true, &view->place), 0);
	assert_int_equal(experiment_open(&view->place, &view->experiment), 0);
	if (!faulty)
		return;
	view->place.store.ops = view->place.target.store.ops = &faulty_ops;
	view->place.store.ctx = view->place.target.store.ctx = faulty;
}

static void view_close(struct view *view)
{
	view->place.store.ops = view->place.target.store.ops = &store_system_ops;
	experiment_free(&view->experiment);
	place_free(&view->place);
}

/* ---- what is done ---- */

static int ask(struct view *view, const char *id)
{
	struct give_request request = {.id = id, .writer = true};
	struct trial *trial = NULL;
	char *why = NULL;
	int error = give_trial(&view->place, &view->experiment, &request, &trial, &why);

	free(why);
	if (!error)
		assert_string_equal(trial->id, id);
	return error;
}

static int tell(struct view *view, const char *id, const char *failed, double value)
{
	struct give_result result = {.failed = failed, .value = value};
	char *why = NULL, *note = NULL;
	int error = give_tell(&view->place, &view->experiment, id, &result, &why, &note);

	/* What could not be removed is by the next one who tells. */
	error = error ? error : note ? -EIO : 0;
	free(why);
	free(note);
	return error;
}

static int ask_new(struct view *view)
{
	return ask(view, "new");
}

static int ask_again(struct view *view)
{
	int error = ask(view, "again");

	return error == -ESTALE ? 0 : error; /* its parent is gone, which is told */
}

static int tell_last(struct view *view)
{
	return tell(view, "last", NULL, 2);
}

static int tell_failed(struct view *view)
{
	return tell(view, "last", "as the test wants it", 0);
}

/* ---- what is there ---- */

static void save(struct view *view, const char *id)
{
	char weights[64];

	scratch_mkdir(&scratch, id);
	snprintf(weights, sizeof(weights), "%s/weights", id);
	scratch_write(&scratch, weights, "x");
	assert_int_equal(place_call(&view->place, SEALFS_CALL_SEAL, id, NULL, NULL, NULL), 0);
}

static void begin_journal(void)
{
	json_t *entry = experiment_entry("init"), *members = json_loads(INIT, 0, NULL);
	struct place place;
	struct experiment experiment;
	int fd;

	assert_int_equal(place_open("test", scratch.dir, true, &place), 0);
	fd = store_make_dir(&place.store, place.own, "journal", 0755);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(experiment_open(&place, &experiment), -ENOENT);
	assert_int_equal(json_object_update(entry, members), 0);
	json_decref(members);
	tuner_append(&experiment, entry);
	experiment_free(&experiment);
	place_free(&place);
}

/* "root", done; its children "again", which has failed, and "last", which has saved and not told yet. */
static void prepare(void)
{
	struct view view;

	scratch_open_export(&scratch);
	begin_journal();
	view_open(&view, NULL);
	assert_int_equal(ask(&view, "root"), 0);
	save(&view, "root");
	assert_int_equal(tell(&view, "root", NULL, 1), 0);
	assert_int_equal(ask(&view, "again"), 0);
	assert_int_equal(tell(&view, "again", "as the test wants it", 0), 0);
	assert_int_equal(ask(&view, "last"), 0);
	save(&view, "last");
	view_close(&view);
}

static const char *parent_of(const struct experiment *experiment, const struct trial *trial)
{
	return trial->parent == TRIAL_NONE ? "" : experiment->trials[trial->parent]->id;
}

static void check_trial(struct view *view, const struct trial *trial)
{
	const struct trial *parent = trial->parent == TRIAL_NONE ? NULL : view->experiment.trials[trial->parent];
	enum state_kind kind;

	if (trial->state != TRIAL_RUNNING || !parent)
		return;
	assert_false(parent->removing);
	assert_int_equal(place_state(&view->place, parent->id, &kind), 0);
	assert_int_not_equal(kind, STATE_ABSENT);
}

/* By somebody who comes new. */
static void check(void)
{
	struct view view;
	unsigned int numbers = 0;

	view_open(&view, NULL);
	for (size_t i = 0; i < view.experiment.count; i++) {
		const struct trial *trial = view.experiment.trials[i];

		assert_true(trial->number >= 1 && trial->number <= view.experiment.count);
		assert_int_equal(numbers & 1u << trial->number, 0);
		numbers |= 1u << trial->number;
		check_trial(&view, trial);
	}
	assert_true(view.experiment.count <= 4);
	view_close(&view);
}

static void check_state(struct view *view, const char *id, enum state_kind expected)
{
	enum state_kind kind;

	assert_int_equal(place_state(&view->place, id, &kind), 0);
	assert_int_equal(kind, expected);
}

/* ---- the commands, and what has come of each in the end ---- */

static void asked_new(struct view *view)
{
	const struct trial *trial = experiment_find(&view->experiment, "new");

	assert_int_equal(trial->state, TRIAL_RUNNING);
	assert_true(!strcmp(parent_of(&view->experiment, trial), "root") || !strcmp(parent_of(&view->experiment, trial), "last"));
	check_state(view, "new", STATE_PENDING);
}

static void asked_again(struct view *view)
{
	const struct trial *trial = experiment_find(&view->experiment, "again");

	/* or it was told that what it is to restore is gone */
	if (trial->state == TRIAL_RUNNING)
		check_state(view, "again", STATE_PENDING);
	else
		assert_true(view->experiment.trials[trial->parent]->removing);
}

static void told_last(struct view *view)
{
	const struct trial *root = experiment_find(&view->experiment, "root");

	assert_int_equal(experiment_find(&view->experiment, "last")->state, TRIAL_DONE);
	check_state(view, "last", STATE_SEALED);
	assert_int_equal(root->removed, root->removing);
	check_state(view, "root", root->removed ? STATE_ABSENT : STATE_SEALED);
}

static void told_failed(struct view *view)
{
	assert_int_equal(experiment_find(&view->experiment, "last")->state, TRIAL_FAILED);
	check_state(view, "root", STATE_SEALED);
}

static const struct command_case {
	const char *name;
	int (*run)(struct view *view);
	void (*done)(struct view *view);
} cases[] = {
	{"ask", ask_new, asked_new},
	{"ask again", ask_again, asked_again},
	{"tell", tell_last, told_last},
	{"tell --failed", tell_failed, told_failed},
};

/* Once more, and nothing is in the way. */
static void complete(const struct command_case *what)
{
	struct view view;

	view_open(&view, NULL);
	assert_int_equal(what->run(&view), 0);
	what->done(&view);
	view_close(&view);
	check();
}

/* ---- faults ---- */

static const struct {
	const char *name;
	enum faulty_mode mode;
	int error;
} faults[] = {
	{"ENOSPC", FAULTY_ERROR, ENOSPC},
	{"lost answer", FAULTY_LOST, EIO},
};

/* False when it ended before it came to that. */
static bool fail_once(const struct command_case *what, enum faulty_mode mode, int error, int at)
{
	struct faulty faulty = {.mode = mode, .error = error, .at = at};
	struct view view;
	int result;

	prepare();
	view_open(&view, &faulty);
	result = what->run(&view);
	view_close(&view);
	check();
	if (faulty.count < at)
		assert_int_equal(result, 0);
	complete(what);
	scratch_close(&scratch);
	return faulty.count >= at;
}

static void fails_at_each_operation(void **state)
{
	const struct command_case *what = *state;

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		int n = 1;

		while (fail_once(what, faults[i].mode, faults[i].error, n))
			n++;
		print_message("%s: %s at each of %d operations\n", what->name, faults[i].name, n - 1);
	}
}

/* ---- crashes ---- */

static bool crash_once(const struct command_case *what, int at)
{
	int status;
	pid_t pid;

	prepare();
	pid = fork();
	if (pid == 0) {
		struct faulty faulty = {.mode = FAULTY_CRASH, .at = at};
		struct view view;

		view_open(&view, &faulty);
		_exit(what->run(&view) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == FAULTY_CRASHED || WEXITSTATUS(status) == 0));
	check();
	complete(what);
	scratch_close(&scratch);
	return WEXITSTATUS(status) == FAULTY_CRASHED;
}

static void crashes_after_each_operation(void **state)
{
	const struct command_case *what = *state;
	int n = 1;

	while (crash_once(what, n))
		n++;
	print_message("%s: a crash after each of %d operations\n", what->name, n - 1);
}

/* ---- overtaken ---- */

static const struct command_case *faster;

static void overtake(void)
{
	struct view view;

	view_open(&view, NULL);
	assert_int_equal(faster->run(&view), 0);
	view_close(&view);
}

static bool overtake_once(const struct command_case *slow, const struct command_case *fast, int at)
{
	struct faulty faulty = {.mode = FAULTY_MEET, .meet = overtake, .at = at};
	struct view view;
	int result;

	faster = fast;
	prepare();
	view_open(&view, &faulty);
	result = slow->run(&view);
	view_close(&view);
	check();
	assert_int_equal(result, 0);
	complete(slow);
	scratch_close(&scratch);
	return faulty.count >= at;
}

static void is_overtaken_before_each_operation(void **state)
{
	const struct command_case *slow = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = 1;

		/* two results of one trial contradict each other, and one that has failed is no last word */
		if (&cases[i] == slow || cases[i].done == told_failed || slow->done == told_failed)
			continue;
		while (overtake_once(slow, &cases[i], n))
			n++;
		print_message("%s: overtaken by '%s' before each of %d operations\n", slow->name, cases[i].name, n - 1);
	}
}

#define CASES (sizeof(cases) / sizeof(cases[0]))

int main(void)
{
	struct CMUnitTest tests[3 * CASES];

	for (size_t i = 0; i < CASES; i++) {
		tests[3 * i] = (struct CMUnitTest){cases[i].name, fails_at_each_operation, NULL, NULL, (void *)&cases[i]};
		tests[3 * i + 1] = (struct CMUnitTest){cases[i].name, crashes_after_each_operation, NULL, NULL, (void *)&cases[i]};
		tests[3 * i + 2] = (struct CMUnitTest){cases[i].name, is_overtaken_before_each_operation, NULL, NULL, (void *)&cases[i]};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
