/*
 * test_state_path - names and folders of checkpoints
 */
#include "sealfs/state.h"

#include "scratch.h"

static struct scratch scratch;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static int each_path(void *arg, const char *path)
{
	strcat(arg, path);
	strcat(arg, ";");
	return strcmp(path, "stop/here") == 0 ? 7 : 0;
}

static void each_visits_folders_at_the_depth_of_the_config(void **unused)
{
	struct config config;
	char seen[1024] = "";

	setup(NULL);
	assert_int_equal(config_default(&config), 0);
	assert_int_equal(scratch_reserve(&scratch, "a", "t", "w"), 0);
	scratch_write(&scratch, ".sealfs/state/file", "x");
	assert_int_equal(state_each(&scratch.store, &config, each_path, seen), 0);
	assert_string_equal(seen, "a;");
	config.depth = 2;
	seen[0] = '\0';
	assert_int_equal(scratch_reserve(&scratch, "run/t\xff", "t", "w"), 0);
	assert_int_equal(state_each(&scratch.store, &config, each_path, seen), 0);
	assert_string_equal(seen, "run/t\xff;");
	assert_int_equal(scratch_reserve(&scratch, "stop/here", "t", "w"), 0);
	assert_int_equal(state_each(&scratch.store, &config, each_path, seen), 7);
	config_free(&config);
	teardown(NULL);
}

static const struct {
	const char *path;
	unsigned int depth;
	bool valid;
} paths[] = {
	{"a", 1, true},         {"a", 2, false},         {"a/b", 1, false},      {"a/b", 2, true},
	{"", 1, false},         {"", 0, false},          {"/a", 1, false},       {"/a", 2, false},
	{"a/", 1, false},       {"a/", 2, false},        {"a//b", 3, false},     {".", 1, false},
	{"..", 1, false},       {"a/..", 2, false},      {"../a", 2, false},     {"...", 1, true},
	{".sealtuner", 1, false}, {"a/.sealtuner", 2, false}, {".sealtuner/a", 2, true}, {".sealtuner.x", 1, true},
	{".sealfs", 1, false},  {".sealfs/a", 2, false}, {"a/.sealfs", 2, true}, {".seal", 1, false},
	{".a.seal", 1, false},  {"a.seal", 1, true},     {".a.seal/b", 2, true}, {"a/.b.seal", 2, false},
	{"a b\n\xff", 1, true}, {".hidden", 1, true},
};

static void paths_have_their_depth_and_no_tricks(void **unused)
{
	char longest[258];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (state_path_valid(paths[i].path, paths[i].depth) != paths[i].valid)
			fail_msg("'%s' at depth %u", paths[i].path, paths[i].depth);
	}
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_false(state_path_valid(longest, 1));
	longest[255] = '\0';
	assert_true(state_path_valid(longest, 1));
	assert_true(state_name_is_sidecar(".x.seal"));
	assert_true(state_name_is_sidecar(".seal"));
	assert_false(state_name_is_sidecar("x.seal"));
	assert_false(state_name_is_sidecar(".seal.x"));
	assert_false(state_name_is_sidecar("."));
	assert_false(state_name_is_sidecar(""));
	assert_false(state_name_is_sidecar(STATE_TUNER_NAME));
	assert_true(state_name_is_kept(STATE_TUNER_NAME));
	assert_true(state_name_is_kept(".x.seal"));
	assert_false(state_name_is_kept(".sealtuner2"));
}

static void bad_paths_are_refused_by_all(void **unused)
{
	static const char *const bad[] = {"", "..", "../c", "/c", "c/", ".sealfs", ".sealfs/state", ".c.seal"};
	struct state state;

	setup(NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(state_read(&scratch.store, bad[i], &state), -EINVAL);
		assert_int_equal(state_open_dir(&scratch.store, bad[i], true), -EINVAL);
		assert_int_equal(scratch_claim(&scratch, bad[i], "t"), -EINVAL);
		assert_int_equal(scratch_reserve(&scratch, bad[i], "t", NULL), -EINVAL);
		assert_int_equal(state_remove(&scratch.store, bad[i]), -EINVAL);
		assert_int_equal(scratch_fail(&scratch, bad[i], 1), -EINVAL);
	}
	teardown(NULL);
}

static void seal_folder_is_inside_or_beside(void **unused)
{
	char name[256], expected[300];
	char *dir;

	dir = state_seal_dir("run/t", false);
	assert_string_equal(dir, "run/t/.seal");
	free(dir);
	dir = state_seal_dir("run/t.pt", true);
	assert_string_equal(dir, "run/.t.pt.seal");
	free(dir);
	dir = state_seal_dir("t.pt", true);
	assert_string_equal(dir, ".t.pt.seal");
	free(dir);
	memset(name, 'n', sizeof(name));
	name[249] = '\0';
	dir = state_seal_dir(name, true);
	assert_int_equal(strlen(dir), 255);
	snprintf(expected, sizeof(expected), ".%s.seal", name);
	assert_string_equal(dir, expected);
	free(dir);
	/* One byte more: printf 'n%.0s' $(seq 250) | sha256sum */
	memset(name, 'n', 250);
	name[250] = '\0';
	dir = state_seal_dir(name, true);
	assert_string_equal(dir, ".213b83271b358ed960938751e3f3f6d81cfb08fe1cb5424d1046bbbc6e6d1e3c.seal");
	free(dir);
}

static void names_of_states(void **unused)
{
	assert_string_equal(state_name(STATE_ABSENT), "absent");
	assert_string_equal(state_name(STATE_PLAIN), "plain");
	assert_string_equal(state_name(STATE_PENDING), "pending");
	assert_string_equal(state_name(STATE_OPEN), "open");
	assert_string_equal(state_name(STATE_SEALED), "sealed");
	assert_string_equal(state_name(STATE_FAILED), "failed");
	assert_string_equal(state_name(STATE_DAMAGED), "damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_visits_folders_at_the_depth_of_the_config),
		cmocka_unit_test(paths_have_their_depth_and_no_tricks),
		cmocka_unit_test(bad_paths_are_refused_by_all),
		cmocka_unit_test(seal_folder_is_inside_or_beside),
		cmocka_unit_test(names_of_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
