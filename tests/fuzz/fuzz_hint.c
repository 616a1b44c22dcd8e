/* fuzz_hint - whatever is taken for a datagram, or for a place, is written again as the same */
#include "fuzz.h"
#include "sealfs/hint.h"

static void fuzz_datagram(const uint8_t *data, size_t size)
{
	static const uint8_t key[HINT_KEY_SIZE] = "0123456789abcde";
	uint8_t again[HINT_SIZE];
	struct hint hint;

	if (hint_parse(data, size, &hint))
		return;
	MUST(size == HINT_SIZE && hint.generation > 0);
	hint_format(&hint, key, again);
	/* all but the code that authenticates it */
	MUST(!memcmp(data, again, HINT_SIZE - 16));
	MUST(hint_is_authentic(again, key));
	MUST(hint_is_authentic(data, key) == !memcmp(data, again, HINT_SIZE));
}

static void fuzz_place(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), again[HINT_PLACE_SIZE];
	struct hint_place place;

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (!hint_place_parse(text, &place))
		MUST(!hint_place_format(&place, again) && !strcmp(text, again));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_datagram(data, size);
	if (size > 0)
		fuzz_place(data, size);
	return 0;
}
