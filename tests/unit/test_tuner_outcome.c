/* What a trial has reported: NNI's metrics, results, last lines; and placeholders in its command. */
#include <math.h>

#include "scratch.h"

#include "../../tools/sealtuner/fill.h"
#include "../../tools/sealtuner/outcome.h"

static void results_have_many_forms(void **state)
{
	static const struct {
		const char *text;
		double value;
	} cases[] = {
		{"0.93", 0.93},
		{" -1e-3\n", -0.001},
		{"7", 7},
		{"inf", INFINITY},
		{"{\"default\": 0.5, \"loss\": 3}", 0.5},
		{"{\"value\": 0.25}", 0.25},
		{"\"0.75\"", 0.75},
		{"\"{\\\"default\\\": 0.125}\"", 0.125},
		{"{\"default\": {\"default\": 2}}", 2},
	};
	static const char *const bad[] = {"", " ", "\n", "ok", "0.5 epochs", "[0.5]", "null", "{}", "{\"accuracy\": 1}", "\"\"", "{\"default\": \"x\"}"};
	double value;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(outcome_parse_result(cases[i].text, strlen(cases[i].text), &value), 0);
		assert_true(value == cases[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(outcome_parse_result(bad[i], strlen(bad[i]), &value), -ENODATA);
	assert_int_equal(outcome_parse_result("nan", 3, &value), 0);
	assert_true(isnan(value));
}

/* As nni.runtime.platform.local writes them: b'ME%06d%b' % (len(data), data). */
static size_t add_metric(char *buffer, size_t at, const char *data)
{
	return at + (size_t)sprintf(buffer + at, "ME%06zu%s", strlen(data), data);
}

static void the_last_final_metric_counts(void **state)
{
	char buffer[4096] = "";
	size_t size = 0, whole;
	double value;

	assert_int_equal(outcome_parse_metrics(buffer, 0, false, &value), -ENODATA);
	size = add_metric(buffer, size, "{\"parameter_id\": 0, \"trial_job_id\": \"t\", \"type\": \"PERIODICAL\", \"sequence\": 0, \"value\": \"0.1\"}");
	assert_int_equal(outcome_parse_metrics(buffer, size, false, &value), -ENODATA);
	assert_int_equal(outcome_parse_metrics(buffer, size, true, &value), 0);
	assert_true(value == 0.1);
	size = add_metric(buffer, size, "{\"parameter_id\": 0, \"trial_job_id\": \"t\", \"type\": \"FINAL\", \"sequence\": 0, \"value\": \"0.9\"}");
	assert_int_equal(outcome_parse_metrics(buffer, size, false, &value), 0);
	assert_true(value == 0.9);
	/* older SDKs close a record with a newline that they count, others with one that they don't */
	size = add_metric(buffer, size, "{\"type\": \"PERIODICAL\", \"value\": \"7\"}\n");
	buffer[size++] = '\n';
	size = add_metric(buffer, size, "{\"type\": \"FINAL\", \"value\": \"{\\\"default\\\": 0.95, \\\"x\\\": 1}\"}");
	assert_int_equal(outcome_parse_metrics(buffer, size, false, &value), 0);
	assert_true(value == 0.95);
	/* cut short anywhere in the last record, the one before it counts */
	whole = size;
	size = add_metric(buffer, size, "{\"type\": \"FINAL\", \"value\": \"0.99\"}");
	for (size_t cut = whole; cut < size; cut++) {
		assert_int_equal(outcome_parse_metrics(buffer, cut, false, &value), 0);
		assert_true(value == 0.95);
	}
	assert_int_equal(outcome_parse_metrics(buffer, size, false, &value), 0);
	assert_true(value == 0.99);
}

static void rubbish_is_no_metric(void **state)
{
	static const char *const bad[] = {"M", "ME", "ME00001", "ME000000", "ME00000x{}", "XX000002{}", "ME999999{}", "ME000002{]"};
	double value;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(outcome_parse_metrics(bad[i], strlen(bad[i]), false, &value), -ENODATA);
}

static void the_last_line_is_found(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {{"", ""}, {"\n\n", ""}, {"0.5", "0.5"}, {"a\n0.5\n", "0.5"}, {"a\n 0.5 \n\n \n", " 0.5"}, {"10%\r100%\r0.5", "0.5"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *line;
		size_t size = outcome_last_line(cases[i].text, strlen(cases[i].text), &line);

		assert_int_equal(size, strlen(cases[i].expected));
		assert_memory_equal(line, cases[i].expected, size);
	}
}

static void the_first_way_of_reporting_counts(void **state)
{
	struct scratch scratch;
	char metrics[256];
	char *complaint;
	double value;

	scratch_open(&scratch);
	assert_int_equal(outcome_read(&scratch.store, scratch.store.root, &value), -ENODATA);
	scratch_write(&scratch, "stdout", "epoch 1\n0.1\n");
	assert_int_equal(outcome_read(&scratch.store, scratch.store.root, &value), 0);
	assert_true(value == 0.1);
	scratch_write(&scratch, "result", "0.2\n");
	assert_int_equal(outcome_read(&scratch.store, scratch.store.root, &value), 0);
	assert_true(value == 0.2);
	scratch_mkdir(&scratch, ".nni");
	add_metric(metrics, 0, "{\"type\": \"FINAL\", \"value\": \"0.3\"}");
	scratch_write(&scratch, ".nni/metrics", metrics);
	assert_int_equal(outcome_read(&scratch.store, scratch.store.root, &value), 0);
	assert_true(value == 0.3);

	assert_null(outcome_complaint(&scratch.store, scratch.store.root));
	scratch_write(&scratch, "stderr", "sealctl: abandoned 't': exit status 1\n");
	complaint = outcome_complaint(&scratch.store, scratch.store.root);
	assert_string_equal(complaint, "abandoned 't': exit status 1");
	free(complaint);
	scratch_write(&scratch, "stderr", "Traceback\nRuntimeError: no memory\nsealctl: abandoned 't': exit status 1\n");
	complaint = outcome_complaint(&scratch.store, scratch.store.root);
	assert_string_equal(complaint, "RuntimeError: no memory");
	free(complaint);
	scratch_close(&scratch);
}

static int count_name(void *arg, const char *name)
{
	strcat(strcat(arg, name), ",");
	return 0;
}

static void placeholders_are_filled_in(void **state)
{
	static const struct {
		const char *text, *expected, *names;
	} cases[] = {
		{"", "", ""},
		{"--lr={lr}", "--lr=0.5", "lr,"},
		{"{save_path}/{id}", "/mnt/a b/t1", "save_path,id,"},
		{"[{restore_path}]", "[]", "restore_path,"},
		{"{layer/kernel} {layer/_name} {layer}", "3 conv {\"_name\":\"conv\",\"kernel\":3}", "layer/kernel,layer/_name,layer,"},
		{"{flag}{list}", "true[1,\"a\"]", "flag,list,"},
		{"{{lr}} {{{lr}}}", "{lr} {0.5}", "lr,"},
		{"{\"a\": {lr}}", "{\"a\": 0.5}", "lr,"},
		{"{} { lr } {1} {unknown} {lr", "{} { lr } {1} {unknown} {lr", "unknown,"},
	};
	json_t *values = json_loads("{\"lr\": 0.5, \"save_path\": \"/mnt/a b\", \"id\": \"t1\", \"restore_path\": null, \"flag\": true, \"list\": [1, \"a\"], "
				    "\"layer\": {\"_name\": \"conv\", \"kernel\": 3}}", 0, NULL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char names[256] = "";
		char *filled = fill_text(cases[i].text, values);

		assert_string_equal(filled, cases[i].expected);
		free(filled);
		assert_int_equal(fill_each(cases[i].text, count_name, names), 0);
		assert_string_equal(names, cases[i].names);
	}
	json_decref(values);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_have_many_forms),
		cmocka_unit_test(the_last_final_metric_counts),
		cmocka_unit_test(rubbish_is_no_metric),
		cmocka_unit_test(the_last_line_is_found),
		cmocka_unit_test(the_first_way_of_reporting_counts),
		cmocka_unit_test(placeholders_are_filled_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
