/*
 * seal_sign - the signature file, written along with manifest and seal (seal_make.c)
 *
 * Who seals without a key must not leave the signature of an earlier attempt beside his seal, nor may he delete it: a
 * deletion that comes late, from a machine that was cut off, would take the signature of one who has sealed since. A
 * rename that comes late does nothing, for the other one has deleted what it renames. So an empty file goes over it.
 */
#include "seal_internal.h"

#include "sealfs/signature.h"

static int make_text(const struct signing_key *key, const struct digest *seal, char **text, size_t *size)
{
	struct signature signature;
	int rc = signature_sign(key, seal, &signature);

	return rc < 0 ? rc : signature_format(&signature, text, size);
}

/* 1 when there is something that must not stay. */
static int is_left(const struct store *store, int dir)
{
	struct statx st;
	int rc = store_statx(store, dir, SIGNATURE_NAME, &st);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return !S_ISREG(st.stx_mode) || st.stx_size > 0;
}

int seal_sign_write(const struct store *store, int dir, const struct signing_key *key, const struct digest *seal,
		    struct seal_signature *out)
{
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	int rc = key ? make_text(key, seal, &text, &size) : is_left(store, dir);

	*out = (struct seal_signature){0};
	if (rc < 0)
		return rc;
	digest_sha256(text ? text : "", size, &out->digest);
	if (!key && rc == 0)
		return 0;
	return seal_fresh_write(store, dir, text ? text : "", size, &out->fresh);
}

int seal_sign_place(const struct store *store, int dir, const struct seal_signature *signature)
{
	if (!signature->fresh.name[0])
		return 0;
	return store->ops->renameat2(store->ctx, dir, signature->fresh.name, dir, SIGNATURE_NAME, 0);
}

int seal_sign_confirm(const struct store *store, int dir, const struct seal_signature *signature)
{
	AUTO_FREE char *text = NULL;
	struct digest digest;
	size_t size = 0;
	int rc = store_read_file(store, dir, SIGNATURE_NAME, SIGNATURE_SIZE_LIMIT, &text, &size);

	if (rc == -ENOENT && !signature->fresh.name[0])
		return 0;
	if (rc < 0)
		return rc == -EFBIG || rc == -EINVAL ? -EAGAIN : rc;
	digest_sha256(text, size, &digest);
	return digest_equal(&digest, &signature->digest) ? 0 : -EAGAIN;
}
