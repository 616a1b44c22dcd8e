/*
 * trust_key - a public key's file: settings, then the PEM block
 */
#include "sealfs/trust.h"

#include <stdio.h>

#include "internal.h"
#include "sealfs/escape.h"
#include "sealfs/record.h"

#define BEGIN "-----BEGIN "
#define PREFIX "sealfs-"
#define NS_PER_S INT64_C(1000000000)
#define TIME_SIZE 20 /* characters of "2027-01-01T00:00:00Z" */

bool trust_name_valid(const char *name)
{
	AUTO_FREE char *line = escape_line(name);
	size_t size = strlen(name);

	return line && size > 0 && size <= TRUST_NAME_MAX && name[0] != ' ' && name[size - 1] != ' ' &&
	       strcmp(line, name) == 0;
}

void trust_key_free(struct trust_key *key)
{
	free(key->name);
	*key = (struct trust_key){0};
}

static void print_time(FILE *out, const char *setting, int64_t time_ns)
{
	char text[RECORD_TIME_SIZE];

	record_time_format(time_ns, text);
	fprintf(out, "%s: %.*sZ\n", setting, TIME_SIZE - 1, text);
}

static void print_settings(FILE *out, const struct trust_key *key)
{
	if (key->name)
		fprintf(out, "sealfs-name: %s\n", key->name);
	if (key->not_before_ns != INT64_MIN)
		print_time(out, "sealfs-not-before", key->not_before_ns);
	if (key->not_after_ns != INT64_MAX)
		print_time(out, "sealfs-not-after", key->not_after_ns);
}

int trust_key_format(const struct trust_key *key, char **text, size_t *size)
{
	AUTO_FREE char *pem = NULL;
	size_t pem_size;
	FILE *out;
	int rc;

	if ((key->name && !trust_name_valid(key->name)) || key->not_before_ns > key->not_after_ns)
		return -EINVAL;
	rc = key_public_format(&key->key, &pem, &pem_size);
	if (rc < 0)
		return rc;
	*text = NULL;
	out = open_memstream(text, size);
	if (!out)
		return -ENOMEM;
	print_settings(out, key);
	fputs(pem, out);
	if (fclose(out) == 0)
		return 0;
	free(*text);
	return -ENOMEM;
}

static int parse_time(const char *value, int64_t *out)
{
	char text[RECORD_TIME_SIZE];

	if (strlen(value) != TIME_SIZE || value[TIME_SIZE - 1] != 'Z')
		return -EBADMSG;
	snprintf(text, sizeof(text), "%.*s.000000000Z", TIME_SIZE - 1, value);
	return record_time_parse(text, out) < 0 ? -EBADMSG : 0;
}

static int take_time(const char *value, int64_t none, int64_t *out, const char **why)
{
	*why = "a setting is given twice";
	if (*out != none)
		return -EBADMSG;
	*why = "a time is not like 2027-01-01T00:00:00Z";
	return parse_time(value, out);
}

static int take_name(const char *value, struct trust_key *out, const char **why)
{
	*why = "a setting is given twice";
	if (out->name)
		return -EBADMSG;
	*why = "the name is empty, too long, or not plain text";
	if (!trust_name_valid(value))
		return -EBADMSG;
	out->name = strdup(value);
	return out->name ? 0 : -ENOMEM;
}

static const char *value_of(const char *line, const char *setting)
{
	size_t size = strlen(setting);

	return strncmp(line, setting, size) == 0 && strncmp(line + size, ": ", 2) == 0 ? line + size + 2 : NULL;
}

static int take_setting(const char *line, struct trust_key *out, const char **why)
{
	const char *value;

	if ((value = value_of(line, "sealfs-name")) != NULL)
		return take_name(value, out, why);
	if ((value = value_of(line, "sealfs-not-before")) != NULL)
		return take_time(value, INT64_MIN, &out->not_before_ns, why);
	if ((value = value_of(line, "sealfs-not-after")) != NULL)
		return take_time(value, INT64_MAX, &out->not_after_ns, why);
	*why = "a line that speaks of sealfs is no setting that this version knows";
	return -EBADMSG;
}

static bool is_comment(const char *line)
{
	return line[strspn(line, " \t")] == '#' || !strcasestr(line, PREFIX);
}

static int take_line(const char *start, size_t size, bool settings, struct trust_key *out, const char **why)
{
	AUTO_FREE char *line = strndup(start, size);

	if (!line)
		return -ENOMEM;
	if (is_comment(line))
		return 0;
	*why = "a setting stands behind the key's first line";
	return settings ? take_setting(line, out, why) : -EBADMSG;
}

static int take_lines(const char *text, size_t size, struct trust_key *out, const char **why)
{
	const char *end = text + size;
	bool settings = true;
	int rc = 0;

	*why = "it holds a zero byte";
	if (memchr(text, '\0', size))
		return -EBADMSG;
	while (rc == 0 && text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text);

		settings = settings && !memmem(text, length, BEGIN, sizeof(BEGIN) - 1);
		rc = take_line(text, length, settings, out, why);
		text = newline ? newline + 1 : end;
	}
	return rc;
}

static int finish(struct trust_key *out, const char *name, const char **why)
{
	*why = "its time ends before it begins";
	if (out->not_before_ns > out->not_after_ns)
		return -EBADMSG;
	if (!out->name)
		out->name = strdup(name);
	return out->name ? 0 : -ENOMEM;
}

int trust_key_parse(const char *text, size_t size, const char *name, struct trust_key *out, const char **why)
{
	const char *ignored;
	int rc = -EBADMSG;

	why = why ? why : &ignored;
	*out = (struct trust_key){.not_before_ns = INT64_MIN, .not_after_ns = INT64_MAX};
	*why = "it is too large";
	if (size <= KEY_FILE_LIMIT)
		rc = take_lines(text, size, out, why);
	if (rc == 0)
		rc = key_public_parse(text, size, &out->key, why);
	if (rc == 0)
		rc = finish(out, name, why);
	if (rc < 0)
		trust_key_free(out);
	return rc;
}
