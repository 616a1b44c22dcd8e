/*
 * hints.c - the datagram socket: who subscribed here is told, who is asked is heard
 *
 * Everything here serves to look at the export sooner, or less often. A datagram's only effect is a look, and how often there are looks is limited.
 */
#include "hints.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "sealfs/log.h"

#define ANNOUNCEMENTS_MAX 65536u
#define SUBSCRIPTIONS_MAX 32768u /* about 10 MiB */
#define BATCH 64		 /* datagrams read before the loop does something else */
#define WINDOW_NS 100000000u
#define WINDOW_MAX 2000u	 /* datagrams read in a window: more stay in the kernel, which drops what does not fit */
#define FULL_NS 1000000u	 /* after which a socket that was full is tried again */
#define CHANGE_NS 20000000u	 /* looks that others ask for: 50 a second */
#define CHANGE_BURST 64

struct gate_hints *gate_hints_create_(const struct hints_option *option, int export, bool remote)
{
	struct gate_hints *hints = calloc(1, sizeof(*hints));
	struct hint_place place = {.address = {.ss_family = 0}};

	if (!hints)
		return NULL;
	hints->fd = -1;
	pthread_mutex_init(&hints->lock, NULL);
	if (!option->on)
		return hints;
	if (getrandom(hints->key, sizeof(hints->key), 0) == sizeof(hints->key) && getrandom(hints->secret, sizeof(hints->secret), 0) == sizeof(hints->secret))
		hints->subscribers = subscribers_create(ANNOUNCEMENTS_MAX, SUBSCRIPTIONS_MAX, hints->key);
	if (!hints->subscribers) {
		gate_hints_destroy_(hints);
		return NULL;
	}
	hints->fd = gate_hints_open_(option, export, remote, &place.address);
	memcpy(place.key, hints->key, sizeof(place.key));
	if (hints->fd < 0 || hint_place_format(&place, hints->place))
		*hints->place = '\0';
	struct sockaddr_storage bound = {.ss_family = 0};
	socklen_t size = sizeof(bound);
	if (hints->fd >= 0 && !getsockname(hints->fd, (struct sockaddr *)&bound, &size))
		hints->family = bound.ss_family;
	return hints;
}

void gate_hints_destroy_(struct gate_hints *hints)
{
	if (!hints)
		return;
	if (hints->fd >= 0)
		close(hints->fd);
	subscribers_destroy(hints->subscribers);
	pthread_mutex_destroy(&hints->lock);
	free(hints);
}

const char *gate_hints_place_(const struct gate_hints *hints)
{
	return *hints->place ? hints->place : NULL;
}

unsigned int gate_hints_subscribers_(const struct gate_hints *hints)
{
	return hints->subscribers ? subscribers_count(hints->subscribers) : 0;
}

/* ---- what this mount announced ---- */

void gate_hints_announce_(struct gate_checkpoint *checkpoint, unsigned int generation, enum hint_stage stage)
{
	const struct gate_hints *hints = checkpoint->gate->hints;

	if (*hints->place)
		subscribers_announce(hints->subscribers, checkpoint->path, generation, stage);
}

void gate_hints_over_(struct gate_checkpoint *checkpoint, unsigned int generation, enum hint_stage stage)
{
	const struct gate_hints *hints = checkpoint->gate->hints;

	if (generation && *hints->place && subscribers_over(hints->subscribers, checkpoint->path, generation, stage, waiters_now_ns()))
		gate_kick_(checkpoint->gate);
}

void gate_hints_ended_(struct gate_checkpoint *checkpoint, const struct record *record)
{
	const struct gate *gate = checkpoint->gate;
	enum hint_stage stage = record->kind == RECORD_CLAIM ? HINT_OPEN : HINT_PENDING;
	struct hint_place place;

	if (!strcmp(record->mount, gate->token)) {
		gate_hints_over_(checkpoint, record->generation, stage);
	} else if (gate->hints->fd >= 0 && record->hint && !hint_place_parse(record->hint, &place)) {
		subscribers_notify(gate->hints->subscribers, &place, checkpoint->path, record->generation, stage, waiters_now_ns());
		gate_kick_(checkpoint->gate);
	}
}

/* ---- sending ---- */

bool gate_hints_send_(struct gate *gate, const struct sockaddr_storage *to, const void *data)
{
	struct gate_hints *hints = gate->hints;
	struct sockaddr_storage address;

	if (hint_address_for(to, hints->family, &address))
		return true; /* out of reach: as good as lost */
	if (sendto(hints->fd, data, HINT_SIZE, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address, hint_address_size(&address)) < 0)
		return errno != EAGAIN && errno != ENOBUFS;
	atomic_fetch_add(&gate->stats.hints_sent, 1);
	return true;
}

void gate_hints_answer_(struct gate *gate, const struct sockaddr_storage *to, const struct hint *hint, enum hint_kind kind, uint64_t cookie,
			const uint8_t key[HINT_KEY_SIZE])
{
	struct hint answer = *hint;
	uint8_t data[HINT_SIZE];

	answer.kind = kind;
	answer.cookie = cookie;
	hint_format(&answer, key, data);
	gate_hints_send_(gate, to, data);
}

/* ---- being asked ---- */

/* Who returns it gets what is sent to his address, so it is his. */
static uint64_t cookie_of(const struct gate_hints *hints, const struct sockaddr_storage *from, uint64_t nonce)
{
	uint8_t text[HINT_ADDRESS_BYTES + sizeof(nonce)], mac[EVP_MAX_MD_SIZE] = {0};
	uint64_t cookie;

	hint_address_bytes(from, text);
	memcpy(text + HINT_ADDRESS_BYTES, &nonce, sizeof(nonce));
	HMAC(EVP_sha256(), hints->secret, sizeof(hints->secret), text, sizeof(text), mac, NULL);
	memcpy(&cookie, mac, sizeof(cookie));
	return cookie ? cookie : 1;
}

static void asked(struct gate *gate, const struct hint *hint, const struct sockaddr_storage *from)
{
	const struct gate_hints *hints = gate->hints;
	uint64_t cookie = cookie_of(hints, from, hint->nonce);
	int kind = HINT_CHALLENGE;

	/* who can not reach the export any more can not end anything there, and may be taken for dead: who waits is to see for himself */
	if (hint->cookie == cookie)
		kind = gate_beats_stuck_(gate->beats) ? HINT_LOOK : subscribers_add(hints->subscribers, hint, from, waiters_now_ns());
	if (kind)
		gate_hints_answer_(gate, from, hint, kind, cookie, hints->key);
}

struct change {
	struct pool_job job;
	struct gate *gate;
	char *path;
	unsigned int generation;
	enum hint_stage stage;
};

static bool is_over(const struct state *state, const struct change *change)
{
	enum state_kind kind = change->stage == HINT_PENDING ? STATE_PENDING : STATE_OPEN;
	return state->generation != change->generation || state->kind != kind;
}

/* Somebody says that it is over: the export knows. */
static void look_for_change(struct pool_job *job)
{
	struct change *change = (struct change *)job;
	struct gate_checkpoint *checkpoint = gate_checkpoint_get(change->gate, change->path);

	if (checkpoint) {
		pthread_mutex_lock(&checkpoint->lock);
		/* one that this mount is about to end tells by itself */
		if (checkpoint->ending == ENDING_NONE && !gate_reread_(checkpoint) && is_over(&checkpoint->state, change))
			gate_hints_over_(checkpoint, change->generation, change->stage);
		pthread_mutex_unlock(&checkpoint->lock);
		atomic_fetch_add(&change->gate->stats.looks, 1);
		gate_tell_(checkpoint);
		gate_checkpoint_put(checkpoint);
	}
	free(change->path);
	free(change);
}

static void told_of_change(struct gate *gate, const struct hint *hint, const struct sockaddr_storage *from)
{
	struct gate_hints *hints = gate->hints;
	char *path = subscribers_path(hints->subscribers, hint);

	pthread_mutex_lock(&hints->lock);
	bool may = !path || !bucket_take(&hints->looks, waiters_now_ns(), CHANGE_NS, CHANGE_BURST);
	pthread_mutex_unlock(&hints->lock);
	struct change *change = path && may ? calloc(1, sizeof(*change)) : NULL;
	if (change) {
		*change = (struct change){{.run = look_for_change}, gate, path, hint->generation, hint->stage};
		pool_submit(gate->pool, POOL_LOOK, &change->job);
	} else if (path) {
		atomic_fetch_add(&gate->stats.hints_dropped, 1);
		free(path);
		return; /* not seen: it will be repeated */
	}
	gate_hints_answer_(gate, from, hint, HINT_SEEN, 0, hints->key);
}

static void take(struct gate *gate, const void *data, size_t size, const struct sockaddr_storage *from)
{
	struct gate_hints *hints = gate->hints;
	struct hint hint;

	atomic_fetch_add(&gate->stats.hints_received, 1);
	if (hint_parse(data, size, &hint)) {
		atomic_fetch_add(&gate->stats.hints_dropped, 1);
	} else if (hint.kind == HINT_SEEN) {
		if (!subscribers_seen(hints->subscribers, &hint, data))
			atomic_fetch_add(&gate->stats.hints_dropped, 1);
	} else if (hint.kind != HINT_SUBSCRIBE && hint.kind != HINT_CHANGED) {
		gate_follow_heard_(gate, &hint, data, from);
	} else if (!hint_is_authentic(data, hints->key)) {
		atomic_fetch_add(&gate->stats.hints_dropped, 1);
	} else if (hint.kind == HINT_SUBSCRIBE) {
		asked(gate, &hint, from);
	} else {
		told_of_change(gate, &hint, from);
	}
}

void gate_hints_dispatch_(struct gate *gate)
{
	struct gate_hints *hints = gate->hints;
	uint8_t data[HINT_SIZE + 1];

	for (int i = 0; i < BATCH && hints->in_window < WINDOW_MAX; i++) {
		struct sockaddr_storage from = {.ss_family = 0};
		socklen_t from_size = sizeof(from);
		ssize_t size = recvfrom(hints->fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
		if (size < 0)
			return;
		hints->in_window++;
		take(gate, data, (size_t)size, &from);
	}
}

/* ---- the loop ---- */

static void send_due(struct gate *gate, uint64_t now)
{
	struct gate_hints *hints = gate->hints;
	struct subscribers_datagram datagram;

	hints->full = false;
	while (!hints->full && subscribers_next(hints->subscribers, now, &datagram))
		hints->full = !gate_hints_send_(gate, &datagram.to, datagram.data);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

uint64_t gate_hints_work_(struct gate *gate, uint64_t now, int *fd)
{
	struct gate_hints *hints = gate->hints;

	*fd = hints->fd;
	if (hints->fd < 0)
		return 0;
	if (now - hints->window_ns >= WINDOW_NS) {
		hints->window_ns = now;
		hints->in_window = 0;
	}
	send_due(gate, now);
	uint64_t next = sooner(subscribers_due(hints->subscribers), gate_follow_work_(gate, now));
	if (hints->full)
		next = now + FULL_NS;
	/* flooded: nobody else shall wait for it */
	if (hints->in_window >= WINDOW_MAX) {
		*fd = -1;
		next = sooner(next, hints->window_ns + WINDOW_NS);
	}
	return next;
}

void gate_hints_stop_(struct gate *gate)
{
	gate_follow_stop_(gate);
	if (gate->hints->fd >= 0)
		send_due(gate, waiters_now_ns());
}
