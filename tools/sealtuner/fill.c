#include "fill.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"

/* The length of the placeholder at `at` with its braces, or 0. */
static size_t placeholder(const char *at)
{
	size_t size = 1;

	if (at[0] != '{' || !(isalpha((unsigned char)at[1]) || at[1] == '_'))
		return 0;
	while (isalnum((unsigned char)at[size]) || (at[size] && strchr("_-./", at[size])))
		size++;
	return at[size] == '}' ? size + 1 : 0;
}

static size_t doubled(const char *at)
{
	return (at[0] == '{' || at[0] == '}') && at[1] == at[0] ? 2 : 0;
}

int fill_each(const char *text, int (*each)(void *arg, const char *name), void *arg)
{
	int result = 0;

	while (*text && !result) {
		size_t size = doubled(text) ? 0 : placeholder(text);
		AUTO_FREE char *name = size ? strndup(text + 1, size - 2) : NULL;

		if (size)
			result = name ? each(arg, name) : -ENOMEM;
		text += size ? size : doubled(text) ? 2 : 1;
	}
	return result;
}

char *fill_value(const json_t *values, const char *name)
{
	const json_t *value = json_object_get(values, name);
	const char *slash = strchr(name, '/');
	AUTO_FREE char *head = NULL;

	if (!value && slash) {
		head = strndup(name, (size_t)(slash - name));
		value = head ? json_object_get(values, head) : NULL;
		return json_is_object(value) ? fill_value(value, slash + 1) : NULL;
	}
	if (!value)
		return NULL;
	if (json_is_null(value))
		return strdup("");
	if (json_is_string(value))
		return strdup(json_string_value(value));
	return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *fill_text(const char *text, const json_t *values)
{
	char *filled = NULL;
	size_t length;
	FILE *stream = open_memstream(&filled, &length);

	if (!stream)
		return NULL;
	while (*text) {
		size_t two = doubled(text), size = two ? 0 : placeholder(text);
		AUTO_FREE char *name = size ? strndup(text + 1, size - 2) : NULL;
		AUTO_FREE char *value = name ? fill_value(values, name) : NULL;

		if (value)
			fputs(value, stream);
		else
			fwrite(text, 1, size ? size : 1, stream);
		text += size ? size : two ? two : 1;
	}
	if (!fclose(stream))
		return filled;
	free(filled);
	return NULL;
}
