/*
 * record - the kinds of record
 */
#include "sealfs/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define VERSION 1
#define NS_PER_S INT64_C(1000000000)
#define REASON_MAX 4096 /* bytes; an end must not fail for a long reason */

static const char *const kind_words[] = {
	[RECORD_RESERVE] = "reserve", [RECORD_CLAIM] = "claim", [RECORD_END] = "end",
	[RECORD_JOIN] = "join",       [RECORD_LEFT] = "left",
};

static char *read_boot_id(void)
{
	char id[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, id, sizeof(id) - 1);

	if (fd >= 0)
		close(fd);
	id[size > 0 ? size : 0] = '\0';
	id[strcspn(id, "\n")] = '\0';
	return strdup(*id ? id : "unknown");
}

static char *read_host(void)
{
	char host[HOST_NAME_MAX + 1] = "";

	gethostname(host, sizeof(host) - 1);
	return strdup(*host ? host : "unknown");
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int record_init(struct record *record, enum record_kind kind)
{
	*record = (struct record){.kind = kind};
	record->host = read_host();
	record->boot = read_boot_id();
	record->uptime_ns = (uint64_t)clock_ns(CLOCK_BOOTTIME);
	record->time_ns = clock_ns(CLOCK_REALTIME);
	store_token(record->token);
	if (record->host && record->boot)
		return 0;
	record_free(record);
	return -ENOMEM;
}

void record_free(struct record *record)
{
	free(record->checkpoint);
	free(record->trial);
	free(record->writer);
	free(record->host);
	free(record->boot);
	free(record->reason);
	free(record->hint);
	*record = (struct record){0};
}

void record_time_format(int64_t time_ns, char text[RECORD_TIME_SIZE])
{
	int64_t ns = time_ns % NS_PER_S;
	time_t seconds = time_ns / NS_PER_S;
	struct tm tm;
	size_t used;

	if (ns < 0) {
		ns += NS_PER_S;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	used = strftime(text, RECORD_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, RECORD_TIME_SIZE - used, ".%09" PRId64 "Z", ns);
}

int record_time_parse(const char *text, int64_t *time_ns)
{
	char again[RECORD_TIME_SIZE];
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t ns = 0;
	int64_t seconds, value;

	/* The fraction keeps its leading zeros, so it is not a number in canonical form: let strtoull have it, and
	 * compare. */
	if (!rest || *rest != '.')
		return -EINVAL;
	ns = strtoull(rest + 1, NULL, 10);
	seconds = timegm(&tm);
	if (ns >= (uint64_t)NS_PER_S || __builtin_mul_overflow(seconds, NS_PER_S, &value) ||
	    __builtin_add_overflow(value, (int64_t)ns, &value))
		return -EINVAL;
	record_time_format(value, again);
	if (strcmp(again, text) != 0)
		return -EINVAL;
	*time_ns = value;
	return 0;
}

static bool is_set(const char *string)
{
	return string && *string;
}

static void format_end(const struct record *record, struct record_lines *lines)
{
	char hex[DIGEST_HEX_SIZE];

	record_lines_add(lines, "result", "%s", record->sealed ? "sealed" : "failed");
	if (!record->sealed) {
		record_lines_add(lines, "reason", "%.*s", REASON_MAX, record->reason);
		return;
	}
	digest_to_hex(&record->root, hex);
	record_lines_add(lines, "root", DIGEST_TAG "%s", hex);
	digest_to_hex(&record->seal, hex);
	record_lines_add(lines, "seal", DIGEST_TAG "%s", hex);
}

static bool can_format(const struct record *record)
{
	if (record->kind > RECORD_LEFT || record->generation == 0)
		return false;
	if (!is_set(record->checkpoint) || !is_set(record->trial) || !is_set(record->host) || !is_set(record->boot) ||
	    strlen(record->token) != STORE_TOKEN_SIZE - 1)
		return false;
	return record->kind != RECORD_END || record->sealed || record->reason;
}

int record_format(const struct record *record, char **text, size_t *size)
{
	char time_text[RECORD_TIME_SIZE];
	struct record_lines lines;
	int rc;

	if (!can_format(record))
		return -EINVAL;
	record_time_format(record->time_ns, time_text);
	record_lines_begin(&lines, kind_words[record->kind], VERSION);
	record_lines_add(&lines, "checkpoint", "%s", record->checkpoint);
	record_lines_add(&lines, "generation", "%u", record->generation);
	record_lines_add(&lines, "trial", "%s", record->trial);
	if (record->kind == RECORD_RESERVE && record->writer)
		record_lines_add(&lines, "writer", "%s", record->writer);
	record_lines_add(&lines, "host", "%s", record->host);
	record_lines_add(&lines, "boot", "%s", record->boot);
	record_lines_add(&lines, "uptime_ns", "%" PRIu64, record->uptime_ns);
	record_lines_add(&lines, "time", "%s", time_text);
	record_lines_add(&lines, "pid", "%" PRId64, record->pid);
	record_lines_add(&lines, "uid", "%u", record->uid);
	record_lines_add(&lines, "gid", "%u", record->gid);
	record_lines_add(&lines, "token", "%s", record->token);
	if (*record->mount)
		record_lines_add(&lines, "mount", "%s", record->mount);
	if (record->hint)
		record_lines_add(&lines, "hint", "%s", record->hint);
	if (record->kind == RECORD_CLAIM && record->plain)
		record_lines_add(&lines, "plain", "yes");
	if (record->heartbeat)
		record_lines_add(&lines, "heartbeat", "%u", record->heartbeat);
	if (record->no_lease)
		record_lines_add(&lines, "liveness", "heartbeat");
	if (record->kind == RECORD_END)
		format_end(record, &lines);
	rc = record_lines_end(&lines, text, size);
	if (rc == 0 && *size > RECORD_SIZE_LIMIT) {
		free(*text);
		return -EFBIG;
	}
	return rc;
}

/* Which keys have been seen, so that none comes twice and none is missing. */
enum {
	SEEN_GENERATION = 1 << 0,
	SEEN_UPTIME = 1 << 1,
	SEEN_TIME = 1 << 2,
	SEEN_PID = 1 << 3,
	SEEN_UID = 1 << 4,
	SEEN_GID = 1 << 5,
	SEEN_TOKEN = 1 << 6,
	SEEN_ALWAYS = (1 << 7) - 1,
	SEEN_RESULT = 1 << 7,
	SEEN_ROOT = 1 << 8,
	SEEN_SEAL = 1 << 9,
	SEEN_MOUNT = 1 << 10,
	SEEN_PLAIN = 1 << 11,
	SEEN_HEARTBEAT = 1 << 12,
	SEEN_LIVENESS = 1 << 13,
};

struct parse {
	struct record *record;
	unsigned int seen;
};

static int parse_string(struct parse *parse, const char *value, char **out)
{
	if (*out)
		return -EBADMSG;
	*out = strdup(value);
	return *out ? 0 : -ENOMEM;
}

static int parse_unsigned(const char *value, unsigned int *out)
{
	uint64_t number;
	int rc = parse_u64(value, strlen(value), UINT32_MAX, &number);

	*out = rc < 0 ? 0 : (unsigned int)number;
	return rc;
}

static int parse_pid(const char *value, int64_t *out)
{
	uint64_t number = 0;
	bool negative = *value == '-';
	int rc = parse_u64(value + negative, strlen(value + negative), INT64_MAX, &number);

	if (rc < 0 || (negative && number == 0))
		return -EBADMSG;
	*out = negative ? -(int64_t)number : (int64_t)number;
	return 0;
}

static int parse_token(const char *value, char token[STORE_TOKEN_SIZE])
{
	if (strlen(value) != STORE_TOKEN_SIZE - 1 || strspn(value, "0123456789abcdef") != STORE_TOKEN_SIZE - 1)
		return -EBADMSG;
	memcpy(token, value, STORE_TOKEN_SIZE);
	return 0;
}

static int parse_result(const char *value, int *sealed)
{
	*sealed = strcmp(value, "sealed") == 0;
	return *sealed || strcmp(value, "failed") == 0 ? 0 : -EBADMSG;
}

static int parse_plain(const char *value, struct record *record)
{
	record->plain = 1;
	return record->kind == RECORD_CLAIM && strcmp(value, "yes") == 0 ? 0 : -EBADMSG;
}

static int parse_heartbeat(const char *value, unsigned int *out)
{
	return parse_unsigned(value, out) < 0 || *out == 0 || *out > RECORD_HEARTBEAT_MAX ? -EBADMSG : 0;
}

/* A liveness that is not known here can not be judged: not by its lease, at any rate. */
static int parse_liveness(const char *value, bool *no_lease)
{
	*no_lease = strcmp(value, "lease") != 0;
	return 0;
}

static int parse_digest(const char *value, struct digest *out)
{
	return strlen(value) == DIGEST_TEXT_SIZE ? parse_tagged_digest(value, DIGEST_TEXT_SIZE, out) : -EBADMSG;
}

static int parse_scalar(struct record *record, unsigned int which, const char *value)
{
	switch (which) {
	case SEEN_GENERATION:
		return parse_unsigned(value, &record->generation) < 0 || record->generation == 0 ? -EBADMSG : 0;
	case SEEN_UPTIME:
		return parse_u64(value, strlen(value), UINT64_MAX, &record->uptime_ns);
	case SEEN_TIME:
		return record_time_parse(value, &record->time_ns);
	case SEEN_PID:
		return parse_pid(value, &record->pid);
	case SEEN_UID:
		return parse_unsigned(value, &record->uid);
	case SEEN_GID:
		return parse_unsigned(value, &record->gid);
	case SEEN_TOKEN:
		return parse_token(value, record->token);
	case SEEN_PLAIN:
		return parse_plain(value, record);
	case SEEN_MOUNT:
		return parse_token(value, record->mount);
	case SEEN_HEARTBEAT:
		return parse_heartbeat(value, &record->heartbeat);
	case SEEN_LIVENESS:
		return parse_liveness(value, &record->no_lease);
	case SEEN_RESULT:
		return parse_result(value, &record->sealed);
	case SEEN_ROOT:
		return parse_digest(value, &record->root);
	default:
		return parse_digest(value, &record->seal);
	}
}

static const struct {
	const char *key;
	size_t offset;
	bool reserve_only, end_only;
} string_keys[] = {
	{"checkpoint", offsetof(struct record, checkpoint), false, false},
	{"trial", offsetof(struct record, trial), false, false},
	{"writer", offsetof(struct record, writer), true, false},
	{"host", offsetof(struct record, host), false, false},
	{"boot", offsetof(struct record, boot), false, false},
	{"reason", offsetof(struct record, reason), false, true},
	{"hint", offsetof(struct record, hint), false, false},
};

static const struct {
	const char *key;
	unsigned int bit;
	bool end_only;
} scalar_keys[] = {
	{"generation", SEEN_GENERATION, false},
	{"uptime_ns", SEEN_UPTIME, false},
	{"time", SEEN_TIME, false},
	{"pid", SEEN_PID, false},
	{"uid", SEEN_UID, false},
	{"gid", SEEN_GID, false},
	{"token", SEEN_TOKEN, false},
	{"mount", SEEN_MOUNT, false},
	{"plain", SEEN_PLAIN, false},
	{"heartbeat", SEEN_HEARTBEAT, false},
	{"liveness", SEEN_LIVENESS, false},
	{"result", SEEN_RESULT, true},
	{"root", SEEN_ROOT, true},
	{"seal", SEEN_SEAL, true},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int take_scalar(struct parse *parse, size_t i, const char *value)
{
	int rc;

	if ((scalar_keys[i].end_only && parse->record->kind != RECORD_END) || (parse->seen & scalar_keys[i].bit))
		return -EBADMSG;
	parse->seen |= scalar_keys[i].bit;
	rc = parse_scalar(parse->record, scalar_keys[i].bit, value);
	return rc == -EINVAL ? -EBADMSG : rc;
}

static int take_line(void *arg, const char *key, const char *value)
{
	struct parse *parse = arg;

	for (size_t i = 0; i < COUNT(string_keys); i++) {
		if (strcmp(key, string_keys[i].key) != 0)
			continue;
		if ((string_keys[i].reserve_only && parse->record->kind != RECORD_RESERVE) ||
		    (string_keys[i].end_only && parse->record->kind != RECORD_END))
			return -EBADMSG;
		return parse_string(parse, value, (char **)((char *)parse->record + string_keys[i].offset));
	}
	for (size_t i = 0; i < COUNT(scalar_keys); i++) {
		if (strcmp(key, scalar_keys[i].key) == 0)
			return take_scalar(parse, i, value);
	}
	return 0;
}

static bool is_complete(const struct parse *parse)
{
	const struct record *record = parse->record;
	unsigned int sealed = SEEN_ROOT | SEEN_SEAL;

	if ((parse->seen & SEEN_ALWAYS) != SEEN_ALWAYS || !is_set(record->checkpoint) || !is_set(record->trial) ||
	    !is_set(record->host) || !is_set(record->boot))
		return false;
	if (record->kind != RECORD_END)
		return true;
	if (!(parse->seen & SEEN_RESULT))
		return false;
	return record->sealed ? (parse->seen & sealed) == sealed && !record->reason
			      : (parse->seen & sealed) == 0 && record->reason;
}

/* The kind that the first line names; RECORD_CLAIM for an unknown one, which record_lines_parse() then refuses
 * properly. */
static enum record_kind peek_kind(const char *text, size_t size)
{
	for (unsigned int kind = RECORD_RESERVE; kind <= RECORD_LEFT; kind++) {
		size_t length = strlen(kind_words[kind]);

		if (size > 8 + length && memcmp(text + 7, kind_words[kind], length) == 0 && text[7 + length] == ' ')
			return kind;
	}
	return RECORD_CLAIM;
}

int record_parse(const char *text, size_t size, struct record *out, const char **why)
{
	const char *ignored;
	struct parse parse = {.record = out};
	int rc;

	why = why ? why : &ignored;
	*out = (struct record){.kind = peek_kind(text, size)};
	*why = "it is too large";
	if (size > RECORD_SIZE_LIMIT)
		return -EBADMSG;
	rc = record_lines_parse(text, size, kind_words[out->kind], VERSION, take_line, &parse, why);
	if (rc == 0 && !is_complete(&parse)) {
		*why = "a key is missing";
		rc = -EBADMSG;
	}
	if (rc < 0)
		record_free(out);
	return rc;
}
