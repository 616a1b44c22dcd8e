/*
 * seal - the seal file, and loading what was sealed
 */
#include "sealfs/seal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sealfs/tree.h"

#define VERSION 1

void seal_free(struct seal *seal)
{
	free(seal->checkpoint);
	free(seal->trial);
	free(seal->host);
	for (size_t i = 0; i < seal->parent_count; i++)
		free(seal->parents[i].path);
	free(seal->parents);
	*seal = (struct seal){0};
}

int seal_format(const struct seal *seal, char **text, size_t *size)
{
	char time_text[RECORD_TIME_SIZE];
	char hex[DIGEST_HEX_SIZE];
	struct record_lines lines;
	int rc;

	if (!seal->checkpoint || !seal->trial || !seal->host || seal->generation == 0)
		return -EINVAL;
	record_time_format(seal->time_ns, time_text);
	digest_to_hex(&seal->root, hex);
	record_lines_begin(&lines, "seal", VERSION);
	record_lines_add(&lines, "checkpoint", "%s", seal->checkpoint);
	record_lines_add(&lines, "generation", "%u", seal->generation);
	record_lines_add(&lines, "trial", "%s", seal->trial);
	record_lines_add(&lines, "host", "%s", seal->host);
	record_lines_add(&lines, "time", "%s", time_text);
	record_lines_add(&lines, "root", DIGEST_TAG "%s", hex);
	record_lines_add(&lines, "files", "%" PRIu64, seal->files);
	record_lines_add(&lines, "bytes", "%" PRIu64, seal->bytes);
	for (size_t i = 0; i < seal->parent_count; i++) {
		digest_to_hex(&seal->parents[i].root, hex);
		record_lines_add(&lines, "parent", DIGEST_TAG "%s %s", hex, seal->parents[i].path);
	}
	rc = record_lines_end(&lines, text, size);
	if (rc == 0 && *size > SEAL_SIZE_LIMIT) {
		free(*text);
		return -EFBIG;
	}
	return rc;
}

enum key { CHECKPOINT, GENERATION, TRIAL, HOST, TIME, ROOT, FILES, BYTES, PARENT, KEYS };

static const char *const key_names[KEYS] = {
	[CHECKPOINT] = "checkpoint",
	[GENERATION] = "generation",
	[TRIAL] = "trial",
	[HOST] = "host",
	[TIME] = "time",
	[ROOT] = "root",
	[FILES] = "files",
	[BYTES] = "bytes",
	[PARENT] = "parent",
};

struct parse {
	struct seal *seal;
	bool seen[KEYS];
};

static int parse_string(const char *value, char **out)
{
	if (*value == '\0')
		return -EBADMSG;
	*out = strdup(value);
	return *out ? 0 : -ENOMEM;
}

static int parse_number(const char *value, uint64_t max, uint64_t *out)
{
	return parse_u64(value, strlen(value), max, out);
}

static int parse_generation(const char *value, unsigned int *out)
{
	uint64_t number;

	if (parse_number(value, UINT32_MAX, &number) < 0 || number == 0)
		return -EBADMSG;
	*out = (unsigned int)number;
	return 0;
}

static int parse_root(const char *value, struct digest *out)
{
	return strlen(value) == DIGEST_TEXT_SIZE ? parse_tagged_digest(value, DIGEST_TEXT_SIZE, out) : -EBADMSG;
}

static int parse_parent(const char *value, struct seal *seal)
{
	size_t size = strlen(value);
	struct seal_parent parent;
	struct seal_parent *grown;

	if (size < DIGEST_TEXT_SIZE + 2 || value[DIGEST_TEXT_SIZE] != ' ' ||
	    parse_tagged_digest(value, size, &parent.root) < 0)
		return -EBADMSG;
	grown = reallocarray(seal->parents, seal->parent_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	seal->parents = grown;
	parent.path = strdup(value + DIGEST_TEXT_SIZE + 1);
	if (!parent.path)
		return -ENOMEM;
	seal->parents[seal->parent_count++] = parent;
	return 0;
}

static int take_value(struct seal *seal, enum key key, const char *value)
{
	switch (key) {
	case CHECKPOINT:
		return parse_string(value, &seal->checkpoint);
	case GENERATION:
		return parse_generation(value, &seal->generation);
	case TRIAL:
		return parse_string(value, &seal->trial);
	case HOST:
		return parse_string(value, &seal->host);
	case TIME:
		return record_time_parse(value, &seal->time_ns);
	case ROOT:
		return parse_root(value, &seal->root);
	case FILES:
		return parse_number(value, UINT64_MAX, &seal->files);
	case BYTES:
		return parse_number(value, UINT64_MAX, &seal->bytes);
	default:
		return parse_parent(value, seal);
	}
}

static int take_line(void *arg, const char *name, const char *value)
{
	struct parse *parse = arg;
	int rc;

	for (enum key key = 0; key < KEYS; key++) {
		if (strcmp(name, key_names[key]) != 0)
			continue;
		if (parse->seen[key] && key != PARENT)
			return -EBADMSG;
		parse->seen[key] = true;
		rc = take_value(parse->seal, key, value);
		return rc == -EINVAL ? -EBADMSG : rc;
	}
	return 0;
}

int seal_parse(const char *text, size_t size, struct seal *out, const char **why)
{
	const char *ignored;
	struct parse parse = {.seal = out};
	int rc = -EBADMSG;

	why = why ? why : &ignored;
	*out = (struct seal){0};
	*why = "it is too large";
	if (size <= SEAL_SIZE_LIMIT)
		rc = record_lines_parse(text, size, "seal", VERSION, take_line, &parse, why);
	for (enum key key = 0; rc == 0 && key < PARENT; key++) {
		if (!parse.seen[key]) {
			*why = "a key is missing";
			rc = -EBADMSG;
		}
	}
	if (rc < 0)
		seal_free(out);
	else
		digest_sha256(text, size, &out->digest);
	return rc;
}

/* What a checkpoint's seal folder holds, as it is read. */
struct loaded {
	char *manifest_text, *seal_text;
	size_t manifest_size, seal_size;
	struct seal seal;
};

static void loaded_free(struct loaded *loaded)
{
	free(loaded->manifest_text);
	free(loaded->seal_text);
	seal_free(&loaded->seal);
}

static int __attribute__((format(printf, 2, 3))) contradiction(char **why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (why && vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
	return -EBADMSG;
}

/* A file that is not there, or is no file, contradicts the seal; an I/O error does not. */
static int load_file(const struct store *store, int dir, const char *name, size_t limit, char **text, size_t *size,
		     char **why)
{
	int rc = store_read_file(store, dir, name, limit, text, size);

	switch (rc) {
	case -ENOENT:
		return contradiction(why, "the %s is missing", name);
	case -EFBIG:
		return contradiction(why, "the %s is too large", name);
	case -EINVAL:
		return contradiction(why, "the %s is not a regular file", name);
	default:
		return rc;
	}
}

/*
 * The record vouches for the seal file, but whoever controls the server writes both. What is signed says which checkpoint it was; so a good seal of
 * another one, or of an earlier generation, does not pass here. A copy keeps the name that it had elsewhere.
 */
static bool is_of_another(const struct seal *seal, const char *path, const struct state *state)
{
	return state->has_end && (strcmp(seal->checkpoint, path) != 0 || seal->generation != state->generation);
}

static int load_seal(const struct store *store, int dir, const char *path, const struct state *state,
		     struct loaded *loaded, char **why)
{
	struct digest digest;
	const char *reason = NULL;
	int rc = load_file(store, dir, "seal", SEAL_SIZE_LIMIT, &loaded->seal_text, &loaded->seal_size, why);

	if (rc < 0)
		return rc;
	digest_sha256(loaded->seal_text, loaded->seal_size, &digest);
	if (state->has_end && !digest_equal(&digest, &state->end.seal))
		return contradiction(why, "the seal is not the one that was recorded");
	rc = seal_parse(loaded->seal_text, loaded->seal_size, &loaded->seal, &reason);
	if (rc == -EBADMSG || rc == -EPROTO)
		return contradiction(why, "the seal can not be read: %s", reason);
	if (rc == 0 && state->has_end && !digest_equal(&loaded->seal.root, &state->end.root))
		return contradiction(why, "the seal names another root digest than the record");
	if (rc == 0 && is_of_another(&loaded->seal, path, state))
		return contradiction(why, "the seal is that of generation %u of '%s'", loaded->seal.generation,
				     loaded->seal.checkpoint);
	return rc;
}

static int load_manifest(const struct store *store, int dir, struct loaded *loaded, struct manifest *manifest,
			 char **why)
{
	struct digest digest;
	const char *reason = NULL;
	int rc = load_file(store, dir, "manifest", MANIFEST_SIZE_LIMIT, &loaded->manifest_text, &loaded->manifest_size,
			   why);

	if (rc < 0)
		return rc;
	digest_sha256(loaded->manifest_text, loaded->manifest_size, &digest);
	if (!digest_equal(&digest, &loaded->seal.root))
		return contradiction(why, "the manifest does not match the root digest");
	rc = manifest_parse(loaded->manifest_text, loaded->manifest_size, manifest, &reason);
	return rc == -EBADMSG ? contradiction(why, "the manifest can not be read: %s", reason) : rc;
}

static int open_seal_dir(const struct store *store, const char *path, const struct state *state, char **why)
{
	AUTO_FREE char *folder = state_seal_dir(path, state->is_file);
	int fd = folder ? store_open_dir(store, store->root, folder) : -ENOMEM;

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return contradiction(why, state->has_data ? "the seal is missing" : "the data is missing");
	return fd;
}

int seal_load(const struct store *store, const char *path, const struct state *state, struct manifest *manifest,
	      struct seal *seal, char **why)
{
	__attribute__((cleanup(loaded_free))) struct loaded loaded = {0};
	AUTO_FD(dir, store);
	int rc;

	if (why)
		*why = NULL;
	manifest_init(manifest);
	if (state->kind != STATE_SEALED)
		return -EINVAL;
	dir.fd = open_seal_dir(store, path, state, why);
	if (dir.fd < 0)
		return dir.fd;
	store_refresh(store, dir.fd);
	rc = load_seal(store, dir.fd, path, state, &loaded, why);
	if (rc == 0)
		rc = load_manifest(store, dir.fd, &loaded, manifest, why);
	if (rc == 0 && seal) {
		*seal = loaded.seal;
		loaded.seal = (struct seal){0};
	}
	return rc;
}

int seal_open_tree(const struct store *store, const char *path, const struct state *state)
{
	AUTO_FD(dir, store);
	struct statx st;

	dir.fd = open_seal_dir(store, path, state, NULL);
	return dir.fd < 0 ? dir.fd : store_open_regular(store, dir.fd, TREE_FILE, &st);
}

int seal_root(const struct store *store, const char *path, const struct state *state, struct digest *root)
{
	__attribute__((cleanup(loaded_free))) struct loaded loaded = {0};
	AUTO_FD(dir, store);
	int rc;

	if (state->kind != STATE_SEALED)
		return -EINVAL;
	if (state->has_end) {
		*root = state->end.root;
		return 0;
	}
	dir.fd = open_seal_dir(store, path, state, NULL);
	if (dir.fd < 0)
		return dir.fd;
	store_refresh(store, dir.fd);
	rc = load_seal(store, dir.fd, path, state, &loaded, NULL);
	if (rc == 0)
		*root = loaded.seal.root;
	return rc;
}
