/*
 * test_seal_faults - every operation fails once, and the machine dies after every operation
 *
 * Each scenario is run again and again: at its n-th operation on the export an error comes (EIO, ENOSPC, ESTALE, EINTR), or
 * the answer to it is lost, or it is done by half, or the process is no more; for every n, until it runs through
 * untouched. Then a fresh look, with the system's own operations, must find a state that is legal, a sealed checkpoint
 * that verifies, and a way to go on to the end. How often is printed per scenario.
 *
 * time limit: 600
 */
#include "faulty.h"

#include <stdbool.h>
#include <sys/wait.h>

#include "../unit/scratch.h"
#include "sealfs/lease.h"
#include "sealfs/seal.h"
#include "sealfs/signature.h"
#include "sealfs/tree.h"

static struct scratch scratch;
static struct signing_key *signing_key; /* or NULL: nobody signs */

/* --- pieces of scenarios, through whatever store they are given -------------------------------------------------- */

static int end_failed(const struct store *store, unsigned int generation)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_END, "t");
	record.generation = generation;
	record.reason = strdup("exit status 1");
	rc = state_end(store, "c", &record, NULL);
	record_free(&record);
	return rc;
}

static int claim(const struct store *store, const char *path)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_CLAIM, "t");
	rc = state_claim(store, path, &record);
	record_free(&record);
	return rc;
}

static int reserve(const struct store *store, const char *path)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_RESERVE, "tuner");
	rc = state_reserve(store, path, &record);
	record_free(&record);
	return rc;
}

static void write_content(const char *word)
{
	char path[4096], large[3 * DIGEST_BLOCK_SIZE - 1];

	if (!scratch_exists(&scratch, "c"))
		scratch_mkdir(&scratch, "c");
	if (!scratch_exists(&scratch, "c/sub"))
		scratch_mkdir(&scratch, "c/sub");
	scratch_write(&scratch, "c/model", word);
	scratch_write(&scratch, "c/sub/optimizer", word);
	/* two blocks and more, so that there is a tree */
	memset(large, *word, sizeof(large));
	scratch_write_bytes(&scratch, "c/large", large, sizeof(large));
	scratch_path(&scratch, "c/latest", path);
	if (!scratch_exists(&scratch, "c/latest"))
		assert_int_equal(symlink("model", path), 0);
}

static int seal(const struct store *store, const char *path, unsigned int generation)
{
	struct seal_job job = {.path = path, .generation = generation, .trial = "t", .key = signing_key};
	int rc = seal_checkpoint(store, &job);

	free(job.error_path);
	return rc;
}

/* The tree beside the seal is that of what was sealed. */
static void expect_tree(const char *path, const struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->count; i++) {
		const struct manifest_entry *entry = &manifest->entries[i];
		char name[4096], data[4096], tree[4096];
		uint64_t first, last;
		int fd, tree_fd;

		if (entry->type != MANIFEST_FILE || entry->size <= DIGEST_BLOCK_SIZE)
			continue;
		snprintf(name, sizeof(name), "%.2000s/%.2000s", path, entry->path);
		scratch_path(&scratch, name, data);
		snprintf(name, sizeof(name), "%.2000s/.seal/tree", path);
		scratch_path(&scratch, name, tree);
		fd = open(data, O_RDONLY | O_CLOEXEC);
		tree_fd = open(tree, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0 && tree_fd >= 0);
		assert_int_equal(tree_compare(&scratch.store, fd, tree_fd, tree_offset(manifest, i), entry->size, &entry->digest, 1, NULL,
					      &first, &last),
				 0);
		assert_true(first > last);
		close(fd);
		close(tree_fd);
	}
}

/* What is sealed with a key is signed with it, and without one by nobody. */
static void expect_signature(const char *path, const struct state *state, const struct seal *seal)
{
	struct signature signature;
	struct key_public key;
	char *text, *why;
	size_t size;

	assert_int_equal(signature_load(&scratch.store, path, state, &text, &size, &why), 0);
	assert_int_equal(text != NULL, signing_key != NULL);
	if (text) {
		key_public_of(signing_key, &key);
		assert_int_equal(signature_parse(text, size, &signature, NULL), 0);
		assert_true(key_equal(&signature.key, &key));
		assert_int_equal(signature_check(&signature, &seal->digest), 0);
	}
	free(text);
}

/* --- what must hold afterwards --------------------------------------------------------------------------------------
 */

static void expect_whole(const char *path, const struct state *state)
{
	struct manifest manifest;
	struct seal seal = {.checkpoint = NULL};
	char *why = NULL;

	if (seal_load(&scratch.store, path, state, &manifest, &seal, &why) != 0)
		fail_msg("sealed, but: %s", why ? why : "?");
	expect_signature(path, state, &seal);
	seal_free(&seal);
	assert_int_equal(seal_verify(&scratch.store, scratch.store.root, path, &manifest, NULL, 1, NULL, NULL, NULL),
			 0);
	expect_tree(path, &manifest);
	manifest_free(&manifest);
}

static enum state_kind look(const char *path, unsigned int *generation)
{
	enum state_kind kind;
	struct state state;

	assert_int_equal(state_read(&scratch.store, path, &state), 0);
	kind = state.kind;
	if (generation)
		*generation = state.generation;
	if (kind == STATE_DAMAGED)
		fail_msg("damaged: %s", state.damage);
	if (kind == STATE_SEALED)
		expect_whole(path, &state);
	state_free(&state);
	return kind;
}

static void expect_content(const char *word)
{
	char *text = scratch_read(&scratch, "c/model");

	assert_non_null(text);
	assert_string_equal(text, word);
	free(text);
}

/* Whatever was left behind, the trial starts again and gets its checkpoint sealed. */
static void go_on_to_the_seal(void)
{
	struct lease lease = LEASE_INIT;
	unsigned int generation;
	enum state_kind kind = look("c", NULL);

	if (kind != STATE_SEALED) {
		assert_int_equal(lease_share(&scratch.store, "c", &lease), 0);
		if (kind != STATE_OPEN)
			assert_int_equal(claim(&scratch.store, "c"), 0);
		assert_int_equal(look("c", &generation), STATE_OPEN);
		if (kind == STATE_FAILED)
			assert_false(scratch_exists(&scratch, "c"));
		write_content("new");
		assert_int_equal(lease_exclude(&scratch.store, &lease), 0);
		assert_int_equal(seal(&scratch.store, "c", generation), 0);
		lease_drop(&scratch.store, &lease);
	}
	assert_int_equal(look("c", NULL), STATE_SEALED);
	expect_content("new");
}

/* --- scenarios ------------------------------------------------------------------------------------------------------
 */

struct scenario {
	const char *name;
	void (*prepare)(void);
	int (*run)(const struct store *store);
	void (*check)(int rc, bool crashed);
};

static void prepare_export(void)
{
	scratch_open_export(&scratch);
}

static int run_first_generation(const struct store *store)
{
	struct lease lease = LEASE_INIT;
	int rc = reserve(store, "c");

	if (rc == 0)
		rc = lease_share(store, "c", &lease);
	if (rc == 0)
		rc = claim(store, "c");
	if (rc == 0) {
		write_content("new");
		rc = lease_exclude(store, &lease);
	}
	if (rc == 0)
		rc = seal(store, "c", 1);
	lease_drop(store, &lease);
	return rc;
}

static void check_first_generation(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	if (!crashed)
		assert_int_equal(kind == STATE_SEALED, rc == 0);
	/* A reservation whose directory could not be made is ended. */
	assert_true(kind == STATE_ABSENT || kind == STATE_PLAIN || kind == STATE_PENDING || kind == STATE_OPEN ||
		    kind == STATE_SEALED || kind == STATE_FAILED);
	go_on_to_the_seal();
}

static void prepare_open(void)
{
	prepare_export();
	assert_int_equal(claim(&scratch.store, "c"), 0);
	write_content("old");
}

static int run_second_generation(const struct store *store)
{
	struct lease lease = LEASE_INIT;
	int rc = end_failed(store, 1);

	if (rc == 0)
		rc = lease_share(store, "c", &lease);
	if (rc == 0)
		rc = claim(store, "c");
	if (rc == 0) {
		assert_false(scratch_exists(&scratch, "c"));
		write_content("new");
		rc = lease_exclude(store, &lease);
	}
	if (rc == 0)
		rc = seal(store, "c", 2);
	lease_drop(store, &lease);
	return rc;
}

static void check_second_generation(int rc, bool crashed)
{
	unsigned int generation;
	enum state_kind kind = look("c", &generation);

	if (!crashed)
		assert_int_equal(kind == STATE_SEALED, rc == 0);
	if (kind == STATE_OPEN && generation == 1) {
		assert_int_equal(end_failed(&scratch.store, 1), 0);
		kind = look("c", &generation);
	}
	/* The second generation never has the old content at its path, open or sealed. */
	if (generation > 1 && scratch_exists(&scratch, "c/model"))
		expect_content("new");
	assert_true(generation > 1 || kind == STATE_FAILED);
	go_on_to_the_seal();
}

static int run_one_file(const struct store *store)
{
	int rc = claim(store, "f");

	if (rc == 0)
		scratch_write(&scratch, "f", "weights");
	return rc == 0 ? seal(store, "f", 1) : rc;
}

/* An earlier attempt has left its signature. */
static void prepare_no_key(void)
{
	prepare_open();
	write_content("new");
	scratch_mkdir(&scratch, "c/.seal");
	scratch_write(&scratch, "c/.seal/signature", "of an attempt that did not come to its end");
}

static void prepare_key(void)
{
	prepare_no_key();
	key_free(signing_key);
	assert_int_equal(key_generate(&signing_key), 0);
}

static int run_sign(const struct store *store)
{
	return seal(store, "c", 1);
}

static void check_sign(int rc, bool crashed)
{
	if (!crashed)
		assert_int_equal(look("c", NULL) == STATE_SEALED, rc == 0);
	go_on_to_the_seal();
	key_free(signing_key);
	signing_key = NULL;
}

static void check_one_file(int rc, bool crashed)
{
	enum state_kind kind = look("f", NULL);

	if (!crashed)
		assert_int_equal(kind == STATE_SEALED, rc == 0);
	if (kind == STATE_ABSENT)
		assert_int_equal(claim(&scratch.store, "f"), 0);
	if (kind != STATE_SEALED) {
		scratch_write(&scratch, "f", "weights");
		assert_int_equal(seal(&scratch.store, "f", 1), 0);
	}
	assert_int_equal(look("f", NULL), STATE_SEALED);
}

static int run_remove(const struct store *store)
{
	return state_remove(store, "c");
}

static void remove_the_rest(void)
{
	int rc = lease_end_dead(&scratch.store, "c", "reader", "owner died");

	/* Refused for what is pending, which is none of its business. */
	assert_true(rc == 0 || rc == -EINVAL);
	rc = state_remove(&scratch.store, "c");
	assert_true(rc == 0 || rc == -ENOENT);
	assert_int_equal(look("c", NULL), STATE_ABSENT);
	assert_false(scratch_exists(&scratch, "c"));
}

static void prepare_sealed(void)
{
	prepare_export();
	assert_int_equal(claim(&scratch.store, "c"), 0);
	write_content("new");
	assert_int_equal(seal(&scratch.store, "c", 1), 0);
}

static void check_remove_sealed(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	/* Open is what a crash leaves between the claim by nobody and its end. Nobody holds its lease, so it ends like
	 * any dead writer's. */
	assert_true(kind == STATE_SEALED || kind == STATE_OPEN || kind == STATE_FAILED || kind == STATE_ABSENT);
	if (rc == 0 && !crashed)
		assert_int_equal(kind, STATE_ABSENT);
	remove_the_rest();
}

static void prepare_failed(void)
{
	prepare_open();
	assert_int_equal(end_failed(&scratch.store, 1), 0);
}

static void check_remove_failed(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	assert_true(kind == STATE_FAILED || kind == STATE_OPEN || kind == STATE_ABSENT);
	if (rc == 0 && !crashed)
		assert_int_equal(kind, STATE_ABSENT);
	remove_the_rest();
}

static void prepare_pending(void)
{
	prepare_export();
	assert_int_equal(reserve(&scratch.store, "c"), 0);
}

static void check_remove_pending(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	assert_true(kind == STATE_PENDING || kind == STATE_OPEN || kind == STATE_FAILED || kind == STATE_ABSENT);
	if (rc == 0 && !crashed)
		assert_int_equal(kind, STATE_ABSENT);
	remove_the_rest();
}

static void prepare_plain(void)
{
	prepare_export();
	write_content("old");
}

static void check_remove_plain(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	assert_true(kind == STATE_PLAIN || kind == STATE_OPEN || kind == STATE_FAILED || kind == STATE_ABSENT);
	if (rc == 0 && !crashed)
		assert_int_equal(kind, STATE_ABSENT);
	remove_the_rest();
}

static int run_reserve_again(const struct store *store)
{
	return reserve(store, "c");
}

static void check_reserve_again(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	assert_true(kind == STATE_FAILED || kind == STATE_PENDING);
	if (rc == 0 && !crashed) {
		assert_int_equal(kind, STATE_PENDING);
		assert_true(scratch_exists(&scratch, "c"));
	}
	if (kind == STATE_PENDING)
		assert_false(scratch_exists(&scratch, "c/model"));
	go_on_to_the_seal();
}

static int run_end_dead(const struct store *store)
{
	return lease_end_dead(store, "c", "reader", "owner died");
}

static void check_end_dead(int rc, bool crashed)
{
	enum state_kind kind = look("c", NULL);

	assert_true(kind == STATE_OPEN || kind == STATE_FAILED);
	if (rc == 0 && !crashed)
		assert_int_equal(kind, STATE_FAILED);
	assert_int_equal(lease_end_dead(&scratch.store, "c", "reader", "owner died"), 0);
	assert_int_equal(look("c", NULL), STATE_FAILED);
	go_on_to_the_seal();
}

static void prepare_nothing(void)
{
	scratch_open(&scratch);
}

static int run_init(const struct store *store)
{
	struct config config;
	mode_t before = umask(077);
	int rc = config_default(&config);

	config.depth = 2;
	rc = rc < 0 ? rc : config_init_export(store, &config);
	config_free(&config);
	umask(before);
	return rc;
}

static void check_init(int rc, bool crashed)
{
	struct config config;
	int loaded = config_load(&scratch.store, &config, NULL);

	assert_true(loaded == 0 || loaded == -ENOENT);
	if (loaded == 0)
		config_free(&config);
	if (rc == 0 && !crashed)
		assert_int_equal(loaded, 0);
	rc = run_init(&scratch.store);
	assert_int_equal(rc, loaded == 0 ? -EEXIST : 0);
	assert_int_equal(config_load(&scratch.store, &config, NULL), 0);
	assert_int_equal(config.depth, 2);
	config_free(&config);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/config"), 0644);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/state"), 01777);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/failed"), 01777);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/mounts"), 01777);
}

static const struct scenario scenarios[] = {
	{"reserve, claim, write, seal", prepare_export, run_first_generation, check_first_generation},
	{"fail, claim generation 2, write, seal", prepare_open, run_second_generation, check_second_generation},
	{"claim, write, seal one file", prepare_export, run_one_file, check_one_file},
	{"sign", prepare_key, run_sign, check_sign},
	{"seal without a key beside a signature", prepare_no_key, run_sign, check_sign},
	{"reserve again after a failure", prepare_failed, run_reserve_again, check_reserve_again},
	{"end a dead owner's", prepare_open, run_end_dead, check_end_dead},
	{"remove sealed", prepare_sealed, run_remove, check_remove_sealed},
	{"remove failed", prepare_failed, run_remove, check_remove_failed},
	{"remove pending", prepare_pending, run_remove, check_remove_pending},
	{"remove plain", prepare_plain, run_remove, check_remove_plain},
	{"initialise an export", prepare_nothing, run_init, check_init},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --- running them ---------------------------------------------------------------------------------------------------
 */

/* One run with a fault at operation `at`; false when it ended before it came to that. */
static bool run_once(const struct scenario *scenario, enum faulty_mode mode, int error, int at)
{
	struct faulty faulty = {.mode = mode, .error = error, .at = at};
	struct store store;
	int rc;

	umask(022);
	scenario->prepare();
	store = scratch.store;
	store.ops = &faulty_ops;
	store.ctx = &faulty;
	rc = scenario->run(&store);
	scenario->check(rc, false);
	scratch_close(&scratch);
	if (faulty.count < at)
		assert_int_equal(rc, 0);
	return faulty.count >= at;
}

static void crash_once(const struct scenario *scenario, int at)
{
	struct faulty faulty = {.mode = FAULTY_CRASH, .at = at};
	struct store store;
	int status;
	pid_t pid;

	umask(022);
	scenario->prepare();
	store = scratch.store;
	store.ops = &faulty_ops;
	store.ctx = &faulty;
	pid = fork();
	if (pid == 0)
		_exit(scenario->run(&store) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), FAULTY_CRASHED);
	scenario->check(0, true);
	scratch_close(&scratch);
}

static int count_operations(const struct scenario *scenario)
{
	struct faulty faulty = {.mode = FAULTY_NONE};
	struct store store;

	umask(022);
	scenario->prepare();
	store = scratch.store;
	store.ops = &faulty_ops;
	store.ctx = &faulty;
	assert_int_equal(scenario->run(&store), 0);
	scenario->check(0, false);
	scratch_close(&scratch);
	return faulty.count;
}

static const struct {
	const char *name;
	enum faulty_mode mode;
	int error;
} faults[] = {
	{"EIO", FAULTY_ERROR, EIO},        {"ENOSPC", FAULTY_ERROR, ENOSPC},    {"ESTALE", FAULTY_ERROR, ESTALE},
	{"EINTR", FAULTY_ERROR, EINTR},    {"lost answer", FAULTY_LOST, EIO},   {"short transfer", FAULTY_SHORT, 0},
};

static void with_every_fault_at_every_operation(const struct scenario *scenario)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		int n = 1;

		while (run_once(scenario, faults[i].mode, faults[i].error, n))
			n++;
		print_message("%s: %s at each of %d operations\n", scenario->name, faults[i].name, n - 1);
	}
}

static void with_a_crash_after_every_operation(const struct scenario *scenario)
{
	int count = count_operations(scenario);

	for (int n = 1; n <= count; n++)
		crash_once(scenario, n);
	print_message("%s: crash after each of %d operations\n", scenario->name, count);
}

static void run_scenario(void **state)
{
	with_every_fault_at_every_operation(*state);
	with_a_crash_after_every_operation(*state);
}

int main(void)
{
	struct CMUnitTest tests[SCENARIOS];

	for (size_t i = 0; i < SCENARIOS; i++)
		tests[i] = (struct CMUnitTest){scenarios[i].name, run_scenario, NULL, NULL, (void *)&scenarios[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
