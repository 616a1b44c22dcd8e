/* fuzz_signature - a signature has one text: what is read is written again byte for byte */
#include "fuzz.h"
#include "sealfs/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct signature signature;
	const char *why = NULL;
	size_t text_size, written_size;
	char *text = fuzz_closed_text(data, size, &text_size), *written = NULL;

	if (signature_parse(text, text_size, &signature, &why) == 0) {
		MUST(signature_format(&signature, &written, &written_size) == 0);
		MUST(written_size == text_size && !memcmp(written, text, text_size));
		free(written);
	} else {
		MUST(why);
	}
	free(text);
	return 0;
}
