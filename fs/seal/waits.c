/*
 * waits - the text
 */
#include "sealfs/waits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define WORD "waits"
#define VERSION 1

static void entry_free(struct waits_entry *entry)
{
	free(entry->checkpoint);
	free(entry->trial);
	free(entry->awaited);
	free(entry->command);
}

void waits_free(struct waits *waits)
{
	for (size_t i = 0; i < waits->count; i++)
		entry_free(&waits->entries[i]);
	free(waits->entries);
	free(waits->host);
	*waits = (struct waits){.host = NULL};
}

struct waits_entry *waits_add(struct waits *waits)
{
	struct waits_entry *larger = reallocarray(waits->entries, waits->count + 1, sizeof(*larger));

	if (!larger)
		return NULL;
	waits->entries = larger;
	larger += waits->count++;
	*larger = (struct waits_entry){.checkpoint = NULL};
	return larger;
}

static bool is_token(const char *text)
{
	return strlen(text) == STORE_TOKEN_SIZE - 1 && strspn(text, "0123456789abcdef") == STORE_TOKEN_SIZE - 1;
}

static bool is_complete(const struct waits *waits)
{
	if (!is_token(waits->mount) || !waits->host || !*waits->host || !waits->time_ns)
		return false;
	for (size_t i = 0; i < waits->count; i++) {
		const struct waits_entry *entry = &waits->entries[i];

		if (!entry->checkpoint || !*entry->checkpoint || !entry->trial || !entry->command || !entry->generation ||
		    !entry->since_ns || (entry->awaited && !*entry->awaited))
			return false;
	}
	return true;
}

int waits_format(const struct waits *waits, char **text, size_t *size)
{
	char time_text[RECORD_TIME_SIZE];
	struct record_lines lines;

	if (!is_complete(waits))
		return -EINVAL;
	record_lines_begin(&lines, WORD, VERSION);
	record_lines_add(&lines, "mount", "%s", waits->mount);
	record_lines_add(&lines, "host", "%s", waits->host);
	record_time_format(waits->time_ns, time_text);
	record_lines_add(&lines, "time", "%s", time_text);
	for (size_t i = 0; i < waits->count; i++) {
		const struct waits_entry *entry = &waits->entries[i];

		record_lines_add(&lines, "checkpoint", "%s", entry->checkpoint);
		record_lines_add(&lines, "generation", "%u", entry->generation);
		record_lines_add(&lines, "trial", "%s", entry->trial);
		if (entry->awaited)
			record_lines_add(&lines, "awaited", "%s", entry->awaited);
		record_lines_add(&lines, "pid", "%" PRId64, entry->pid);
		record_lines_add(&lines, "command", "%s", entry->command);
		record_time_format(entry->since_ns, time_text);
		record_lines_add(&lines, "since", "%s", time_text);
	}
	return record_lines_end(&lines, text, size);
}

static int take_string(char **to, const char *value)
{
	if (*to)
		return -EBADMSG;
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static int take_number(int64_t *to, const char *value, uint64_t max)
{
	uint64_t number;

	if (*to || parse_u64(value, strlen(value), max, &number) < 0)
		return -EBADMSG;
	*to = (int64_t)number;
	return 0;
}

static int take_time(int64_t *to, const char *value)
{
	return *to || record_time_parse(value, to) < 0 ? -EBADMSG : 0;
}

static int take_head(struct waits *waits, const char *key, const char *value)
{
	if (strcmp(key, "host") == 0)
		return take_string(&waits->host, value);
	if (strcmp(key, "time") == 0)
		return take_time(&waits->time_ns, value);
	if (strcmp(key, "mount") != 0)
		return 0;
	if (*waits->mount || !is_token(value))
		return -EBADMSG;
	memcpy(waits->mount, value, sizeof(waits->mount));
	return 0;
}

static int take_in_entry(struct waits_entry *entry, const char *key, const char *value)
{
	int64_t generation = 0;
	int rc;

	if (strcmp(key, "trial") == 0)
		return take_string(&entry->trial, value);
	if (strcmp(key, "awaited") == 0)
		return take_string(&entry->awaited, value);
	if (strcmp(key, "command") == 0)
		return take_string(&entry->command, value);
	if (strcmp(key, "pid") == 0)
		return take_number(&entry->pid, value, INT32_MAX);
	if (strcmp(key, "since") == 0)
		return take_time(&entry->since_ns, value);
	if (strcmp(key, "generation") != 0)
		return 0;
	rc = entry->generation ? -EBADMSG : take_number(&generation, value, UINT32_MAX);
	entry->generation = (unsigned int)generation;
	return rc;
}

static int take_line(void *arg, const char *key, const char *value)
{
	struct waits *waits = arg;

	if (strcmp(key, "checkpoint") == 0) {
		struct waits_entry *entry = waits->count < WAITS_MAX ? waits_add(waits) : NULL;

		return entry ? take_string(&entry->checkpoint, value) : waits->count < WAITS_MAX ? -ENOMEM : -EBADMSG;
	}
	return waits->count ? take_in_entry(&waits->entries[waits->count - 1], key, value) : take_head(waits, key, value);
}

int waits_parse(const char *text, size_t size, struct waits *out, const char **why)
{
	const char *ignored;
	int rc;

	why = why ? why : &ignored;
	*out = (struct waits){.host = NULL};
	rc = record_lines_parse(text, size, WORD, VERSION, take_line, out, why);
	if (rc == 0 && !is_complete(out)) {
		*why = "a key is missing";
		rc = -EBADMSG;
	}
	if (rc < 0)
		waits_free(out);
	return rc;
}
