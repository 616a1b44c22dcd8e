/*
 * config - the export's configuration as text
 */
#include "sealfs/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define NAME_SEPARATORS ":, \t"
#define BLANKS " \t"

static void list_free(char **list)
{
	for (char **at = list; at && *at; at++)
		free(*at);
	free(list);
}

static int list_add(char ***list, const char *text, size_t size)
{
	size_t count = 0;
	char **grown;

	while (*list && (*list)[count])
		count++;
	grown = reallocarray(*list, count + 2, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[count + 1] = NULL;
	grown[count] = strndup(text, size);
	return grown[count] ? 0 : -ENOMEM;
}

static int empty_config(struct config *config)
{
	*config = (struct config){.version = CONFIG_VERSION, .depth = 1};
	config->live = calloc(1, sizeof(*config->live));
	config->trial_env = calloc(1, sizeof(*config->trial_env));
	return config->live && config->trial_env ? 0 : -ENOMEM;
}

int config_default(struct config *config)
{
	int rc = empty_config(config);

	if (rc == 0)
		rc = config_set_trial_env(config, "SEALFS_TRIAL NNI_TRIAL_JOB_ID");
	if (rc < 0)
		config_free(config);
	return rc;
}

void config_free(struct config *config)
{
	list_free(config->live);
	list_free(config->trial_env);
	*config = (struct config){0};
}

/* What a line of the file can hold, and what a name can match. */
int config_add_live(struct config *config, const char *glob)
{
	size_t size = strlen(glob);

	if (size == 0 || strpbrk(glob, "/\n") || strchr(BLANKS, glob[0]) || strchr(BLANKS, glob[size - 1]))
		return -EINVAL;
	return list_add(&config->live, glob, size);
}

static bool is_variable(const char *name, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c != '_' && (c > 0x7f || !isalnum(c)))
			return false;
	}
	return size > 0 && !isdigit((unsigned char)name[0]);
}

int config_set_trial_env(struct config *config, const char *names)
{
	char **list = calloc(1, sizeof(*list));
	int rc = list ? 0 : -ENOMEM;

	for (names += strspn(names, NAME_SEPARATORS); rc == 0 && *names; names += strspn(names, NAME_SEPARATORS)) {
		size_t size = strcspn(names, NAME_SEPARATORS);

		rc = is_variable(names, size) ? list_add(&list, names, size) : -EINVAL;
		names += size;
	}
	if (rc < 0) {
		list_free(list);
		return rc;
	}
	list_free(config->trial_env);
	config->trial_env = list;
	return 0;
}

struct parser {
	struct config *config;
	unsigned int line;
	bool only_version; /* first pass: what a newer version adds is to be reported as such, not as a mistake */
	bool has_version, has_depth, has_trial_env;
	char **why;
};

static int __attribute__((format(printf, 3, 4)))
complain(const struct parser *parser, int error, const char *format, ...)
{
	AUTO_FREE char *sentence = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&sentence, format, args) < 0)
		sentence = NULL;
	va_end(args);
	if (!sentence || asprintf(parser->why, "line %u: %s", parser->line, sentence) < 0)
		*parser->why = NULL;
	return error;
}

static int take_version(struct parser *parser, const char *value)
{
	uint64_t version;

	if (parser->has_version)
		return complain(parser, -EBADMSG, "version is given twice");
	if (parse_u64(value, strlen(value), UINT32_MAX, &version) < 0 || version == 0)
		return complain(parser, -EBADMSG, "'%s' is no version", value);
	parser->has_version = true;
	parser->config->version = (unsigned int)version;
	if (version > CONFIG_VERSION)
		return complain(parser, -EPROTO, "version %u is newer than this program, which knows %u",
				(unsigned int)version, CONFIG_VERSION);
	return 0;
}

static int take_depth(struct parser *parser, const char *value)
{
	uint64_t depth;

	if (parser->has_depth)
		return complain(parser, -EBADMSG, "depth is given twice");
	if (parse_u64(value, strlen(value), CONFIG_DEPTH_MAX, &depth) < 0 || depth == 0)
		return complain(parser, -EBADMSG, "depth must be a number from 1 to %d, not '%s'", CONFIG_DEPTH_MAX,
				value);
	parser->has_depth = true;
	parser->config->depth = (unsigned int)depth;
	return 0;
}

static int take_live(struct parser *parser, const char *value)
{
	int rc = config_add_live(parser->config, value);

	return rc == -EINVAL
		       ? complain(parser, -EBADMSG, "'%s' is no glob for names: it is empty or holds a '/'", value)
		       : rc;
}

static int take_trial_env(struct parser *parser, const char *value)
{
	int rc;

	if (parser->has_trial_env)
		return complain(parser, -EBADMSG, "trial_env is given twice");
	parser->has_trial_env = true;
	rc = config_set_trial_env(parser->config, value);
	return rc == -EINVAL ? complain(parser, -EBADMSG, "'%s' are not names of variables", value) : rc;
}

static const struct {
	const char *key;
	int (*take)(struct parser *parser, const char *value);
} keys[] = {
	{"version", take_version},
	{"depth", take_depth},
	{"live", take_live},
	{"trial_env", take_trial_env},
};

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && strchr(BLANKS, end[-1]))
		end--;
	*end = '\0';
	return text + strspn(text, BLANKS);
}

static int take_line(struct parser *parser, char *line)
{
	char *equals;
	const char *key;

	line = trim(line);
	if (*line == '\0' || *line == '#')
		return 0;
	equals = strchr(line, '=');
	if (!equals)
		return parser->only_version ? 0 : complain(parser, -EBADMSG, "'%s' is not 'key = value'", line);
	*equals = '\0';
	key = trim(line);
	if (parser->only_version && strcmp(key, "version") != 0)
		return 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i].key) == 0)
			return keys[i].take(parser, trim(equals + 1));
	}
	return complain(parser, -EBADMSG, "'%s' is unknown", key);
}

/* Goes through a copy, since lines are cut up in place. */
static int take_lines(struct parser *parser, const char *text)
{
	AUTO_FREE char *copy = strdup(text);
	int rc = copy ? 0 : -ENOMEM;

	parser->line = 1;
	for (char *line = copy; rc == 0 && *line; parser->line++) {
		char *end = strchr(line, '\n');

		*end = '\0';
		rc = take_line(parser, line);
		line = end + 1;
	}
	return rc;
}

static int parse_text(struct parser *parser, const char *text, size_t size)
{
	int rc;

	parser->line = 1;
	if (size > CONFIG_SIZE_LIMIT)
		return complain(parser, -EFBIG, "the file is too large");
	if (strlen(text) != size)
		return complain(parser, -EBADMSG, "the file holds a NUL");
	if (size == 0 || text[size - 1] != '\n')
		return complain(parser, -EBADMSG, "the last line is not complete");
	parser->only_version = true;
	rc = take_lines(parser, text);
	if (rc < 0)
		return rc;
	parser->only_version = parser->has_version = false;
	rc = take_lines(parser, text);
	if (rc == 0 && !parser->has_version)
		rc = complain(parser, -EBADMSG, "there is no version");
	return rc;
}

int config_parse(const char *text, size_t size, struct config *out, char **why)
{
	AUTO_FREE char *copy = NULL;
	char *ignored = NULL;
	struct parser parser = {.config = out, .why = why ? why : &ignored};
	unsigned int version;
	int rc;

	*parser.why = NULL;
	rc = empty_config(out);
	if (rc == 0)
		rc = config_set_trial_env(out, "SEALFS_TRIAL NNI_TRIAL_JOB_ID");
	copy = malloc(size + 1);
	if (rc == 0 && copy) {
		*(char *)mempcpy(copy, text, size) = '\0';
		rc = parse_text(&parser, copy, size);
	}
	if (!copy)
		rc = -ENOMEM;
	if (rc < 0) {
		version = out->version;
		config_free(out);
		out->version = version;
	}
	free(ignored);
	return rc;
}

int config_format(const struct config *config, char **text, size_t *size)
{
	FILE *stream = open_memstream(text, size);
	bool failed;

	if (!stream)
		return -ENOMEM;
	fprintf(stream, "version = %u\ndepth = %u\n", config->version, config->depth);
	for (char **live = config->live; *live; live++)
		fprintf(stream, "live = %s\n", *live);
	fputs("trial_env =", stream);
	for (char **name = config->trial_env; *name; name++)
		fprintf(stream, " %s", *name);
	fputc('\n', stream);
	failed = ferror(stream) != 0;
	if (fclose(stream) == 0 && !failed)
		return 0;
	free(*text);
	return -ENOMEM;
}

int config_load(const struct store *store, struct config *out, char **why)
{
	AUTO_FD(dir, store);
	AUTO_FREE char *text = NULL;
	size_t size;
	int rc;

	*out = (struct config){0};
	if (why)
		*why = NULL;
	dir.fd = store_open_known_dir(store, store->root, ".sealfs");
	rc = dir.fd < 0 ? dir.fd : store_read_file(store, dir.fd, "config", CONFIG_SIZE_LIMIT, &text, &size);
	if (rc == -EFBIG && why)
		*why = strdup("line 1: the file is too large");
	if (rc == -EINVAL) {
		if (why)
			*why = strdup("line 1: it is not a regular file");
		rc = -EBADMSG;
	}
	return rc < 0 ? rc : config_parse(text, size, out, why);
}

static const char *const folders[] = {"state", "failed", "mounts"};
#define FOLDER_COUNT (sizeof(folders) / sizeof(folders[0]))

static int make_folders(const struct store *store, int sealfs)
{
	int rc;

	for (size_t i = 0; i < FOLDER_COUNT; i++) {
		AUTO_FD(folder, store);

		folder.fd = store_make_dir(store, sealfs, folders[i], 01777);
		/* Once more for one that is there: whoever made it may have crashed before it had its mode. */
		rc = folder.fd < 0 ? folder.fd : store->ops->fchmod(store->ctx, folder.fd, 01777);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int config_init_export(const struct store *store, const struct config *config)
{
	AUTO_FD(sealfs, store);
	AUTO_FREE char *text = NULL;
	struct statx st;
	size_t size;
	int rc;

	sealfs.fd = store_make_dir(store, store->root, ".sealfs", 0755);
	if (sealfs.fd < 0)
		return sealfs.fd;
	rc = store_statx(store, sealfs.fd, "config", &st);
	if (rc != -ENOENT)
		return rc < 0 ? rc : -EEXIST;
	rc = make_folders(store, sealfs.fd);
	if (rc == 0)
		rc = config_format(config, &text, &size);
	/* Last: an export with a config has all its folders. */
	return rc < 0 ? rc : store_create_file(store, sealfs.fd, "config", text, size, 0644, 0);
}

int config_make_folders(const struct store *store)
{
	AUTO_FD(sealfs, store);
	struct statx st;

	sealfs.fd = store_open_known_dir(store, store->root, ".sealfs");
	if (sealfs.fd < 0)
		return sealfs.fd;
	for (size_t i = 0; i < FOLDER_COUNT; i++)
		if (store_statx(store, sealfs.fd, folders[i], &st) == -ENOENT)
			return make_folders(store, sealfs.fd);
	return 0;
}
