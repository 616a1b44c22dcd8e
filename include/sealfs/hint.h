/*
 * hint - the datagrams by which mounts tell each other to look at the export
 *
 * A datagram never tells how a checkpoint stands, only that it is worth a look; so one that is lost, forged, replayed or garbled costs time, not truth.
 * All have the same size, so an answer is never larger than what it answers. Each is authenticated with the key that a record on the export names beside
 * the address: the key of the mount that is asked, for its answers too. No I/O.
 *
 *     SUBSCRIBE   waiter → mount   tell me when that stage is over; sent again and again, with a new sequence number
 *     CHALLENGE   mount → waiter   first ask with this cookie: then it is known that you are where you say
 *     SUBSCRIBED  mount → waiter   it is not over, and you will be told
 *     LOOK        mount → waiter   it is over, or unknown here: look
 *     CHANGED     any → mount      I have ended that stage, or begun the next: look, and tell those who subscribed
 *     SEEN        both ways        a LOOK or CHANGED has come, no need to repeat it
 */
#ifndef SEALFS_HINT_H
#define SEALFS_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HINT_SIZE 72	 /* bytes of a datagram */
#define HINT_KEY_SIZE 16 /* bytes */
#define HINT_ID_SIZE 24	 /* bytes */

enum hint_kind { HINT_SUBSCRIBE = 1, HINT_CHALLENGE, HINT_SUBSCRIBED, HINT_LOOK, HINT_CHANGED, HINT_SEEN };
/* What is waited for the end of: a reservation's (somebody claims it), or a claim's. */
enum hint_stage { HINT_PENDING = 1, HINT_OPEN };

struct hint {
	enum hint_kind kind;
	enum hint_stage stage;
	unsigned int generation;
	uint32_t sequence;	  /* of the SUBSCRIBE that is answered; else 0 */
	uint64_t nonce;		  /* chosen by who asked; every answer bears it */
	uint64_t cookie;	  /* of a CHALLENGE, and of every SUBSCRIBE after it */
	uint8_t id[HINT_ID_SIZE]; /* of the checkpoint */
};

/* The first bytes of the SHA-256 of the checkpoint's path. */
void hint_id(const char *path, uint8_t id[HINT_ID_SIZE]);

void hint_format(const struct hint *hint, const uint8_t key[HINT_KEY_SIZE], uint8_t data[HINT_SIZE]);
/* -EBADMSG when it is not one of these datagrams. Says nothing about who sent it: only then it is known whose key counts. */
int hint_parse(const void *data, size_t size, struct hint *out);
/* Was it made with this key? `data` is HINT_SIZE bytes. */
bool hint_is_authentic(const void *data, const uint8_t key[HINT_KEY_SIZE]);

/* Where a mount listens, and its key: in records "192.0.2.7:45123 <32 hex>", "[2001:db8::7]:45123 <32 hex>". */
struct hint_place {
	struct sockaddr_storage address; /* AF_INET or AF_INET6, with a port */
	uint8_t key[HINT_KEY_SIZE];
};
#define HINT_PLACE_SIZE 100 /* characters with the NUL */

/* -EINVAL when nobody could be reached there: no port, any, multicast, broadcast or link-local addresses. */
int hint_place_format(const struct hint_place *place, char text[HINT_PLACE_SIZE]);
/* Accepts nothing but what hint_place_format() writes; -EINVAL otherwise. */
int hint_place_parse(const char *text, struct hint_place *out);

/* Of a socket's address: its size for sendto(2). */
socklen_t hint_address_size(const struct sockaddr_storage *address);
/* Address and port in one form, whether IPv4 came through a socket of IPv6 or not. */
#define HINT_ADDRESS_BYTES 18
void hint_address_bytes(const struct sockaddr_storage *address, uint8_t bytes[HINT_ADDRESS_BYTES]);
/* The same address for a socket of `family`; -EAFNOSUPPORT for IPv6 on a socket of IPv4. */
int hint_address_for(const struct sockaddr_storage *address, int family, struct sockaddr_storage *out);

#endif
