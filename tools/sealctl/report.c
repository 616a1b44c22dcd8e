#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "cleanup.h"
#include "sealfs/escape.h"

static const char *program = "sealctl";

void report_set_program(const char *name)
{
	program = name;
}

int report_status(int result)
{
	switch (result) {
	case 0:
		return EXIT_GOOD;
	case -EOWNERDEAD:
		return EXIT_FAILED;
	case -ETIMEDOUT:
		return EXIT_TIMED_OUT;
	case -EBADMSG:
	case -EKEYREJECTED:
		return EXIT_MISMATCH;
	default:
		return EXIT_ERROR;
	}
}

int report_worse(int a, int b)
{
	return a > b ? a : b;
}

/* The first that fits decides; verb NULL fits all. */
static const struct {
	const char *verb;
	int error;
	const char *step;
} next_steps[] = {
	{"initialise", ENOENT, "make the directory first"},
	{"initialise", ENOTDIR, "name a directory"},
	{"begin an experiment in", ENOENT, "make the directory first"},
	{"write", ENOENT, "make the directory first"},
	{"reserve", EEXIST, "see 'sealctl status'"},
	{"reserve", ENOENT, "make the directory above it first"},
	{"reserve", EROFS, "choose another path, or remove it with 'sealctl rm'"},
	{"seal", EROFS, "'sealctl status' shows its root digest"},
	{"seal", EBUSY, "try again when that has ended"},
	{"seal", ENOENT, "write it first"},
	{"seal", ENODATA, "write it first"},
	{"seal", EAGAIN, "try again when nothing changes it any more"},
	{"abandon", EINVAL, "only what is pending or open can be abandoned"},
	{"abandon", EROFS, "only 'sealctl rm' takes a sealed checkpoint away"},
	{"wait for", ENOENT, "reserve it with 'sealctl reserve' before anybody waits for it"},
	{"wait for", EOWNERDEAD, "run the trial that writes it again"},
	{"wait for", ETIMEDOUT, "see 'sealctl status' for who writes it"},
	{"wait for", EDEADLK, "'sealctl status' shows who waits for whom"},
	{"remove", EBUSY, "end it first with 'sealctl seal' or 'sealctl abandon'"},
	{"remove", ENOENT, "see 'sealctl status' for what there is"},
	{NULL, EROFS, "choose another path, or remove it with 'sealctl rm'"},
	{NULL, EOWNERDEAD, "run the trial that writes it again"},
	{NULL, EBADMSG, "restore what was damaged, or 'sealctl rm' and write it anew"},
	{NULL, EACCES, "ask its owner, or try again as that user"},
	{NULL, EPERM, "ask its owner, or try again as that user"},
	{NULL, ENOTCONN, "the daemon of this mount is gone: unmount it with 'fusermount3 -u', mount it again"},
	{NULL, ENOSPC, "make room on the export, then try again"},
	{NULL, EDQUOT, "make room on the export, then try again"},
};

static const char *next_step(const char *verb, int error)
{
	for (size_t i = 0; i < sizeof(next_steps) / sizeof(next_steps[0]); i++)
		if (next_steps[i].error == error && (!next_steps[i].verb || !strcmp(next_steps[i].verb, verb)))
			return next_steps[i].step;
	return NULL;
}

void report_print_plain(FILE *stream, const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, stream);
	}
}

int report_failure(const char *verb, const char *object, int result, const char *cause)
{
	AUTO_FREE char *escaped = escape_text(object);
	const char *step = next_step(verb, -result);

	if (!cause || !cause[0])
		cause = strerror(-result);
	fprintf(stderr, "%s: cannot %s '%s': ", program, verb, escaped ? escaped : "?");
	report_print_plain(stderr, cause);
	if (step && !strchr(cause, ';'))
		fprintf(stderr, "; %s", step);
	fputc('\n', stderr);
	return report_status(result);
}

void report_note(const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	fprintf(stderr, "%s: ", program);
	report_print_plain(stderr, text ? text : "out of memory");
	fputc('\n', stderr);
}

int report_help(const struct command *command)
{
	fputs(command->usage, stdout);
	return EXIT_GOOD;
}

int report_usage(const struct command *command, const char *text)
{
	if (text)
		fprintf(stderr, "%s %s: %s\n", program, command->name, text);
	fprintf(stderr, "Try '%s %s --help'.\n", program, command->name);
	return EXIT_USAGE;
}

int report_only_help(const struct command *self, int argc, char **argv, int least)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int option = getopt_long(argc, argv, "h", options, NULL);

	if (option == 'h')
		return report_help(self);
	if (option != -1)
		return report_usage(self, NULL);
	return argc - optind < least ? report_usage(self, "a PATH is missing") : -1;
}

const char *report_size(uint64_t bytes, char buffer[REPORT_SIZE_LENGTH])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 1000) {
		snprintf(buffer, REPORT_SIZE_LENGTH, bytes == 1 ? "%u byte" : "%u bytes", (unsigned int)bytes);
		return buffer;
	}
	/* 999.95 would be printed as 1000.0 */
	for (value /= 1000; value >= 999.95; value /= 1000)
		unit++;
	snprintf(buffer, REPORT_SIZE_LENGTH, "%.1f %s", value, units[unit]);
	return buffer;
}

void report_print_seal(FILE *stream, const json_t *seal, bool brief)
{
	uint64_t files = (uint64_t)json_integer_value(json_object_get(seal, "files"));
	uint64_t bytes = (uint64_t)json_integer_value(json_object_get(seal, "bytes"));
	const char *root = report_string(seal, "root");
	char size[REPORT_SIZE_LENGTH];
	int shown = brief ? (int)strlen("sha256:") + 12 : (int)strlen(root);

	fputc('\'', stream);
	report_print_plain(stream, report_string(seal, "path"));
	fprintf(stream, "' %.*s%s (%" PRIu64 " file%s, %s", shown, root, brief ? "…" : "", files, files == 1 ? "" : "s",
		report_size(bytes, size));
	fprintf(stream, " in %.1f s)", json_number_value(json_object_get(seal, "seconds")));
}

const char *report_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_t *report_json_text(const char *text)
{
	json_t *string = json_string(text);

	return string ? string : report_json_path(text);
}

json_t *report_json_path(const char *path)
{
	AUTO_FREE char *escaped = escape_text(path);

	return escaped ? json_string(escaped) : NULL;
}

int report_print_json(const json_t *json)
{
	if (json_dumpf(json, stdout, JSON_INDENT(2)) || putchar('\n') == EOF || fflush(stdout)) {
		report_note("cannot write to standard output: %s", strerror(errno));
		return EXIT_ERROR;
	}
	return EXIT_GOOD;
}
