/* The table of a launcher: what it says, and what of it a narrow terminal shows. */
#include "tuner.h"

#include "../../tools/sealtuner/board.h"

#define SECOND INT64_C(1000000000)
#define INIT                                                                                                           \
	"{\"version\": 1, \"strategy\": \"darts\", \"goal\": \"maximize\", \"population\": 1, \"seed\": 1, \"settings\": {}, "    \
	"\"space\": {\"x\": {\"_type\": \"choice\", \"_value\": [\"one\"]}}}"

static struct tuner tuner;

/* One that has reported something, one that waits for it, and one of an earlier launcher. */
static char *draw(const char *last, size_t width)
{
	struct board_row rows[3] = {{.has_metric = true, .metric = 0.25, .began_ns = 1 * SECOND}, {.waits_for = "t0001", .began_ns = 3 * SECOND}};
	unsigned int lines;
	char *text;

	for (size_t i = 0; i < 3; i++)
		rows[i].trial = tuner.experiment.trials[i];
	rows[2].waits_for = last;
	text = board_format(&tuner.experiment, rows, 3, 5, 8 * SECOND, width, &lines);
	assert_non_null(text);
	assert_int_equal(lines, 5);
	return text;
}

static void expect(const char *last, size_t width, const char *expected)
{
	char *text = draw(last, width);

	assert_string_equal(text, expected);
	free(text);
}

static void columns_are_as_wide_as_what_is_in_them(void **state)
{
	expect("another-trial", 200,
	       "ID     STATE    METRIC  WAITS FOR      TIME  PARAMETERS\n"
	       "t0001  running  0.25    -               7 s  x=one\n"
	       "t0002  waiting  -       t0001           5 s  x=one\n"
	       "t0003  waiting  -       another-trial     -  x=one\n"
	       "0 of 5 done, 0 failed, 3 running\n");
}

static void a_narrow_terminal_shows_who_waits_for_whom(void **state)
{
	expect(NULL, 39,
	       "ID     STATE    METRIC  WAITS FOR  TIME\n"
	       "t0001  running  0.25    -           7 s\n"
	       "t0002  waiting  -       t0001       5 s\n"
	       "t0003  running  -       -             -\n"
	       "0 of 5 done, 0 failed, 3 running\n");
}

static int setup(void **state)
{
	tuner_open(&tuner, INIT);
	for (int i = 0; i < 3; i++)
		tuner_ask(&tuner);
	return 0;
}

static int teardown(void **state)
{
	tuner_close(&tuner);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_what_is_in_them),
		cmocka_unit_test(a_narrow_terminal_shows_who_waits_for_whom),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
