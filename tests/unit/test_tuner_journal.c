/* The journal: one writer wins, a torn end is no entry, and what is damaged is never taken for an experiment. */
#include <pthread.h>

#include "tuner.h"

#define INIT                                                                                                           \
	"{\"version\": 1, \"strategy\": \"random\", \"goal\": \"maximize\", \"population\": 1, \"seed\": 1, \"settings\": {}, "   \
	"\"space\": {\"x\": {\"_type\": \"uniform\", \"_value\": [0, 1]}}}"

static void entry_path(size_t number, char path[128])
{
	snprintf(path, 128, STATE_TUNER_NAME "/journal/%08zu", number);
}

static void reopen(struct tuner *tuner, int expected)
{
	experiment_free(&tuner->experiment);
	assert_int_equal(experiment_open(&tuner->place, &tuner->experiment), expected);
}

static void truncate_entry(struct tuner *tuner, size_t number, off_t size)
{
	char name[128], path[4096];

	entry_path(number, name);
	scratch_path(&tuner->scratch, name, path);
	assert_int_equal(truncate(path, size), 0);
}

static void unlink_first(struct tuner *tuner)
{
	char name[128], path[4096];

	entry_path(1, name);
	scratch_path(&tuner->scratch, name, path);
	assert_int_equal(unlink(path), 0);
}

static void what_was_appended_is_read_again(void **state)
{
	struct tuner tuner;

	tuner_open(&tuner, INIT);
	for (int i = 0; i < 3 * JOURNAL_CHAPTER; i++) {
		struct trial *trial = tuner_ask(&tuner);

		if (i % 2)
			tuner_tell(&tuner, trial->id, i + 0.1);
	}
	reopen(&tuner, 0);
	assert_int_equal(tuner.experiment.count, 3 * JOURNAL_CHAPTER);
	for (size_t i = 0; i < tuner.experiment.count; i++) {
		const struct trial *trial = tuner.experiment.trials[i];

		assert_int_equal(trial->number, i + 1);
		assert_int_equal(trial->state, i % 2 ? TRIAL_DONE : TRIAL_RUNNING);
		if (i % 2)
			assert_true(trial->value == (double)i + 0.1);
	}
	tuner_close(&tuner);
}

static void chapters_are_used_and_not_needed(void **state)
{
	char chapter[128], path[4096];
	struct tuner tuner;
	size_t count;

	tuner_open(&tuner, INIT);
	for (int i = 0; i < JOURNAL_CHAPTER + 5; i++)
		tuner_ask(&tuner);
	count = tuner.experiment.journal.count;
	snprintf(chapter, sizeof(chapter), STATE_TUNER_NAME "/journal/%08d.chapter", JOURNAL_CHAPTER);
	assert_true(scratch_exists(&tuner.scratch, chapter));
	/* it is read instead of its entries */
	truncate_entry(&tuner, 3, 0);
	reopen(&tuner, 0);
	assert_int_equal(tuner.experiment.journal.count, count);
	/* a bad one is not believed, and then the entry is missed */
	scratch_path(&tuner.scratch, chapter, path);
	assert_int_equal(truncate(path, 4000), 0);
	reopen(&tuner, -EBADMSG);
	assert_non_null(strstr(tuner.experiment.why, "entry 00000003 of its journal is damaged"));
	tuner_close(&tuner);
}

static void a_torn_end_is_no_entry_and_is_passed_by(void **state)
{
	for (off_t size = 0; size < 60; size += 7) {
		struct tuner tuner;
		const json_t *last;

		tuner_open(&tuner, INIT);
		tuner_ask(&tuner);
		tuner_ask(&tuner);
		truncate_entry(&tuner, 3, size);
		reopen(&tuner, 0);
		assert_int_equal(tuner.experiment.count, 1);
		/* the next takes its number, and says which entry is torn */
		assert_string_equal(tuner_ask(&tuner)->id, "t0002");
		last = tuner.experiment.journal.entries[tuner.experiment.journal.count - 1];
		assert_int_equal(json_integer_value(json_array_get(json_object_get(last, "torn"), 0)), 3);
		reopen(&tuner, 0);
		assert_int_equal(tuner.experiment.count, 2);
		assert_int_equal(tuner.experiment.journal.count, 4);
		tuner_close(&tuner);
	}
}

static void torn_in_the_middle_is_damage(void **state)
{
	struct tuner tuner;

	tuner_open(&tuner, INIT);
	for (int i = 0; i < 4; i++)
		tuner_ask(&tuner);
	truncate_entry(&tuner, 3, 20);
	reopen(&tuner, -EBADMSG);
	assert_non_null(strstr(tuner.experiment.why, "entry 00000003 of its journal is damaged: it is cut short"));
	tuner_close(&tuner);
}

/* Every byte of the last entry flipped: never another experiment, never a crash. */
static void a_flipped_byte_is_damage_or_torn(void **state)
{
	char name[128], *text;
	struct tuner tuner;
	size_t size;

	tuner_open(&tuner, INIT);
	tuner_ask(&tuner);
	entry_path(2, name);
	text = scratch_read(&tuner.scratch, name);
	size = strlen(text);
	for (size_t i = 0; i < size; i++) {
		int error;

		text[i] = (char)(text[i] ^ 4);
		scratch_write_bytes(&tuner.scratch, name, text, size);
		text[i] = (char)(text[i] ^ 4);
		experiment_free(&tuner.experiment);
		error = experiment_open(&tuner.place, &tuner.experiment);
		assert_int_equal(error, i + 1 == size ? 0 : -EBADMSG);
		assert_int_equal(tuner.experiment.count, 0);
	}
	free(text);
	tuner_close(&tuner);
}

static void of_two_writers_one_is_first(void **state)
{
	struct experiment other;
	struct tuner tuner;
	json_t *entry;

	tuner_open(&tuner, INIT);
	assert_int_equal(experiment_open(&tuner.place, &other), 0);
	tuner_ask(&tuner);
	entry = experiment_entry("tell");
	json_object_set_new(entry, "id", json_string("t0001"));
	json_object_set_new(entry, "value", json_integer(1));
	/* it has not seen what was asked: it is refused, and then knows */
	assert_int_equal(experiment_append(&other, entry), -EEXIST);
	assert_int_equal(other.count, 1);
	assert_int_equal(experiment_append(&other, entry), 0);
	json_decref(entry);
	assert_int_equal(experiment_update(&tuner.experiment), 0);
	assert_int_equal(tuner.experiment.trials[0]->state, TRIAL_DONE);
	experiment_free(&other);
	tuner_close(&tuner);
}

#define WRITERS 6
#define EACH 60

static void *write_many(void *arg)
{
	struct tuner *tuner = arg;
	struct experiment experiment;

	if (experiment_open(&tuner->place, &experiment))
		return "cannot open";
	for (int i = 0; i < EACH; i++) {
		json_t *entry = experiment_entry("again");
		int error;

		do
			error = experiment_append(&experiment, entry);
		while (error == -EEXIST);
		json_decref(entry);
		if (error)
			return "cannot append";
	}
	experiment_free(&experiment);
	return NULL;
}

static void many_writers_lose_nothing(void **state)
{
	pthread_t threads[WRITERS];
	struct tuner tuner;
	void *problem;

	tuner_open(&tuner, INIT);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, &tuner), 0);
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], &problem);
		if (problem)
			fail_msg("%s", (char *)problem);
	}
	assert_int_equal(experiment_update(&tuner.experiment), 0);
	assert_int_equal(tuner.experiment.journal.count, WRITERS * EACH + 1);
	reopen(&tuner, 0);
	assert_int_equal(tuner.experiment.journal.count, WRITERS * EACH + 1);
	tuner_close(&tuner);
}

/* Entries that are whole, but make no sense. */
static void what_makes_no_sense_is_refused(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"{}", -EPROTO},
		{"{\"event\": \"dance\"}", -EPROTO},
		{"{\"event\": \"ask\"}", -EBADMSG},
		{"{\"event\": \"ask\", \"id\": \"a\"}", -EBADMSG},
		{"{\"event\": \"ask\", \"id\": \"a\", \"parameters\": {}, \"parent\": \"b\"}", -EBADMSG},
		{"{\"event\": \"tell\", \"id\": \"b\", \"value\": 1}", -EBADMSG},
		{"{\"event\": \"import\", \"trials\": [{}]}", -EBADMSG},
		{"{\"event\": \"init\", \"version\": 1, \"strategy\": \"random\", \"space\": {}}", -EBADMSG},
		{"{\"event\": \"again\", \"id\": \"b\"}", 0},
		{"{\"event\": \"remove\", \"ids\": [1, \"b\"]}", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *entry = json_loads(cases[i].text, 0, NULL);
		struct tuner tuner;

		tuner_open(&tuner, INIT);
		assert_int_equal(experiment_append(&tuner.experiment, entry), cases[i].error);
		if (cases[i].error)
			assert_non_null(strstr(tuner.experiment.why, "of its journal"));
		json_decref(entry);
		tuner_close(&tuner);
	}
}

/* An experiment of a later version, or with what this one lacks, says so. */
static void what_is_newer_is_refused(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"{\"event\": \"init\", \"version\": 2}", "its journal is of version 2; install a newer sealfs"},
		{"{\"event\": \"init\", \"version\": 1, \"strategy\": \"new\"}", "there is no strategy 'new' here"},
		{"{\"event\": \"ask\", \"id\": \"a\", \"parameters\": {}}", "entry 00000001 of its journal is 'ask'"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *entry = json_loads(cases[i].text, 0, NULL);
		struct journal journal;
		struct tuner tuner;

		tuner_open(&tuner, INIT);
		unlink_first(&tuner);
		journal = (struct journal){.store = &tuner.place.store, .dir = tuner.experiment.journal.dir};
		assert_int_equal(journal_append(&journal, entry), 0);
		journal_free(&journal);
		json_decref(entry);
		reopen(&tuner, -EPROTO);
		assert_non_null(strstr(tuner.experiment.why, cases[i].expected));
		tuner_close(&tuner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_appended_is_read_again),
		cmocka_unit_test(chapters_are_used_and_not_needed),
		cmocka_unit_test(a_torn_end_is_no_entry_and_is_passed_by),
		cmocka_unit_test(torn_in_the_middle_is_damage),
		cmocka_unit_test(a_flipped_byte_is_damage_or_torn),
		cmocka_unit_test(of_two_writers_one_is_first),
		cmocka_unit_test(many_writers_lose_nothing),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(what_is_newer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
