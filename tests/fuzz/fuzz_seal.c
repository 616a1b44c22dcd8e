/* fuzz_seal - a seal file that is read is written and read again as the same */
#include "fuzz.h"
#include "sealfs/seal.h"

static void expect_same(const struct seal *a, const struct seal *b)
{
	MUST(!strcmp(a->checkpoint, b->checkpoint) && !strcmp(a->trial, b->trial) && !strcmp(a->host, b->host));
	MUST(a->generation == b->generation && a->time_ns == b->time_ns && a->files == b->files && a->bytes == b->bytes);
	MUST(digest_equal(&a->root, &b->root) && a->parent_count == b->parent_count);
	for (size_t i = 0; i < a->parent_count; i++)
		MUST(!strcmp(a->parents[i].path, b->parents[i].path) && digest_equal(&a->parents[i].root, &b->parents[i].root));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seal seal, again;
	const char *why = NULL;
	size_t text_size, again_size;
	char *text = fuzz_closed_text(data, size, &text_size), *written = NULL;

	if (seal_parse(text, text_size, &seal, &why) == 0) {
		MUST(seal_format(&seal, &written, &again_size) == 0);
		MUST(seal_parse(written, again_size, &again, &why) == 0);
		expect_same(&seal, &again);
		seal_free(&again);
		seal_free(&seal);
		free(written);
	} else {
		MUST(why);
	}
	free(text);
	return 0;
}
