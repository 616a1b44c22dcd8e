/* hints - what hints.c and its neighbours share */
#ifndef SEALFS_GATE_HINTS_H
#define SEALFS_GATE_HINTS_H

#include "internal.h"
#include "sealfs/bucket.h"
#include "sealfs/hint.h"
#include "sealfs/hints.h"
#include "sealfs/subscribers.h"

struct gate_hints {
	int fd;	    /* or -1: off */
	int family; /* of the socket */
	char place[HINT_PLACE_SIZE]; /* what records say; "" when nobody could reach it */
	uint8_t key[HINT_KEY_SIZE];
	uint8_t secret[HINT_KEY_SIZE]; /* of the cookies */
	struct subscribers *subscribers;
	/* only the loop's thread */
	uint64_t window_ns;	/* datagrams are counted since then */
	unsigned int in_window;
	bool full;		/* the kernel took no more: wait a moment */

	pthread_mutex_t lock; /* guards all below, and every checkpoint's `follow` */
	struct gate_follow *by_nonce, *following;
	struct bucket looks;
};

/* The socket, or -errno; *announced is where others reach it, zero when they do not. */
int gate_hints_open_(const struct hints_option *option, int export, bool remote, struct sockaddr_storage *announced);

/* ---- follow.c: answers to this mount's own questions ---- */
void gate_follow_heard_(struct gate *gate, const struct hint *hint, const void *data, const struct sockaddr_storage *from);
/* Asks again what is due. When the next is; 0: nothing. */
uint64_t gate_follow_work_(struct gate *gate, uint64_t now);
void gate_follow_stop_(struct gate *gate);

/* Never blocks. False when the kernel takes no more for now. */
bool gate_hints_send_(struct gate *gate, const struct sockaddr_storage *to, const void *data);
void gate_hints_answer_(struct gate *gate, const struct sockaddr_storage *to, const struct hint *hint, enum hint_kind kind, uint64_t cookie,
			const uint8_t key[HINT_KEY_SIZE]);

#endif
