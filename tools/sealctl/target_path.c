#include "target_path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 40 /* as the kernel's own limit */

struct walk {
	char *done; /* resolved so far, without trailing '/'; "" is the root */
	size_t length, capacity;
	char *rest;      /* still to do */
	size_t boundary; /* length of `done` where a boundary begins, or 0 */
	unsigned int links;
	const struct path_probe *probe;
};

static int walk_push(struct walk *walk, const char *name, size_t size)
{
	size_t need = walk->length + size + 2;

	if (need > walk->capacity) {
		char *bigger = realloc(walk->done, need * 2);

		if (!bigger)
			return -ENOMEM;
		walk->done = bigger;
		walk->capacity = need * 2;
	}
	walk->done[walk->length] = '/';
	memcpy(walk->done + walk->length + 1, name, size);
	walk->length += size + 1;
	walk->done[walk->length] = '\0';
	return 0;
}

static void walk_pop(struct walk *walk)
{
	while (walk->length && walk->done[walk->length - 1] != '/')
		walk->length--;
	if (walk->length)
		walk->length--;
	walk->done[walk->length] = '\0';
	if (walk->length < walk->boundary)
		walk->boundary = 0;
}

/* The component just pushed is a symlink to `target`: take it away again and put the target in front of what is left.
 */
static int walk_follow(struct walk *walk, const char *target)
{
	char *rest;

	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	if (asprintf(&rest, "%s/%s", target, walk->rest) < 0)
		return -ENOMEM;
	free(walk->rest);
	walk->rest = rest;
	walk_pop(walk);
	if (target[0] == '/') {
		walk->length = 0;
		walk->done[0] = '\0';
		walk->boundary = 0;
	}
	return 0;
}

static int walk_probe(struct walk *walk)
{
	const struct path_probe *probe = walk->probe;
	char target[PATH_MAX];
	ssize_t size;

	if (!probe || walk->boundary)
		return 0;
	if (probe->boundary(probe->arg, walk->done)) {
		walk->boundary = walk->length;
		return 0;
	}
	size = probe->readlink(probe->arg, walk->done, target, sizeof(target) - 1);
	if (size <= 0)
		return 0;
	target[size] = '\0';
	return walk_follow(walk, target);
}

static int walk_component(struct walk *walk, const char *name, size_t size)
{
	int error;

	if (size == 0 || (size == 1 && name[0] == '.'))
		return 0;
	if (size == 2 && name[0] == '.' && name[1] == '.') {
		walk_pop(walk);
		return 0;
	}
	error = walk_push(walk, name, size);
	return error ? error : walk_probe(walk);
}

static int walk_all(struct walk *walk)
{
	while (walk->rest[0]) {
		size_t size = strcspn(walk->rest, "/");
		char *name = strndup(walk->rest, size);
		int error;

		if (!name)
			return -ENOMEM;
		memmove(walk->rest, walk->rest + size + (walk->rest[size] == '/'),
			strlen(walk->rest + size) + (walk->rest[size] != '/'));
		error = walk_component(walk, name, size);
		free(name);
		if (error)
			return error;
	}
	return 0;
}

int path_resolve(const char *cwd, const char *path, const struct path_probe *probe, char **out)
{
	struct walk walk = {.probe = probe, .done = calloc(1, 2), .capacity = 2};
	int error = -ENOMEM;

	if (asprintf(&walk.rest, "%s/%s", path[0] == '/' ? "" : cwd, path) < 0)
		walk.rest = NULL;
	if (walk.done && walk.rest)
		error = walk_all(&walk);
	if (!error && !walk.length)
		strcpy(walk.done, "/");
	free(walk.rest);
	if (error)
		free(walk.done);
	else
		*out = walk.done;
	return error;
}

const char *path_below(const char *path, const char *dir)
{
	size_t size = strcmp(dir, "/") ? strlen(dir) : 0;

	if (strncmp(path, dir, size) || (path[size] && path[size] != '/'))
		return NULL;
	return path[size] ? path + size + 1 : path + size;
}

unsigned int path_depth(const char *path)
{
	unsigned int depth = path[0] ? 1 : 0;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

char *path_head(const char *path, unsigned int count)
{
	size_t size;

	if (!count)
		return strdup("");
	for (size = 0; path[size]; size++)
		if (path[size] == '/' && --count == 0)
			break;
	return strndup(path, size);
}

char *path_join(const char *directory, const char *name)
{
	size_t size = strlen(directory);
	bool slash = size && name[0] && directory[size - 1] != '/';
	char *joined;

	return asprintf(&joined, "%s%s%s", directory, slash ? "/" : "", name) < 0 ? NULL : joined;
}

/* Blank, tab, newline and backslash are written as \ooo in mountinfo. */
static void unescape_octal(char *text)
{
	char *to = text;

	for (; *text; to++) {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

static char *field_copy(const char *field)
{
	char *copy = strdup(field);

	if (copy)
		unescape_octal(copy);
	return copy;
}

enum { FIELD_DEVICE = 2, FIELD_ROOT = 3, FIELD_POINT = 4, FIELD_OPTIONS = 5, FIELD_COUNT = 6, TAIL_COUNT = 3 };

/* Cuts a line into its fixed fields and those after the lone "-"; false when it has not got them. */
static bool line_split(char *line, char *head[FIELD_COUNT], char *tail[TAIL_COUNT])
{
	size_t i;

	for (i = 0; i < FIELD_COUNT; i++)
		if (!(head[i] = strsep(&line, " ")))
			return false;
	for (char *field = strsep(&line, " "); field && strcmp(field, "-");)
		field = strsep(&line, " ");
	for (i = 0; i < TAIL_COUNT; i++)
		if (!(tail[i] = strsep(&line, " ")))
			return false;
	return true;
}

static void mount_entry_free(struct mount_entry *entry)
{
	free(entry->device);
	free(entry->root);
	free(entry->point);
	free(entry->type);
	free(entry->source);
	free(entry->options);
}

static int table_add(struct mount_table *table, char *line)
{
	char *head[FIELD_COUNT], *tail[TAIL_COUNT];
	struct mount_entry *bigger, *entry;

	if (!line_split(line, head, tail))
		return 0;
	bigger = realloc(table->entries, (table->count + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	table->entries = bigger;
	entry = &bigger[table->count];
	*entry = (struct mount_entry){field_copy(head[FIELD_DEVICE]),
				      field_copy(head[FIELD_ROOT]),
				      field_copy(head[FIELD_POINT]),
				      field_copy(tail[0]),
				      field_copy(tail[1]),
				      NULL};
	if (asprintf(&entry->options, "%s,%s", head[FIELD_OPTIONS], tail[2]) < 0)
		entry->options = NULL;
	table->count++;
	return entry->device && entry->root && entry->point && entry->type && entry->source && entry->options ? 0
													      : -ENOMEM;
}

int mount_table_parse(const char *text, struct mount_table *out)
{
	char *copy = strdup(text), *next = copy, *line;
	int error = copy ? 0 : -ENOMEM;

	*out = (struct mount_table){0};
	while (!error && (line = strsep(&next, "\n")))
		error = table_add(out, line);
	free(copy);
	if (error)
		mount_table_free(out);
	return error;
}

void mount_table_free(struct mount_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		mount_entry_free(&table->entries[i]);
	free(table->entries);
	*table = (struct mount_table){0};
}

const struct mount_entry *mount_table_cover(const struct mount_table *table, const char *path)
{
	const struct mount_entry *best = NULL;

	for (size_t i = 0; i < table->count; i++) {
		const struct mount_entry *entry = &table->entries[i];

		if (path_below(path, entry->point) && (!best || strlen(entry->point) >= strlen(best->point)))
			best = entry;
	}
	return best;
}

bool mount_entry_is_sealfs(const struct mount_entry *entry)
{
	return entry && !strcmp(entry->type, "fuse.sealfs");
}

bool mount_entry_has_option(const struct mount_entry *entry, const char *option)
{
	size_t size = strlen(option);

	for (const char *at = entry->options; *at; at += *at == ',') {
		size_t length = strcspn(at, ",");

		if (length == size && !memcmp(at, option, size))
			return true;
		at += length;
	}
	return false;
}
