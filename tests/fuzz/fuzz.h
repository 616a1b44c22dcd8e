/*
 * fuzz - what the fuzz targets share
 *
 * Each target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput(): libFuzzer calls it with inputs of its own (make fuzz), replay.c with those of
 * the corpus (make check). Parsers do no I/O, so nothing else is needed. A contradiction ends the process.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                            \
	do {                                                                                                                       \
		if (!(condition)) {                                                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
			abort();                                                                                                   \
		}                                                                                                                  \
	} while (0)

/*
 * A text of record lines is closed by its own SHA-256, which no fuzzer guesses. Inputs that begin with '+' stand for the rest with the right closing line;
 * others for themselves. NUL-terminated, freed by the caller.
 */
static inline char *fuzz_closed_text(const uint8_t *data, size_t size, size_t *out_size)
{
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;
	size_t body = size;
	char *text = malloc(size + 100);

	MUST(text);
	*out_size = size;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (size == 0 || *data != '+')
		return text;
	memmove(text, text + 1, --body);
	digest_sha256(text, body, &digest);
	digest_to_hex(&digest, hex);
	*out_size = body + (size_t)snprintf(text + body, 100, "sha256: %s\n", hex);
	return text;
}

#endif
