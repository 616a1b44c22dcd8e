/*
 * test_signature - keys, signatures and whom to trust
 */
#include "scratch.h"

#include "sealfs/key.h"
#include "sealfs/record.h"
#include "sealfs/signature.h"
#include "sealfs/trust.h"

static struct scratch scratch;

static int setup(void **state)
{
	scratch_open(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static void from_hex(const char *hex, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
}

/* RFC 8032, section 7.1: seed, public key, message, signature. */
static const char *const vectors[][4] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void primitive_is_that_of_rfc_8032(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t seed[KEY_SIZE], message[8], expected[KEY_SIGNATURE_SIZE], signature[KEY_SIGNATURE_SIZE];
		size_t size = strlen(vectors[i][2]) / 2;
		struct signing_key *key;
		struct key_public public, known;

		from_hex(vectors[i][0], seed, sizeof(seed));
		from_hex(vectors[i][1], known.bytes, KEY_SIZE);
		from_hex(vectors[i][2], message, size);
		from_hex(vectors[i][3], expected, sizeof(expected));
		assert_int_equal(key_from_seed(seed, &key), 0);
		key_public_of(key, &public);
		assert_true(key_equal(&public, &known));
		assert_int_equal(key_sign(key, message, size, signature), 0);
		assert_memory_equal(signature, expected, sizeof(expected));
		assert_int_equal(key_check(&known, message, size, signature), 0);
		signature[i] ^= 1;
		assert_int_equal(key_check(&known, message, size, signature), -EKEYREJECTED);
		key_free(key);
	}
}

/* A key, and its signature of the seal "seal". */
struct sample {
	struct signing_key *key;
	struct key_public public;
	struct digest seal;
	char *text;
	size_t size;
};

static void sample_make(struct sample *sample)
{
	struct signature signature;

	assert_int_equal(key_generate(&sample->key), 0);
	key_public_of(sample->key, &sample->public);
	digest_sha256("seal", 4, &sample->seal);
	assert_int_equal(signature_sign(sample->key, &sample->seal, &signature), 0);
	assert_int_equal(signature_format(&signature, &sample->text, &sample->size), 0);
}

static void sample_free(struct sample *sample)
{
	key_free(sample->key);
	free(sample->text);
}

static int judge(struct sample *sample, struct trust *trust, const char *text, int64_t time_ns, enum trust_verdict expected)
{
	struct trust_finding finding;
	int rc = trust_check(trust, &sample->seal, time_ns, text, text ? sample->size : 0, &finding);

	if (finding.verdict != expected)
		fail_msg("%s: %s, not %s", finding.why ? finding.why : "good", trust_verdict_name(finding.verdict), trust_verdict_name(expected));
	assert_int_equal(rc, expected == TRUST_GOOD ? 0 : -EKEYREJECTED);
	assert_int_equal(finding.why == NULL, expected == TRUST_GOOD);
	trust_finding_free(&finding);
	return rc;
}

static void write_key(const struct trust_key *key, const char *name)
{
	char *text;
	size_t size;

	assert_int_equal(trust_key_format(key, &text, &size), 0);
	scratch_write_bytes(&scratch, name, text, size);
	free(text);
}

static struct trust_key for_ever(const struct sample *sample)
{
	return (struct trust_key){.key = sample->public, .not_before_ns = INT64_MIN, .not_after_ns = INT64_MAX};
}

static struct trust *open_trust(void)
{
	struct trust *trust = NULL;
	char *why = NULL;

	if (trust_open(scratch.dir, NULL, NULL, &trust, &why) != 0)
		fail_msg("%s", why ? why : "?");
	return trust;
}

static void signature_is_read_as_it_was_written(void **state)
{
	struct sample sample;
	struct signature signature;

	sample_make(&sample);
	assert_int_equal(signature_parse(sample.text, sample.size, &signature, NULL), 0);
	assert_true(key_equal(&signature.key, &sample.public));
	assert_int_equal(signature_check(&signature, &sample.seal), 0);
	sample_free(&sample);
}

static void every_flipped_bit_is_refused(void **state)
{
	struct sample sample;
	struct signature signature;

	sample_make(&sample);
	for (size_t i = 0; i < sample.size * 8; i++) {
		sample.text[i / 8] ^= (char)(1 << i % 8);
		assert_true(signature_parse(sample.text, sample.size, &signature, NULL) < 0);
		sample.text[i / 8] ^= (char)(1 << i % 8);
	}
	for (size_t size = 0; size < sample.size; size++)
		assert_true(signature_parse(sample.text, size, &signature, NULL) < 0);
	assert_int_equal(signature_parse(sample.text, sample.size, &signature, NULL), 0);
	for (size_t i = 0; i < DIGEST_SIZE * 8; i++) {
		sample.seal.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(signature_check(&signature, &sample.seal), -EKEYREJECTED);
		sample.seal.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	sample_free(&sample);
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	char command[4096];
	va_list args;
	int length = snprintf(command, sizeof(command), "cd %s && ", scratch.dir);

	va_start(args, format);
	vsnprintf(command + length, sizeof(command) - (size_t)length, format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* As sealfs(5) tells how. */
static void stock_tool_checks_what_we_sign_and_reads_our_keys(void **state)
{
	char statement[SIGNATURE_STATEMENT_SIZE + 1], *text;
	struct signature signature;
	struct sample sample;
	size_t size;

	if (system("command -v openssl >/dev/null 2>&1") != 0)
		skip();
	sample_make(&sample);
	assert_int_equal(signature_parse(sample.text, sample.size, &signature, NULL), 0);
	signature_statement(&sample.seal, statement);
	assert_int_equal(strlen(statement), SIGNATURE_STATEMENT_SIZE);
	scratch_write(&scratch, "statement", statement);
	scratch_write_bytes(&scratch, "binary", signature.bytes, KEY_SIGNATURE_SIZE);
	struct trust_key key = for_ever(&sample);
	key.name = (char *)"signer of all";
	write_key(&key, "signer.pub");
	run("openssl pkeyutl -verify -pubin -inkey signer.pub -rawin -in statement -sigfile binary >/dev/null");
	run("! openssl pkeyutl -verify -pubin -inkey signer.pub -rawin -in signer.pub -sigfile binary >/dev/null");
	assert_int_equal(key_private_format(sample.key, &text, &size), 0);
	scratch_write_bytes(&scratch, "private", text, size);
	key_text_free(text, size);
	run("openssl pkeyutl -sign -inkey private -rawin -in statement -out theirs && cmp theirs binary");
	sample_free(&sample);
}

static void keys_of_the_stock_tool_are_read(void **state)
{
	struct signing_key *key = NULL;
	char path[4096], *why = NULL;
	struct key_public public, known;
	struct trust_key trusted;
	char *text;

	if (system("command -v openssl >/dev/null 2>&1") != 0)
		skip();
	run("rm -f *; umask 077; openssl genpkey -algorithm ed25519 -out key && openssl pkey -in key -pubout -out key.pub");
	scratch_path(&scratch, "key", path);
	assert_int_equal(key_private_load(path, &key, &why), 0);
	key_public_of(key, &known);
	text = scratch_read(&scratch, "key.pub");
	assert_int_equal(key_public_parse(text, strlen(text), &public, NULL), 0);
	assert_true(key_equal(&public, &known));
	assert_int_equal(trust_key_parse(text, strlen(text), "key", &trusted, NULL), 0);
	assert_string_equal(trusted.name, "key");
	trust_key_free(&trusted);
	free(text);
	key_free(key);
	run("openssl genpkey -algorithm RSA -out rsa 2>/dev/null; chmod 600 rsa; head -c 100 key >torn; chmod 600 torn; : >empty; chmod 600 empty");
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"rsa", "torn", "empty"};

		scratch_path(&scratch, names[i], path);
		assert_int_equal(key_private_load(path, &key, &why), -EBADMSG);
		assert_non_null(strstr(why, path));
		free(why);
	}
}

static void private_key_that_others_could_read_is_refused(void **state)
{
	static const mode_t modes[] = {0644, 0640, 0604, 0660, 0601, 0400, 0600};
	struct signing_key *key, *made;
	char path[4096], *why, *text;
	size_t size;

	assert_int_equal(key_generate(&made), 0);
	assert_int_equal(key_private_format(made, &text, &size), 0);
	scratch_write_bytes(&scratch, "mine", text, size);
	scratch_path(&scratch, "mine", path);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		if (modes[i] & 077) {
			assert_int_equal(key_private_load(path, &key, &why), -EPERM);
			assert_non_null(strstr(why, "chmod 600"));
			free(why);
		} else {
			assert_int_equal(key_private_load(path, &key, &why), 0);
			key_free(key);
		}
	}
	key_text_free(text, size);
	key_free(made);
}

static void only_trusted_keys_count_and_only_in_their_time(void **state)
{
	struct sample sample;
	struct trust *trust;
	struct trust_key key;

	run("rm -rf * .*.pub 2>/dev/null || :");
	sample_make(&sample);
	trust = open_trust();
	assert_int_equal(trust_count(trust), 0);
	judge(&sample, trust, sample.text, 0, TRUST_UNKNOWN);
	judge(&sample, trust, NULL, 0, TRUST_UNSIGNED);
	key = for_ever(&sample);
	write_key(&key, "a.pub");
	assert_int_equal(trust_refresh(trust), 1);
	judge(&sample, trust, sample.text, 0, TRUST_GOOD);
	sample.seal.bytes[0] ^= 1;
	judge(&sample, trust, sample.text, 0, TRUST_FORGED);
	sample.seal.bytes[0] ^= 1;
	sample.text[30] ^= 1;
	judge(&sample, trust, sample.text, 0, TRUST_UNREADABLE);
	sample.text[30] ^= 1;
	/* a period, changed in place */
	key.not_before_ns = INT64_C(1000000000) * 1000;
	key.not_after_ns = INT64_C(1000000000) * 2000;
	write_key(&key, "a.pub");
	assert_int_equal(trust_refresh(trust), 1);
	judge(&sample, trust, sample.text, INT64_C(999999999999), TRUST_NOT_YET);
	judge(&sample, trust, sample.text, key.not_before_ns, TRUST_GOOD);
	judge(&sample, trust, sample.text, key.not_after_ns, TRUST_GOOD);
	judge(&sample, trust, sample.text, key.not_after_ns + 1, TRUST_EXPIRED);
	/* revoked */
	run("rm a.pub");
	assert_int_equal(trust_refresh(trust), 1);
	judge(&sample, trust, sample.text, key.not_before_ns, TRUST_UNKNOWN);
	assert_int_equal(trust_refresh(trust), 0);
	trust_close(trust);
	sample_free(&sample);
}

static unsigned int complaints;

static void complain(void *arg, const char *sentence)
{
	assert_non_null(strstr(sentence, arg));
	complaints++;
}

static void key_file_that_cannot_be_used_is_named_and_the_others_serve(void **state)
{
	struct sample sample;
	struct trust *trust;
	struct trust_key key;
	char *why;

	run("rm -rf * .*.pub 2>/dev/null || :");
	sample_make(&sample);
	key = for_ever(&sample);
	write_key(&key, "good.pub");
	write_key(&key, ".hidden.pub");
	run("cp good.pub other; echo nonsense >broken.pub");
	complaints = 0;
	assert_int_equal(trust_open(scratch.dir, complain, (void *)"broken.pub", &trust, &why), 0);
	assert_int_equal(complaints, 1);
	assert_int_equal(trust_count(trust), 1);
	judge(&sample, trust, sample.text, 0, TRUST_GOOD);
	trust_close(trust);
	run("rm broken.pub; (echo 'sealfs-not-after: soon'; cat good.pub) >slip.pub");
	assert_int_equal(trust_open(scratch.dir, complain, (void *)"slip.pub", &trust, &why), 0);
	assert_int_equal(complaints, 2);
	trust_close(trust);
	run("rm slip.pub; chmod 666 good.pub");
	assert_int_equal(trust_open(scratch.dir, complain, (void *)"good.pub", &trust, &why), 0);
	assert_int_equal(complaints, 3);
	assert_int_equal(trust_count(trust), 0);
	trust_close(trust);
	sample_free(&sample);
}

static void folder_that_all_may_write_or_nobody_can_read_is_no_trust(void **state)
{
	struct trust *trust = NULL;
	char *why = NULL, path[4096];

	run("rm -rf *; mkdir open && chmod 777 open");
	scratch_path(&scratch, "open", path);
	assert_int_equal(trust_open(path, NULL, NULL, &trust, &why), -EPERM);
	assert_non_null(strstr(why, path));
	free(why);
	scratch_path(&scratch, "missing", path);
	assert_int_equal(trust_open(path, NULL, NULL, &trust, &why), -ENOENT);
	free(why);
	assert_null(trust);
}

static void folder_that_goes_away_takes_the_trust_with_it(void **state)
{
	struct sample sample;
	struct trust *trust = NULL;
	struct trust_key key;
	char *why, path[4096];

	run("rm -rf *; mkdir keys");
	sample_make(&sample);
	key = for_ever(&sample);
	write_key(&key, "keys/a.pub");
	scratch_path(&scratch, "keys", path);
	assert_int_equal(trust_open(path, NULL, NULL, &trust, &why), 0);
	judge(&sample, trust, sample.text, 0, TRUST_GOOD);
	run("mv keys gone");
	assert_true(trust_refresh(trust) < 0);
	judge(&sample, trust, sample.text, 0, TRUST_NOTHING);
	run("mv gone keys");
	assert_int_equal(trust_refresh(trust), 1);
	judge(&sample, trust, sample.text, 0, TRUST_GOOD);
	trust_close(trust);
	sample_free(&sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(primitive_is_that_of_rfc_8032),
		cmocka_unit_test(signature_is_read_as_it_was_written),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(stock_tool_checks_what_we_sign_and_reads_our_keys),
		cmocka_unit_test(keys_of_the_stock_tool_are_read),
		cmocka_unit_test(private_key_that_others_could_read_is_refused),
		cmocka_unit_test(only_trusted_keys_count_and_only_in_their_time),
		cmocka_unit_test(key_file_that_cannot_be_used_is_named_and_the_others_serve),
		cmocka_unit_test(folder_that_all_may_write_or_nobody_can_read_is_no_trust),
		cmocka_unit_test(folder_that_goes_away_takes_the_trust_with_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
