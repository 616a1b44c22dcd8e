/* fuzz_escape - there is one escaped form of every byte string, and nothing else is taken for one */
#include "fuzz.h"
#include "sealfs/escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *escaped = escape_bytes(data, size), *plain = NULL, *text;
	size_t plain_size;

	MUST(escaped);
	/* a NUL stands for itself in no path: decoding refuses it */
	if (!memchr(data, 0, size)) {
		MUST(escape_decode(escaped, strlen(escaped), &plain, &plain_size) == 0);
		MUST(plain_size == size && !memcmp(plain, data, size));
		free(plain);
	}
	free(escaped);
	if (escape_decode((const char *)data, size, &plain, &plain_size) == 0) {
		escaped = escape_bytes(plain, plain_size);
		MUST(escaped && strlen(escaped) == size && !memcmp(escaped, data, size));
		free(escaped);
		free(plain);
	}
	text = strndup((const char *)data, size);
	MUST(text);
	escaped = escape_line(text);
	MUST(escaped && !strchr(escaped, '\n'));
	free(escaped);
	free(text);
	return 0;
}
