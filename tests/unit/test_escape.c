/*
 * test_escape - one escaped form for every byte string, and no other is read
 */
#include "sealfs/escape.h"

#include "scratch.h"

static const struct {
	const char *bytes;
	size_t size;
	const char *escaped;
} known[] = {
	{"", 0, ""},
	{"model.pt", 8, "model.pt"},
	{"a b", 3, "a\\x20b"},
	{"tab\t", 4, "tab\\x09"},
	{"line\nline", 9, "line\\x0aline"},
	{"\0", 1, "\\x00"},
	{"back\\slash", 10, "back\\x5cslash"},
	{"\x7f", 1, "\\x7f"},
	{"gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f"},
	{"\xe2\x82\xac", 3, "\xe2\x82\xac"},             /* the euro sign */
	{"\xf0\x9f\x94\x92", 4, "\xf0\x9f\x94\x92"},     /* U+1F512 */
	{"\xc3", 1, "\\xc3"},                            /* cut off */
	{"\xc3(", 2, "\\xc3("},                          /* no continuation */
	{"\x80", 1, "\\x80"},                            /* nothing to continue */
	{"\xc0\xaf", 2, "\\xc0\\xaf"},                   /* overlong */
	{"\xe0\x80\xaf", 3, "\\xe0\\x80\\xaf"},          /* overlong */
	{"\xf0\x80\x80\xaf", 4, "\\xf0\\x80\\x80\\xaf"}, /* overlong */
	{"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},          /* surrogate */
	{"\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
	{"\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf"},     /* U+10FFFF itself */
	{"\xf8\x88\x80\x80\x80", 5, "\\xf8\\x88\\x80\\x80\\x80"},
	{"\xff\xfe", 2, "\\xff\\xfe"},
	{"\xe2\x82", 2, "\\xe2\\x82"},
	{"\xe2\x82\xe2\x82\xac", 5, "\\xe2\\x82\xe2\x82\xac"},
};

static const char *const refused[] = {
	"\\",    "\\x",   "\\x0",       "\\n",       "\\X41",     "\\x4",         "\\xzz", "\\xAB", "\\x5C",
	"\\x41", "\\x7e", "\\xc3\\xbc", "\\xc3\xbc", "\xc3\\xbc", "\\x20\\x21",   " ",     "\t",    "\n",
	"\x7f",  "\x80",  "\xc3",       "a\xff",     "\xc0\xaf",  "\xed\xa0\x80", "\\\\",  "x\\",
};

static void round_trip(const void *bytes, size_t size)
{
	char *escaped = escape_bytes(bytes, size);
	char *back;
	size_t back_size;

	assert_non_null(escaped);
	for (const char *c = escaped; *c; c++)
		assert_true((unsigned char)*c > 0x20 && *c != 0x7f);
	assert_int_equal(escape_decode(escaped, strlen(escaped), &back, &back_size), 0);
	assert_int_equal(back_size, size);
	assert_memory_equal(back, bytes, size);
	assert_int_equal(back[size], '\0');
	free(back);
	free(escaped);
}

static void known_strings_have_their_known_form(void **state)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char *escaped = escape_bytes(known[i].bytes, known[i].size);

		assert_string_equal(escaped, known[i].escaped);
		free(escaped);
		round_trip(known[i].bytes, known[i].size);
	}
}

static void every_byte_and_every_pair_of_bytes_comes_back(void **state)
{
	for (unsigned int a = 0; a < 256; a++) {
		uint8_t pair[2] = {(uint8_t)a};

		round_trip(pair, 1);
		for (unsigned int b = 0; b < 256; b++) {
			pair[1] = (uint8_t)b;
			round_trip(pair, 2);
		}
	}
}

static void names_of_255_bytes_come_back(void **state)
{
	uint8_t name[255];
	unsigned int seed = 7;

	for (int round = 0; round < 500; round++) {
		for (size_t i = 0; i < sizeof(name); i++)
			name[i] = (uint8_t)rand_r(&seed);
		round_trip(name, sizeof(name));
	}
	memset(name, 0xff, sizeof(name));
	round_trip(name, sizeof(name));
	memset(name, 'x', sizeof(name));
	round_trip(name, sizeof(name));
}

static void other_forms_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char *out = NULL;
		size_t size;

		assert_int_equal(escape_decode(refused[i], strlen(refused[i]), &out, &size), -EINVAL);
		assert_null(out);
	}
}

/* Whatever is accepted is exactly what would be written. */
static void random_input_is_refused_or_canonical(void **state)
{
	static const char alphabet[] = "\\x0159abcdefAF\xc3\xbc\x80\xe2 z";
	unsigned int seed = 3;

	for (int round = 0; round < 100000; round++) {
		char input[12], *out, *again;
		size_t size = (size_t)rand_r(&seed) % sizeof(input), out_size;

		for (size_t i = 0; i < size; i++)
			input[i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		if (escape_decode(input, size, &out, &out_size) < 0)
			continue;
		again = escape_bytes(out, out_size);
		assert_int_equal(strlen(again), size);
		assert_memory_equal(again, input, size);
		free(again);
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_strings_have_their_known_form),
		cmocka_unit_test(every_byte_and_every_pair_of_bytes_comes_back),
		cmocka_unit_test(names_of_255_bytes_come_back),
		cmocka_unit_test(other_forms_are_refused),
		cmocka_unit_test(random_input_is_refused_or_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
