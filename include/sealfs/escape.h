/*
 * escape - path names as text: one line, no blanks, unambiguous
 *
 * Bytes 0x00 to 0x20, 0x7f, the backslash, and every byte that is not part of valid UTF-8 are written as \xHH
 * (lower-case hex); all others stand for themselves. There is exactly one escaped form of every byte string. No I/O.
 */
#ifndef SEALFS_ESCAPE_H
#define SEALFS_ESCAPE_H

#include <stddef.h>

/* The escaped form of `size` bytes, allocated (NULL only when memory is out). */
char *escape_bytes(const void *bytes, size_t size);
char *escape_text(const char *text);

/* One readable line for a log: control characters and what is not UTF-8 are escaped, blanks and backslashes stand. Not to be decoded. */
char *escape_line(const char *text);

/* The bytes of an escaped string of `size` characters; NUL-terminated and allocated, *out_size without the NUL.
 * -EINVAL when it is not in the one canonical form; -ENOMEM. */
int escape_decode(const char *escaped, size_t size, char **out, size_t *out_size);

#endif
