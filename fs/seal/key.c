/*
 * key - Ed25519 by OpenSSL
 */
#include "sealfs/key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "internal.h"
#include "key_internal.h"

struct signing_key {
	EVP_PKEY *pair;
	struct key_public public;
};

static void pkey_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}
#define AUTO_PKEY __attribute__((cleanup(pkey_free))) EVP_PKEY *

static void context_free(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free))) EVP_MD_CTX *

static void bio_free(BIO **bio)
{
	BIO_free(*bio);
}
#define AUTO_BIO __attribute__((cleanup(bio_free))) BIO *

/* What failed is told by our own error; the library's queue would be a later caller's riddle. */
static int forget_errors(int error)
{
	ERR_clear_error();
	return error;
}

void key_hex_format(const uint8_t *bytes, size_t size, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		*hex++ = digits[bytes[i] >> 4];
		*hex++ = digits[bytes[i] & 15];
	}
	*hex = '\0';
}

int key_hex_parse(const char *hex, uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(hex) != 2 * size || strspn(hex, digits) != 2 * size)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		const char *high = strchr(digits, hex[2 * i]);
		const char *low = strchr(digits, hex[2 * i + 1]);

		bytes[i] = (uint8_t)((high - digits) << 4 | (low - digits));
	}
	return 0;
}

void key_to_text(const struct key_public *key, char text[KEY_TEXT_SIZE])
{
	key_hex_format(key->bytes, KEY_SIZE, mempcpy(text, KEY_TAG, sizeof(KEY_TAG) - 1));
}

int key_from_text(const char *text, struct key_public *out)
{
	if (strncmp(text, KEY_TAG, sizeof(KEY_TAG) - 1) != 0)
		return -EINVAL;
	return key_hex_parse(text + sizeof(KEY_TAG) - 1, out->bytes, KEY_SIZE);
}

bool key_equal(const struct key_public *a, const struct key_public *b)
{
	return memcmp(a->bytes, b->bytes, KEY_SIZE) == 0;
}

int key_sign(const struct signing_key *key, const void *message, size_t size, uint8_t signature[KEY_SIGNATURE_SIZE])
{
	AUTO_CONTEXT ctx = EVP_MD_CTX_new();
	size_t length = KEY_SIGNATURE_SIZE;

	if (!ctx)
		return forget_errors(-ENOMEM);
	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pair) != 1 ||
	    EVP_DigestSign(ctx, signature, &length, message, size) != 1 || length != KEY_SIGNATURE_SIZE)
		return forget_errors(-EIO);
	return 0;
}

int key_check(const struct key_public *key, const void *message, size_t size,
	      const uint8_t signature[KEY_SIGNATURE_SIZE])
{
	AUTO_PKEY public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, KEY_SIZE);
	AUTO_CONTEXT ctx = EVP_MD_CTX_new();

	if (!public || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public) != 1)
		return forget_errors(-ENOMEM);
	if (EVP_DigestVerify(ctx, signature, KEY_SIGNATURE_SIZE, message, size) != 1)
		return forget_errors(-EKEYREJECTED);
	return 0;
}

static int raw_public(const EVP_PKEY *pkey, struct key_public *out)
{
	size_t size = KEY_SIZE;

	return EVP_PKEY_get_raw_public_key(pkey, out->bytes, &size) == 1 && size == KEY_SIZE ? 0 : -EIO;
}

/* Takes over `pair`, also when it fails. */
static int wrap(EVP_PKEY *pair, struct signing_key **out)
{
	AUTO_PKEY owned = pair;
	struct signing_key *key;
	int rc;

	if (!owned)
		return forget_errors(-ENOMEM);
	key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	rc = raw_public(owned, &key->public);
	if (rc < 0) {
		free(key);
		return forget_errors(rc);
	}
	key->pair = owned;
	owned = NULL;
	*out = key;
	return 0;
}

int key_generate(struct signing_key **out)
{
	EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	return pair ? wrap(pair, out) : forget_errors(-EIO);
}

int key_from_seed(const uint8_t seed[KEY_SIZE], struct signing_key **out)
{
	return wrap(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KEY_SIZE), out);
}

void key_free(struct signing_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pair);
	free(key);
}

void key_public_of(const struct signing_key *key, struct key_public *out)
{
	*out = key->public;
}

static int take_text(BIO *bio, char **text, size_t *size)
{
	char *data;
	long length = BIO_get_mem_data(bio, &data);

	*text = length > 0 ? malloc((size_t)length + 1) : NULL;
	if (!*text)
		return -ENOMEM;
	memcpy(*text, data, (size_t)length);
	(*text)[length] = '\0';
	*size = (size_t)length;
	return 0;
}

int key_private_format(const struct signing_key *key, char **text, size_t *size)
{
	AUTO_BIO bio = BIO_new(BIO_s_secmem());

	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key->pair, NULL, NULL, 0, NULL, NULL) != 1)
		return forget_errors(-ENOMEM);
	return take_text(bio, text, size);
}

int key_public_format(const struct key_public *key, char **text, size_t *size)
{
	AUTO_PKEY public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, KEY_SIZE);
	AUTO_BIO bio = BIO_new(BIO_s_mem());

	if (!public || !bio || PEM_write_bio_PUBKEY(bio, public) != 1)
		return forget_errors(-ENOMEM);
	return take_text(bio, text, size);
}

void key_text_free(char *text, size_t size)
{
	if (text)
		OPENSSL_cleanse(text, size);
	free(text);
}

/* The library's own would ask at the terminal, which a daemon has not. */
static int no_passphrase(char *buffer, int size, int writing, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

static size_t count_of(const char *text, size_t size, const char *word)
{
	const char *end = text + size;
	size_t count = 0;

	while ((text = memmem(text, (size_t)(end - text), word, strlen(word))) != NULL) {
		text += strlen(word);
		count++;
	}
	return count;
}

typedef EVP_PKEY *pem_reader(BIO *bio, EVP_PKEY **out, pem_password_cb *callback, void *arg);

static int read_pem(pem_reader *reader, const char *text, size_t size, EVP_PKEY **out, const char **why)
{
	AUTO_BIO bio = size <= KEY_FILE_LIMIT ? BIO_new_mem_buf(text, (int)size) : NULL;
	bool asked = false;

	*why = "it is too large";
	if (size > KEY_FILE_LIMIT)
		return -EBADMSG;
	if (!bio)
		return forget_errors(-ENOMEM);
	*why = "it holds more than one PEM block";
	if (count_of(text, size, "-----BEGIN ") > 1)
		return -EBADMSG;
	*out = reader(bio, NULL, no_passphrase, &asked);
	*why = asked ? "it is protected by a passphrase, for which nobody can be asked" : "no such key in PEM is in it";
	if (!*out)
		return forget_errors(-EBADMSG);
	*why = "it is not an Ed25519 key";
	return EVP_PKEY_id(*out) == EVP_PKEY_ED25519 ? 0 : -EBADMSG;
}

int key_private_parse(const char *text, size_t size, struct signing_key **out, const char **why)
{
	const char *ignored;
	AUTO_PKEY pair = NULL;
	int rc = read_pem(PEM_read_bio_PrivateKey, text, size, &pair, why ? why : &ignored);

	if (rc < 0)
		return rc;
	rc = wrap(pair, out);
	pair = NULL;
	return rc;
}

int key_public_parse(const char *text, size_t size, struct key_public *out, const char **why)
{
	const char *ignored;
	AUTO_PKEY public = NULL;
	int rc;

	why = why ? why : &ignored;
	*why = "it holds a private key, which belongs to nobody but who signs";
	if (count_of(text, size, "PRIVATE KEY-----") > 0)
		return -EBADMSG;
	rc = read_pem(PEM_read_bio_PUBKEY, text, size, &public, why);
	return rc < 0 ? rc : raw_public(public, out);
}
