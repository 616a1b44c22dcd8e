#include "journal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "sealfs/digest.h"

#define NAME_SIZE 40
#define CHECK_SIZE 16 /* hex digits */
#define ENTRY_MODE 0644

static void entry_name(size_t number, const char *end, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%08zu%s", number, end);
}

/* ---- one line ---- */

static void checksum(const char *text, size_t size, char hex[DIGEST_HEX_SIZE])
{
	struct digest digest;

	digest_sha256(text, size, &digest);
	digest_to_hex(&digest, hex);
	hex[CHECK_SIZE] = '\0';
}

/* A line without its newline; NULL when it is not whole. */
static json_t *parse_line(const char *line, size_t size)
{
	char hex[DIGEST_HEX_SIZE];
	json_t *entry;

	if (size < CHECK_SIZE + 3 || line[CHECK_SIZE] != ' ')
		return NULL;
	checksum(line + CHECK_SIZE + 1, size - CHECK_SIZE - 1, hex);
	if (strncmp(line, hex, CHECK_SIZE))
		return NULL;
	entry = json_loadb(line + CHECK_SIZE + 1, size - CHECK_SIZE - 1, JSON_REJECT_DUPLICATES, NULL);
	if (entry && !json_is_object(entry)) {
		json_decref(entry);
		return NULL;
	}
	return entry;
}

/* With its newline. Allocated; NULL when memory is out. */
static char *format_line(const json_t *entry, size_t *size)
{
	AUTO_FREE char *json = json_dumps(entry, JSON_COMPACT);
	char hex[DIGEST_HEX_SIZE], *line;
	int length;

	if (!json)
		return NULL;
	checksum(json, strlen(json), hex);
	length = asprintf(&line, "%s %s\n", hex, json);
	*size = (size_t)length;
	return length < 0 ? NULL : line;
}

/* ---- what has been read ---- */

/* Takes over `entry`. */
static int add(struct journal *journal, json_t *entry)
{
	if (journal->count == journal->capacity) {
		size_t capacity = journal->capacity ? journal->capacity * 2 : JOURNAL_CHAPTER;
		json_t **bigger = reallocarray(journal->entries, capacity, sizeof(*bigger));

		if (!bigger) {
			json_decref(entry);
			return -ENOMEM;
		}
		journal->entries = bigger;
		journal->capacity = capacity;
	}
	journal->entries[journal->count++] = entry;
	return 0;
}

static int damaged(struct journal *journal, size_t number, const char *more)
{
	free(journal->why);
	if (asprintf(&journal->why, "entry %08zu of its journal is damaged%s; restore that file from a copy", number,
		     more) < 0)
		journal->why = NULL;
	return -EBADMSG;
}

static bool names(const json_t *entry, size_t number)
{
	const json_t *torn;
	size_t i;

	json_array_foreach(json_object_get(entry, "torn"), i, torn) if (json_integer_value(torn) == (json_int_t)number)
		return true;
	return false;
}

/* Each torn entry must be known to the one that came after it. */
static int check_torn(struct journal *journal, size_t from)
{
	const json_t *next = NULL;

	for (size_t i = journal->count; i > from; i--) {
		if (journal->entries[i - 1])
			next = journal->entries[i - 1];
		else if (next && !names(next, i))
			return damaged(journal, i, ": it is cut short, and others follow it");
	}
	return 0;
}

static size_t torn_tail(const struct journal *journal)
{
	size_t count = 0;

	while (count < journal->count && !journal->entries[journal->count - 1 - count])
		count++;
	return count;
}

static void forget(struct journal *journal, size_t from)
{
	while (journal->count > from)
		json_decref(journal->entries[--journal->count]);
}

/* ---- chapters ---- */

#define TORN "torn"

static json_t *parse_chapter_line(const char *line, size_t size, bool *good)
{
	json_t *entry = parse_line(line, size);

	*good = entry || (size == strlen(TORN) && !strncmp(line, TORN, size));
	return entry;
}

static int add_chapter(struct journal *journal, const char *text, size_t size)
{
	size_t before = journal->count;
	bool good = true;
	int error = 0;

	while (size && good && !error) {
		const char *end = memchr(text, '\n', size);
		json_t *entry = end ? parse_chapter_line(text, (size_t)(end - text), &good) : NULL;

		if (!end || !good)
			break;
		error = add(journal, entry);
		size -= (size_t)(end - text) + 1;
		text = end + 1;
	}
	if (!error && !size && journal->count - before == JOURNAL_CHAPTER)
		return 0;
	forget(journal, before);
	return error ? error : -ENOENT;
}

/* The chapter that begins after what is known. -ENOENT when there is none that can be used. */
static int read_chapter(struct journal *journal)
{
	AUTO_FREE char *text = NULL;
	char name[NAME_SIZE];
	size_t size;
	int error;

	entry_name(journal->count + JOURNAL_CHAPTER, ".chapter", name);
	error = store_read_file(journal->store, journal->dir, name, (size_t)JOURNAL_CHAPTER * JOURNAL_ENTRY_LIMIT, &text,
				&size);
	if (error) {
		text = NULL;
		return error;
	}
	return add_chapter(journal, text, size);
}

/* When the first entry of a chapter has been made, nothing in the one before can change any more. */
static void write_chapter(const struct journal *journal)
{
	size_t last = journal->count - 1, first = last - JOURNAL_CHAPTER;
	AUTO_FREE char *text = NULL;
	char name[NAME_SIZE];
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return;
	for (size_t i = first; i < last; i++) {
		size_t length = 0;
		AUTO_FREE char *line = journal->entries[i] ? format_line(journal->entries[i], &length) : NULL;

		fputs(line ? line : TORN "\n", stream);
	}
	if (fclose(stream))
		return;
	entry_name(last, ".chapter", name);
	/* Only a cache: without it the entries are read one by one. */
	store_create_file(journal->store, journal->dir, name, text, size, ENTRY_MODE, 0);
}

/* ---- reading ---- */

static int read_entry(struct journal *journal)
{
	AUTO_FREE char *text = NULL;
	char name[NAME_SIZE];
	json_t *entry = NULL;
	size_t size;
	int error;

	entry_name(journal->count + 1, "", name);
	error = store_read_file(journal->store, journal->dir, name, JOURNAL_ENTRY_LIMIT, &text, &size);
	if (error) {
		text = NULL;
		return error;
	}
	if (size && text[size - 1] == '\n') {
		entry = parse_line(text, size - 1);
		if (!entry)
			return damaged(journal, journal->count + 1, "");
	}
	return add(journal, entry);
}

static int read_next(struct journal *journal)
{
	int error = -ENOENT;

	if (journal->count % JOURNAL_CHAPTER == 0)
		error = read_chapter(journal);
	return error == -ENOENT ? read_entry(journal) : error;
}

int journal_read(struct journal *journal)
{
	size_t from = journal->count - torn_tail(journal);
	bool refreshed = false;
	int error;

	for (;;) {
		error = read_next(journal);
		if (!error)
			continue;
		/* A name that was once missed is not believed to be missing still. */
		if (error != -ENOENT || refreshed)
			break;
		store_refresh(journal->store, journal->dir);
		refreshed = true;
	}
	return error == -ENOENT ? check_torn(journal, from) : error;
}

/* ---- writing ---- */

static int name_torn(const struct journal *journal, json_t *entry)
{
	size_t torn = torn_tail(journal);
	json_t *list = torn ? json_array() : NULL;

	json_object_del(entry, "torn");
	if (!torn)
		return 0;
	for (size_t i = journal->count - torn; list && i < journal->count; i++)
		if (json_array_append_new(list, json_integer((json_int_t)i + 1)))
			break;
	return list && !json_object_set_new(entry, "torn", list) ? 0 : -ENOMEM;
}

int journal_append(struct journal *journal, json_t *entry)
{
	AUTO_FREE char *line = NULL;
	char name[NAME_SIZE];
	size_t size;
	int error = name_torn(journal, entry);

	if (error)
		return error;
	line = format_line(entry, &size);
	if (!line)
		return -ENOMEM;
	if (size > JOURNAL_ENTRY_LIMIT)
		return -EFBIG;
	entry_name(journal->count + 1, "", name);
	error = store_create_file(journal->store, journal->dir, name, line, size, ENTRY_MODE, 0);
	if (error)
		return error;
	error = add(journal, json_incref(entry));
	if (!error && journal->count > JOURNAL_CHAPTER && journal->count % JOURNAL_CHAPTER == 1)
		write_chapter(journal);
	return error;
}

void journal_free(struct journal *journal)
{
	forget(journal, 0);
	free(journal->entries);
	free(journal->why);
	*journal = (struct journal){.store = journal->store, .dir = journal->dir};
}
