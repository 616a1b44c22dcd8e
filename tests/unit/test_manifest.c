/*
 * test_manifest - the list, its text, and what is not one
 */
#include "sealfs/manifest.h"

#include "scratch.h"

#define H0 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define H1 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TOP "sealfs manifest 1\n"

static struct scratch scratch;

static int setup(void **state)
{
	scratch_open(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static const char whole[] = TOP "dir  0  a\n" H0 "  5  a.b\n" H0 ":x  0  a/b\\x20c\n"
				"symlink  6  a/l -> x\\x20->\\x20y\n" H1 "  9223372036854775807  \xc3\xbc\n";

static const char *const accepted[] = {
	TOP,
	whole,
	TOP H0 "  3  .\n",
	TOP H0 ":x  3  .\n",
	TOP "dir  0  a\ndir  0  a/b\ndir  0  a/b/c\n" H0 "  1  a/b/c/d\n",
	TOP H0 "  1  ...\n" H0 "  1  ..a\n",
	TOP "dir  0  a\n" H0 "  1  a/.seal\n",
	TOP "dir  0  dir\ndir  0  symlink\n",
};

static const struct {
	const char *text, *what;
} refused[] = {
	{"", "nothing"},
	{"sealfs manifest 1", "no newline"},
	{"sealfs manifest 2\n", "version"},
	{"sealfs manifest 1 \n", "blank in the first line"},
	{"\n" TOP, "line before"},
	{TOP "\n", "empty line"},
	{TOP H0 "  1  a", "torn at the end"},
	{TOP H0 "  1  a\n\n", "empty line at the end"},
	{TOP H0 "  1  b\n" H0 "  1  a\n", "unsorted"},
	{TOP H0 "  1  a\n" H0 "  1  a\n", "twice"},
	{TOP "dir  0  a\n" H0 "  1  a\n", "twice, of two types"},
	{TOP "dir  0  a\n" H0 "  1  a/b\n" H0 "  1  a.b\n", "sorted by something else than bytes"},
	{TOP H0 "  1  /a\n", "absolute"},
	{TOP H0 "  1  ..\n", "dots"},
	{TOP "dir  0  ..\n" H0 "  1  ../a\n", "dots"},
	{TOP "dir  0  a\n" H0 "  1  a/..\n", "dots"},
	{TOP "dir  0  a\n" H0 "  1  a/.\n", "dot"},
	{TOP "dir  0  .\n", "dot as a directory"},
	{TOP "symlink  1  . -> a\n", "dot as a symlink"},
	{TOP H0 "  1  .\n" H0 "  1  a\n", "dot and more"},
	{TOP "dir  0  -\n" H0 "  1  .\n", "more and dot"},
	{TOP "dir  0  a\n" H0 "  1  a//b\n", "empty component"},
	{TOP "dir  0  a/\n", "slash at the end"},
	{TOP H0 "  1  \n", "no path"},
	{TOP H0 "  1  a/b\n", "no line for the parent"},
	{TOP H0 "  1  a\n" H0 "  1  a/b\n", "the parent is a file"},
	{TOP "symlink  1  a -> b\n" H0 "  1  a/b\n", "the parent is a symlink"},
	{TOP H0 " 1  a\n", "one blank"},
	{TOP H0 "   1  a\n", "three blanks"},
	{TOP H0 "  1 a\n", "one blank"},
	{TOP H0 "  1   a\n", "three blanks"},
	{TOP H0 "  01  a\n", "leading zero"},
	{TOP H0 "  +1  a\n", "sign"},
	{TOP H0 "  -1  a\n", "sign"},
	{TOP H0 "  0x1  a\n", "hex"},
	{TOP H0 "    a\n", "no size"},
	{TOP H0 "  9223372036854775808  a\n", "size too large"},
	{TOP H0 "  18446744073709551616  a\n", "size overflows"},
	{TOP H0 "  99999999999999999999999999  a\n", "size overflows"},
	{TOP "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  1  a\n", "upper case"},
	{TOP "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a  1  a\n", "short digest"},
	{TOP "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  1  a\n", "other digest"},
	{TOP H0 ":y  1  a\n", "other flag"},
	{TOP H0 ":xx  1  a\n", "two flags"},
	{TOP "dir  1  a\n", "size of a directory"},
	{TOP "dir:x  0  a\n", "flag of a directory"},
	{TOP "directory  0  a\n", "word"},
	{TOP "symlink  1  a\n", "no target"},
	{TOP "symlink  1  a -> \n", "empty target"},
	{TOP "symlink  0  a -> \n"
	     "x",
	 "garbage"},
	{TOP "symlink  2  a -> b\n", "size of the target"},
	{TOP "symlink  1  a -> b c\n", "blank in the target"},
	{TOP "symlink  1  a  -> b\n", "blanks"},
	{TOP "fifo  0  a\n", "type"},
	{TOP H0 "  1  a b\n", "blank in a path"},
	{TOP H0 "  1  a\\x41\n", "escaped without need"},
	{TOP H0 "  1  a\\x5C\n", "upper-case escape"},
	{TOP H0 "  1  a\\\n", "half an escape"},
	{TOP H0 "  1  a\\x00\n", "NUL"},
	{TOP H0 "  1  a\xff\n", "invalid UTF-8, not escaped"},
	{TOP H0 "  1  a\r\n", "carriage return"},
	{TOP H0 "  1  .seal\n", "the seal itself"},
	{TOP "dir  0  .seal\n" H0 "  1  .seal/x\n", "the seal itself"},
	{TOP H0 "  1  .nfs0001\n", "NFS's own"},
	{TOP "dir  0  a\n" H0 "  1  a/.nfs1\n", "NFS's own"},
};

static void parse_whole(const char *text, size_t size)
{
	struct manifest manifest;
	struct digest root, expected;
	const char *why = "?";
	char *again;
	size_t again_size;

	assert_int_equal(manifest_parse(text, size, &manifest, &why), 0);
	assert_null(why);
	assert_int_equal(manifest_format(&manifest, &again, &again_size, &root), 0);
	assert_int_equal(again_size, size);
	assert_memory_equal(again, text, size);
	digest_sha256(text, size, &expected);
	assert_true(digest_equal(&root, &expected));
	free(again);
	manifest_free(&manifest);
}

static void what_is_written_is_read(void **state)
{
	for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
		parse_whole(accepted[i], strlen(accepted[i]));
}

static void entries_are_what_the_text_says(void **state)
{
	struct manifest manifest;
	const struct manifest_entry *entry;

	assert_int_equal(manifest_parse(whole, strlen(whole), &manifest, NULL), 0);
	assert_int_equal(manifest.count, 5);
	entry = manifest_find(&manifest, "a/b c");
	assert_non_null(entry);
	assert_int_equal(entry->type, MANIFEST_FILE);
	assert_true(entry->executable);
	entry = manifest_find(&manifest, "a/l");
	assert_int_equal(entry->type, MANIFEST_SYMLINK);
	assert_string_equal(entry->target, "x -> y");
	entry = manifest_find(&manifest, "a");
	assert_int_equal(entry->type, MANIFEST_DIR);
	entry = manifest_find(&manifest, "\xc3\xbc");
	assert_int_equal(entry->size, INT64_MAX);
	assert_false(entry->executable);
	assert_null(manifest_find(&manifest, "a/"));
	assert_null(manifest_find(&manifest, ""));
	assert_null(manifest_find(&manifest, "zz"));
	manifest_free(&manifest);
}

static void all_else_is_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct manifest manifest;
		const char *why = NULL;

		if (manifest_parse(refused[i].text, strlen(refused[i].text), &manifest, &why) != -EBADMSG)
			fail_msg("accepted: %s", refused[i].what);
		assert_non_null(why);
		assert_int_equal(manifest.count, 0);
	}
}

static void torn_text_is_refused_or_shorter(void **state)
{
	for (size_t size = 0; size < strlen(whole); size++) {
		struct manifest manifest;

		/* Only after a whole line; the root digest tells these apart. */
		if (manifest_parse(whole, size, &manifest, NULL) < 0)
			continue;
		assert_int_equal(whole[size - 1], '\n');
		manifest_free(&manifest);
	}
}

/* Whatever a flipped bit makes of it: refused, or another manifest in canonical form. */
static void flipped_bit_is_refused_or_another_manifest(void **state)
{
	size_t size = strlen(whole);
	char *text = malloc(size);

	for (size_t bit = 0; bit < 8 * size; bit++) {
		struct manifest manifest;
		struct digest root;
		char *again;
		size_t again_size;

		memcpy(text, whole, size);
		text[bit / 8] ^= (char)(1 << bit % 8);
		if (manifest_parse(text, size, &manifest, NULL) < 0)
			continue;
		assert_int_equal(manifest_format(&manifest, &again, &again_size, &root), 0);
		assert_int_equal(again_size, size);
		assert_memory_equal(again, text, size);
		free(again);
		manifest_free(&manifest);
	}
	free(text);
}

static void range_holds_all_that_is_below_and_nothing_else(void **state)
{
	static const char text[] = TOP "dir  0  a\n" H0 "  1  a-b\ndir  0  a/b\n" H0 "  1  a/b/c\n" H0 "  1  a/c\n" H0
				       "  1  a0\ndir  0  e\n";
	static const struct {
		const char *path;
		size_t first, end;
	} cases[] = {
		{"", 0, 7}, {"a", 2, 5}, {"a/b", 3, 4}, {"e", 7, 7}, {"a-b", 2, 2}, {"z", 7, 7},
	};
	struct manifest manifest;

	assert_int_equal(manifest_parse(text, strlen(text), &manifest, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t first, end;

		manifest_range(&manifest, cases[i].path, &first, &end);
		assert_int_equal(end - first, cases[i].end - cases[i].first);
		if (first < end)
			assert_int_equal(first, cases[i].first);
	}
	manifest_free(&manifest);
}

static int skipped_count;

static void count_skipped(void *arg, const char *path, const char *why)
{
	assert_string_equal(path, "run/pipe");
	skipped_count++;
}

static void scan_lists_all_but_hidden_live_and_special_files(void **state)
{
	char *live[] = {"events.*", NULL};
	struct manifest_filter filter = {.live = live, .skipped = count_skipped};
	static const char *const expected[] = {"events.d", "events.d/f", "link",   "model",
					       "run",      "run/.seal",  "run/x y"};
	struct manifest manifest;
	char path[4096];

	scratch_mkdir(&scratch, "ckpt");
	scratch_mkdir(&scratch, "ckpt/run");
	scratch_mkdir(&scratch, "ckpt/.seal");
	scratch_mkdir(&scratch, "ckpt/events.d");
	scratch_write(&scratch, "ckpt/events.d/f", "");
	scratch_write(&scratch, "ckpt/.seal/manifest", "");
	scratch_write(&scratch, "ckpt/run/.seal", "a file called so further down");
	scratch_write(&scratch, "ckpt/model", "12345");
	scratch_write(&scratch, "ckpt/run/x y", "");
	scratch_write(&scratch, "ckpt/events.out", "");
	scratch_write(&scratch, "ckpt/run/.nfs0001", "");
	scratch_path(&scratch, "ckpt/run/x y", path);
	chmod(path, 0755);
	scratch_path(&scratch, "ckpt/run/pipe", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	scratch_path(&scratch, "ckpt/link", path);
	assert_int_equal(symlink("/nowhere", path), 0);

	assert_int_equal(manifest_scan(&scratch.store, scratch.store.root, "ckpt", &filter, &manifest), 0);
	assert_int_equal(manifest.count, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < manifest.count; i++)
		assert_string_equal(manifest.entries[i].path, expected[i]);
	assert_int_equal(manifest.entries[3].size, 5);
	assert_false(manifest.entries[3].executable);
	assert_true(manifest.entries[6].executable);
	assert_string_equal(manifest.entries[2].target, "/nowhere");
	assert_int_equal(skipped_count, 1);
	manifest_free(&manifest);
}

static void scan_of_one_file_has_the_path_dot(void **state)
{
	struct manifest manifest;
	char path[4096];

	scratch_write(&scratch, "one.pt", "123");
	assert_int_equal(manifest_scan(&scratch.store, scratch.store.root, "one.pt", NULL, &manifest), 0);
	assert_int_equal(manifest.count, 1);
	assert_string_equal(manifest.entries[0].path, ".");
	assert_int_equal(manifest.entries[0].size, 3);
	manifest_free(&manifest);
	scratch_path(&scratch, "to-one", path);
	assert_int_equal(symlink("one.pt", path), 0);
	assert_int_equal(manifest_scan(&scratch.store, scratch.store.root, "to-one", NULL, &manifest), -EINVAL);
	assert_int_equal(manifest_scan(&scratch.store, scratch.store.root, "none", NULL, &manifest), -ENOENT);
}

static void hidden_and_live_names(void **state)
{
	char *live[] = {"events.out.tfevents.*", "*.log", NULL};

	assert_true(manifest_name_hidden(".nfs00000000", false));
	assert_true(manifest_name_hidden(".nfs00000000", true));
	assert_true(manifest_name_hidden(".seal", true));
	assert_false(manifest_name_hidden(".seal", false));
	assert_false(manifest_name_hidden("seal", true));
	assert_true(manifest_name_live(live, "events.out.tfevents.1700000000.node7"));
	assert_true(manifest_name_live(live, "x.log"));
	assert_false(manifest_name_live(live, "model.pt"));
	assert_false(manifest_name_live(NULL, "x.log"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(entries_are_what_the_text_says),
		cmocka_unit_test(all_else_is_refused),
		cmocka_unit_test(torn_text_is_refused_or_shorter),
		cmocka_unit_test(flipped_bit_is_refused_or_another_manifest),
		cmocka_unit_test(range_holds_all_that_is_below_and_nothing_else),
		cmocka_unit_test(scan_lists_all_but_hidden_live_and_special_files),
		cmocka_unit_test(scan_of_one_file_has_the_path_dot),
		cmocka_unit_test(hidden_and_live_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
