/*
 * test_record - records survive the way through text, and nothing damaged is taken for one
 */
#include "sealfs/record.h"

#include <inttypes.h>

#include "scratch.h"

static void fill(struct record *record, enum record_kind kind)
{
	assert_int_equal(record_init(record, kind), 0);
	record->checkpoint = strdup("run 1/t\xff\n4");
	record->generation = 3;
	record->trial = strdup("t4 = \"x\"\\");
	record->pid = 4711;
	record->uid = 1000;
	record->gid = 4294967294u;
	if (kind == RECORD_CLAIM || kind == RECORD_JOIN) {
		record->heartbeat = 86400;
		record->no_lease = true;
	}
	if (kind == RECORD_RESERVE)
		record->writer = strdup(" writer with blanks ");
	if (kind == RECORD_END)
		record->reason = strdup("exit status 1: \xc3\xbc\nsecond line");
}

static void compare(const struct record *a, const struct record *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_string_equal(a->checkpoint, b->checkpoint);
	assert_int_equal(a->generation, b->generation);
	assert_string_equal(a->trial, b->trial);
	assert_int_equal(!a->writer, !b->writer);
	if (a->writer)
		assert_string_equal(a->writer, b->writer);
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->boot, b->boot);
	assert_int_equal(a->uptime_ns, b->uptime_ns);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_string_equal(a->token, b->token);
	assert_string_equal(a->mount, b->mount);
	assert_int_equal(!a->hint, !b->hint);
	if (a->hint)
		assert_string_equal(a->hint, b->hint);
	assert_int_equal(a->heartbeat, b->heartbeat);
	assert_int_equal(a->no_lease, b->no_lease);
	assert_int_equal(a->sealed, b->sealed);
	assert_true(digest_equal(&a->root, &b->root));
	assert_true(digest_equal(&a->seal, &b->seal));
	assert_int_equal(!a->reason, !b->reason);
	if (a->reason)
		assert_string_equal(a->reason, b->reason);
}

static char *format(const struct record *record, size_t *size)
{
	char *text;

	assert_int_equal(record_format(record, &text, size), 0);
	assert_int_equal(strlen(text), *size);
	return text;
}

static void round_trip(struct record *record)
{
	struct record again;
	const char *why = NULL;
	size_t size;
	char *text = format(record, &size);

	assert_int_equal(record_parse(text, size, &again, &why), 0);
	compare(record, &again);
	record_free(&again);
	record_free(record);
	free(text);
}

static void records_come_back_whole(void **state)
{
	struct record record;

	for (unsigned int kind = RECORD_RESERVE; kind <= RECORD_LEFT; kind++) {
		fill(&record, kind);
		round_trip(&record);
	}
	fill(&record, RECORD_END);
	record.sealed = 1;
	free(record.reason);
	record.reason = NULL;
	digest_sha256("a", 1, &record.root);
	digest_sha256("b", 1, &record.seal);
	round_trip(&record);
	fill(&record, RECORD_RESERVE);
	free(record.writer);
	record.writer = NULL;
	record.pid = -1;
	record.time_ns = -1;
	round_trip(&record);
	fill(&record, RECORD_CLAIM);
	store_token(record.mount);
	record.hint = strdup("[2001:db8::7]:45123 00112233445566778899aabbccddeeff");
	round_trip(&record);
	fill(&record, RECORD_END);
	record.reason[0] = '\0';
	record.uptime_ns = UINT64_MAX;
	record.generation = UINT32_MAX;
	round_trip(&record);
}

static void record_is_readable_text(void **state)
{
	struct record record;
	size_t size;
	char *text;

	fill(&record, RECORD_END);
	text = format(&record, &size);
	assert_memory_equal(
		text, "sealfs end 1\ncheckpoint: run 1/t\\xff\\x0a4\ngeneration: 3\ntrial: t4 = \"x\"\\x5c\n", 72);
	assert_non_null(strstr(text, "\nreason: exit status 1: \xc3\xbc\\x0asecond line\nsha256: "));
	record_free(&record);
	free(text);
}

static void what_must_be_there_is_asked_for(void **state)
{
	struct record record;
	char *text;
	size_t size;

	fill(&record, RECORD_CLAIM);
	free(record.trial);
	record.trial = NULL;
	assert_int_equal(record_format(&record, &text, &size), -EINVAL);
	record.trial = strdup("");
	assert_int_equal(record_format(&record, &text, &size), -EINVAL);
	record_free(&record);
	fill(&record, RECORD_CLAIM);
	record.generation = 0;
	assert_int_equal(record_format(&record, &text, &size), -EINVAL);
	record_free(&record);
	fill(&record, RECORD_END);
	free(record.reason);
	record.reason = NULL;
	assert_int_equal(record_format(&record, &text, &size), -EINVAL);
	record_free(&record);
	fill(&record, RECORD_CLAIM);
	free(record.trial);
	record.trial = calloc(1, RECORD_SIZE_LIMIT);
	memset(record.trial, 'x', RECORD_SIZE_LIMIT - 1);
	assert_int_equal(record_format(&record, &text, &size), -EFBIG);
	record_free(&record);
}

static void long_reason_is_cut_not_refused(void **state)
{
	struct record record, again;
	size_t size;
	char *text;

	fill(&record, RECORD_END);
	free(record.reason);
	record.reason = calloc(1, 100000);
	memset(record.reason, '\n', 99999);
	text = format(&record, &size);
	assert_true(size < RECORD_SIZE_LIMIT);
	assert_int_equal(record_parse(text, size, &again, NULL), 0);
	assert_int_equal(strlen(again.reason), 4096);
	record_free(&record);
	record_free(&again);
	free(text);
}

static void every_flipped_bit_is_refused(void **state)
{
	for (unsigned int kind = RECORD_RESERVE; kind <= RECORD_END; kind++) {
		struct record record, again;
		size_t size;
		char *text;

		fill(&record, kind);
		text = format(&record, &size);
		for (size_t bit = 0; bit < 8 * size; bit++) {
			const char *why = NULL;
			int rc;

			text[bit / 8] ^= (char)(1 << bit % 8);
			rc = record_parse(text, size, &again, &why);
			assert_true(rc == -EBADMSG || rc == -EPROTO);
			assert_non_null(why);
			assert_null(again.trial);
			text[bit / 8] ^= (char)(1 << bit % 8);
		}
		record_free(&record);
		free(text);
	}
}

static void torn_and_lengthened_records_are_refused(void **state)
{
	struct record record, again;
	size_t size;
	char *text, *longer;

	fill(&record, RECORD_CLAIM);
	text = format(&record, &size);
	for (size_t part = 0; part < size; part++)
		assert_true(record_parse(text, part, &again, NULL) < 0);
	longer = calloc(1, RECORD_SIZE_LIMIT + 2);
	memcpy(longer, text, size);
	for (unsigned int c = 0; c < 256; c++) {
		longer[size] = (char)c;
		assert_int_equal(record_parse(longer, size + 1, &again, NULL), -EBADMSG);
	}
	assert_int_equal(record_parse(longer, RECORD_SIZE_LIMIT + 1, &again, NULL), -EBADMSG);
	record_free(&record);
	free(longer);
	free(text);
}

/* A text with a correct closing line, whatever is before it. */
static char *closed(const char *body, size_t *size)
{
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;
	char *text;
	int length;

	digest_sha256(body, strlen(body), &digest);
	digest_to_hex(&digest, hex);
	length = asprintf(&text, "%ssha256: %s\n", body, hex);
	assert_true(length > 0);
	*size = (size_t)length;
	return text;
}

#define TOKEN "0123456789abcdef0123456789abcdef"
#define REST                                                                                                           \
	"host: h\nboot: b\nuptime_ns: 1\ntime: 2026-11-24T04:21:40.123456789Z\npid: 1\nuid: 0\ngid: 0\ntoken: " TOKEN  \
	"\n"
#define CLAIM "sealfs claim 1\ncheckpoint: c\ngeneration: 1\ntrial: t\n" REST
#define END "sealfs end 1\ncheckpoint: c\ngeneration: 1\ntrial: t\n" REST
#define HEX "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const struct {
	const char *body;
	int rc;
} bodies[] = {
	{CLAIM, 0},
	{CLAIM "later: what a newer version added\nalso_this: \n", 0},
	{END "result: failed\nreason: \n", 0},
	{END "result: sealed\nroot: " HEX "\nseal: " HEX "\n", 0},
	{"sealfs claim 2\ncheckpoint: c\n", -EPROTO},
	{"sealfs claims 1\n", -EPROTO},
	{"sealfs seal 1\n", -EPROTO},
	{"sealfs claim 01\n", -EBADMSG},
	{"sealfs claim\n", -EBADMSG},
	{"sealfs  1\n", -EBADMSG},
	{"sealfs claim 1 \n", -EBADMSG},
	{"Sealfs claim 1\n", -EBADMSG},
	{"", -EBADMSG},
	{"\n", -EBADMSG},
	{"sealfs claim 1\n", -EBADMSG},
	{CLAIM "trial: u\n", -EBADMSG},
	{CLAIM "pid: 1\n", -EBADMSG},
	{CLAIM "writer: u\n", -EBADMSG},
	{CLAIM "result: failed\n", -EBADMSG},
	{CLAIM "no colon\n", -EBADMSG},
	{CLAIM "key:value\n", -EBADMSG},
	{CLAIM ": value\n", -EBADMSG},
	{CLAIM "Key: value\n", -EBADMSG},
	{CLAIM "1key: value\n", -EBADMSG},
	{CLAIM "key: \\x20\n", -EBADMSG},
	{CLAIM "key: \\x00\n", -EBADMSG},
	{CLAIM "key: \xff\n", -EBADMSG},
	{CLAIM "key: a\tb\n", -EBADMSG},
	{CLAIM "\n", -EBADMSG},
	{CLAIM "half a line", -EBADMSG},
	{END, -EBADMSG},
	{END "result: failed\n", -EBADMSG},
	{END "result: maybe\nreason: x\n", -EBADMSG},
	{END "result: failed\nreason: x\nroot: " HEX "\n", -EBADMSG},
	{END "result: sealed\nroot: " HEX "\n", -EBADMSG},
	{END "result: sealed\nroot: " HEX "\nseal: " HEX "\nreason: x\n", -EBADMSG},
	{END "result: sealed\nroot: " HEX "a\nseal: " HEX "\n", -EBADMSG},
	{"sealfs claim 1\ncheckpoint: c\ngeneration: 0\ntrial: t\n" REST, -EBADMSG},
	{"sealfs claim 1\ncheckpoint: c\ngeneration: 01\ntrial: t\n" REST, -EBADMSG},
	{"sealfs claim 1\ncheckpoint: c\ngeneration: 4294967296\ntrial: t\n" REST, -EBADMSG},
	{"sealfs claim 1\ncheckpoint: \ngeneration: 1\ntrial: t\n" REST, -EBADMSG},
	{"sealfs claim 1\ngeneration: 1\ntrial: t\n" REST, -EBADMSG},
	{"sealfs claim 1\ncheckpoint: c\ntrial: t\n" REST, -EBADMSG},
	{"sealfs claim 1\ncheckpoint: c\ngeneration: 1\ntrial: \n" REST, -EBADMSG},
	{CLAIM "plain: yes\n", 0},
	{CLAIM "plain: no\n", -EBADMSG},
	{CLAIM "plain: yes\nplain: yes\n", -EBADMSG},
	{END "result: failed\nreason: r\nplain: yes\n", -EBADMSG},
};

static void forms_that_only_look_like_records_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct record record;
		const char *why = "?";
		size_t size;
		char *text = closed(bodies[i].body, &size);
		int rc = record_parse(text, size, &record, &why);

		if (rc != bodies[i].rc)
			fail_msg("%d instead of %d for: %s", rc, bodies[i].rc, bodies[i].body);
		if (rc == 0)
			record_free(&record);
		else
			assert_non_null(why);
		free(text);
	}
}

static const struct {
	int64_t ns;
	const char *text;
} times[] = {
	{0, "1970-01-01T00:00:00.000000000Z"},
	{1, "1970-01-01T00:00:00.000000001Z"},
	{-1, "1969-12-31T23:59:59.999999999Z"},
	{INT64_C(1795494100123456789), "2026-11-24T04:21:40.123456789Z"},
	{INT64_C(951825600000000000), "2000-02-29T12:00:00.000000000Z"},
	{INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
};

static const char *const bad_times[] = {
	"",
	"now",
	"2026-11-24",
	"2026-11-24T04:21:40Z",
	"2026-11-24T04:21:40.1Z",
	"2026-11-24T04:21:40.123456789",
	"2026-11-24T04:21:40.123456789z",
	"2026-11-24 04:21:40.123456789Z",
	"2026-13-24T04:21:40.123456789Z",
	"2026-02-30T04:21:40.123456789Z",
	"2026-11-24T24:00:00.000000000Z",
	"2026-11-24T04:21:40.1234567890Z",
	"2026-11-24T04:21:40.-12345678Z",
	"2026-11-24T4:21:40.123456789Z",
	"3000-01-01T00:00:00.000000000Z",
	" 2026-11-24T04:21:40.123456789Z",
	"2026-11-24T04:21:40.123456789Z ",
};

static void times_are_utc_with_nanoseconds(void **state)
{
	char text[RECORD_TIME_SIZE];
	int64_t ns;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		record_time_format(times[i].ns, text);
		assert_string_equal(text, times[i].text);
		assert_int_equal(record_time_parse(text, &ns), 0);
		assert_true(ns == times[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad_times) / sizeof(bad_times[0]); i++)
		assert_int_equal(record_time_parse(bad_times[i], &ns), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back_whole),
		cmocka_unit_test(record_is_readable_text),
		cmocka_unit_test(what_must_be_there_is_asked_for),
		cmocka_unit_test(long_reason_is_cut_not_refused),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(torn_and_lengthened_records_are_refused),
		cmocka_unit_test(forms_that_only_look_like_records_are_refused),
		cmocka_unit_test(times_are_utc_with_nanoseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
