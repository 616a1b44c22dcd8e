/*
 * hint - the datagram's form
 *
 *     0  "SFSH"      4  version 1    5  kind        6  stage       7  0
 *     8  generation  12 sequence     16 nonce       24 cookie      32 id    56 HMAC
 */
#include "sealfs/hint.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "internal.h"

#define MAGIC "SFSH"
#define VERSION 1
#define MAC_SIZE 16
#define MAC_AT (HINT_SIZE - MAC_SIZE)

void hint_id(const char *path, uint8_t id[HINT_ID_SIZE])
{
	struct digest digest;

	digest_sha256(path, strlen(path), &digest);
	memcpy(id, digest.bytes, HINT_ID_SIZE);
}

static void put(uint8_t *at, unsigned int size, uint64_t value)
{
	for (unsigned int i = size; i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
}

static uint64_t get(const uint8_t *at, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static bool compute_mac(const uint8_t *data, const uint8_t key[HINT_KEY_SIZE], uint8_t mac[MAC_SIZE])
{
	uint8_t whole[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	if (!HMAC(EVP_sha256(), key, HINT_KEY_SIZE, data, MAC_AT, whole, &size) || size < MAC_SIZE)
		return false;
	memcpy(mac, whole, MAC_SIZE);
	return true;
}

void hint_format(const struct hint *hint, const uint8_t key[HINT_KEY_SIZE], uint8_t data[HINT_SIZE])
{
	memset(data, 0, HINT_SIZE);
	memcpy(data, MAGIC, 4);
	data[4] = VERSION;
	data[5] = (uint8_t)hint->kind;
	data[6] = (uint8_t)hint->stage;
	put(data + 8, 4, hint->generation);
	put(data + 12, 4, hint->sequence);
	put(data + 16, 8, hint->nonce);
	put(data + 24, 8, hint->cookie);
	memcpy(data + 32, hint->id, HINT_ID_SIZE);
	/* Without one, out of memory, it is dropped where it arrives: as good as lost. */
	if (!compute_mac(data, key, data + MAC_AT))
		memset(data + MAC_AT, 0, MAC_SIZE);
}

int hint_parse(const void *data, size_t size, struct hint *out)
{
	const uint8_t *bytes = data;

	if (size != HINT_SIZE || memcmp(bytes, MAGIC, 4) != 0 || bytes[4] != VERSION || bytes[7] != 0 ||
	    bytes[5] < HINT_SUBSCRIBE || bytes[5] > HINT_SEEN || bytes[6] < HINT_PENDING || bytes[6] > HINT_OPEN)
		return -EBADMSG;
	*out = (struct hint){.kind = bytes[5],
			     .stage = bytes[6],
			     .generation = (unsigned int)get(bytes + 8, 4),
			     .sequence = (uint32_t)get(bytes + 12, 4),
			     .nonce = get(bytes + 16, 8),
			     .cookie = get(bytes + 24, 8)};
	memcpy(out->id, bytes + 32, HINT_ID_SIZE);
	return out->generation ? 0 : -EBADMSG;
}

bool hint_is_authentic(const void *data, const uint8_t key[HINT_KEY_SIZE])
{
	uint8_t mac[MAC_SIZE];

	return compute_mac(data, key, mac) && CRYPTO_memcmp(mac, (const uint8_t *)data + MAC_AT, MAC_SIZE) == 0;
}
