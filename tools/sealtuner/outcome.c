#include "outcome.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"

#define FILE_LIMIT (256u << 20) /* bytes; of metrics and results */
#define TAIL_SIZE 65536         /* bytes; what is read of an output's end */

/* ---- a result ---- */

static int number_of(const json_t *json, double *value)
{
	const json_t *inner = json_object_get(json, "default");

	if (json_is_object(json))
		return number_of(inner ? inner : json_object_get(json, "value"), value);
	if (json_is_string(json))
		return outcome_parse_result(json_string_value(json), json_string_length(json), value);
	if (!json_is_number(json))
		return -ENODATA;
	*value = json_number_value(json);
	return 0;
}

/* Also what JSON does not know: nan, inf, 1e-3 with blanks around. */
static int plain_number(const char *text, size_t size, double *value)
{
	AUTO_FREE char *copy = strndup(text, size);
	char *end;

	if (!copy)
		return -ENOMEM;
	*value = strtod(copy, &end);
	if (end == copy)
		return -ENODATA;
	while (isspace((unsigned char)*end))
		end++;
	return *end ? -ENODATA : 0;
}

int outcome_parse_result(const char *text, size_t size, double *value)
{
	json_auto_t *json = NULL;
	int error = plain_number(text, size, value);

	if (error != -ENODATA)
		return error;
	json = json_loadb(text, size, 0, NULL);
	if (!json)
		json = json_loadb(text, size, JSON_DECODE_ANY, NULL);
	/* A string in a string in a string leads nowhere: each step gets shorter. */
	return json ? number_of(json, value) : -ENODATA;
}

/* ---- NNI's metrics ---- */

#define HEAD_SIZE 8

static size_t record_size(const char *data, size_t size)
{
	size_t length = 0;

	if (size < HEAD_SIZE || data[0] != 'M' || data[1] != 'E')
		return 0;
	for (int i = 2; i < HEAD_SIZE; i++) {
		if (!isdigit((unsigned char)data[i]))
			return 0;
		length = length * 10 + (size_t)(data[i] - '0');
	}
	return length <= size - HEAD_SIZE ? length : 0;
}

int outcome_parse_metrics(const char *data, size_t size, bool any, double *value)
{
	int result = -ENODATA;

	while (size) {
		size_t length = record_size(data, size);
		json_auto_t *record = length ? json_loadb(data + HEAD_SIZE, length, 0, NULL) : NULL;

		if (!length)
			break;
		if (record && (any || !strcmp(report_string(record, "type"), "FINAL")) &&
		    !number_of(json_object_get(record, "value"), value))
			result = 0;
		data += HEAD_SIZE + length;
		size -= HEAD_SIZE + length;
		while (size && *data == '\n') {
			data++;
			size--;
		}
	}
	return result;
}

size_t outcome_last_line(const char *text, size_t size, const char **line)
{
	size_t start;

	while (size && isspace((unsigned char)text[size - 1]))
		size--;
	for (start = size; start && text[start - 1] != '\n' && text[start - 1] != '\r';)
		start--;
	*line = text + start;
	return size - start;
}

/* ---- files ---- */

/* The end of a file that may be large. */
static int read_tail(const struct store *store, int work, const char *name, char **data, size_t *size)
{
	struct statx st;
	int fd = store_open_regular(store, work, name, &st);
	off_t from;
	ssize_t got;

	if (fd < 0)
		return fd;
	from = st.stx_size > TAIL_SIZE ? (off_t)(st.stx_size - TAIL_SIZE) : 0;
	*data = malloc(TAIL_SIZE);
	got = *data ? store_pread(store, fd, *data, TAIL_SIZE, from) : -ENOMEM;
	store->ops->close(store->ctx, fd);
	if (got < 0) {
		free(*data);
		*data = NULL;
		return (int)got;
	}
	*size = (size_t)got;
	return 0;
}

static int read_metrics(const struct store *store, int work, bool any, double *value)
{
	AUTO_FREE char *data = NULL;
	int dir = store_open_dir(store, work, ".nni"), error;
	size_t size;

	if (dir < 0)
		return dir;
	error = store_read_file(store, dir, "metrics", FILE_LIMIT, &data, &size);
	store->ops->close(store->ctx, dir);
	return error ? error : outcome_parse_metrics(data, size, any, value);
}

static int read_result(const struct store *store, int work, double *value)
{
	AUTO_FREE char *data = NULL;
	size_t size;
	int error = store_read_file(store, work, OUTCOME_RESULT, FILE_LIMIT, &data, &size);

	return error ? error : outcome_parse_result(data, size, value);
}

static int read_output(const struct store *store, int work, double *value)
{
	AUTO_FREE char *data = NULL;
	const char *line;
	size_t size = 0;
	int error = read_tail(store, work, OUTCOME_OUTPUT, &data, &size);

	if (error)
		return error;
	size = outcome_last_line(data, size, &line);
	return size ? outcome_parse_result(line, size, value) : -ENODATA;
}

int outcome_read(const struct store *store, int work, double *value)
{
	int error = read_metrics(store, work, false, value);

	if (error == -ENODATA || error == -ENOENT)
		error = read_result(store, work, value);
	if (error == -ENODATA || error == -ENOENT)
		error = read_output(store, work, value);
	return error == -ENOENT ? -ENODATA : error;
}

int outcome_progress(const struct store *store, int work, double *value)
{
	int error = read_metrics(store, work, true, value);

	return error == -ENOENT ? -ENODATA : error;
}

/* What sealctl run says last is what became of the checkpoint, which the script's own last words explain. */
static bool is_ours(const char *line, size_t size)
{
	return size > 9 && !strncmp(line, "sealctl: ", 9);
}

char *outcome_complaint(const struct store *store, int work)
{
	AUTO_FREE char *data = NULL;
	const char *line = NULL, *ours = NULL;
	size_t size = 0, our_size = 0, length;

	if (read_tail(store, work, OUTCOME_ERRORS, &data, &size))
		return NULL;
	while ((length = outcome_last_line(data, size, &line)) && is_ours(line, length)) {
		if (!ours) {
			ours = line + 9;
			our_size = length - 9;
		}
		size = (size_t)(line - data);
	}
	return length ? strndup(line, length) : ours ? strndup(ours, our_size) : NULL;
}
