/*
 * fill - placeholders in a command: {save_path}, {id}, {lr}, {layer/kernel}
 *
 * A placeholder is a name in braces: a letter or '_', then letters, digits, '_', '-', '.', '/'. "{{" and "}}" stand for the braces
 * themselves; other braces are left alone. No I/O.
 */
#ifndef SEALTUNER_FILL_H
#define SEALTUNER_FILL_H

#include <jansson.h>

/* Calls `each` for the name of every placeholder; a return other than 0 ends it. */
int fill_each(const char *text, int (*each)(void *arg, const char *name), void *arg);

/* What a name stands for in `values`, a path leading into objects: strings as they are, null as "", all else as JSON.
 * Allocated; NULL when there is none, or no memory. */
char *fill_value(const json_t *values, const char *name);

/* The text with all placeholders filled in; those without a value stay. Allocated; NULL when memory is out. */
char *fill_text(const char *text, const json_t *values);

#endif
