/*
 * test_hint - datagrams and places survive the way through bytes, and nothing else is taken for one
 */
#include "sealfs/hint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "scratch.h"

static const uint8_t key[HINT_KEY_SIZE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const struct hint sample = {.kind = HINT_SUBSCRIBED,
				   .stage = HINT_OPEN,
				   .generation = 0x01020304,
				   .sequence = 0x11121314,
				   .nonce = 0x2122232425262728,
				   .cookie = 0x3132333435363738,
				   .id = "abcdefghijklmnopqrstuvw"};

static void datagram_has_the_documented_bytes(void **state)
{
	static const uint8_t expected[] = {'S',	 'F',  'S',  'H',  1,	 3,    2,    0,	   1,	 2,    3,    4,	   0x11, 0x12, 0x13, 0x14,
					   0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38};
	/* printf 'SFSH\x01\x03\x02\x00…' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102030405060708090a0b0c0d0e0f */
	static const uint8_t mac[] = {0xec, 0xfd, 0x49, 0x92, 0x46, 0x0d, 0x37, 0x88, 0x34, 0x91, 0x03, 0xc2, 0xdf, 0x11, 0x7d, 0x23};
	uint8_t data[HINT_SIZE];

	hint_format(&sample, key, data);
	assert_memory_equal(data, expected, sizeof(expected));
	assert_memory_equal(data + 32, sample.id, HINT_ID_SIZE);
	assert_memory_equal(data + 56, mac, sizeof(mac));
}

static void datagram_comes_back_whole(void **state)
{
	for (int kind = HINT_SUBSCRIBE; kind <= HINT_SEEN; kind++) {
		struct hint hint = sample, again;
		uint8_t data[HINT_SIZE];

		hint.kind = kind;
		hint_format(&hint, key, data);
		assert_int_equal(hint_parse(data, sizeof(data), &again), 0);
		assert_memory_equal(&again, &hint, sizeof(hint));
		assert_true(hint_is_authentic(data, key));
	}
}

static void every_flipped_bit_is_noticed(void **state)
{
	uint8_t data[HINT_SIZE], other[HINT_KEY_SIZE];
	struct hint hint;

	hint_format(&sample, key, data);
	for (size_t bit = 0; bit < (size_t)8 * HINT_SIZE; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(hint_parse(data, sizeof(data), &hint) != 0 || !hint_is_authentic(data, key));
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < (size_t)8 * HINT_KEY_SIZE; bit++) {
		memcpy(other, key, sizeof(other));
		other[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(hint_is_authentic(data, other));
	}
}

static void what_is_no_datagram_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = {{0, 's'}, {4, 0}, {4, 2}, {5, 0}, {5, 7}, {6, 0}, {6, 3}, {7, 1}};
	uint8_t data[HINT_SIZE + 1] = {0};
	struct hint hint;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		hint_format(&sample, key, data);
		data[cases[i].at] = cases[i].value;
		assert_int_equal(hint_parse(data, HINT_SIZE, &hint), -EBADMSG);
	}
	hint_format(&sample, key, data);
	assert_int_equal(hint_parse(data, HINT_SIZE - 1, &hint), -EBADMSG);
	assert_int_equal(hint_parse(data, HINT_SIZE + 1, &hint), -EBADMSG);
	assert_int_equal(hint_parse(data, 0, &hint), -EBADMSG);
	memset(data + 8, 0, 4);
	assert_int_equal(hint_parse(data, HINT_SIZE, &hint), -EBADMSG);
}

static void id_is_the_paths_sha256(void **state)
{
	/* printf run1/t4 | sha256sum */
	static const uint8_t expected[] = {0xf1, 0x87, 0x03, 0x34, 0x3f, 0xd5, 0xdd, 0x15, 0xcc, 0x88, 0x33, 0x81, 0x9f, 0x2e, 0x29, 0x3f, 0x88, 0xda, 0xcd, 0x58, 0x9a, 0x27, 0xa5, 0x8c};
	uint8_t id[HINT_ID_SIZE];

	hint_id("run1/t4", id);
	assert_memory_equal(id, expected, sizeof(expected));
}

#define KEY_TEXT " 000102030405060708090a0b0c0d0e0f"

static void place_comes_back_whole(void **state)
{
	static const char *const places[] = {"192.0.2.7:45123" KEY_TEXT, "127.0.0.1:1" KEY_TEXT, "[2001:db8::7]:65535" KEY_TEXT, "[::1]:80" KEY_TEXT};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct hint_place place;
		char again[HINT_PLACE_SIZE];

		assert_int_equal(hint_place_parse(places[i], &place), 0);
		assert_memory_equal(place.key, key, sizeof(key));
		assert_int_equal(hint_place_format(&place, again), 0);
		assert_string_equal(again, places[i]);
	}
}

static void place_that_nobody_could_reach_is_none(void **state)
{
	static const char *const bad[] = {"",
					  "on",
					  "192.0.2.7:45123",
					  "192.0.2.7" KEY_TEXT,
					  "192.0.2.7:0" KEY_TEXT,
					  "192.0.2.7:65536" KEY_TEXT,
					  "192.0.2.7:01" KEY_TEXT,
					  "192.0.2.07:1" KEY_TEXT,
					  "host.example:1" KEY_TEXT,
					  "0.0.0.0:1" KEY_TEXT,
					  "169.254.1.1:1" KEY_TEXT,
					  "224.0.0.1:1" KEY_TEXT,
					  "255.255.255.255:1" KEY_TEXT,
					  "[::]:1" KEY_TEXT,
					  "[ff02::1]:1" KEY_TEXT,
					  "[fe80::1]:1" KEY_TEXT,
					  "[fe80::1%lo]:1" KEY_TEXT,
					  "[::ffff:192.0.2.7]:1" KEY_TEXT,
					  "[2001:DB8::7]:1" KEY_TEXT,
					  "2001:db8::7:1" KEY_TEXT,
					  "[192.0.2.7]:1" KEY_TEXT,
					  "192.0.2.7:1" KEY_TEXT "0",
					  "192.0.2.7:1" KEY_TEXT " ",
					  "192.0.2.7:1  000102030405060708090a0b0c0d0e0",
					  "192.0.2.7:1 000102030405060708090A0b0c0d0e0f"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hint_place place;

		if (hint_place_parse(bad[i], &place) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void address_is_the_same_through_either_family(void **state)
{
	uint8_t a[HINT_ADDRESS_BYTES], b[HINT_ADDRESS_BYTES];
	struct sockaddr_storage mapped, back;
	struct hint_place place;

	assert_int_equal(hint_place_parse("192.0.2.7:45123" KEY_TEXT, &place), 0);
	assert_int_equal(hint_address_for(&place.address, AF_INET6, &mapped), 0);
	assert_int_equal(mapped.ss_family, AF_INET6);
	hint_address_bytes(&place.address, a);
	hint_address_bytes(&mapped, b);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(hint_address_for(&place.address, AF_INET, &back), 0);
	assert_memory_equal(&back, &place.address, sizeof(back));
	assert_int_equal(hint_place_parse("[2001:db8::7]:1" KEY_TEXT, &place), 0);
	assert_int_equal(hint_address_for(&place.address, AF_INET, &back), -EAFNOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagram_has_the_documented_bytes),
		cmocka_unit_test(datagram_comes_back_whole),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(what_is_no_datagram_is_refused),
		cmocka_unit_test(id_is_the_paths_sha256),
		cmocka_unit_test(place_comes_back_whole),
		cmocka_unit_test(place_that_nobody_could_reach_is_none),
		cmocka_unit_test(address_is_the_same_through_either_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
