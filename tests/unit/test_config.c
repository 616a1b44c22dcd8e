/*
 * test_config - the export's configuration: read strictly, made once
 */
#include "sealfs/config.h"

#include <sys/wait.h>

#include "scratch.h"

static const struct {
	const char *text;
	int rc;
	const char *why; /* a part of it */
} cases[] = {
	{"version = 1\n", 0, NULL},
	{"version = 1\ndepth = 16\n", 0, NULL},
	{"depth=2\n\n # a comment\nversion=1\n#x = y\n\tlive =\t*.log \nlive = a b\n", 0, NULL},
	{"version = 1\ntrial_env = A _B1:C,D\n", 0, NULL},
	{"version = 1\ntrial_env =\n", 0, NULL},
	{"", -EBADMSG, "line 1: "},
	{"\n", -EBADMSG, "no version"},
	{"version = 1", -EBADMSG, "not complete"},
	{"version = 1\ndepth = 1", -EBADMSG, "not complete"},
	{"version = 0\n", -EBADMSG, "'0' is no version"},
	{"version = 01\n", -EBADMSG, "no version"},
	{"version = one\n", -EBADMSG, "no version"},
	{"version =\n", -EBADMSG, "no version"},
	{"version = 1\nversion = 1\n", -EBADMSG, "twice"},
	{"version = 2\n", -EPROTO, "version 2 is newer"},
	{"colour = red\ndepth = 99\nwhat\nversion = 2\n", -EPROTO, "line 4: version 2 is newer"},
	{"version = 1\ndepth = 0\n", -EBADMSG, "line 2: depth"},
	{"version = 1\ndepth = 17\n", -EBADMSG, "from 1 to 16"},
	{"version = 1\ndepth = -1\n", -EBADMSG, "depth"},
	{"version = 1\ndepth = 1x\n", -EBADMSG, "depth"},
	{"version = 1\ndepth = 1\ndepth = 1\n", -EBADMSG, "line 3: depth is given twice"},
	{"version = 1\n\ncolour = red\n", -EBADMSG, "line 3: 'colour' is unknown"},
	{"version = 1\ndepth 1\n", -EBADMSG, "line 2: 'depth 1' is not"},
	{"version = 1\nlive =\n", -EBADMSG, "no glob"},
	{"version = 1\nlive = a/b\n", -EBADMSG, "no glob"},
	{"version = 1\ntrial_env = 1A\n", -EBADMSG, "variables"},
	{"version = 1\ntrial_env = A=B\n", -EBADMSG, "variables"},
	{"version = 1\ntrial_env = A\ntrial_env = B\n", -EBADMSG, "twice"},
	{"= 1\nversion = 1\n", -EBADMSG, "line 1: '' is unknown"},
};

static void lines_are_read_strictly(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config config;
		char *why;
		int rc = config_parse(cases[i].text, strlen(cases[i].text), &config, &why);

		if (rc != cases[i].rc)
			fail_msg("%d instead of %d for: %s", rc, cases[i].rc, cases[i].text);
		if (cases[i].why && (!why || !strstr(why, cases[i].why)))
			fail_msg("'%s' is not in '%s'", cases[i].why, why);
		free(why);
		if (rc == 0)
			config_free(&config);
	}
}

static void newer_version_is_told(void **state)
{
	struct config config;

	assert_int_equal(config_parse("version = 7\n", 12, &config, NULL), -EPROTO);
	assert_int_equal(config.version, 7);
	assert_null(config.live);
}

static void text_and_structure_agree(void **state)
{
	struct config config, again;
	char *text, *why;
	size_t size;

	assert_int_equal(config_default(&config), 0);
	assert_int_equal(config.depth, 1);
	assert_null(config.live[0]);
	assert_string_equal(config.trial_env[0], "SEALFS_TRIAL");
	assert_string_equal(config.trial_env[1], "NNI_TRIAL_JOB_ID");
	assert_null(config.trial_env[2]);
	config.depth = 3;
	assert_int_equal(config_add_live(&config, "events.out.tfevents.*"), 0);
	assert_int_equal(config_add_live(&config, "a b#="), 0);
	assert_int_equal(config_add_live(&config, ""), -EINVAL);
	assert_int_equal(config_add_live(&config, "a/b"), -EINVAL);
	assert_int_equal(config_add_live(&config, "a\nb"), -EINVAL);
	assert_int_equal(config_add_live(&config, " a"), -EINVAL);
	assert_int_equal(config_add_live(&config, "a\t"), -EINVAL);
	assert_int_equal(config_set_trial_env(&config, "X,Y:Z"), 0);
	assert_int_equal(config_set_trial_env(&config, "X-Y"), -EINVAL);
	assert_int_equal(config_format(&config, &text, &size), 0);
	assert_string_equal(text,
			    "version = 1\ndepth = 3\nlive = events.out.tfevents.*\nlive = a b#=\ntrial_env = X Y Z\n");
	assert_int_equal(config_parse(text, size, &again, &why), 0);
	assert_int_equal(again.depth, 3);
	assert_string_equal(again.live[1], "a b#=");
	assert_null(again.live[2]);
	assert_string_equal(again.trial_env[2], "Z");
	assert_null(again.trial_env[3]);
	config_free(&config);
	config_free(&again);
	free(text);
}

static void torn_flipped_and_oversized_files_do_no_harm(void **state)
{
	static const char text[] = "version = 1\ndepth = 2\nlive = *.log\ntrial_env = SEALFS_TRIAL\n";
	size_t size = strlen(text);
	char *huge = malloc(CONFIG_SIZE_LIMIT + 1);
	struct config config;
	char *why;

	for (size_t part = 0; part < size; part++) {
		if (config_parse(text, part, &config, NULL) < 0)
			continue;
		assert_int_equal(text[part - 1], '\n');
		config_free(&config);
	}
	for (size_t bit = 0; bit < 8 * size; bit++) {
		char copy[sizeof(text)];
		int rc;

		memcpy(copy, text, sizeof(text));
		copy[bit / 8] ^= (char)(1 << bit % 8);
		rc = config_parse(copy, size, &config, &why);
		assert_true(rc == 0 || rc == -EBADMSG || rc == -EPROTO);
		if (rc == 0) {
			assert_int_equal(config.version, 1);
			assert_in_range(config.depth, 1, CONFIG_DEPTH_MAX);
			config_free(&config);
		}
		free(why);
	}
	assert_int_equal(config_parse("version = 1\n\0", 13, &config, NULL), -EBADMSG);
	memset(huge, '\n', CONFIG_SIZE_LIMIT + 1);
	assert_int_equal(config_parse(huge, CONFIG_SIZE_LIMIT + 1, &config, &why), -EFBIG);
	free(why);
	free(huge);
}

static void export_is_initialised_once(void **state)
{
	struct scratch scratch;
	struct config config, loaded;
	mode_t before;
	char *why;

	scratch_open(&scratch);
	assert_int_equal(config_load(&scratch.store, &loaded, &why), -ENOENT);
	assert_null(why);
	assert_int_equal(config_default(&config), 0);
	config.depth = 2;
	before = umask(077);
	assert_int_equal(config_init_export(&scratch.store, &config), 0);
	umask(before);
	assert_int_equal(scratch_mode(&scratch, ".sealfs"), 0755);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/config"), 0644);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/state"), 01777);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/failed"), 01777);
	assert_int_equal(scratch_mode(&scratch, ".sealfs/mounts"), 01777);
	config.depth = 3;
	assert_int_equal(config_init_export(&scratch.store, &config), -EEXIST);
	assert_int_equal(config_load(&scratch.store, &loaded, &why), 0);
	assert_int_equal(loaded.depth, 2);
	config_free(&loaded);
	config_free(&config);
	scratch_close(&scratch);
}

static void file_that_is_no_config_is_told(void **state)
{
	struct scratch scratch;
	struct config loaded;
	char *why, *huge = calloc(1, CONFIG_SIZE_LIMIT + 2);
	char path[4096];

	scratch_open(&scratch);
	scratch_mkdir(&scratch, ".sealfs");
	scratch_write(&scratch, ".sealfs/config", "depth = 1\n");
	assert_int_equal(config_load(&scratch.store, &loaded, &why), -EBADMSG);
	assert_non_null(strstr(why, "no version"));
	free(why);
	memset(huge, '#', CONFIG_SIZE_LIMIT + 1);
	scratch_write(&scratch, ".sealfs/config", huge);
	assert_int_equal(config_load(&scratch.store, &loaded, &why), -EFBIG);
	assert_non_null(why);
	free(why);
	scratch_path(&scratch, ".sealfs/config", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(config_load(&scratch.store, &loaded, &why), -EBADMSG);
	free(why);
	free(huge);
	scratch_close(&scratch);
}

static void of_several_who_initialise_one_wins(void **state)
{
	struct scratch scratch;
	struct config loaded;
	int winners = 0;

	scratch_open(&scratch);
	for (unsigned int i = 0; i < 6; i++) {
		if (fork() == 0) {
			struct config config;
			int rc = config_default(&config);

			config.depth = i + 1;
			rc = rc < 0 ? rc : config_init_export(&scratch.store, &config);
			_exit(rc == 0 ? 0 : rc == -EEXIST ? 1 : 2);
		}
	}
	for (unsigned int i = 0; i < 6; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		winners += WEXITSTATUS(status) == 0;
	}
	assert_int_equal(winners, 1);
	assert_int_equal(config_load(&scratch.store, &loaded, NULL), 0);
	config_free(&loaded);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_read_strictly),
		cmocka_unit_test(newer_version_is_told),
		cmocka_unit_test(text_and_structure_agree),
		cmocka_unit_test(torn_flipped_and_oversized_files_do_no_harm),
		cmocka_unit_test(export_is_initialised_once),
		cmocka_unit_test(file_that_is_no_config_is_told),
		cmocka_unit_test(of_several_who_initialise_one_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
