/* The line that tells how far something is. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "../../tools/sealctl/call.h"
#include "../../tools/sealctl/report.h"
#include "../../tools/sealctl/progress.h"
#include "../../tools/sealctl/progress.c"

int64_t call_now_ns(void)
{
	return 0;
}

const char *report_size(uint64_t bytes, char buffer[REPORT_SIZE_LENGTH])
{
	snprintf(buffer, REPORT_SIZE_LENGTH, "%llu B", (unsigned long long)bytes);
	return buffer;
}

static void line_tells_share_rate_and_time_left(void **state)
{
	static const struct {
		uint64_t done, total;
		double seconds;
		const char *expected;
	} cases[] = {
		{0, 0, 0, "verifying, 0 B"},
		{500, 0, 2, "verifying, 500 B, 250 B/s"},
		{0, 1000, 9, "verifying   0%, 0 B of 1000 B"},
		{100, 1000, 0.1, "verifying  10%, 100 B of 1000 B"},
		{100, 1000, 1, "verifying  10%, 100 B of 1000 B, 100 B/s, 9 s left"},
		{1000, 1000, 4, "verifying 100%, 1000 B of 1000 B, 250 B/s"},
		{999, 1000, 1, "verifying  99%, 999 B of 1000 B, 999 B/s, 1 s left"},
		{1, 1000, 1, "verifying   0%, 1 B of 1000 B, 1 B/s, 17 min left"},
		{1, 100000, 1, "verifying   0%, 1 B of 100000 B, 1 B/s, 28 h left"},
		/* what grew meanwhile */
		{2000, 1000, 1, "verifying, 2000 B, 2000 B/s"},
	};
	char text[PROGRESS_LENGTH];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		progress_format(text, 200, "verifying", cases[i].done, cases[i].total, cases[i].seconds);
		assert_string_equal(text, cases[i].expected);
	}
	progress_format(text, 13, "verifying", 100, 1000, 1);
	assert_string_equal(text, "verifying  10");
}

static void nothing_is_drawn_where_nobody_looks(void **state)
{
	atomic_uint_least64_t done = 0, total = 0;

	assert_true(freopen("/dev/null", "w", stderr) != NULL);
	assert_null(progress_start("verifying", &done, &total));
	progress_hide(NULL);
	progress_show(NULL);
	progress_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_tells_share_rate_and_time_left),
		cmocka_unit_test(nothing_is_drawn_where_nobody_looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
