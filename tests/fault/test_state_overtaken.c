/*
 * test_state_overtaken - a slow machine is overtaken between any two of its operations
 *
 * The slow one's transition is run again and again; just before its n-th operation a fast one does a whole sequence of
 * transitions, for every n. This is what a partition does: requests of a machine reach the server long after it looked,
 * and its locks are no longer its. Whatever n is: one of both has won, what the fast one has opened or sealed is where
 * it put it, and a sealed checkpoint verifies.
 *
 * SEALFS_TEST_DIR and SEALFS_TEST_OTHER_DIR, the same directory as two NFS clients have it, make the fast one another
 * machine; SEALFS_TEST_STRIDE leaves out all but every so manieth n; SEALFS_TEST_PAUSE is how many milliseconds pass
 * when one gives way to the other (NFSv3 tells two changes of a directory apart only by their times, 4 or 10 ms).
 *
 * time limit: 600
 */
#include <stdbool.h>

#include "../unit/scratch.h"
#include "faulty.h"
#include "sealfs/lease.h"
#include "sealfs/seal.h"
#include "sealfs/signature.h"

static struct scratch scratch, slow_scratch; /* the same export, as the fast and the slow one have it */
static const char *path;

/* With what each of them signs; NULL: not at all. */
static struct signing_key *keys[2], *slow_key, *fast_key;

/* What the fast one does, and what it got, or 1 when it was never its turn. */
static void (*fast)(void);
static int fast_result;
/* Whether it came after the slow one had read the state: else the slow one acts on what the fast one has left. */
static bool after_the_look;
/* Likewise after he had asked for the lock; the operation at which he did. */
static bool after_the_lock;
static int asked_at;

static int claim(const struct store *store, const char *trial)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_CLAIM, trial);
	rc = state_claim(store, path, &record);
	record_free(&record);
	return rc;
}

static bool is_file(void)
{
	return strcmp(path, "f") == 0;
}

static int reserve(const struct store *store)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_RESERVE, "slow");
	/* Without a writer a directory is made, in which nobody can make a file of that name. */
	record.writer = is_file() ? strdup("fast") : NULL;
	rc = state_reserve(store, path, &record);
	record_free(&record);
	return rc;
}

static int seal(const struct store *store, unsigned int generation)
{
	bool is_fast = store == &scratch.store;
	struct seal_job job = {.path = path,
			       .generation = generation,
			       .trial = is_fast ? "fast" : "slow",
			       .key = is_fast ? fast_key : slow_key};
	int rc = seal_checkpoint(store, &job);

	free(job.error_path);
	return rc;
}

/* The name of the file with the content. */
static const char *content(void)
{
	return is_file() ? "f" : "c/model";
}

static void fill(const char *word)
{
	if (!is_file() && !scratch_exists(&scratch, "c"))
		scratch_mkdir(&scratch, "c");
	scratch_write(&scratch, content(), word);
}

static void expect_content(const char *word)
{
	char *text = scratch_read(&scratch, content());

	assert_non_null(text);
	assert_string_equal(text, word);
	free(text);
}

/* Beside a seal is the signature of whoever is in the record, or none when he has no key. */
static void expect_signature(const struct store *store, const struct state *state)
{
	struct signing_key *signer = strcmp(state->end.trial, "slow") == 0 ? slow_key : fast_key;
	struct signature signature;
	struct key_public key;
	size_t size;
	char *text, *why;

	assert_int_equal(signature_load(store, path, state, &text, &size, &why), 0);
	assert_true(!text == !signer);
	if (!text)
		return;
	assert_int_equal(signature_parse(text, size, &signature, NULL), 0);
	key_public_of(signer, &key);
	assert_true(key_equal(&signature.key, &key));
	assert_int_equal(signature_check(&signature, &state->end.seal), 0);
	free(text);
}

static enum state_kind look_by(const struct store *store)
{
	struct manifest manifest;
	enum state_kind kind;
	struct state state;
	char *why = NULL;

	assert_int_equal(state_read(store, path, &state), 0);
	kind = state.kind;
	if (kind == STATE_DAMAGED)
		fail_msg("damaged: %s", state.damage);
	if (kind == STATE_SEALED) {
		if (seal_load(store, path, &state, &manifest, NULL, &why) != 0)
			fail_msg("sealed, but: %s", why ? why : "?");
		assert_int_equal(seal_verify(store, store->root, path, &manifest, NULL, 1, NULL, NULL, NULL), 0);
		manifest_free(&manifest);
		expect_signature(store, &state);
	}
	state_free(&state);
	return kind;
}

/* Both see the same. */
static enum state_kind look(void)
{
	enum state_kind kind = look_by(&scratch.store);

	assert_int_equal(look_by(&slow_scratch.store), kind);
	return kind;
}

static unsigned int generation(void)
{
	struct state state;
	unsigned int number;

	assert_int_equal(state_read(&scratch.store, path, &state), 0);
	number = state.generation;
	state_free(&state);
	return number;
}

/* --- what is there before
 * ------------------------------------------------------------------------------------------------ */

static void open_both(void)
{
	const char *other = getenv("SEALFS_TEST_OTHER_DIR");

	slow_key = fast_key = NULL;
	scratch_open_export(&scratch);
	if (other)
		snprintf(slow_scratch.dir, sizeof(slow_scratch.dir), "%s%s", other, strrchr(scratch.dir, '/'));
	else
		slow_scratch = scratch;
	assert_int_equal(store_open(&slow_scratch.store, slow_scratch.dir), 0);
}

static void before_open(void)
{
	open_both();
	assert_int_equal(claim(&scratch.store, "t"), 0);
	fill("old");
}

static void before_slow_signs(void)
{
	before_open();
	slow_key = keys[0];
}

static void before_fast_signs(void)
{
	before_open();
	fast_key = keys[1];
}

static void before_both_sign(void)
{
	before_open();
	slow_key = keys[0];
	fast_key = keys[1];
}

static void before_failed(void)
{
	before_open();
	assert_int_equal(scratch_fail(&scratch, path, 1), 0);
}

static void before_sealed(void)
{
	before_open();
	assert_int_equal(seal(&scratch.store, 1), 0);
}

static void before_pending(void)
{
	open_both();
	assert_int_equal(scratch_reserve(&scratch, path, "tuner", is_file() ? "fast" : NULL), 0);
}

static void before_plain(void)
{
	open_both();
	fill("old");
}

/* --- what the slow one does
 * ------------------------------------------------------------------------------------------------ */

static int slow_claim(const struct store *store)
{
	return claim(store, "slow");
}

static int slow_remove(const struct store *store)
{
	return state_remove(store, path);
}

static int slow_end(const struct store *store)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_END, "t");
	record.reason = strdup("exit status 1");
	record.generation = 1;
	rc = state_end(store, path, &record, NULL);
	record_free(&record);
	return rc;
}

static int slow_end_dead(const struct store *store)
{
	return lease_end_dead(store, path, "reader", "owner died");
}

static int slow_seal(const struct store *store)
{
	return seal(store, 1);
}

/* --- what the fast one does meanwhile
 * ------------------------------------------------------------------------------------- */

static void fast_claim(void)
{
	fast_result = claim(&scratch.store, "fast");
	if (fast_result == 0)
		fill("fast");
}

static void fast_claim_and_seal(void)
{
	fast_claim();
	if (fast_result == 0)
		assert_int_equal(seal(&scratch.store, generation()), 0);
}

static void fast_claims_fails_and_claims_again(void)
{
	fast_claim();
	if (fast_result != 0)
		return;
	assert_int_equal(scratch_fail(&scratch, path, generation()), 0);
	fast_claim_and_seal();
}

static void fast_fails_it_and_claims(void)
{
	fast_result = scratch_fail(&scratch, path, 1);
	if (fast_result == 0)
		fast_claim_and_seal();
}

static void fast_fails_and_claims(void)
{
	fast_result = scratch_fail(&scratch, path, 1);
	if (fast_result == 0)
		fast_claim();
}

static void fast_seals_it(void)
{
	fast_result = seal(&scratch.store, 1);
}

/* The first generation once more, on the same path. */
static void fast_fails_removes_and_claims(void)
{
	fast_result = scratch_fail(&scratch, path, 1);
	if (fast_result == 0)
		fast_result = state_remove(&scratch.store, path);
	if (fast_result == 0)
		fast_claim();
}

static void fast_removes_and_claims(void)
{
	int rc = state_remove(&scratch.store, path);

	if (rc != 0 && rc != -ENOENT) {
		fast_result = rc;
		return;
	}
	fast_claim();
}

/* --- what must be so afterwards
 * -------------------------------------------------------------------------------------------- */

static void check_claims(int slow)
{
	enum state_kind kind = look();

	if (fast_result == 0) {
		assert_true(slow == -EEXIST || slow == -EBUSY || slow == -EROFS);
		assert_true(kind == STATE_OPEN || kind == STATE_SEALED);
		expect_content("fast");
		return;
	}
	assert_int_equal(slow, 0);
	assert_int_equal(kind, STATE_OPEN);
	if (scratch_exists(&scratch, content()))
		fail_msg("old content is at the path of a new generation");
}

static void check_claims_plain(int slow)
{
	enum state_kind kind = look();

	assert_int_equal(kind, STATE_OPEN);
	if (fast_result == 0) {
		assert_true(slow == -EEXIST || slow == -EBUSY);
		expect_content("fast");
	} else {
		assert_int_equal(slow, 0);
		expect_content("old");
	}
}

static void check_reserve(int slow)
{
	enum state_kind kind = look();

	if (fast_result == 0) {
		assert_true(kind == STATE_OPEN || kind == STATE_SEALED);
		expect_content("fast");
		return;
	}
	assert_int_equal(slow, 0);
	assert_int_equal(kind, STATE_PENDING);
}

/* Both may have what they want, one after the other; but what is open is never removed. */
static void check_remove(int slow)
{
	enum state_kind kind = look();

	if (slow != 0 && slow != -EBUSY && slow != -EROFS && slow != -EEXIST)
		fail_msg("the slow one got %d (%s)", slow, strerror(-slow));
	if (fast_result == 0 && fast != fast_claim_and_seal) {
		assert_int_equal(kind, STATE_OPEN);
		expect_content("fast");
	} else if (fast_result == 0 && (slow != 0 || kind != STATE_ABSENT)) {
		assert_true(kind == STATE_OPEN || kind == STATE_SEALED);
		expect_content("fast");
	} else {
		assert_int_equal(slow, 0);
		assert_int_equal(kind, STATE_ABSENT);
		assert_false(scratch_exists(&scratch, path));
	}
}

static void check_seal(int slow)
{
	enum state_kind kind = look();

	assert_int_equal(kind, STATE_SEALED);
	if (fast_result == 0) {
		assert_true(slow == -EEXIST || slow == -EAGAIN);
		expect_content("fast");
	} else {
		assert_int_equal(slow, 0);
		expect_content("old");
	}
}

/*
 * Generations are counted from 1 again after a removal. Whoever comes with the number alone after that means the new
 * one, for all that can be seen; but once he has read the state, he decides about that and no other.
 */
static void check_seal_of_another_first_generation(int slow)
{
	enum state_kind kind = look();

	if (fast_result == 0 && after_the_look)
		assert_true(slow < 0);
	assert_int_equal(kind, slow == 0 ? STATE_SEALED : STATE_OPEN);
	expect_content(fast_result == 0 ? "fast" : "old");
}

static void check_end(int slow)
{
	enum state_kind kind = look();

	if (fast_result == 0 && after_the_look)
		assert_true(slow < 0);
	assert_int_equal(kind, slow == 0 ? STATE_FAILED : STATE_OPEN);
	if (fast_result == 0)
		expect_content("fast");
}

/* Refused, or done: when the fast one is through, what it has claimed must live. */
static void check_end_dead(int slow)
{
	enum state_kind kind = look();

	if (slow != 0 && slow != -EBUSY)
		fail_msg("the slow one got %d (%s)", slow, strerror(-slow));
	if (fast_result == 0 && after_the_look) {
		assert_int_equal(kind, STATE_OPEN);
		expect_content("fast");
	} else if (slow == 0) {
		assert_int_equal(kind, STATE_FAILED);
	}
}

/* What his lock tells is about the claim that was there when he asked for it. */
static void check_end_dead_of_another_generation(int slow)
{
	enum state_kind kind = look();

	if (slow != 0 && slow != -EBUSY)
		fail_msg("the slow one got %d (%s)", slow, strerror(-slow));
	if (fast_result == 0 && after_the_lock) {
		assert_int_equal(kind, STATE_OPEN);
		assert_int_equal(generation(), 2);
		expect_content("fast");
	} else if (fast_result != 0 && slow == 0) {
		assert_int_equal(kind, STATE_FAILED);
	}
}

static void check_seals(int slow)
{
	assert_int_equal(look(), STATE_SEALED);
	assert_true(fast_result == 0 ? slow == -EEXIST || slow == -EAGAIN : slow == 0);
	expect_content("old");
}

static const struct scenario {
	const char *name;
	void (*before)(void);
	int (*slow)(const struct store *store);
	void (*fast)(void);
	void (*check)(int slow);
	bool unlocked; /* the slow one's lock holds nobody back: his machine was cut off, and its lease ran out */
} scenarios[] = {
	{"claim, claim", before_failed, slow_claim, fast_claim, check_claims, false},
	{"claim, claim and seal", before_failed, slow_claim, fast_claim_and_seal, check_claims, false},
	{"claim, two generations", before_failed, slow_claim, fast_claims_fails_and_claims_again, check_claims, false},
	{"reserve, claim", before_failed, reserve, fast_claim, check_reserve, false},
	{"reserve, claim and seal", before_failed, reserve, fast_claim_and_seal, check_reserve, false},
	{"seal, fail and claim", before_open, slow_seal, fast_fails_it_and_claims, check_seal, false},
	{"claim, remove and claim", before_failed, slow_claim, fast_removes_and_claims, check_claims, false},
	{"claim plain, remove and claim", before_plain, slow_claim, fast_removes_and_claims, check_claims_plain, false},
	{"reserve, remove and claim", before_failed, reserve, fast_removes_and_claims, check_reserve, false},
	{"seal, fail, remove and claim", before_open, slow_seal, fast_fails_removes_and_claims,
	 check_seal_of_another_first_generation, false},
	{"end, fail, remove and claim", before_open, slow_end, fast_fails_removes_and_claims, check_end, false},
	{"end a dead one's, fail, remove and claim", before_open, slow_end_dead, fast_fails_removes_and_claims,
	 check_end_dead, true},
	{"end a dead one's, fail and claim", before_open, slow_end_dead, fast_fails_and_claims,
	 check_end_dead_of_another_generation, true},
	{"seal, seal", before_open, slow_seal, fast_seals_it, check_seals, false},
	{"sign, seal", before_slow_signs, slow_seal, fast_seals_it, check_seals, false},
	{"seal, sign", before_fast_signs, slow_seal, fast_seals_it, check_seals, false},
	{"sign, sign", before_both_sign, slow_seal, fast_seals_it, check_seals, false},
	{"remove failed, claim", before_failed, slow_remove, fast_claim, check_remove, true},
	{"remove failed, claim and seal", before_failed, slow_remove, fast_claim_and_seal, check_remove, true},
	{"remove pending, claim", before_pending, slow_remove, fast_claim, check_remove, true},
	{"remove sealed, claim", before_sealed, slow_remove, fast_claim, check_remove, true},
	{"remove plain, claim", before_plain, slow_remove, fast_claim, check_remove, true},
	{"remove failed, remove and claim", before_failed, slow_remove, fast_removes_and_claims, check_remove, true},
	{"remove sealed, remove and claim", before_sealed, slow_remove, fast_removes_and_claims, check_remove, true},
	{"remove plain, remove and claim", before_plain, slow_remove, fast_removes_and_claims, check_remove, true},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static int lock_that_holds_nobody_back(void *ctx, int fd, int type, off_t from, off_t size)
{
	const struct faulty *faulty = ctx;

	if (asked_at == 0)
		asked_at = faulty->count + 1;
	faulty_hit(ctx);
	return 0;
}

static int number_from(const char *variable, int otherwise)
{
	const char *text = getenv(variable);

	return text ? atoi(text) : otherwise;
}

static void give_way(void)
{
	usleep((useconds_t)number_from("SEALFS_TEST_PAUSE", 0) * 1000);
}

static void be_overtaken(void)
{
	give_way();
	fast();
	give_way();
}

static bool run_once(const struct scenario *scenario, int at)
{
	struct faulty faulty = {.mode = FAULTY_MEET, .at = at, .meet = be_overtaken};
	struct store_ops ops = faulty_ops;
	struct store store;
	int rc;

	umask(022);
	if (scenario->unlocked)
		ops.lock = lock_that_holds_nobody_back;
	fast = scenario->fast;
	fast_result = 1;
	asked_at = 0;
	scenario->before();
	give_way();
	store = slow_scratch.store;
	store.ops = &ops;
	store.ctx = &faulty;
	rc = scenario->slow(&store);
	after_the_look = faulty.changed > 0 && at >= faulty.changed;
	after_the_lock = asked_at > 0 && at >= asked_at;
	give_way();
	scenario->check(rc);
	store_close(&slow_scratch.store);
	scratch_close(&scratch);
	return faulty.count >= at;
}

static void run_scenario(void **state)
{
	static const char *const paths[] = {"c", "f"};
	const struct scenario *scenario = *state;
	int stride = number_from("SEALFS_TEST_STRIDE", 1);

	for (size_t i = 0; i < 2; i++) {
		int n = 1;

		path = paths[i];
		while (run_once(scenario, n))
			n += stride;
		print_message("%s: a %s, overtaken before each of %d operations\n", scenario->name,
			      is_file() ? "file" : "directory", (n - 1) / stride);
	}
}

int main(void)
{
	struct CMUnitTest tests[SCENARIOS];

	if (key_generate(&keys[0]) < 0 || key_generate(&keys[1]) < 0)
		return 1;
	for (size_t i = 0; i < SCENARIOS; i++)
		tests[i] = (struct CMUnitTest){scenarios[i].name, run_scenario, NULL, NULL, (void *)&scenarios[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
