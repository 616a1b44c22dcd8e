/*
 * hint_place - where a mount listens, as text
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "sealfs/hint.h"

static const struct sockaddr_in *as_v4(const struct sockaddr_storage *address)
{
	return (const struct sockaddr_in *)address;
}

static const struct sockaddr_in6 *as_v6(const struct sockaddr_storage *address)
{
	return (const struct sockaddr_in6 *)address;
}

/* One machine's, and the same seen from every machine. */
static bool can_be_reached(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET) {
		uint32_t ip = ntohl(as_v4(address)->sin_addr.s_addr);

		return as_v4(address)->sin_port && ip >> 24 != 0 && ip >> 28 < 14 && ip >> 16 != 0xa9fe;
	}
	if (address->ss_family == AF_INET6) {
		const struct in6_addr *ip = &as_v6(address)->sin6_addr;

		return as_v6(address)->sin6_port && !IN6_IS_ADDR_UNSPECIFIED(ip) && !IN6_IS_ADDR_MULTICAST(ip) &&
		       !IN6_IS_ADDR_LINKLOCAL(ip) && !IN6_IS_ADDR_V4MAPPED(ip);
	}
	return false;
}

int hint_place_format(const struct hint_place *place, char text[HINT_PLACE_SIZE])
{
	const struct sockaddr_storage *address = &place->address;
	bool v6 = address->ss_family == AF_INET6;
	char ip[INET6_ADDRSTRLEN], key[2 * HINT_KEY_SIZE + 1];

	if (!can_be_reached(address))
		return -EINVAL;
	if (!inet_ntop(address->ss_family, v6 ? (const void *)&as_v6(address)->sin6_addr : &as_v4(address)->sin_addr, ip,
		       sizeof(ip)))
		return -EINVAL;
	for (unsigned int i = 0; i < HINT_KEY_SIZE; i++)
		snprintf(key + (size_t)2 * i, 3, "%02x", place->key[i]);
	snprintf(text, HINT_PLACE_SIZE, "%s%s%s:%u %s", v6 ? "[" : "", ip, v6 ? "]" : "",
		 ntohs(v6 ? as_v6(address)->sin6_port : as_v4(address)->sin_port), key);
	return 0;
}

static int parse_key(const char *text, uint8_t key[HINT_KEY_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != (size_t)2 * HINT_KEY_SIZE || strspn(text, digits) != (size_t)2 * HINT_KEY_SIZE)
		return -EINVAL;
	for (unsigned int i = 0; i < HINT_KEY_SIZE; i++, text += 2)
		key[i] = (uint8_t)((strchr(digits, text[0]) - digits) << 4 | (strchr(digits, text[1]) - digits));
	return 0;
}

/* The address from `text` to `end`. */
static int parse_ip(const char *text, const char *end, uint16_t port, struct sockaddr_storage *out)
{
	bool v6 = end - text > 2 && text[0] == '[' && end[-1] == ']';
	size_t size = (size_t)(end - text) - (v6 ? 2 : 0);
	char ip[INET6_ADDRSTRLEN];

	if (size >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text + v6, size);
	ip[size] = '\0';
	if (v6) {
		struct sockaddr_in6 *to = (struct sockaddr_in6 *)out;

		*to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		return inet_pton(AF_INET6, ip, &to->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	struct sockaddr_in *to = (struct sockaddr_in *)out;

	*to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	return inet_pton(AF_INET, ip, &to->sin_addr) == 1 ? 0 : -EINVAL;
}

int hint_place_parse(const char *text, struct hint_place *out)
{
	const char *blank = strchr(text, ' ');
	const char *colon = blank ? memrchr(text, ':', (size_t)(blank - text)) : NULL;
	char again[HINT_PLACE_SIZE];
	uint64_t port;

	memset(out, 0, sizeof(*out));
	if (!colon || parse_u64(colon + 1, (size_t)(blank - colon - 1), UINT16_MAX, &port) < 0 ||
	    parse_ip(text, colon, (uint16_t)port, &out->address) < 0 || parse_key(blank + 1, out->key) < 0)
		return -EINVAL;
	/* One form only. */
	return hint_place_format(out, again) == 0 && strcmp(again, text) == 0 ? 0 : -EINVAL;
}

socklen_t hint_address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void hint_address_bytes(const struct sockaddr_storage *address, uint8_t bytes[HINT_ADDRESS_BYTES])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(bytes, 0, HINT_ADDRESS_BYTES);
	if (address->ss_family == AF_INET6) {
		memcpy(bytes, &as_v6(address)->sin6_addr, 16);
		memcpy(bytes + 16, &as_v6(address)->sin6_port, 2);
	} else if (address->ss_family == AF_INET) {
		memcpy(bytes, mapped, 12);
		memcpy(bytes + 12, &as_v4(address)->sin_addr, 4);
		memcpy(bytes + 16, &as_v4(address)->sin_port, 2);
	}
}

int hint_address_for(const struct sockaddr_storage *address, int family, struct sockaddr_storage *out)
{
	uint8_t bytes[HINT_ADDRESS_BYTES];

	*out = *address;
	if (address->ss_family == family)
		return 0;
	if (family != AF_INET6)
		return -EAFNOSUPPORT;
	hint_address_bytes(address, bytes);
	struct sockaddr_in6 *to = (struct sockaddr_in6 *)out;

	*to = (struct sockaddr_in6){.sin6_family = AF_INET6};
	memcpy(&to->sin6_addr, bytes, 16);
	memcpy(&to->sin6_port, bytes + 16, 2);
	return 0;
}
