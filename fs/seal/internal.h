/*
 * internal - what the modules of the seal library share among themselves: cleanup attributes, strict parsing
 */
#ifndef SEAL_INTERNAL_H
#define SEAL_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/digest.h"
#include "sealfs/store.h"

static inline void auto_free_(void *pointer)
{
	free(*(void **)pointer);
}
#define AUTO_FREE __attribute__((cleanup(auto_free_)))

/* A descriptor of the export that is closed when it goes out of scope. */
struct held_fd {
	const struct store *store;
	int fd;
};

static inline void held_close(struct held_fd *held)
{
	if (held->fd >= 0)
		held->store->ops->close(held->store->ctx, held->fd);
	held->fd = -1;
}
#define AUTO_FD(name, store_) struct held_fd name __attribute__((cleanup(held_close))) = {(store_), -1}

static inline int held_take(struct held_fd *held)
{
	int fd = held->fd;

	held->fd = -1;
	return fd;
}

/* Decimal digits in the one canonical form and nothing else. */
static inline int parse_u64(const char *text, size_t size, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (size == 0 || size > 20 || (size > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		unsigned int digit = (unsigned char)text[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	if (value > max)
		return -EINVAL;
	*out = value;
	return 0;
}

#define DIGEST_TAG "sha256:"
#define DIGEST_TAG_SIZE (sizeof(DIGEST_TAG) - 1)
/* Characters of "sha256:<64 hex>". */
#define DIGEST_TEXT_SIZE (DIGEST_TAG_SIZE + DIGEST_HEX_SIZE - 1)

/* "sha256:<64 hex>" at the start of `text`, which holds `size` characters; what follows is not looked at. */
static inline int parse_tagged_digest(const char *text, size_t size, struct digest *out)
{
	if (size < DIGEST_TEXT_SIZE || memcmp(text, DIGEST_TAG, DIGEST_TAG_SIZE) != 0)
		return -EINVAL;
	return digest_from_hex(text + DIGEST_TAG_SIZE, out);
}

#endif
