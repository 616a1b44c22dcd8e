/* fuzz_record - whatever is read as a record is written and read again as the same */
#include "fuzz.h"
#include "sealfs/record.h"

static void expect_same(const struct record *a, const struct record *b)
{
	MUST(a->kind == b->kind && a->generation == b->generation && a->sealed == b->sealed);
	MUST(!strcmp(a->checkpoint, b->checkpoint) && !strcmp(a->trial, b->trial) && !strcmp(a->token, b->token));
	MUST(!a->writer == !b->writer && (!a->writer || !strcmp(a->writer, b->writer)));
	MUST(!a->reason == !b->reason && (!a->reason || !strcmp(a->reason, b->reason)));
	MUST(!a->hint == !b->hint && (!a->hint || !strcmp(a->hint, b->hint)) && !strcmp(a->mount, b->mount));
	MUST(a->time_ns == b->time_ns && a->uptime_ns == b->uptime_ns && a->uid == b->uid && a->gid == b->gid);
	MUST(!a->sealed || (digest_equal(&a->root, &b->root) && digest_equal(&a->seal, &b->seal)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record record, again;
	const char *why = NULL;
	size_t text_size, again_size;
	char *text = fuzz_closed_text(data, size, &text_size), *written = NULL;

	if (record_parse(text, text_size, &record, &why) == 0) {
		MUST(record_format(&record, &written, &again_size) == 0);
		MUST(record_parse(written, again_size, &again, &why) == 0);
		expect_same(&record, &again);
		record_free(&again);
		record_free(&record);
		free(written);
	} else {
		MUST(why);
	}
	free(text);
	return 0;
}
