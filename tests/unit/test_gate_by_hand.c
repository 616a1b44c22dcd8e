/*
 * test_gate_by_hand - plain data are sealed by hand, or claimed by a trial, while others are at them
 */
#include "sealfs/gate.h"

#include <semaphore.h>

#include "scratch.h"

#define NAME "old"

static struct scratch scratch;
static struct gate_options options;
static struct gate *gate;
static struct gate_checkpoint *checkpoint;
static struct gate_caller me;
static sem_t ended;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	scratch_mkdir(&scratch, NAME);
	scratch_write(&scratch, NAME "/w", "plain");
	memset(&options, 0, sizeof(options));
	options.store = scratch.store;
	options.export_path = scratch.dir;
	assert_int_equal(config_default(&options.config), 0);
	assert_int_equal(liveness_detect(&options.store, LIVENESS_LOCKS_AUTO, 0, &options.liveness), 0);
	options.store.no_locks = !options.liveness.leases;
	me = (struct gate_caller){getpid(), geteuid(), getegid()};
	return sem_init(&ended, 0, 0);
}

static void begin(pid_t (*mapped)(void *arg, struct gate_checkpoint *checkpoint, pid_t only))
{
	options.mapped = mapped;
	gate = gate_create(&options);
	assert_non_null(gate);
	assert_int_equal(gate_start(gate), 0);
	checkpoint = gate_checkpoint_get(gate, NAME);
	assert_non_null(checkpoint);
}

static int teardown(void **state)
{
	gate_abort(gate);
	gate_stop(gate);
	gate_checkpoint_put(checkpoint);
	gate_destroy(gate);
	config_free(&options.config);
	sem_destroy(&ended);
	scratch_close(&scratch);
	return 0;
}

static void resume(struct waiter *waiter, int result)
{
	sem_post(&ended);
}

static bool never(const void *key)
{
	return false;
}

static struct gate_outcome outcome_of_the_end(void)
{
	struct waiter waiter = {.key = &waiter, .resume = resume};
	struct gate_outcome outcome;
	int under_way;

	while (!(under_way = gate_wait_end(gate, checkpoint, &waiter, never, &outcome)))
		while (sem_wait(&ended))
			continue;
	assert_int_equal(under_way, 1);
	return outcome;
}

/* As a mount does. */
static void open_to_write(struct gate_write_handle *handle)
{
	struct gate_view view;

	memset(handle, 0, sizeof(*handle));
	assert_int_equal(gate_enter(gate, checkpoint, &me, GATE_CREATE, "w", NULL, NULL, &view), 0);
	assert_int_equal(view.answer, GATE_PLAIN);
	gate_write_opened(gate, checkpoint, me.tid, true, handle);
	if (view.changing)
		gate_change_done(gate, checkpoint);
}

static unsigned int looks, opens;

/* This process was looked at, and only then it opens, maps and closes a file, `opens` times. */
static pid_t maps_behind_the_look(void *arg, struct gate_checkpoint *of, pid_t only)
{
	struct gate_write_handle handle;

	if (only)
		return 0; /* at a close */
	pid_t found = looks++ ? getpid() : 0;
	if (looks <= opens) {
		open_to_write(&handle);
		gate_write_closed(gate, &handle);
	}
	return found;
}

static pid_t opens_at_every_look(void *arg, struct gate_checkpoint *of, pid_t only)
{
	struct gate_write_handle handle;

	if (only)
		return 0;
	open_to_write(&handle);
	gate_write_closed(gate, &handle);
	return 0;
}

static struct gate_outcome outcome_of_a_seal(pid_t (*mapped)(void *arg, struct gate_checkpoint *checkpoint, pid_t only))
{
	struct gate_write_handle handle;
	char why[200];

	begin(mapped);
	open_to_write(&handle);
	gate_write_closed(gate, &handle);
	assert_int_equal(gate_seal(gate, checkpoint, &me, why, sizeof(why)), 0);
	return outcome_of_the_end();
}

static enum state_kind kind_now(bool *plain)
{
	struct gate_status status;

	assert_int_equal(gate_status(gate, checkpoint, &status), 0);
	enum state_kind kind = status.state.kind;
	if (plain)
		*plain = status.state.claim.plain;
	state_free(&status.state);
	return kind;
}

static void mapping_made_while_others_are_looked_at_is_found(void **state)
{
	looks = 0;
	opens = 1;
	struct gate_outcome outcome = outcome_of_a_seal(maps_behind_the_look);

	assert_int_equal(outcome.result, -EBUSY);
	assert_non_null(strstr(outcome.message, "still mapped for writing by pid"));
	assert_int_equal(looks, 2);
	assert_int_equal(kind_now(NULL), STATE_PLAIN);
}

static void plain_data_that_are_opened_again_and_again_are_not_sealed(void **state)
{
	struct gate_outcome outcome = outcome_of_a_seal(opens_at_every_look);

	assert_int_equal(outcome.result, -EBUSY);
	assert_non_null(strstr(outcome.message, "it can not be told"));
	assert_int_equal(kind_now(NULL), STATE_PLAIN);
}

static pid_t nobody(void *arg, struct gate_checkpoint *of, pid_t only)
{
	looks += !only;
	return 0;
}

static void plain_data_that_nobody_opens_are_sealed(void **state)
{
	looks = 0;
	struct gate_outcome outcome = outcome_of_a_seal(nobody);

	assert_int_equal(outcome.result, 0);
	assert_int_equal(looks, 1);
	assert_int_equal(kind_now(NULL), STATE_SEALED);
}

/* What that trial leaves half written must not be read as the plain data that were there. */
static void claim_by_a_trial_while_a_seal_waits_is_not_plain(void **state)
{
	struct gate_write_handle handle;
	struct gate_view view;
	char why[200];
	bool plain = true;

	begin(nobody);
	open_to_write(&handle);
	assert_int_equal(gate_seal(gate, checkpoint, &me, why, sizeof(why)), 0);
	assert_int_equal(gate_claim(gate, checkpoint, &me, "another", &view), 0);
	assert_int_equal(kind_now(&plain), STATE_OPEN);
	assert_false(plain);
	gate_write_closed(gate, &handle);
	assert_int_equal(outcome_of_the_end().result, -EBUSY);
	assert_int_equal(gate_abandon(gate, checkpoint, &me, "it failed", why, sizeof(why)), 0);
	outcome_of_the_end();
	assert_int_equal(kind_now(NULL), STATE_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mapping_made_while_others_are_looked_at_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(plain_data_that_are_opened_again_and_again_are_not_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(plain_data_that_nobody_opens_are_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(claim_by_a_trial_while_a_seal_waits_is_not_plain, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
