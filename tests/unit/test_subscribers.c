/*
 * test_subscribers - who subscribed is told, who did not renew is forgotten, and there is an end to everything
 */
#include "sealfs/subscribers.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "scratch.h"
#include "sealfs/bucket.h"

#define SECOND 1000000000u

static const uint8_t key[HINT_KEY_SIZE] = "the mount's own", other_key[HINT_KEY_SIZE] = "another mount's";

static struct sockaddr_storage machine(unsigned int number)
{
	struct sockaddr_storage address = {.ss_family = AF_INET};
	struct sockaddr_in *in = (struct sockaddr_in *)&address;

	in->sin_addr.s_addr = htonl(0xc0000200 + number);
	in->sin_port = htons(1000);
	return address;
}

static struct hint question(const char *path, unsigned int generation, uint64_t nonce)
{
	struct hint hint = {.kind = HINT_SUBSCRIBE, .stage = HINT_OPEN, .generation = generation, .nonce = nonce};

	hint_id(path, hint.id);
	return hint;
}

static int subscribe(struct subscribers *subscribers, const char *path, unsigned int generation, unsigned int number, uint64_t now)
{
	struct sockaddr_storage from = machine(number);
	struct hint hint = question(path, generation, number);

	return subscribers_add(subscribers, &hint, &from, now);
}

/* Takes the next datagram; the number of the machine that it goes to, -1 if there is none. */
static int next(struct subscribers *subscribers, uint64_t now, struct hint *hint, uint8_t data[HINT_SIZE])
{
	struct subscribers_datagram datagram;

	if (!subscribers_next(subscribers, now, &datagram))
		return -1;
	memcpy(data, datagram.data, HINT_SIZE);
	assert_int_equal(hint_parse(data, HINT_SIZE, hint), 0);
	return (int)(ntohl(((struct sockaddr_in *)&datagram.to)->sin_addr.s_addr) & 0xff);
}

static bool seen(struct subscribers *subscribers, const struct hint *hint, const uint8_t made_with[HINT_KEY_SIZE])
{
	struct hint answer = *hint;
	uint8_t data[HINT_SIZE];

	answer.kind = HINT_SEEN;
	hint_format(&answer, made_with, data);
	return subscribers_seen(subscribers, &answer, data);
}

static void subscribers_of_what_is_over_are_told_and_no_others(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);
	uint8_t data[HINT_SIZE];
	struct hint hint;

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	subscribers_announce(subscribers, "b", 1, HINT_OPEN);
	assert_int_equal(subscribe(subscribers, "a", 1, 1, 0), HINT_SUBSCRIBED);
	assert_int_equal(subscribe(subscribers, "b", 1, 2, 0), HINT_SUBSCRIBED);
	assert_int_equal(subscribe(subscribers, "a", 1, 3, 0), HINT_SUBSCRIBED);
	assert_int_equal(next(subscribers, SECOND, &hint, data), -1);
	assert_true(subscribers_over(subscribers, "a", 1, HINT_OPEN, SECOND));
	assert_int_equal(next(subscribers, SECOND, &hint, data), 1);
	assert_int_equal(hint.kind, HINT_LOOK);
	assert_int_equal(hint.nonce, 1);
	assert_true(hint_is_authentic(data, key));
	assert_int_equal(next(subscribers, SECOND, &hint, data), 3);
	assert_int_equal(next(subscribers, SECOND, &hint, data), -1);
	assert_int_equal(subscribers_count(subscribers), 1);
	assert_false(subscribers_over(subscribers, "a", 1, HINT_OPEN, SECOND));
	subscribers_destroy(subscribers);
}

static void what_is_over_or_unknown_is_answered_with_look(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);

	subscribers_announce(subscribers, "a", 2, HINT_OPEN);
	assert_int_equal(subscribe(subscribers, "a", 1, 1, 0), HINT_LOOK);
	assert_int_equal(subscribe(subscribers, "a", 3, 1, 0), HINT_LOOK);
	assert_int_equal(subscribe(subscribers, "b", 2, 1, 0), HINT_LOOK);
	assert_int_equal(subscribe(subscribers, "a", 2, 1, 0), HINT_SUBSCRIBED);
	subscribers_over(subscribers, "a", 2, HINT_OPEN, 0);
	assert_int_equal(subscribe(subscribers, "a", 2, 1, 0), HINT_LOOK);
	assert_int_equal(subscribers_count(subscribers), 0);
	subscribers_destroy(subscribers);
}

static void stages_are_told_apart(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);
	struct sockaddr_storage from = machine(1);
	struct hint pending = question("a", 1, 1), hint;
	uint8_t data[HINT_SIZE];

	pending.stage = HINT_PENDING;
	subscribers_announce(subscribers, "a", 1, HINT_PENDING);
	assert_int_equal(subscribers_add(subscribers, &pending, &from, 0), HINT_SUBSCRIBED);
	assert_int_equal(subscribe(subscribers, "a", 1, 2, 0), HINT_LOOK);
	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	assert_int_equal(subscribe(subscribers, "a", 1, 2, 0), HINT_SUBSCRIBED);
	subscribers_over(subscribers, "a", 1, HINT_PENDING, 0);
	assert_int_equal(next(subscribers, 0, &hint, data), 1);
	assert_int_equal(hint.stage, HINT_PENDING);
	assert_int_equal(next(subscribers, 0, &hint, data), -1);
	subscribers_destroy(subscribers);
}

static void what_is_not_seen_is_repeated_three_times(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);
	uint64_t now = SECOND, began = now;
	uint8_t data[HINT_SIZE];
	struct hint hint;

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	subscribe(subscribers, "a", 1, 1, now);
	subscribers_over(subscribers, "a", 1, HINT_OPEN, now);
	for (int i = 0; i < 4; i++) {
		assert_int_not_equal(subscribers_due(subscribers), 0);
		now = subscribers_due(subscribers);
		assert_int_equal(next(subscribers, now - 1, &hint, data), -1);
		assert_int_equal(next(subscribers, now, &hint, data), 1);
	}
	assert_int_equal(subscribers_due(subscribers), 0);
	assert_in_range(now - began, SECOND, 2 * (uint64_t)SECOND);
	subscribers_destroy(subscribers);
}

static void what_was_seen_is_not_repeated(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);
	uint8_t data[HINT_SIZE];
	struct hint hint, wrong;

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	subscribe(subscribers, "a", 1, 1, SECOND);
	subscribers_over(subscribers, "a", 1, HINT_OPEN, SECOND);
	assert_int_equal(next(subscribers, SECOND, &hint, data), 1);
	wrong = hint;
	wrong.nonce++;
	assert_false(seen(subscribers, &wrong, key));
	assert_false(seen(subscribers, &hint, other_key));
	assert_int_not_equal(subscribers_due(subscribers), 0);
	assert_true(seen(subscribers, &hint, key));
	assert_int_equal(subscribers_due(subscribers), 0);
	assert_false(seen(subscribers, &hint, key));
	subscribers_destroy(subscribers);
}

static void another_mount_is_notified_with_its_own_key(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);
	struct hint_place place = {.address = machine(9)};
	uint8_t data[HINT_SIZE];
	struct hint hint;

	memcpy(place.key, other_key, sizeof(place.key));
	subscribers_notify(subscribers, &place, "a", 4, HINT_PENDING, SECOND);
	assert_int_equal(next(subscribers, SECOND, &hint, data), 9);
	assert_int_equal(hint.kind, HINT_CHANGED);
	assert_int_equal(hint.generation, 4);
	assert_true(hint_is_authentic(data, other_key));
	assert_false(seen(subscribers, &hint, key));
	assert_true(seen(subscribers, &hint, other_key));
	subscribers_destroy(subscribers);
}

static void who_does_not_renew_is_forgotten(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);
	uint8_t data[HINT_SIZE];
	struct hint hint;

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	subscribe(subscribers, "a", 1, 1, 0);
	subscribe(subscribers, "a", 1, 2, 0);
	subscribe(subscribers, "a", 1, 1, SUBSCRIBERS_EXPIRE_NS);
	assert_int_equal(subscribers_count(subscribers), 2);
	subscribers_over(subscribers, "a", 1, HINT_OPEN, SUBSCRIBERS_EXPIRE_NS + 1);
	assert_int_equal(next(subscribers, SUBSCRIBERS_EXPIRE_NS + 1, &hint, data), 1);
	assert_int_equal(next(subscribers, SUBSCRIBERS_EXPIRE_NS + 1, &hint, data), -1);
	subscribers_destroy(subscribers);
}

static void renewing_is_one_subscription(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 10, key);

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(subscribe(subscribers, "a", 1, 1, i * SECOND), HINT_SUBSCRIBED);
	assert_int_equal(subscribers_count(subscribers), 1);
	subscribers_destroy(subscribers);
}

static void table_is_bounded_and_has_room_again(void **state)
{
	struct subscribers *subscribers = subscribers_create(10, 3, key);

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	for (unsigned int i = 1; i <= 3; i++)
		assert_int_equal(subscribe(subscribers, "a", 1, i, 0), HINT_SUBSCRIBED);
	assert_int_equal(subscribe(subscribers, "a", 1, 4, 0), 0);
	assert_int_equal(subscribe(subscribers, "a", 1, 2, 0), HINT_SUBSCRIBED);
	assert_int_equal(subscribe(subscribers, "a", 1, 4, SUBSCRIBERS_EXPIRE_NS + 1), HINT_SUBSCRIBED);
	assert_int_equal(subscribers_count(subscribers), 1);
	subscribers_destroy(subscribers);
}

static void of_too_many_announcements_the_oldest_goes(void **state)
{
	struct subscribers *subscribers = subscribers_create(2, 10, key);
	struct hint a = question("a", 1, 1), b = question("b", 1, 1), c = question("c", 1, 1);
	char *path;

	subscribers_announce(subscribers, "a", 1, HINT_OPEN);
	subscribe(subscribers, "a", 1, 1, 0);
	subscribers_announce(subscribers, "b", 1, HINT_OPEN);
	subscribers_announce(subscribers, "c", 1, HINT_OPEN);
	assert_null(subscribers_path(subscribers, &a));
	assert_int_equal(subscribers_count(subscribers), 0);
	path = subscribers_path(subscribers, &b);
	assert_string_equal(path, "b");
	free(path);
	path = subscribers_path(subscribers, &c);
	assert_string_equal(path, "c");
	free(path);
	subscribers_destroy(subscribers);
}

static void bucket_gives_a_burst_and_then_its_rate(void **state)
{
	struct bucket bucket = {0};
	uint64_t now = 1000 * (uint64_t)SECOND;

	for (int i = 0; i < 4; i++)
		assert_int_equal(bucket_take(&bucket, now, SECOND, 4), 0);
	assert_int_equal(bucket_take(&bucket, now, SECOND, 4), SECOND);
	assert_int_equal(bucket_take(&bucket, now + SECOND / 4, SECOND, 4), SECOND / 4 * 3);
	assert_int_equal(bucket_take(&bucket, now + SECOND, SECOND, 4), 0);
	assert_int_not_equal(bucket_take(&bucket, now + SECOND, SECOND, 4), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(bucket_take(&bucket, now + 100 * (uint64_t)SECOND, SECOND, 4), 0);
	assert_int_not_equal(bucket_take(&bucket, now + 100 * (uint64_t)SECOND, SECOND, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subscribers_of_what_is_over_are_told_and_no_others),
		cmocka_unit_test(what_is_over_or_unknown_is_answered_with_look),
		cmocka_unit_test(stages_are_told_apart),
		cmocka_unit_test(what_is_not_seen_is_repeated_three_times),
		cmocka_unit_test(what_was_seen_is_not_repeated),
		cmocka_unit_test(another_mount_is_notified_with_its_own_key),
		cmocka_unit_test(who_does_not_renew_is_forgotten),
		cmocka_unit_test(renewing_is_one_subscription),
		cmocka_unit_test(table_is_bounded_and_has_room_again),
		cmocka_unit_test(of_too_many_announcements_the_oldest_goes),
		cmocka_unit_test(bucket_gives_a_burst_and_then_its_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
