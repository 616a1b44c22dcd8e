/*
 * test_signature - keys, signatures of seals, and whose of them count
 */
#include "sealfs/signature.h"

#include <grp.h>
#include <sys/wait.h>
#include <time.h>

#include "scratch.h"
#include "sealfs/seal.h"
#include "sealfs/trust.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NS INT64_C(1000000000)

static struct scratch scratch;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	scratch_mkdir(&scratch, "trust");
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static void from_hex(const char *hex, uint8_t *out)
{
	for (size_t i = 0; hex[2 * i]; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &out[i]), 1);
}

static struct signing_key *make_key(char fill)
{
	struct signing_key *key;
	uint8_t seed[KEY_SIZE];

	memset(seed, fill, sizeof(seed));
	assert_int_equal(key_from_seed(seed, &key), 0);
	return key;
}

/* In the export's directory, whose path is $D. */
static int shell(const char *command)
{
	assert_int_equal(setenv("D", scratch.dir, 1), 0);
	return system(command);
}

static void must(const char *command)
{
	if (shell(command) != 0)
		fail_msg("failed: %s", command);
}

static void need_openssl(void)
{
	if (system("command -v openssl >/dev/null") != 0) {
		teardown(NULL);
		skip();
	}
}

/* --- the primitive ----------------------------------------------------------------------------------------------- */

/* RFC 8032, section 7.1: TEST 1, 2, 3 and SHA(abc). */
static const struct {
	const char *seed, *public, *message, *signature;
} vectors[] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	{"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
	 "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
	 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	 "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
};

static void signatures_are_those_of_rfc_8032(void **unused)
{
	for (size_t i = 0; i < COUNT(vectors); i++) {
		uint8_t seed[KEY_SIZE], message[64], expected[KEY_SIGNATURE_SIZE], signature[KEY_SIGNATURE_SIZE];
		size_t size = strlen(vectors[i].message) / 2;
		char text[KEY_TEXT_SIZE];
		struct signing_key *key;
		struct key_public public;

		from_hex(vectors[i].seed, seed);
		from_hex(vectors[i].message, message);
		from_hex(vectors[i].signature, expected);
		assert_int_equal(key_from_seed(seed, &key), 0);
		key_public_of(key, &public);
		key_to_text(&public, text);
		assert_memory_equal(text, "ed25519:", 8);
		assert_string_equal(text + 8, vectors[i].public);
		assert_int_equal(key_sign(key, message, size, signature), 0);
		assert_memory_equal(signature, expected, KEY_SIGNATURE_SIZE);
		assert_int_equal(key_check(&public, message, size, signature), 0);
		key_free(key);
	}
}

/* Added to the second half of a signature it gives another one that a careless check lets pass. */
static const uint8_t group_order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2,
					0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,    0,    0,
					0,    0,    0,    0,    0,    0,    0,    0x10};

static void second_signature_is_not_made_from_the_first(void **unused)
{
	struct signing_key *key = make_key('k');
	uint8_t signature[KEY_SIGNATURE_SIZE];
	struct key_public public;
	unsigned int carry = 0;

	key_public_of(key, &public);
	assert_int_equal(key_sign(key, "m", 1, signature), 0);
	for (size_t i = 0; i < 32; i++) {
		carry += signature[32 + i] + group_order[i];
		signature[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_int_equal(carry, 0);
	assert_int_equal(key_check(&public, "m", 1, signature), -EKEYREJECTED);
	key_free(key);
}

static void keys_survive_their_text(void **unused)
{
	struct signing_key *key, *again;
	struct key_public public, back;
	char text[KEY_TEXT_SIZE];
	char *pem;
	size_t size;

	assert_int_equal(key_generate(&key), 0);
	key_public_of(key, &public);
	assert_int_equal(key_private_format(key, &pem, &size), 0);
	assert_int_equal(strlen(pem), size);
	assert_int_equal(key_private_parse(pem, size, &again, NULL), 0);
	key_public_of(again, &back);
	assert_true(key_equal(&public, &back));
	key_free(again);
	key_text_free(pem, size);

	assert_int_equal(key_public_format(&public, &pem, &size), 0);
	assert_int_equal(key_public_parse(pem, size, &back, NULL), 0);
	assert_true(key_equal(&public, &back));
	free(pem);

	key_to_text(&public, text);
	assert_int_equal(key_from_text(text, &back), 0);
	assert_true(key_equal(&public, &back));
	text[KEY_TEXT_SIZE - 2] = '\0';
	assert_int_equal(key_from_text(text, &back), -EINVAL);
	assert_int_equal(key_from_text("ed25519:", &back), -EINVAL);
	assert_int_equal(key_from_text("", &back), -EINVAL);
	key_free(key);
	key_free(NULL);
}

/* --- the signature file -------------------------------------------------------------------------------------------- */

static void digest_of(const char *text, struct digest *out)
{
	digest_sha256(text, strlen(text), out);
}

static void statement_is_what_the_format_says(void **unused)
{
	char statement[SIGNATURE_STATEMENT_SIZE + 1];
	struct digest digest;

	digest_of("abc", &digest);
	signature_statement(&digest, statement);
	assert_string_equal(statement, "sealfs seal 1\n"
				       "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
	assert_int_equal(strlen(statement), SIGNATURE_STATEMENT_SIZE);
}

static void make_signature(char fill, const char *seal, struct signature *out)
{
	struct signing_key *key = make_key(fill);
	struct digest digest;

	digest_of(seal, &digest);
	assert_int_equal(signature_sign(key, &digest, out), 0);
	key_free(key);
}

static void signature_survives_its_text(void **unused)
{
	struct signature signature, again;
	struct digest digest;
	char *text;
	size_t size;

	make_signature('k', "seal", &signature);
	digest_of("seal", &digest);
	assert_int_equal(signature_check(&signature, &digest), 0);
	assert_int_equal(signature_format(&signature, &text, &size), 0);
	assert_int_equal(size, 310);
	assert_int_equal(signature_parse(text, size, &again, NULL), 0);
	assert_memory_equal(&again, &signature, sizeof(signature));
	free(text);
}

static void flipped_bit_of_the_file_is_refused(void **unused)
{
	struct signature signature, again;
	const char *why;
	char *text;
	size_t size;

	make_signature('k', "seal", &signature);
	assert_int_equal(signature_format(&signature, &text, &size), 0);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		assert_true(signature_parse(text, size, &again, &why) < 0);
		assert_non_null(why);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t part = 0; part < size; part++)
		assert_true(signature_parse(text, part, &again, NULL) < 0);
	free(text);
}

/* As above, by one who makes the closing line right again. */
static void flipped_bit_of_key_or_signature_is_refused(void **unused)
{
	struct signature signature, again;
	struct digest digest;
	char *text;
	size_t size;

	digest_of("seal", &digest);
	for (size_t bit = 0; bit < 8 * (KEY_SIZE + KEY_SIGNATURE_SIZE); bit++) {
		uint8_t *byte;

		make_signature('k', "seal", &signature);
		byte = bit / 8 < KEY_SIZE ? &signature.key.bytes[bit / 8] : &signature.bytes[bit / 8 - KEY_SIZE];
		*byte ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(signature_format(&signature, &text, &size), 0);
		assert_int_equal(signature_parse(text, size, &again, NULL), 0);
		assert_int_equal(signature_check(&again, &digest), -EKEYREJECTED);
		free(text);
	}
}

static void flipped_bit_of_the_statement_is_refused(void **unused)
{
	char statement[SIGNATURE_STATEMENT_SIZE + 1];
	struct signature signature;
	struct digest digest;

	make_signature('k', "seal", &signature);
	digest_of("seal", &digest);
	signature_statement(&digest, statement);
	assert_int_equal(key_check(&signature.key, statement, SIGNATURE_STATEMENT_SIZE, signature.bytes), 0);
	for (size_t bit = 0; bit < 8 * SIGNATURE_STATEMENT_SIZE; bit++) {
		statement[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(key_check(&signature.key, statement, SIGNATURE_STATEMENT_SIZE, signature.bytes),
				 -EKEYREJECTED);
		statement[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * DIGEST_SIZE; bit++) {
		digest.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(signature_check(&signature, &digest), -EKEYREJECTED);
		digest.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void other_texts_of_a_signature_are_refused(void **unused)
{
	static const struct {
		const char *word;
		unsigned int version;
		const char *lines[3][2];
		int expected;
	} cases[] = {
		{"signature", 1, {{"key", "ed25519:" ZEROS}, {"signature", ZEROS ZEROS}}, 0},
		{"signature", 1, {{"signature", ZEROS ZEROS}, {"key", "ed25519:" ZEROS}}, -EBADMSG},
		{"signature", 1, {{"key", "ed25519:" ZEROS}}, -EBADMSG},
		{"signature", 1, {{"signature", ZEROS ZEROS}}, -EBADMSG},
		{"signature", 1, {{NULL}}, -EBADMSG},
		{"signature", 1, {{"key", "ed25519:" ZEROS}, {"key", "ed25519:" ZEROS}, {"signature", ZEROS ZEROS}},
		 -EBADMSG},
		{"signature", 1, {{"key", "ed25519:" ZEROS}, {"signature", ZEROS ZEROS}, {"comment", "x"}}, -EBADMSG},
		{"signature", 1, {{"key", "ED25519:" ZEROS}, {"signature", ZEROS ZEROS}}, -EBADMSG},
		{"signature", 1, {{"key", "ed25519:" ZEROS "00"}, {"signature", ZEROS ZEROS}}, -EBADMSG},
		{"signature", 1, {{"key", "rsa:" ZEROS}, {"signature", ZEROS ZEROS}}, -EBADMSG},
		{"signature", 1, {{"key", "ed25519:" ZEROS}, {"signature", ZEROS}}, -EBADMSG},
		{"signature", 1, {{"key", "ed25519:" ZEROS}, {"signature", ZEROS ZEROS " "}}, -EBADMSG},
		{"signature", 2, {{"key", "ed25519:" ZEROS}, {"signature", ZEROS ZEROS}}, -EPROTO},
		{"seal", 1, {{"key", "ed25519:" ZEROS}, {"signature", ZEROS ZEROS}}, -EPROTO},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct signature signature;
		struct record_lines lines;
		char *text;
		size_t size;

		record_lines_begin(&lines, cases[i].word, cases[i].version);
		for (size_t j = 0; j < 3 && cases[i].lines[j][0]; j++)
			record_lines_add(&lines, cases[i].lines[j][0], "%s", cases[i].lines[j][1]);
		assert_int_equal(record_lines_end(&lines, &text, &size), 0);
		if (signature_parse(text, size, &signature, NULL) != cases[i].expected)
			fail_msg("case %zu", i);
		free(text);
	}
}

static void upper_case_is_refused(void **unused)
{
	struct signature signature, again;
	char *text, *digit;
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;
	size_t size, body;

	make_signature('k', "seal", &signature);
	assert_int_equal(signature_format(&signature, &text, &size), 0);
	digit = strpbrk(strstr(text, "\nsignature: ") + 12, "abcdef");
	*digit -= 'a' - 'A';
	body = size - 73;
	digest_sha256(text, body, &digest);
	digest_to_hex(&digest, hex);
	memcpy(text + body + 8, hex, 64);
	assert_int_equal(signature_parse(text, size, &again, NULL), -EBADMSG);
	free(text);
}

/* --- private key files ----------------------------------------------------------------------------------------------- */

static int load_private(const char *name, struct signing_key **out, char **why)
{
	char path[4096];

	scratch_path(&scratch, name, path);
	return key_private_load(path, out, why);
}

static void write_private(const char *name, char fill)
{
	struct signing_key *key = make_key(fill);
	char path[4096];
	char *text;
	size_t size;

	assert_int_equal(key_private_format(key, &text, &size), 0);
	scratch_write(&scratch, name, text);
	scratch_path(&scratch, name, path);
	assert_int_equal(chmod(path, 0600), 0);
	key_text_free(text, size);
	key_free(key);
}

static void expect_no_key(const char *name, int error, const char *first, const char *second)
{
	struct signing_key *key;
	char *why;
	int rc = load_private(name, &key, &why);

	if (rc != error)
		fail_msg("%s: %d, expected %d (%s)", name, rc, error, why ? why : "-");
	assert_non_null(why);
	if (!strstr(why, first) || !strstr(why, second))
		fail_msg("%s: %s", name, why);
	free(why);
}

static void private_key_is_read_when_it_is_private(void **unused)
{
	static const mode_t good[] = {0600, 0400, 0700, 0500};
	struct signing_key *key;
	char path[4096];
	char *why;

	setup(NULL);
	write_private("key", 'k');
	scratch_path(&scratch, "key", path);
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(chmod(path, good[i]), 0);
		assert_int_equal(load_private("key", &key, &why), 0);
		assert_null(why);
		key_free(key);
	}
	must("ln -s key $D/link");
	assert_int_equal(load_private("link", &key, &why), 0);
	key_free(key);
	teardown(NULL);
}

static void loose_permissions_of_a_private_key_are_refused(void **unused)
{
	char path[4096], mode[16], help[4200];

	setup(NULL);
	write_private("key", 'k');
	scratch_path(&scratch, "key", path);
	snprintf(help, sizeof(help), "'chmod 600 %s'", path);
	for (mode_t bit = 1; bit <= 040; bit <<= 1) {
		snprintf(mode, sizeof(mode), "%04o", 0600 | bit);
		assert_int_equal(chmod(path, 0600 | bit), 0);
		expect_no_key("key", -EPERM, mode, help);
	}
	teardown(NULL);
}

static void private_key_of_another_user_is_refused(void **unused)
{
	char path[4096];

	setup(NULL);
	if (geteuid() != 0) {
		teardown(NULL);
		skip();
	}
	write_private("key", 'k');
	scratch_path(&scratch, "key", path);
	assert_int_equal(chown(path, 65534, 0), 0);
	expect_no_key("key", -EPERM, path, "belongs to user 65534");
	teardown(NULL);
}

/* An X25519 key; and an Ed25519 key with the passphrase "x". */
#define OTHER_KIND                                                                                                     \
	"-----BEGIN PRIVATE KEY-----\n"                                                                                \
	"MC4CAQAwBQYDK2VuBCIEIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr\n"                                           \
	"-----END PRIVATE KEY-----\n"

static void what_is_no_private_key_is_refused(void **unused)
{
	struct signing_key *key;
	char *why;

	setup(NULL);
	expect_no_key("none", -ENOENT, "none", "No such file");
	expect_no_key("trust", -EPERM, "trust", "not a regular file");
	must("mkfifo -m 600 $D/fifo");
	expect_no_key("fifo", -EPERM, "fifo", "not a regular file");
	must("umask 077; : >$D/empty; echo text >$D/text; head -c 100000 /dev/zero >$D/large");
	expect_no_key("empty", -EBADMSG, "empty", "no such key");
	expect_no_key("text", -EBADMSG, "text", "no such key");
	expect_no_key("large", -EFBIG, "large", "too large");
	scratch_write(&scratch, "other", OTHER_KIND);
	must("chmod 600 $D/other");
	expect_no_key("other", -EBADMSG, "other", "not an Ed25519 key");
	write_private("key", 'k');
	must("umask 077; cat $D/key $D/key >$D/two; head -c 80 $D/key >$D/torn; sed s/PRIVATE/PUBLIC/ $D/key >$D/wrong");
	expect_no_key("two", -EBADMSG, "two", "more than one");
	expect_no_key("torn", -EBADMSG, "torn", "no such key");
	expect_no_key("wrong", -EBADMSG, "wrong", "no such key");
	/* Remarks around it are none of ours. */
	must("umask 077; { echo my key; cat $D/key; echo end; } >$D/remarks");
	assert_int_equal(load_private("remarks", &key, &why), 0);
	key_free(key);
	teardown(NULL);
}

static void private_key_with_a_passphrase_is_refused_without_asking(void **unused)
{
	setup(NULL);
	need_openssl();
	must("umask 077; openssl genpkey -algorithm ed25519 -aes256 -pass pass:x -out $D/key 2>/dev/null");
	expect_no_key("key", -EBADMSG, "key", "passphrase");
	teardown(NULL);
}

/* --- with the openssl command ------------------------------------------------------------------------------------------ */

static void write_statement(const char *name, const struct digest *digest)
{
	char statement[SIGNATURE_STATEMENT_SIZE + 1];

	signature_statement(digest, statement);
	scratch_write(&scratch, name, statement);
}

static void openssl_reads_our_keys_and_checks_our_signatures(void **unused)
{
	struct trust_key public = {
		.name = (char *)"me", .not_before_ns = INT64_MIN, .not_after_ns = INT64_C(1800000000) * NS};
	struct signing_key *key = make_key('o');
	struct signature signature;
	struct digest digest;
	char *text;
	size_t size;

	setup(NULL);
	need_openssl();
	write_private("key", 'o');
	key_public_of(key, &public.key);
	assert_int_equal(trust_key_format(&public, &text, &size), 0);
	scratch_write(&scratch, "key.pub", text);
	free(text);
	digest_of("seal", &digest);
	assert_int_equal(signature_sign(key, &digest, &signature), 0);
	write_statement("statement", &digest);
	scratch_write_bytes(&scratch, "bytes", signature.bytes, sizeof(signature.bytes));
	must("openssl pkeyutl -verify -pubin -inkey $D/key.pub -rawin -in $D/statement -sigfile $D/bytes >/dev/null");
	must("openssl pkeyutl -sign -inkey $D/key -rawin -in $D/statement -out $D/theirs && cmp $D/theirs $D/bytes");
	must("openssl pkey -in $D/key -pubout >$D/out && tail -n 3 $D/key.pub | cmp - $D/out");
	must("openssl pkey -in $D/key | cmp - $D/key");
	must("echo >>$D/statement; ! openssl pkeyutl -verify -pubin -inkey $D/key.pub -rawin -in $D/statement "
	     "-sigfile $D/bytes >/dev/null 2>&1");
	key_free(key);
	teardown(NULL);
}

static void keys_and_signatures_of_openssl_are_good(void **unused)
{
	struct signature signature;
	struct trust_key public;
	struct signing_key *key;
	struct digest digest;
	char *text, *why;

	setup(NULL);
	need_openssl();
	must("umask 077; openssl genpkey -algorithm ed25519 -out $D/key && openssl pkey -in $D/key -pubout >$D/key.pub");
	assert_int_equal(load_private("key", &key, &why), 0);
	text = scratch_read(&scratch, "key.pub");
	assert_int_equal(trust_key_parse(text, strlen(text), "theirs", &public, NULL), 0);
	assert_string_equal(public.name, "theirs");
	key_public_of(key, &signature.key);
	assert_true(key_equal(&public.key, &signature.key));
	digest_of("seal", &digest);
	write_statement("statement", &digest);
	must("openssl pkeyutl -sign -inkey $D/key -rawin -in $D/statement -out $D/bytes && test $(stat -c %s $D/bytes) = 64");
	free(text);
	text = scratch_read(&scratch, "bytes");
	memcpy(signature.bytes, text, KEY_SIGNATURE_SIZE);
	assert_int_equal(signature_check(&signature, &digest), 0);
	free(text);
	trust_key_free(&public);
	key_free(key);
	teardown(NULL);
}

/* --- public key files ------------------------------------------------------------------------------------------------- */

#define PEM                                                                                                            \
	"-----BEGIN PUBLIC KEY-----\n"                                                                                 \
	"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"                                               \
	"-----END PUBLIC KEY-----\n"

static void settings_of_a_public_key_are_read_strictly(void **unused)
{
	static const struct {
		const char *text, *refused; /* NULL: accepted */
	} cases[] = {
		{PEM, NULL},
		{"\n# a remark on sealfs-not-after\nmore\n" PEM "the end\n", NULL},
		{"sealfs-name: a b\nsealfs-not-before: 2026-01-01T00:00:00Z\nsealfs-not-after: 2027-01-01T00:00:00Z\n" PEM,
		 NULL},
		{"sealfs-not-before: 2026-01-01T00:00:00Z\nsealfs-not-after: 2026-01-01T00:00:00Z\n" PEM, NULL},
		{"sealfs-not-afer: 2027-01-01T00:00:00Z\n" PEM, "no setting"},
		{"Sealfs-Not-After: 2027-01-01T00:00:00Z\n" PEM, "no setting"},
		{" sealfs-not-after: 2027-01-01T00:00:00Z\n" PEM, "no setting"},
		{"\xef\xbb\xbfsealfs-not-after: 2027-01-01T00:00:00Z\n" PEM, "no setting"},
		{"sealfs-not-after:2027-01-01T00:00:00Z\n" PEM, "no setting"},
		{"sealfs-not-after\n" PEM, "no setting"},
		{"sealfs-not-after: \n" PEM, "a time"},
		{"sealfs-not-after: 2027-01-01\n" PEM, "a time"},
		{"sealfs-not-after: 2027-01-01T00:00:00\n" PEM, "a time"},
		{"sealfs-not-after: 2027-02-30T00:00:00Z\n" PEM, "a time"},
		{"sealfs-not-after: 2027-01-01T00:00:00Z\r\n" PEM, "a time"},
		{"sealfs-not-after: 2027-01-01T00:00:00Z \n" PEM, "a time"},
		{"sealfs-not-after: 2027-01-01T00:00:00.5Z\n" PEM, "a time"},
		{"sealfs-not-after: 9999-01-01T00:00:00Z\n" PEM, "a time"},
		{"sealfs-not-after: 2027-01-01T00:00:00Z\nsealfs-not-after: 2028-01-01T00:00:00Z\n" PEM, "twice"},
		{"sealfs-not-before: 2027-01-01T00:00:01Z\nsealfs-not-after: 2027-01-01T00:00:00Z\n" PEM, "ends before"},
		{"sealfs-name: \n" PEM, "the name"},
		{"sealfs-name:  a\n" PEM, "the name"},
		{"sealfs-name: a\x1b[1m\n" PEM, "the name"},
		{"sealfs-name: \xff\n" PEM, "the name"},
		{"sealfs-name: a\nsealfs-name: a\n" PEM, "twice"},
		{PEM "sealfs-not-after: 2027-01-01T00:00:00Z\n", "behind"},
		{"-----BEGIN PUBLIC KEY-----\nsealfs-not-after: 2027-01-01T00:00:00Z\n", "behind"},
		{"", "no such key"},
		{"sealfs-name: a\n", "no such key"},
		{PEM PEM, "more than one"},
		{OTHER_KIND, "private key"},
		{"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
		 "-----END PUBLIC KEY-----\n",
		 "not an Ed25519"},
		{"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMl\n-----END PUBLIC KEY-----\n",
		 "no such key"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *why = "";
		struct trust_key key;
		int rc = trust_key_parse(cases[i].text, strlen(cases[i].text), "stem", &key, &why);

		if (rc != (cases[i].refused ? -EBADMSG : 0) || (rc < 0 && !strstr(why, cases[i].refused)))
			fail_msg("case %zu: %d, %s", i, rc, why);
		if (rc == 0)
			trust_key_free(&key);
	}
}

static void public_key_file_survives_its_text(void **unused)
{
	struct trust_key key = {.name = (char *)"a b",
				.not_before_ns = INT64_C(1767225600) * NS,
				.not_after_ns = INT64_C(1798761600) * NS + 5};
	struct signing_key *pair = make_key('p');
	struct trust_key again;
	char *text;
	size_t size;

	key_public_of(pair, &key.key);
	assert_int_equal(trust_key_format(&key, &text, &size), 0);
	assert_memory_equal(text,
			    "sealfs-name: a b\nsealfs-not-before: 2026-01-01T00:00:00Z\n"
			    "sealfs-not-after: 2027-01-01T00:00:00Z\n-----BEGIN PUBLIC KEY-----\n",
			    122);
	assert_int_equal(trust_key_parse(text, size, "x", &again, NULL), 0);
	assert_true(key_equal(&again.key, &key.key));
	assert_string_equal(again.name, "a b");
	assert_true(again.not_before_ns == key.not_before_ns && again.not_after_ns == key.not_after_ns - 5);
	trust_key_free(&again);
	assert_int_equal(trust_key_parse(text, size - 1, "x", &again, NULL), 0);
	trust_key_free(&again);
	text[0] = '\0';
	assert_int_equal(trust_key_parse(text, size, "x", &again, NULL), -EBADMSG);
	free(text);
	key.name = (char *)"a\nsealfs-not-after: 2099-01-01T00:00:00Z";
	assert_int_equal(trust_key_format(&key, &text, &size), -EINVAL);
	key_free(pair);
}

/* --- the trust directory ----------------------------------------------------------------------------------------------- */

static char reports[8192];

static void note_report(void *arg, const char *sentence)
{
	assert_true(strlen(reports) + strlen(sentence) + 2 < sizeof(reports));
	strcat(reports, sentence);
	strcat(reports, "\n");
}

static struct trust *open_trust(void)
{
	struct trust *trust;
	char path[4096];
	char *why;

	reports[0] = '\0';
	scratch_path(&scratch, "trust", path);
	assert_int_equal(trust_open(path, note_report, NULL, &trust, &why), 0);
	assert_null(why);
	return trust;
}

/* A public key's file in the trust directory; settings may be "". */
static void write_public(const char *name, char fill, const char *settings)
{
	struct signing_key *key = make_key(fill);
	struct key_public public;
	char path[300];
	char *pem, *text;
	size_t size;

	key_public_of(key, &public);
	assert_int_equal(key_public_format(&public, &pem, &size), 0);
	assert_true(asprintf(&text, "%s%s", settings, pem) > 0);
	snprintf(path, sizeof(path), "trust/%s", name);
	scratch_write(&scratch, path, text);
	free(text);
	free(pem);
	key_free(key);
}

/* What the folder says of the key's signature of "seal" at that time; `who` and a part of `why` may be NULL. */
static void expect(struct trust *trust, char fill, int64_t time_s, enum trust_verdict verdict, const char *who,
		   const char *why)
{
	struct trust_finding finding;
	struct signature signature;
	struct digest digest;
	char *text;
	size_t size;
	int rc;

	make_signature(fill, "seal", &signature);
	digest_of("seal", &digest);
	assert_int_equal(signature_format(&signature, &text, &size), 0);
	rc = trust_check(trust, &digest, time_s * NS, text, size, &finding);
	free(text);
	if (finding.verdict != verdict)
		fail_msg("%s: %s", trust_verdict_name(finding.verdict), finding.why ? finding.why : "-");
	assert_int_equal(rc, verdict == TRUST_GOOD ? 0 : -EKEYREJECTED);
	if (who)
		assert_string_equal(finding.who, who);
	assert_int_equal(!finding.why, verdict == TRUST_GOOD);
	if (why && !strstr(finding.why, why))
		fail_msg("%s", finding.why);
	trust_finding_free(&finding);
}

static void trusted_key_is_good_and_others_are_not(void **unused)
{
	struct trust *trust;

	setup(NULL);
	write_public("alice.pub", 'a', "");
	write_public("b.pub", 'b', "sealfs-name: the build host\n");
	write_public("c.pem", 'c', "");
	write_public(".d.pub", 'd', "");
	write_public(".pub", 'e', "");
	trust = open_trust();
	assert_string_equal(reports, "");
	assert_int_equal(trust_count(trust), 2);
	expect(trust, 'a', 0, TRUST_GOOD, "alice", NULL);
	expect(trust, 'b', 0, TRUST_GOOD, "the build host", NULL);
	for (char fill = 'c'; fill <= 'e'; fill++) {
		struct signing_key *key = make_key(fill);
		struct key_public public;
		char text[KEY_TEXT_SIZE];

		key_public_of(key, &public);
		key_to_text(&public, text);
		expect(trust, fill, 0, TRUST_UNKNOWN, text, text);
		key_free(key);
	}
	trust_close(trust);
	trust_close(NULL);
	teardown(NULL);
}

static void unsigned_unreadable_and_forged_are_told_apart(void **unused)
{
	struct trust_finding finding;
	struct signature signature;
	struct digest digest, other;
	struct trust *trust;
	char *text;
	size_t size;

	setup(NULL);
	write_public("alice.pub", 'a', "");
	trust = open_trust();
	digest_of("seal", &digest);
	digest_of("another seal", &other);
	assert_int_equal(trust_check(trust, &digest, 0, NULL, 0, &finding), -EKEYREJECTED);
	assert_int_equal(finding.verdict, TRUST_UNSIGNED);
	assert_string_equal(finding.why, "it is not signed");
	assert_null(finding.who);
	trust_finding_free(&finding);
	make_signature('a', "seal", &signature);
	assert_int_equal(signature_format(&signature, &text, &size), 0);
	assert_int_equal(trust_check(trust, &digest, 0, text, size - 1, &finding), -EKEYREJECTED);
	assert_int_equal(finding.verdict, TRUST_UNREADABLE);
	trust_finding_free(&finding);
	assert_int_equal(trust_check(trust, &other, 0, text, size, &finding), -EKEYREJECTED);
	assert_int_equal(finding.verdict, TRUST_FORGED);
	assert_string_equal(finding.who, "alice");
	trust_finding_free(&finding);
	free(text);
	trust_close(trust);
	teardown(NULL);
}

static void seal_outside_of_the_keys_period_is_refused(void **unused)
{
	enum { FIRST = 1767225600, LAST = 1798761600 };
	struct trust *trust;

	setup(NULL);
	write_public("a.pub", 'a', "sealfs-not-before: 2026-01-01T00:00:00Z\nsealfs-not-after: 2027-01-01T00:00:00Z\n");
	write_public("b.pub", 'b', "sealfs-not-after: 2027-01-01T00:00:00Z\n");
	write_public("b2.pub", 'b', "sealfs-not-before: 2028-01-01T00:00:00Z\n");
	trust = open_trust();
	expect(trust, 'a', FIRST - 1, TRUST_NOT_YET, "a", "2026-01-01T00:00:00.000000000Z on");
	expect(trust, 'a', FIRST, TRUST_GOOD, "a", NULL);
	expect(trust, 'a', LAST, TRUST_GOOD, "a", NULL);
	expect(trust, 'a', LAST + 1, TRUST_EXPIRED, "a", "expired by policy");
	/* The key's second file continues it, after a year's pause. */
	expect(trust, 'b', 0, TRUST_GOOD, "b", NULL);
	expect(trust, 'b', LAST + 1, TRUST_EXPIRED, "b", NULL);
	expect(trust, 'b', LAST + 366 * 86400, TRUST_GOOD, "b2", NULL);
	trust_close(trust);
	teardown(NULL);
}

static void key_file_that_can_not_be_used_is_named_and_others_serve(void **unused)
{
	static const char *const bad[] = {"dir", "empty", "large", "link", "loose", "odd\\x1b", "torn", "typo"};
	struct trust *trust;
	char name[64];

	setup(NULL);
	write_public("alice.pub", 'a', "");
	write_public("loose.pub", 'l', "");
	write_public("typo.pub", 't', "sealfs-not-afer: 2027-01-01T00:00:00Z\n");
	must("cd $D/trust && chmod 666 loose.pub && mkdir dir.pub && : >empty.pub && ln -s nowhere link.pub && "
	     "head -c 100000 /dev/zero >large.pub && head -c 60 alice.pub >torn.pub && : >\"odd$(printf '\\033').pub\"");
	trust = open_trust();
	assert_int_equal(trust_count(trust), 1);
	for (size_t i = 0; i < COUNT(bad); i++) {
		snprintf(name, sizeof(name), "/%s.pub' is trusted for nothing: ", bad[i]);
		if (!strstr(reports, name))
			fail_msg("no report of %s in: %s", bad[i], reports);
	}
	assert_non_null(strstr(reports, "chmod o-w"));
	expect(trust, 'a', 0, TRUST_GOOD, "alice", NULL);
	expect(trust, 'l', 0, TRUST_UNKNOWN, NULL, NULL);
	expect(trust, 't', 0, TRUST_UNKNOWN, NULL, NULL);
	/* They are not named again and again. */
	reports[0] = '\0';
	assert_int_equal(trust_refresh(trust), 0);
	assert_string_equal(reports, "");
	trust_close(trust);
	teardown(NULL);
}

static void expect_no_trust(const char *name, int error, const char *part)
{
	struct trust *trust;
	char path[4096];
	char *why;

	scratch_path(&scratch, name, path);
	assert_int_equal(trust_open(path, NULL, NULL, &trust, &why), error);
	if (!why || !strstr(why, path) || !strstr(why, part))
		fail_msg("%s", why ? why : "-");
	free(why);
}

static void folder_that_can_not_be_read_is_no_trust_directory(void **unused)
{
	setup(NULL);
	expect_no_trust("nowhere", -ENOENT, "No such file");
	scratch_write(&scratch, "file", "");
	expect_no_trust("file", -ENOTDIR, "Not a directory");
	must("chmod 777 $D/trust");
	expect_no_trust("trust", -EPERM, "chmod o-w");
	must("chmod 1777 $D/trust");
	expect_no_trust("trust", -EPERM, "mode 1777");
	teardown(NULL);
}

static void folder_without_rights_is_no_trust_directory(void **unused)
{
	int status;
	pid_t pid;

	setup(NULL);
	must("chmod 755 $D && chmod 0 $D/trust");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char path[4096];
		struct trust *trust;
		char *why;

		if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(2);
		scratch_path(&scratch, "trust", path);
		_exit(trust_open(path, NULL, NULL, &trust, &why) == -EACCES && why && strstr(why, path) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	teardown(NULL);
}

static void revoked_key_is_not_trusted_any_more(void **unused)
{
	struct trust *trust;
	uint64_t before;

	setup(NULL);
	write_public("alice.pub", 'a', "");
	write_public("bob.pub", 'b', "");
	trust = open_trust();
	before = trust_generation(trust);
	assert_int_equal(trust_refresh(trust), 0);
	assert_int_equal(trust_generation(trust), before);
	must("rm $D/trust/alice.pub");
	/* Until it is looked at, the answers stay what they were. */
	expect(trust, 'a', 0, TRUST_GOOD, "alice", NULL);
	assert_int_equal(trust_refresh(trust), 1);
	assert_true(trust_generation(trust) > before);
	expect(trust, 'a', 0, TRUST_UNKNOWN, NULL, "is not in the trust directory");
	expect(trust, 'b', 0, TRUST_GOOD, "bob", NULL);
	write_public("alice.pub", 'a', "sealfs-not-before: 2026-01-01T00:00:00Z\n");
	assert_int_equal(trust_refresh(trust), 1);
	expect(trust, 'a', 0, TRUST_NOT_YET, "alice", NULL);
	trust_close(trust);
	teardown(NULL);
}

static void file_that_is_edited_in_place_is_noticed(void **unused)
{
	struct timespec pause = {.tv_sec = 2, .tv_nsec = 200000000};
	struct trust *trust;

	setup(NULL);
	write_public("alice.pub", 'a', "sealfs-not-after: 2026-01-01T00:00:00Z\n");
	/* So long that the times of the files tell a change. */
	nanosleep(&pause, NULL);
	trust = open_trust();
	assert_int_equal(trust_refresh(trust), 0);
	expect(trust, 'a', 0, TRUST_GOOD, "alice", NULL);
	/* Same size, same time of modification, folder untouched. */
	must("cd $D/trust && touch -r alice.pub ../time && printf 1965 | dd of=alice.pub bs=1 seek=18 conv=notrunc 2>/dev/null && "
	     "touch -r ../time alice.pub");
	assert_int_equal(trust_refresh(trust), 1);
	expect(trust, 'a', 0, TRUST_EXPIRED, "alice", NULL);
	must("chmod o+w $D/trust/alice.pub");
	assert_int_equal(trust_refresh(trust), 1);
	assert_non_null(strstr(reports, "alice.pub"));
	expect(trust, 'a', 0, TRUST_UNKNOWN, NULL, NULL);
	trust_close(trust);
	teardown(NULL);
}

static void folder_that_is_gone_is_trusted_for_nothing_until_it_is_back(void **unused)
{
	struct trust *trust;
	uint64_t before;

	setup(NULL);
	write_public("alice.pub", 'a', "");
	trust = open_trust();
	before = trust_generation(trust);
	must("mv $D/trust $D/away");
	assert_int_equal(trust_refresh(trust), -ENOENT);
	assert_int_equal(trust_refresh(trust), -ENOENT);
	assert_int_equal(trust_generation(trust), before + 1);
	assert_non_null(strstr(reports, "can not read the trust directory"));
	assert_null(strstr(strchr(reports, '\n'), "trust directory"));
	expect(trust, 'a', 0, TRUST_NOTHING, NULL, "so nothing is trusted: No such file");
	must("mkdir -m 777 $D/trust && cp $D/away/* $D/trust");
	assert_int_equal(trust_refresh(trust), -EPERM);
	expect(trust, 'a', 0, TRUST_NOTHING, NULL, "everybody may write");
	must("chmod 755 $D/trust");
	assert_int_equal(trust_refresh(trust), 1);
	expect(trust, 'a', 0, TRUST_GOOD, "alice", NULL);
	trust_close(trust);
	teardown(NULL);
}

/* --- seals -------------------------------------------------------------------------------------------------------------- */

static int seal_path(const char *path, unsigned int generation, const struct signing_key *key)
{
	struct seal_job job = {.path = path, .generation = generation, .trial = "t", .threads = 1, .key = key};
	int rc = seal_checkpoint(&scratch.store, &job);

	free(job.error_path);
	return rc;
}

/* What a mount does with a sealed checkpoint. */
static enum trust_verdict judge(struct trust *trust, const char *path)
{
	struct trust_finding finding;
	enum trust_verdict verdict;
	struct manifest manifest;
	struct state state;
	struct seal seal;
	char *text, *why;
	size_t size;

	assert_int_equal(state_read(&scratch.store, path, &state), 0);
	assert_int_equal(seal_load(&scratch.store, path, &state, &manifest, &seal, NULL), 0);
	if (state.has_end)
		assert_true(digest_equal(&seal.digest, &state.end.seal));
	assert_int_equal(signature_load(&scratch.store, path, &state, &text, &size, &why), 0);
	trust_check(trust, &seal.digest, seal.time_ns, text, size, &finding);
	verdict = finding.verdict;
	trust_finding_free(&finding);
	free(text);
	manifest_free(&manifest);
	seal_free(&seal);
	state_free(&state);
	return verdict;
}

static void signed_seal_is_good_and_so_is_its_copy(void **unused)
{
	struct signing_key *alice = make_key('a'), *mallory = make_key('m');
	struct trust *trust;

	setup(NULL);
	write_public("alice.pub", 'a', "");
	trust = open_trust();
	scratch_mkdir(&scratch, "c");
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	scratch_write(&scratch, "c/model", "weights");
	assert_int_equal(seal_path("c", 1, alice), 0);
	assert_int_equal(scratch_mode(&scratch, "c/.seal/signature"), 0644);
	assert_int_equal(judge(trust, "c"), TRUST_GOOD);
	scratch_write(&scratch, "f", "weights");
	assert_int_equal(scratch_claim(&scratch, "f", "t"), 0);
	assert_int_equal(seal_path("f", 1, alice), 0);
	assert_int_equal(judge(trust, "f"), TRUST_GOOD);
	scratch_write(&scratch, "g", "weights");
	assert_int_equal(scratch_claim(&scratch, "g", "t"), 0);
	assert_int_equal(seal_path("g", 1, NULL), 0);
	assert_false(scratch_exists(&scratch, ".g.seal/signature"));
	assert_int_equal(judge(trust, "g"), TRUST_UNSIGNED);
	scratch_write(&scratch, "h", "weights");
	assert_int_equal(scratch_claim(&scratch, "h", "t"), 0);
	assert_int_equal(seal_path("h", 1, mallory), 0);
	assert_int_equal(judge(trust, "h"), TRUST_UNKNOWN);
	must("cd $D && cp -a c copy && cp -a c forged && cp .f.seal/signature forged/.seal/ && "
	     "cp -a c without && rm without/.seal/signature && cp -a c empty && : >empty/.seal/signature && "
	     "cp -a c torn && truncate -s -1 torn/.seal/signature");
	assert_int_equal(judge(trust, "copy"), TRUST_GOOD);
	assert_int_equal(judge(trust, "forged"), TRUST_FORGED);
	assert_int_equal(judge(trust, "without"), TRUST_UNSIGNED);
	assert_int_equal(judge(trust, "empty"), TRUST_UNSIGNED);
	assert_int_equal(judge(trust, "torn"), TRUST_UNREADABLE);
	trust_close(trust);
	key_free(alice);
	key_free(mallory);
	teardown(NULL);
}

static void signature_of_an_earlier_attempt_does_not_stay(void **unused)
{
	struct signing_key *alice = make_key('a');
	struct trust *trust;

	setup(NULL);
	write_public("alice.pub", 'a', "");
	trust = open_trust();
	for (int with_key = 0; with_key < 2; with_key++) {
		const char *path = with_key ? "c" : "d";

		scratch_mkdir(&scratch, path);
		assert_int_equal(scratch_claim(&scratch, path, "t"), 0);
		must(with_key ? "mkdir $D/c/.seal; echo left >$D/c/.seal/signature"
			      : "mkdir $D/d/.seal; echo left >$D/d/.seal/signature");
		assert_int_equal(seal_path(path, 1, with_key ? alice : NULL), 0);
		assert_int_equal(judge(trust, path), with_key ? TRUST_GOOD : TRUST_UNSIGNED);
	}
	must("! ls -A $D/[cd]/.seal | grep '^[.]n'");
	trust_close(trust);
	key_free(alice);
	teardown(NULL);
}

static void what_can_not_be_a_signature_is_rejected(void **unused)
{
	static const struct {
		const char *command, *why;
	} cases[] = {
		{"head -c 5000 /dev/zero >$D/c/.seal/signature", "too large"},
		{"rm $D/c/.seal/signature; mkdir $D/c/.seal/signature", "not a regular file"},
		{"rm -r $D/c/.seal/signature; ln -s seal $D/c/.seal/signature", "not a regular file"},
		{"rm $D/c/.seal/signature; mkfifo $D/c/.seal/signature", "not a regular file"},
	};
	struct signing_key *alice = make_key('a');
	struct state state;

	setup(NULL);
	scratch_mkdir(&scratch, "c");
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_int_equal(seal_path("c", 1, alice), 0);
	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text, *why;
		size_t size;

		must(cases[i].command);
		assert_int_equal(signature_load(&scratch.store, "c", &state, &text, &size, &why), -EKEYREJECTED);
		assert_non_null(strstr(why, cases[i].why));
		assert_null(text);
		free(why);
	}
	state_free(&state);
	key_free(alice);
	teardown(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_those_of_rfc_8032),
		cmocka_unit_test(second_signature_is_not_made_from_the_first),
		cmocka_unit_test(keys_survive_their_text),
		cmocka_unit_test(statement_is_what_the_format_says),
		cmocka_unit_test(signature_survives_its_text),
		cmocka_unit_test(flipped_bit_of_the_file_is_refused),
		cmocka_unit_test(flipped_bit_of_key_or_signature_is_refused),
		cmocka_unit_test(flipped_bit_of_the_statement_is_refused),
		cmocka_unit_test(other_texts_of_a_signature_are_refused),
		cmocka_unit_test(upper_case_is_refused),
		cmocka_unit_test(private_key_is_read_when_it_is_private),
		cmocka_unit_test(loose_permissions_of_a_private_key_are_refused),
		cmocka_unit_test(private_key_of_another_user_is_refused),
		cmocka_unit_test(what_is_no_private_key_is_refused),
		cmocka_unit_test(private_key_with_a_passphrase_is_refused_without_asking),
		cmocka_unit_test(openssl_reads_our_keys_and_checks_our_signatures),
		cmocka_unit_test(keys_and_signatures_of_openssl_are_good),
		cmocka_unit_test(settings_of_a_public_key_are_read_strictly),
		cmocka_unit_test(public_key_file_survives_its_text),
		cmocka_unit_test(trusted_key_is_good_and_others_are_not),
		cmocka_unit_test(unsigned_unreadable_and_forged_are_told_apart),
		cmocka_unit_test(seal_outside_of_the_keys_period_is_refused),
		cmocka_unit_test(key_file_that_can_not_be_used_is_named_and_others_serve),
		cmocka_unit_test(folder_that_can_not_be_read_is_no_trust_directory),
		cmocka_unit_test(folder_without_rights_is_no_trust_directory),
		cmocka_unit_test(revoked_key_is_not_trusted_any_more),
		cmocka_unit_test(file_that_is_edited_in_place_is_noticed),
		cmocka_unit_test(folder_that_is_gone_is_trusted_for_nothing_until_it_is_back),
		cmocka_unit_test(signed_seal_is_good_and_so_is_its_copy),
		cmocka_unit_test(signature_of_an_earlier_attempt_does_not_stay),
		cmocka_unit_test(what_can_not_be_a_signature_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
