/* fuzz_config - a configuration that is read is written and read again as the same */
#include "fuzz.h"
#include "sealfs/config.h"

static void expect_same_list(char *const *a, char *const *b)
{
	for (; *a && *b; a++, b++)
		MUST(!strcmp(*a, *b));
	MUST(!*a && !*b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config, again;
	char *why = NULL, *text = NULL;
	size_t text_size;
	int rc = config_parse((const char *)data, size, &config, &why);

	if (rc == 0) {
		MUST(config_format(&config, &text, &text_size) == 0);
		MUST(config_parse(text, text_size, &again, &why) == 0);
		MUST(config.version == again.version && config.depth == again.depth && config.depth >= 1 && config.depth <= CONFIG_DEPTH_MAX);
		expect_same_list(config.live, again.live);
		expect_same_list(config.trial_env, again.trial_env);
		config_free(&again);
		config_free(&config);
		free(text);
	}
	free(why);
	return 0;
}
