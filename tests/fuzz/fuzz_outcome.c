/* fuzz_outcome - what a trial leaves is anybody's: metrics, results, last lines, and placeholders */
#include "fuzz.h"

#include "../../tools/sealtuner/fill.h"
#include "../../tools/sealtuner/outcome.h"

static int count(void *arg, const char *name)
{
	++*(size_t *)arg;
	MUST(name[0] && !strpbrk(name, "{}"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *filled;
	const char *line = NULL;
	json_t *nothing = json_object();
	size_t names = 0, length;
	double value = 0;

	MUST(text && nothing);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	outcome_parse_metrics(text, size, size % 2, &value);
	outcome_parse_result(text, size, &value);
	length = outcome_last_line(text, size, &line);
	MUST(line >= text && line + length <= text + size);
	MUST(!memchr(line, '\n', length));
	MUST(!fill_each(text, count, &names));
	filled = fill_text(text, nothing);
	MUST(filled && strlen(filled) <= strlen(text));
	free(filled);
	free(text);
	json_decref(nothing);
	return 0;
}
