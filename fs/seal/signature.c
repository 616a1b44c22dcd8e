/*
 * signature - the statement, the file, and reading it
 */
#include "sealfs/signature.h"

#include <stdio.h>

#include "internal.h"
#include "key_internal.h"
#include "sealfs/record.h"

#define VERSION 1
#define DOMAIN "sealfs seal 1\n"

void signature_statement(const struct digest *seal, char statement[SIGNATURE_STATEMENT_SIZE + 1])
{
	char hex[DIGEST_HEX_SIZE];

	_Static_assert(sizeof(DOMAIN) - 1 + DIGEST_TEXT_SIZE + 1 == SIGNATURE_STATEMENT_SIZE, "size of a statement");
	digest_to_hex(seal, hex);
	snprintf(statement, SIGNATURE_STATEMENT_SIZE + 1, DOMAIN DIGEST_TAG "%s\n", hex);
}

int signature_sign(const struct signing_key *key, const struct digest *seal, struct signature *out)
{
	char statement[SIGNATURE_STATEMENT_SIZE + 1];

	signature_statement(seal, statement);
	key_public_of(key, &out->key);
	return key_sign(key, statement, SIGNATURE_STATEMENT_SIZE, out->bytes);
}

int signature_check(const struct signature *signature, const struct digest *seal)
{
	char statement[SIGNATURE_STATEMENT_SIZE + 1];

	signature_statement(seal, statement);
	return key_check(&signature->key, statement, SIGNATURE_STATEMENT_SIZE, signature->bytes);
}

int signature_format(const struct signature *signature, char **text, size_t *size)
{
	char key[KEY_TEXT_SIZE], hex[2 * KEY_SIGNATURE_SIZE + 1];
	struct record_lines lines;

	key_to_text(&signature->key, key);
	key_hex_format(signature->bytes, KEY_SIGNATURE_SIZE, hex);
	record_lines_begin(&lines, "signature", VERSION);
	record_lines_add(&lines, "key", "%s", key);
	record_lines_add(&lines, "signature", "%s", hex);
	return record_lines_end(&lines, text, size);
}

static int take_line(void *arg, const char *key, const char *value)
{
	struct signature *out = arg;
	int rc = -EBADMSG;

	if (strcmp(key, "key") == 0)
		rc = key_from_text(value, &out->key);
	else if (strcmp(key, "signature") == 0)
		rc = key_hex_parse(value, out->bytes, KEY_SIGNATURE_SIZE);
	return rc < 0 ? -EBADMSG : 0;
}

/* Whether it is the one text that this signature has: then no key is missing, twice, or in another place. */
static int check_canonical(const struct signature *signature, const char *text, size_t size)
{
	AUTO_FREE char *again = NULL;
	size_t again_size;
	int rc = signature_format(signature, &again, &again_size);

	if (rc < 0)
		return rc;
	return again_size == size && memcmp(again, text, size) == 0 ? 0 : -EBADMSG;
}

int signature_parse(const char *text, size_t size, struct signature *out, const char **why)
{
	const char *ignored;
	int rc;

	why = why ? why : &ignored;
	*out = (struct signature){0};
	*why = "it is too large";
	if (size > SIGNATURE_SIZE_LIMIT)
		return -EBADMSG;
	rc = record_lines_parse(text, size, "signature", VERSION, take_line, out, why);
	if (rc < 0)
		return rc;
	*why = "it is not in its canonical form";
	return check_canonical(out, text, size);
}

static int refuse(char **why, int rc)
{
	const char *sentence = rc == -EFBIG    ? "the signature is too large"
			       : rc == -EINVAL ? "the signature is not a regular file"
					       : NULL;

	if (!sentence)
		return rc;
	*why = strdup(sentence);
	return -EKEYREJECTED;
}

int signature_load(const struct store *store, const char *path, const struct state *state, char **text, size_t *size,
		   char **why)
{
	AUTO_FREE char *folder = state_seal_dir(path, state->is_file);
	AUTO_FD(dir, store);
	int rc;

	*text = NULL;
	*size = 0;
	*why = NULL;
	dir.fd = folder ? store_open_dir(store, store->root, folder) : -ENOMEM;
	if (dir.fd < 0)
		return dir.fd;
	store_refresh(store, dir.fd);
	rc = store_read_file(store, dir.fd, SIGNATURE_NAME, SIGNATURE_SIZE_LIMIT, text, size);
	if (rc < 0)
		return rc == -ENOENT ? 0 : refuse(why, rc);
	if (*size == 0) {
		free(*text);
		*text = NULL;
	}
	return 0;
}
