/*
 * escape - canonical text for arbitrary bytes
 */
#include "sealfs/escape.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static bool is_plain(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '\\';
}

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Bytes of the well-formed UTF-8 sequence of two and more bytes that starts here (Unicode, table 3-7), or 0. */
static size_t utf8_sequence(const unsigned char *s, size_t size)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (size < length || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if (!is_tail(s[i]))
			return 0;
	}
	return length;
}

/* For people a blank may stand, and a backslash that escapes nothing. */
static bool is_readable(unsigned char c)
{
	return c >= 0x20 && c < 0x7f;
}

static char *escape_with(const void *bytes, size_t size, bool (*stands)(unsigned char c))
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = bytes;
	char *out, *at;

	if (size > (SIZE_MAX - 1) / 4)
		return NULL;
	out = at = malloc(4 * size + 1);
	if (!out)
		return NULL;
	for (size_t i = 0; i < size;) {
		size_t length = stands(in[i]) ? 1 : utf8_sequence(in + i, size - i);

		if (length > 0) {
			memcpy(at, in + i, length);
			at += length;
			i += length;
			continue;
		}
		*at++ = '\\';
		*at++ = 'x';
		*at++ = digits[in[i] >> 4];
		*at++ = digits[in[i] & 15];
		i++;
	}
	*at = '\0';
	return out;
}

char *escape_bytes(const void *bytes, size_t size)
{
	return escape_with(bytes, size, is_plain);
}

char *escape_text(const char *text)
{
	return escape_bytes(text, strlen(text));
}

char *escape_line(const char *text)
{
	return escape_with(text, strlen(text), is_readable);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_into(const char *escaped, size_t size, char *out, size_t *out_size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		int high, low;

		if (escaped[i] != '\\') {
			out[n++] = escaped[i];
			continue;
		}
		if (size - i < 4 || escaped[i + 1] != 'x')
			return -EINVAL;
		high = hex_value(escaped[i + 2]);
		low = hex_value(escaped[i + 3]);
		if (high < 0 || low < 0)
			return -EINVAL;
		out[n++] = (char)(high << 4 | low);
		i += 3;
	}
	out[n] = '\0';
	*out_size = n;
	return 0;
}

int escape_decode(const char *escaped, size_t size, char **out, size_t *out_size)
{
	AUTO_FREE char *decoded = malloc(size + 1);
	AUTO_FREE char *again = NULL;
	size_t decoded_size;
	int rc;

	if (!decoded)
		return -ENOMEM;
	rc = decode_into(escaped, size, decoded, &decoded_size);
	if (rc < 0)
		return rc;
	/* The canonical form is by definition the one that we write: no second set of rules to get wrong. */
	again = escape_bytes(decoded, decoded_size);
	if (!again)
		return -ENOMEM;
	if (strlen(again) != size || memcmp(again, escaped, size) != 0)
		return -EINVAL;
	*out = decoded;
	decoded = NULL;
	*out_size = decoded_size;
	return 0;
}
