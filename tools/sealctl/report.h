/*
 * report - exit statuses and the sentences that people read
 *
 * A message names program, object, cause and next step: sealctl: cannot seal 'run1/t4': <cause>; <next step>
 */
#ifndef SEALCTL_REPORT_H
#define SEALCTL_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sealctl.h"

enum exit_status {
	EXIT_GOOD = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_FAILED = 3, /* abandoned, or the owner died */
	EXIT_TIMED_OUT = 4,
	EXIT_MISMATCH = 5, /* verification failed */
};

/* The program that messages name, "sealctl" at first. A constant string. */
void report_set_program(const char *name);

/* The exit status that a result (0 or -errno) stands for. */
int report_status(int result);

/* Of several paths the worst decides. */
int report_worse(int a, int b);

/*
 * Prints "PROGRAM: cannot <verb> '<object>': <cause>; <next step>" on stderr. The object is escaped here; `cause` NULL
 * means the error's own text; a cause that holds a ';' brings its next step along. Returns report_status(result).
 */
int report_failure(const char *verb, const char *object, int result, const char *cause);

/* Prints "PROGRAM: <text>" on stderr. */
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints a command's usage on stdout; returns EXIT_GOOD. */
int report_help(const struct command *command);
/* Prints "PROGRAM NAME: <text>" and where help is, on stderr; returns EXIT_USAGE. `text` NULL: getopt has said it
 * already. */
int report_usage(const struct command *command, const char *text);

/* getopt for commands that have only --help: -1 to go on at optind, else the exit status. At least `least` arguments
 * must be left. */
int report_only_help(const struct command *self, int argc, char **argv, int least);

/* "73.4 MB", in decimal units. */
#define REPORT_SIZE_LENGTH 32
const char *report_size(uint64_t bytes, char buffer[REPORT_SIZE_LENGTH]);

/*
 * Prints 'PATH' DIGEST (N files, SIZE in S s) of a reply's object with "path", "root", "files", "bytes",
 * "seconds". The digest is cut short when `brief`.
 */
void report_print_seal(FILE *stream, const json_t *seal, bool brief);

/* A member that is a string, or "" when there is none. Owned by `object`. */
const char *report_string(const json_t *object, const char *key);

/* A JSON string of any bytes: as they are when they are UTF-8, else escaped. */
json_t *report_json_text(const char *text);
/* A JSON string of a path: always escaped. */
json_t *report_json_path(const char *path);

/* For a terminal: control characters become '?'. Prints nothing else. */
void report_print_plain(FILE *stream, const char *text);

/* Writes the JSON to stdout with a newline. EXIT_GOOD, or EXIT_ERROR with a message. */
int report_print_json(const json_t *json);

#endif
