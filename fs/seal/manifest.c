/*
 * manifest - the list in memory and as text
 */
#include "sealfs/manifest.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sealfs/escape.h"

#define HEADER "sealfs manifest 1\n"
#define HEADER_SIZE (sizeof(HEADER) - 1)

void manifest_init(struct manifest *manifest)
{
	*manifest = (struct manifest){0};
}

void manifest_free(struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->count; i++) {
		free(manifest->entries[i].path);
		free(manifest->entries[i].target);
	}
	free(manifest->entries);
	manifest_init(manifest);
}

static int reserve_entry(struct manifest *manifest)
{
	size_t capacity = manifest->capacity ? manifest->capacity * 2 : 16;
	struct manifest_entry *entries;

	if (manifest->count < manifest->capacity)
		return 0;
	entries = reallocarray(manifest->entries, capacity, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	manifest->entries = entries;
	manifest->capacity = capacity;
	return 0;
}

/* Takes over the strings, also when it fails. */
static int add_owned(struct manifest *manifest, struct manifest_entry *entry)
{
	int rc = reserve_entry(manifest);

	if (rc < 0) {
		free(entry->path);
		free(entry->target);
		return rc;
	}
	manifest->entries[manifest->count++] = *entry;
	return 0;
}

int manifest_add(struct manifest *manifest, const struct manifest_entry *entry)
{
	struct manifest_entry copy = *entry;

	copy.path = strdup(entry->path);
	copy.target = entry->target ? strdup(entry->target) : NULL;
	if (!copy.path || (entry->target && !copy.target)) {
		free(copy.path);
		free(copy.target);
		return -ENOMEM;
	}
	return add_owned(manifest, &copy);
}

static int compare_entries(const void *a, const void *b)
{
	const struct manifest_entry *left = a, *right = b;

	return strcmp(left->path, right->path);
}

void manifest_sort(struct manifest *manifest)
{
	if (manifest->count > 1)
		qsort(manifest->entries, manifest->count, sizeof(*manifest->entries), compare_entries);
}

/* One line with its newline, allocated; the length or -ENOMEM. */
static int format_entry(const struct manifest_entry *entry, char **line)
{
	AUTO_FREE char *path = escape_text(entry->path);
	AUTO_FREE char *target = entry->target ? escape_text(entry->target) : NULL;
	char hex[DIGEST_HEX_SIZE];
	int size = -1;

	if (!path || (entry->target && !target))
		return -ENOMEM;
	switch (entry->type) {
	case MANIFEST_FILE:
		digest_to_hex(&entry->digest, hex);
		size = asprintf(line, "%s%s%s  %" PRIu64 "  %s\n", DIGEST_TAG, hex, entry->executable ? ":x" : "",
				entry->size, path);
		break;
	case MANIFEST_DIR:
		size = asprintf(line, "dir  0  %s\n", path);
		break;
	case MANIFEST_SYMLINK:
		size = asprintf(line, "symlink  %" PRIu64 "  %s -> %s\n", entry->size, path, target ? target : "");
		break;
	}
	return size < 0 ? -ENOMEM : size;
}

int manifest_format(const struct manifest *manifest, char **text, size_t *size, struct digest *root)
{
	AUTO_FREE char *buffer = NULL;
	size_t used;
	FILE *stream = open_memstream(&buffer, &used);
	bool failed;

	if (!stream)
		return -ENOMEM;
	fputs(HEADER, stream);
	for (size_t i = 0; i < manifest->count; i++) {
		AUTO_FREE char *line = NULL;
		int length = format_entry(&manifest->entries[i], &line);

		if (length < 0) {
			fclose(stream);
			return length;
		}
		fwrite(line, 1, (size_t)length, stream);
	}
	failed = ferror(stream) != 0;
	if (fclose(stream) != 0 || failed)
		return -ENOMEM;
	digest_sha256(buffer, used, root);
	*text = buffer;
	buffer = NULL;
	*size = used;
	return 0;
}

/* A line while it is taken apart: what is left of it. */
struct cursor {
	const char *at, *end;
};

static bool skip_word(struct cursor *c, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(c->end - c->at) < size || memcmp(c->at, word, size) != 0)
		return false;
	c->at += size;
	return true;
}

/* The digits up to the next blank. */
static bool take_size(struct cursor *c, uint64_t *out)
{
	const char *blank = memchr(c->at, ' ', (size_t)(c->end - c->at));

	if (!blank || parse_u64(c->at, (size_t)(blank - c->at), INT64_MAX, out) < 0)
		return false;
	c->at = blank;
	return true;
}

/* An escaped string without NUL, all that is left up to `end`. */
static int take_string(const char *at, const char *end, char **out)
{
	size_t size;
	int rc = escape_decode(at, (size_t)(end - at), out, &size);

	if (rc < 0)
		return rc == -EINVAL ? -EBADMSG : rc;
	if (strlen(*out) == size)
		return 0;
	free(*out);
	*out = NULL;
	return -EBADMSG;
}

static const char *const bad_line = "a line is not of the form of any entry";
static const char *const bad_escape = "a path or target is not in its canonical escaped form";

static int take_path(struct cursor *c, struct manifest_entry *entry, const char **why)
{
	const char *end = c->end;
	int rc = 0;

	if (entry->type == MANIFEST_SYMLINK) {
		const char *blank = memchr(c->at, ' ', (size_t)(c->end - c->at));
		struct cursor target = {blank, c->end};

		if (!blank || !skip_word(&target, " -> ")) {
			*why = "a symlink has no target";
			return -EBADMSG;
		}
		end = blank;
		rc = take_string(target.at, target.end, &entry->target);
	}
	if (rc == 0)
		rc = take_string(c->at, end, &entry->path);
	if (rc == -EBADMSG)
		*why = bad_escape;
	return rc;
}

static bool take_type(struct cursor *c, struct manifest_entry *entry)
{
	entry->type = skip_word(c, "dir") ? MANIFEST_DIR : skip_word(c, "symlink") ? MANIFEST_SYMLINK : MANIFEST_FILE;
	if (entry->type != MANIFEST_FILE)
		return true;
	if (parse_tagged_digest(c->at, (size_t)(c->end - c->at), &entry->digest) < 0)
		return false;
	c->at += DIGEST_TEXT_SIZE;
	entry->executable = skip_word(c, ":x");
	return true;
}

static int parse_entry(const char *line, const char *end, struct manifest_entry *entry, const char **why)
{
	struct cursor c = {line, end};

	*why = bad_line;
	if (!take_type(&c, entry) || !skip_word(&c, "  ") || !take_size(&c, &entry->size) || !skip_word(&c, "  "))
		return -EBADMSG;
	return take_path(&c, entry, why);
}

/* The last line of defence: an entry is only what would be written for it. */
static int check_canonical(const struct manifest_entry *entry, const char *line, size_t size)
{
	AUTO_FREE char *again = NULL;
	int length = format_entry(entry, &again);

	if (length < 0)
		return length;
	return (size_t)length == size && memcmp(again, line, size) == 0 ? 0 : -EBADMSG;
}

static const char *bad_path(const char *path)
{
	const char *component = path;

	for (bool top = true;; top = false) {
		size_t size = strcspn(component, "/");

		if (size == 0)
			return "a path is absolute or has an empty component";
		if ((size == 1 && component[0] == '.') || (size == 2 && memcmp(component, "..", 2) == 0))
			return "a path has a component '.' or '..'";
		if (strncmp(component, ".nfs", 4) == 0 || (top && size == 5 && memcmp(component, ".seal", 5) == 0))
			return "a path has a name that is never sealed";
		if (component[size] == '\0')
			return NULL;
		component += size + 1;
	}
}

static bool has_parent(const struct manifest *manifest, const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *parent = NULL;
	struct manifest_entry *found;

	if (!slash)
		return true;
	parent = strndup(path, (size_t)(slash - path));
	found = parent ? manifest_find(manifest, parent) : NULL;
	return found && found->type == MANIFEST_DIR;
}

/* Whether the entry may follow those that are in already. */
static const char *bad_place(const struct manifest *before, const struct manifest_entry *entry)
{
	const char *why;

	if (strcmp(entry->path, ".") == 0)
		return before->count == 0 && entry->type == MANIFEST_FILE ? NULL : "the path '.' is not the only file";
	why = bad_path(entry->path);
	if (why)
		return why;
	if (before->count > 0) {
		const char *previous = before->entries[before->count - 1].path;

		if (strcmp(previous, ".") == 0)
			return "the path '.' is not the only file";
		if (strcmp(previous, entry->path) >= 0)
			return "paths are not in order, or one is there twice";
	}
	if (!has_parent(before, entry->path))
		return "a directory has no line of its own";
	if (entry->type == MANIFEST_SYMLINK && entry->size != strlen(entry->target))
		return "a symlink's size is not that of its target";
	return NULL;
}

/* Adds the line's entry; `end` points behind its newline. */
static int parse_line(struct manifest *manifest, const char *line, const char *end, const char **why)
{
	struct manifest_entry entry = {0};
	int rc = parse_entry(line, end - 1, &entry, why);

	if (rc == 0) {
		*why = "a line is not in its canonical form";
		rc = check_canonical(&entry, line, (size_t)(end - line));
	}
	if (rc == 0) {
		*why = bad_place(manifest, &entry);
		rc = *why ? -EBADMSG : 0;
	}
	if (rc == 0)
		return add_owned(manifest, &entry);
	free(entry.path);
	free(entry.target);
	return rc;
}

static int parse_lines(const char *text, size_t size, struct manifest *out, const char **why)
{
	const char *at = text + HEADER_SIZE, *end = text + size;
	int rc = 0;

	if (size < HEADER_SIZE || memcmp(text, HEADER, HEADER_SIZE) != 0) {
		*why = "the first line is not 'sealfs manifest 1'";
		return -EBADMSG;
	}
	while (rc == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!newline) {
			*why = "the last line is not complete";
			return -EBADMSG;
		}
		rc = parse_line(out, at, newline + 1, why);
		at = newline + 1;
	}
	return rc;
}

int manifest_parse(const char *text, size_t size, struct manifest *out, const char **why)
{
	const char *ignored;
	int rc = -EBADMSG;

	why = why ? why : &ignored;
	manifest_init(out);
	if (size > MANIFEST_SIZE_LIMIT)
		*why = "it is too large";
	else
		rc = parse_lines(text, size, out, why);
	if (rc < 0)
		manifest_free(out);
	else
		*why = NULL;
	return rc;
}

/* The first index whose path is not below `path` followed by `next` ('\0' for nothing). */
static size_t lower_bound(const struct manifest *manifest, const char *path, char next)
{
	size_t low = 0, high = manifest->count;
	size_t size = strlen(path);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *there = manifest->entries[middle].path;
		int order = strncmp(there, path, size);

		if (order == 0)
			order = (unsigned char)there[size] - (unsigned char)next;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path)
{
	size_t i = lower_bound(manifest, path, '\0');

	return i < manifest->count && strcmp(manifest->entries[i].path, path) == 0 ? &manifest->entries[i] : NULL;
}

void manifest_range(const struct manifest *manifest, const char *path, size_t *first, size_t *end)
{
	*first = 0;
	*end = manifest->count;
	if (*path == '\0')
		return;
	*first = lower_bound(manifest, path, '/');
	*end = lower_bound(manifest, path, '/' + 1);
}

bool manifest_name_hidden(const char *name, bool at_top)
{
	return strncmp(name, ".nfs", 4) == 0 || (at_top && strcmp(name, ".seal") == 0);
}

bool manifest_name_live(char *const *live, const char *name)
{
	for (; live && *live; live++) {
		if (fnmatch(*live, name, 0) == 0)
			return true;
	}
	return false;
}
