#include "sealfs/subscribers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uthash.h>
#include <utlist.h>

#define OUTGOING_MAX 65536u /* more than this are not repeated but left to renewals */

static const uint64_t repeat_ns[] = {50000000, 200000000, 1000000000}; /* after each sending */
#define SENDINGS (sizeof(repeat_ns) / sizeof(repeat_ns[0]) + 1)

struct topic {
	uint8_t id[HINT_ID_SIZE];
	uint32_t generation;
	uint32_t stage;
};

struct subscription;
struct announcement {
	UT_hash_handle hh; /* by topic, in the order in which they were made */
	struct topic topic;
	struct subscription *first; /* by of_prev, of_next */
	char path[];
};

struct subscriber_key {
	uint64_t nonce;
	uint8_t address[HINT_ADDRESS_BYTES];
	uint8_t zero[6];
};

struct subscription {
	UT_hash_handle hh;
	struct subscriber_key key;
	struct subscription *of_prev, *of_next;
	struct subscription *prev, *next; /* longest not renewed first */
	struct announcement *announcement;
	struct sockaddr_storage address;
	uint64_t renewed_ns;
};

/* Something that is sent until it was seen. */
struct outgoing {
	UT_hash_handle hh; /* by the hint's nonce */
	struct outgoing *prev, *next;
	struct hint hint;
	struct sockaddr_storage to;
	uint8_t key[HINT_KEY_SIZE];
	unsigned int sendings;
	uint64_t due_ns;
};

struct subscribers {
	pthread_mutex_t lock;
	uint8_t key[HINT_KEY_SIZE];
	unsigned int announcements_max, subscriptions_max;
	struct announcement *announcements;
	struct subscription *by_key, *oldest;
	struct outgoing *outgoing[SENDINGS]; /* by how often they were sent: each list is in the order of its times */
	struct outgoing *by_nonce;
};

struct subscribers *subscribers_create(unsigned int announcements_max, unsigned int subscriptions_max, const uint8_t key[HINT_KEY_SIZE])
{
	struct subscribers *subscribers = calloc(1, sizeof(*subscribers));

	if (!subscribers)
		return NULL;
	pthread_mutex_init(&subscribers->lock, NULL);
	subscribers->announcements_max = announcements_max;
	subscribers->subscriptions_max = subscriptions_max;
	memcpy(subscribers->key, key, HINT_KEY_SIZE);
	return subscribers;
}

static void drop_subscription(struct subscribers *subscribers, struct subscription *subscription)
{
	HASH_DEL(subscribers->by_key, subscription);
	DL_DELETE(subscribers->oldest, subscription);
	DL_DELETE2(subscription->announcement->first, subscription, of_prev, of_next);
	free(subscription);
}

static void drop_announcement(struct subscribers *subscribers, struct announcement *announcement)
{
	while (announcement->first)
		drop_subscription(subscribers, announcement->first);
	HASH_DEL(subscribers->announcements, announcement);
	free(announcement);
}

static void drop_outgoing(struct subscribers *subscribers, struct outgoing *outgoing)
{
	HASH_DEL(subscribers->by_nonce, outgoing);
	DL_DELETE(subscribers->outgoing[outgoing->sendings], outgoing);
	free(outgoing);
}

void subscribers_destroy(struct subscribers *subscribers)
{
	if (!subscribers)
		return;
	while (subscribers->announcements)
		drop_announcement(subscribers, subscribers->announcements);
	while (subscribers->by_nonce)
		drop_outgoing(subscribers, subscribers->by_nonce);
	pthread_mutex_destroy(&subscribers->lock);
	free(subscribers);
}

static struct topic make_topic(const uint8_t id[HINT_ID_SIZE], unsigned int generation, enum hint_stage stage)
{
	struct topic topic = {.generation = generation, .stage = stage};

	memcpy(topic.id, id, HINT_ID_SIZE);
	return topic;
}

static struct topic topic_of(const char *path, unsigned int generation, enum hint_stage stage)
{
	uint8_t id[HINT_ID_SIZE];

	hint_id(path, id);
	return make_topic(id, generation, stage);
}

static struct announcement *find(const struct subscribers *subscribers, const struct topic *topic)
{
	struct announcement *found;

	HASH_FIND(hh, subscribers->announcements, topic, sizeof(*topic), found);
	return found;
}

void subscribers_announce(struct subscribers *subscribers, const char *path, unsigned int generation, enum hint_stage stage)
{
	struct topic topic = topic_of(path, generation, stage);
	struct announcement *announcement = calloc(1, sizeof(*announcement) + strlen(path) + 1);

	if (!announcement)
		return; /* who asks is told to look, and looks by itself after that */
	announcement->topic = topic;
	strcpy(announcement->path, path);
	pthread_mutex_lock(&subscribers->lock);
	struct announcement *old = find(subscribers, &topic);
	if (old)
		drop_announcement(subscribers, old);
	else if (HASH_COUNT(subscribers->announcements) >= subscribers->announcements_max)
		drop_announcement(subscribers, subscribers->announcements);
	HASH_ADD(hh, subscribers->announcements, topic, sizeof(topic), announcement);
	pthread_mutex_unlock(&subscribers->lock);
}

static void expire(struct subscribers *subscribers, uint64_t now)
{
	while (subscribers->oldest && subscribers->oldest->renewed_ns + SUBSCRIBERS_EXPIRE_NS < now)
		drop_subscription(subscribers, subscribers->oldest);
}

static struct subscriber_key make_key(const struct hint *asked, const struct sockaddr_storage *from)
{
	struct subscriber_key key = {.nonce = asked->nonce};

	hint_address_bytes(from, key.address);
	return key;
}

static struct subscription *subscribe(struct subscribers *subscribers, struct announcement *announcement, const struct subscriber_key *key,
				      const struct sockaddr_storage *from)
{
	if (HASH_CNT(hh, subscribers->by_key) >= subscribers->subscriptions_max)
		return NULL;
	struct subscription *subscription = calloc(1, sizeof(*subscription));
	if (!subscription)
		return NULL;
	subscription->key = *key;
	subscription->address = *from;
	subscription->announcement = announcement;
	HASH_ADD(hh, subscribers->by_key, key, sizeof(*key), subscription);
	DL_APPEND(subscribers->oldest, subscription);
	DL_APPEND2(announcement->first, subscription, of_prev, of_next);
	return subscription;
}

int subscribers_add(struct subscribers *subscribers, const struct hint *asked, const struct sockaddr_storage *from, uint64_t now_ns)
{
	struct topic topic = make_topic(asked->id, asked->generation, asked->stage);
	struct subscriber_key key = make_key(asked, from);
	struct subscription *subscription;
	int answer = HINT_LOOK;

	pthread_mutex_lock(&subscribers->lock);
	expire(subscribers, now_ns);
	struct announcement *announcement = find(subscribers, &topic);
	HASH_FIND(hh, subscribers->by_key, &key, sizeof(key), subscription);
	if (subscription && subscription->announcement != announcement) {
		drop_subscription(subscribers, subscription);
		subscription = NULL;
	}
	if (announcement && !subscription)
		subscription = subscribe(subscribers, announcement, &key, from);
	if (subscription) {
		subscription->renewed_ns = now_ns;
		DL_DELETE(subscribers->oldest, subscription);
		DL_APPEND(subscribers->oldest, subscription);
	}
	if (announcement)
		answer = subscription ? HINT_SUBSCRIBED : 0;
	pthread_mutex_unlock(&subscribers->lock);
	return answer;
}

static void send_until_seen(struct subscribers *subscribers, enum hint_kind kind, const struct topic *topic, uint64_t nonce,
			    const struct sockaddr_storage *to, const uint8_t key[HINT_KEY_SIZE], uint64_t now)
{
	struct outgoing *outgoing = HASH_COUNT(subscribers->by_nonce) < OUTGOING_MAX ? calloc(1, sizeof(*outgoing)) : NULL;

	if (!outgoing)
		return; /* the next renewal, or the next poll, finds out */
	outgoing->hint = (struct hint){.kind = kind, .stage = topic->stage, .generation = topic->generation, .nonce = nonce};
	memcpy(outgoing->hint.id, topic->id, HINT_ID_SIZE);
	memcpy(outgoing->key, key, HINT_KEY_SIZE);
	outgoing->to = *to;
	outgoing->due_ns = now;
	DL_APPEND(subscribers->outgoing[0], outgoing);
	HASH_ADD(hh, subscribers->by_nonce, hint.nonce, sizeof(outgoing->hint.nonce), outgoing);
}

bool subscribers_over(struct subscribers *subscribers, const char *path, unsigned int generation, enum hint_stage stage, uint64_t now_ns)
{
	struct topic topic = topic_of(path, generation, stage);
	struct subscription *subscription;

	pthread_mutex_lock(&subscribers->lock);
	expire(subscribers, now_ns);
	struct announcement *announcement = find(subscribers, &topic);
	if (announcement) {
		DL_FOREACH2(announcement->first, subscription, of_next)
		{
			send_until_seen(subscribers, HINT_LOOK, &topic, subscription->key.nonce, &subscription->address, subscribers->key, now_ns);
		}
		drop_announcement(subscribers, announcement);
	}
	pthread_mutex_unlock(&subscribers->lock);
	return announcement != NULL;
}

char *subscribers_path(struct subscribers *subscribers, const struct hint *hint)
{
	struct topic topic = make_topic(hint->id, hint->generation, hint->stage);

	pthread_mutex_lock(&subscribers->lock);
	struct announcement *announcement = find(subscribers, &topic);
	char *path = announcement ? strdup(announcement->path) : NULL;
	pthread_mutex_unlock(&subscribers->lock);
	return path;
}

void subscribers_notify(struct subscribers *subscribers, const struct hint_place *to, const char *path, unsigned int generation, enum hint_stage stage,
			uint64_t now_ns)
{
	struct topic topic = topic_of(path, generation, stage);
	uint64_t nonce = 0;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return;
	pthread_mutex_lock(&subscribers->lock);
	send_until_seen(subscribers, HINT_CHANGED, &topic, nonce, &to->address, to->key, now_ns);
	pthread_mutex_unlock(&subscribers->lock);
}

static struct outgoing *soonest(const struct subscribers *subscribers)
{
	struct outgoing *found = NULL;

	for (size_t i = 0; i < SENDINGS; i++)
		if (subscribers->outgoing[i] && (!found || subscribers->outgoing[i]->due_ns < found->due_ns))
			found = subscribers->outgoing[i];
	return found;
}

static void sent(struct subscribers *subscribers, struct outgoing *outgoing, uint64_t now)
{
	if (outgoing->sendings + 1 == SENDINGS) {
		drop_outgoing(subscribers, outgoing);
		return;
	}
	DL_DELETE(subscribers->outgoing[outgoing->sendings], outgoing);
	outgoing->due_ns = now + repeat_ns[outgoing->sendings];
	outgoing->sendings++;
	DL_APPEND(subscribers->outgoing[outgoing->sendings], outgoing);
}

bool subscribers_next(struct subscribers *subscribers, uint64_t now_ns, struct subscribers_datagram *out)
{
	pthread_mutex_lock(&subscribers->lock);
	struct outgoing *outgoing = soonest(subscribers);
	bool due = outgoing && outgoing->due_ns <= now_ns;
	if (due) {
		out->to = outgoing->to;
		hint_format(&outgoing->hint, outgoing->key, out->data);
		sent(subscribers, outgoing, now_ns);
	}
	pthread_mutex_unlock(&subscribers->lock);
	return due;
}

uint64_t subscribers_due(struct subscribers *subscribers)
{
	pthread_mutex_lock(&subscribers->lock);
	const struct outgoing *outgoing = soonest(subscribers);
	uint64_t due = outgoing ? outgoing->due_ns : 0;
	pthread_mutex_unlock(&subscribers->lock);
	return due;
}

bool subscribers_seen(struct subscribers *subscribers, const struct hint *hint, const void *data)
{
	struct outgoing *outgoing;

	pthread_mutex_lock(&subscribers->lock);
	HASH_FIND(hh, subscribers->by_nonce, &hint->nonce, sizeof(hint->nonce), outgoing);
	bool seen = outgoing && hint_is_authentic(data, outgoing->key);
	if (seen)
		drop_outgoing(subscribers, outgoing);
	pthread_mutex_unlock(&subscribers->lock);
	return seen;
}

unsigned int subscribers_count(struct subscribers *subscribers)
{
	pthread_mutex_lock(&subscribers->lock);
	unsigned int count = HASH_CNT(hh, subscribers->by_key);
	pthread_mutex_unlock(&subscribers->lock);
	return count;
}
