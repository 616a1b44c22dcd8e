/*
 * subscribers - whom a mount tells when what it announced is over
 *
 * A mount announces what it reserved or claimed: those are the records that name its address. Other mounts subscribe to it (hint.h), again and again while they
 * wait. When it is over they are told, a few times until they say that they have seen it. So are mounts that announced what this one has changed.
 *
 * The table is bounded: of announcements and subscriptions, each; what is older than its time goes by itself. Times are CLOCK_MONOTONIC in ns, given by the
 * caller. Thread-safe; no I/O; nothing blocks.
 */
#ifndef SEALFS_SUBSCRIBERS_H
#define SEALFS_SUBSCRIBERS_H

#include "sealfs/hint.h"

#define SUBSCRIBERS_EXPIRE_NS 15000000000u /* a subscription that is not renewed */

struct subscribers;

/* At most so many announcements, and so many subscriptions. NULL when memory is out. */
struct subscribers *subscribers_create(unsigned int announcements_max, unsigned int subscriptions_max, const uint8_t key[HINT_KEY_SIZE]);
void subscribers_destroy(struct subscribers *subscribers);

/* A record that names this mount was made. Of too many the oldest is forgotten: who asks for it is told to look. */
void subscribers_announce(struct subscribers *subscribers, const char *path, unsigned int generation, enum hint_stage stage);

/* What answers a SUBSCRIBE whose sender is known to be at `from`: HINT_SUBSCRIBED, HINT_LOOK, or 0: nothing, there are too many. */
int subscribers_add(struct subscribers *subscribers, const struct hint *asked, const struct sockaddr_storage *from, uint64_t now_ns);

/* It is over: forgotten, and its subscribers are to be told. True if it had been announced. */
bool subscribers_over(struct subscribers *subscribers, const char *path, unsigned int generation, enum hint_stage stage, uint64_t now_ns);

/* What was announced under this id, generation and stage: its path, allocated; NULL if nothing was. */
char *subscribers_path(struct subscribers *subscribers, const struct hint *hint);

/* The mount at `to` is to be told that its stage is over: CHANGED. */
void subscribers_notify(struct subscribers *subscribers, const struct hint_place *to, const char *path, unsigned int generation, enum hint_stage stage,
			uint64_t now_ns);

/* What is to be sent now. False: nothing. */
struct subscribers_datagram {
	struct sockaddr_storage to;
	uint8_t data[HINT_SIZE];
};
bool subscribers_next(struct subscribers *subscribers, uint64_t now_ns, struct subscribers_datagram *out);
/* When the next is to be sent; 0: nothing. */
uint64_t subscribers_due(struct subscribers *subscribers);
/* A SEEN arrived. False when nobody waited for it, or it is not authentic. */
bool subscribers_seen(struct subscribers *subscribers, const struct hint *hint, const void *data);

unsigned int subscribers_count(struct subscribers *subscribers);

#endif
