/* fuzz_key - public keys with their settings, and private keys, in PEM */
#include "fuzz.h"
#include "sealfs/trust.h"

static void expect_same(const struct trust_key *key)
{
	struct trust_key again;
	char *text = NULL;
	size_t size;

	MUST(key->not_before_ns <= key->not_after_ns);
	MUST(trust_key_format(key, &text, &size) == 0);
	MUST(trust_key_parse(text, size, "other", &again, NULL) == 0);
	MUST(!strcmp(key->name, again.name) && key_equal(&key->key, &again.key));
	trust_key_free(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trust_key key;
	struct signing_key *private;
	const char *why = NULL;

	if (trust_key_parse((const char *)data, size, "name", &key, &why) == 0) {
		expect_same(&key);
		trust_key_free(&key);
	}
	if (key_private_parse((const char *)data, size, &private, &why) == 0)
		key_free(private);
	return 0;
}
