/* fuzz_waits - whatever is read as waits is written and read again as the same */
#include "fuzz.h"
#include "sealfs/waits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct waits waits, again;
	const char *why = NULL;
	size_t text_size, written_size;
	char *text = fuzz_closed_text(data, size, &text_size), *written = NULL;

	if (waits_parse(text, text_size, &waits, &why) == 0) {
		MUST(waits_format(&waits, &written, &written_size) == 0);
		MUST(waits_parse(written, written_size, &again, &why) == 0);
		MUST(again.count == waits.count && again.time_ns == waits.time_ns && !strcmp(again.host, waits.host));
		for (size_t i = 0; i < waits.count; i++) {
			const struct waits_entry *a = &waits.entries[i], *b = &again.entries[i];
			MUST(!strcmp(a->checkpoint, b->checkpoint) && !strcmp(a->trial, b->trial) && !strcmp(a->command, b->command));
			MUST(!a->awaited == !b->awaited && (!a->awaited || !strcmp(a->awaited, b->awaited)));
			MUST(a->generation == b->generation && a->pid == b->pid && a->since_ns == b->since_ns);
		}
		waits_free(&again);
		waits_free(&waits);
		free(written);
	} else {
		MUST(why);
	}
	free(text);
	return 0;
}
