/*
 * record_lines - "key: value" lines between a first line that names them and the SHA-256 of all that
 *
 * Within a value a blank stands for itself; all else is as escape.h has it. So every value still has exactly one form.
 */
#include "sealfs/record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sealfs/escape.h"

#define CLOSING_TAG "sha256: "
#define CLOSING_SIZE (sizeof(CLOSING_TAG) - 1 + DIGEST_HEX_SIZE) /* with the newline */
#define BLANK "\\x20"
#define BLANK_SIZE (sizeof(BLANK) - 1)

static char *escape_value(const char *value)
{
	char *escaped = escape_text(value);
	char *out = escaped;

	/* A backslash is itself escaped, so these four characters can be nothing but a blank. */
	for (const char *in = escaped; in && *in;) {
		bool blank = strncmp(in, BLANK, BLANK_SIZE) == 0;

		*out++ = blank ? ' ' : *in;
		in += blank ? BLANK_SIZE : 1;
	}
	if (out)
		*out = '\0';
	return escaped;
}

static char *expand_blanks(const char *value, size_t size, size_t *out_size)
{
	char *expanded = malloc(size * BLANK_SIZE + 1);
	char *out = expanded;

	for (size_t i = 0; expanded && i < size; i++) {
		if (value[i] == ' ')
			out = mempcpy(out, BLANK, BLANK_SIZE);
		else
			*out++ = value[i];
	}
	*out_size = (size_t)(out - expanded);
	return expanded;
}

static int decode_value(const char *value, size_t size, char **out)
{
	AUTO_FREE char *expanded = NULL;
	size_t expanded_size, decoded_size;
	int rc;

	if (memmem(value, size, BLANK, BLANK_SIZE))
		return -EBADMSG;
	expanded = expand_blanks(value, size, &expanded_size);
	if (!expanded)
		return -ENOMEM;
	rc = escape_decode(expanded, expanded_size, out, &decoded_size);
	if (rc < 0)
		return rc == -EINVAL ? -EBADMSG : rc;
	if (strlen(*out) == decoded_size)
		return 0;
	free(*out);
	*out = NULL;
	return -EBADMSG;
}

/* "sealfs <word> <version>\n". -EPROTO when it is well-formed and means something else. */
static int check_first_line(const char *text, size_t size, const char *word, unsigned int version, size_t *line_size,
			    const char **why)
{
	const char *newline = memchr(text, '\n', size);
	const char *end = newline ? newline : text + size;
	const char *blank =
		size > 7 && memcmp(text, "sealfs ", 7) == 0 ? memrchr(text, ' ', (size_t)(end - text)) : NULL;
	uint64_t number;

	*why = "the first line is not one of a record";
	if (!newline || !blank || blank < text + 8 ||
	    parse_u64(blank + 1, (size_t)(end - blank - 1), UINT32_MAX, &number) < 0)
		return -EBADMSG;
	*line_size = (size_t)(newline + 1 - text);
	*why = "it is of an unknown kind";
	if (strlen(word) != (size_t)(blank - text) - 7 || memcmp(text + 7, word, strlen(word)) != 0)
		return -EPROTO;
	*why = "it is of an unknown version";
	return number == version ? 0 : -EPROTO;
}

static int check_closing_line(const char *text, size_t size, const char **why)
{
	const char *closing;
	struct digest said, is;

	*why = "the closing line is missing";
	if (size < CLOSING_SIZE)
		return -EBADMSG;
	closing = text + size - CLOSING_SIZE;
	if (memcmp(closing, CLOSING_TAG, sizeof(CLOSING_TAG) - 1) != 0 || text[size - 1] != '\n' ||
	    digest_from_hex(closing + sizeof(CLOSING_TAG) - 1, &said) < 0)
		return -EBADMSG;
	*why = "the checksum is wrong";
	digest_sha256(text, size - CLOSING_SIZE, &is);
	return digest_equal(&said, &is) ? 0 : -EBADMSG;
}

static bool key_is_valid(const char *key, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if ((key[i] < 'a' || key[i] > 'z') && key[i] != '_' && (i == 0 || key[i] < '0' || key[i] > '9'))
			return false;
	}
	return size > 0;
}

static int parse_line(const char *line, size_t size, int (*each)(void *arg, const char *key, const char *value),
		      void *arg, const char **why)
{
	const char *colon = memchr(line, ':', size);
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *value = NULL;
	size_t key_size = colon ? (size_t)(colon - line) : 0;
	int rc;

	*why = "a line is not 'key: value'";
	if (!key_is_valid(line, key_size) || size < key_size + 2 || colon[1] != ' ')
		return -EBADMSG;
	*why = "a value is not in its canonical escaped form";
	rc = decode_value(colon + 2, size - key_size - 2, &value);
	if (rc < 0)
		return rc;
	key = strndup(line, key_size);
	if (!key)
		return -ENOMEM;
	*why = "a value is not what its key asks for";
	return each(arg, key, value);
}

int record_lines_parse(const char *text, size_t size, const char *word, unsigned int version,
		       int (*each)(void *arg, const char *key, const char *value), void *arg, const char **why)
{
	const char *ignored;
	const char *at, *end;
	size_t first;
	int rc;

	why = why ? why : &ignored;
	rc = check_first_line(text, size, word, version, &first, why);
	if (rc == 0)
		rc = check_closing_line(text, size, why);
	if (rc < 0)
		return rc;
	at = text + first;
	end = text + size - CLOSING_SIZE;
	while (rc == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		if (!newline) {
			*why = "a line is not complete";
			return -EBADMSG;
		}
		rc = parse_line(at, (size_t)(newline - at), each, arg, why);
		at = newline + 1;
	}
	if (rc == 0)
		*why = NULL;
	return rc;
}

static void append(struct record_lines *lines, const char *text)
{
	size_t size = strlen(text);

	if (lines->error < 0)
		return;
	if (lines->capacity - lines->size <= size) {
		size_t capacity = 2 * lines->capacity + size + 1;
		char *grown = realloc(lines->text, capacity);

		if (!grown) {
			lines->error = -ENOMEM;
			return;
		}
		lines->text = grown;
		lines->capacity = capacity;
	}
	memcpy(lines->text + lines->size, text, size + 1);
	lines->size += size;
}

void record_lines_begin(struct record_lines *lines, const char *word, unsigned int version)
{
	char number[16];

	*lines = (struct record_lines){0};
	snprintf(number, sizeof(number), " %u\n", version);
	append(lines, "sealfs ");
	append(lines, word);
	append(lines, number);
}

void record_lines_add(struct record_lines *lines, const char *key, const char *format, ...)
{
	AUTO_FREE char *value = NULL;
	AUTO_FREE char *escaped = NULL;
	va_list args;
	int size;

	va_start(args, format);
	size = vasprintf(&value, format, args);
	va_end(args);
	if (size < 0)
		value = NULL;
	escaped = value ? escape_value(value) : NULL;
	if (!escaped) {
		lines->error = -ENOMEM;
		return;
	}
	append(lines, key);
	append(lines, ": ");
	append(lines, escaped);
	append(lines, "\n");
}

int record_lines_end(struct record_lines *lines, char **text, size_t *size)
{
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;

	if (lines->error == 0) {
		digest_sha256(lines->text, lines->size, &digest);
		digest_to_hex(&digest, hex);
		append(lines, CLOSING_TAG);
		append(lines, hex);
		append(lines, "\n");
	}
	if (lines->error < 0) {
		free(lines->text);
		return lines->error;
	}
	*text = lines->text;
	*size = lines->size;
	return 0;
}
