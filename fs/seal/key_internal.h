/*
 * key_internal - what the modules of keys, signatures and trust share
 */
#ifndef SEAL_KEY_INTERNAL_H
#define SEAL_KEY_INTERNAL_H

#include <sys/stat.h>

#include "sealfs/key.h"

/* `hex` has room for 2 × size characters and the NUL. */
void key_hex_format(const uint8_t *bytes, size_t size, char *hex);
/* The whole of `hex`, lower-case; -EINVAL otherwise. */
int key_hex_parse(const char *hex, uint8_t *bytes, size_t size);

/* Opens for reading and fills *st; a descriptor or -errno. */
int key_file_open(int dirfd, const char *path, struct stat *st);
/* Reads it to its end. -EFBIG. */
int key_file_read(int fd, char buffer[KEY_FILE_LIMIT + 1], size_t *size);

/* Puts an allocated sentence into *why (NULL when memory is out) and returns `error`. */
int __attribute__((format(printf, 3, 4))) key_complain(char **why, int error, const char *format, ...);

#endif
