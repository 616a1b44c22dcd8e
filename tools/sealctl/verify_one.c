#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "export.h"
#include "report.h"
#include "sealfs/manifest.h"
#include "sealfs/seal.h"
#include "verify.h"

/* One checkpoint while it is checked. */
struct checking {
	struct verify *verify;
	const struct subject *subject;
	const char *path;
	struct state state;
	struct manifest manifest;
	struct seal seal;
	json_t *out, *faults;
};

static void checking_free(struct checking *checking)
{
	state_free(&checking->state);
	manifest_free(&checking->manifest);
	seal_free(&checking->seal);
}

static void add_fault(struct checking *checking, const struct seal_fault *fault, const char *why)
{
	json_t *first = fault->blocks_known ? json_integer((json_int_t)fault->first_block) : json_null();
	json_t *last = fault->blocks_known ? json_integer((json_int_t)fault->last_block) : json_null();

	json_array_append_new(checking->faults,
			      json_pack("{s:o, s:o, s:o, s:o}", "path", report_json_path(fault->path), "why",
					report_json_text(why), "first_block", first, "last_block", last));
}

static void note_fault(void *arg, const struct seal_fault *fault)
{
	AUTO_FREE char *why = NULL;

	if (fault->error && asprintf(&why, "%s: %s", fault->why, strerror(fault->error)) < 0)
		why = NULL;
	add_fault(arg, fault, why ? why : fault->why);
}

/* What is wrong with the seal or the state and not with one of the files. */
static int fail_whole(struct checking *checking, const char *where, const char *why)
{
	add_fault(checking, &(struct seal_fault){.path = where}, why);
	return EXIT_MISMATCH;
}

static int fail_with(struct checking *checking, int error, const char *why)
{
	json_object_set_new(checking->out, "error", report_json_text(why ? why : strerror(-error)));
	return report_status(error);
}

/* The seal says how much there is, too; for a copy nothing vouches for that but the manifest. */
static int check_sums(struct checking *checking)
{
	uint64_t files = 0, bytes = 0;

	for (size_t i = 0; i < checking->manifest.count; i++) {
		const struct manifest_entry *entry = &checking->manifest.entries[i];

		files += entry->type == MANIFEST_FILE;
		bytes += entry->type == MANIFEST_FILE ? entry->size : 0;
	}
	if (files == checking->seal.files && bytes == checking->seal.bytes)
		return EXIT_GOOD;
	return fail_whole(checking, ".seal", "the seal counts other files or bytes than the manifest");
}

static void describe(struct checking *checking)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(&checking->seal.root, hex);
	json_object_set_new(checking->out, "root", json_sprintf("sha256:%s", hex));
	json_object_set_new(checking->out, "files", json_integer((json_int_t)checking->seal.files));
	json_object_set_new(checking->out, "bytes", json_integer((json_int_t)checking->seal.bytes));
	checking->verify->files += checking->seal.files;
	checking->verify->bytes += checking->seal.bytes;
}

/* The config's globs and those of the command line. Allocated, the strings are not; NULL when memory is out. */
static char **all_globs(const struct checking *checking)
{
	char *const *lists[] = {subject_live(checking->subject), checking->verify->live};
	char **all;
	size_t count = 0;

	for (int i = 0; i < 2; i++)
		for (char *const *at = lists[i]; at && *at; at++)
			count++;
	all = calloc(count + 1, sizeof(*all));
	count = 0;
	for (int i = 0; i < 2 && all; i++)
		for (char *const *at = lists[i]; at && *at; at++)
			all[count++] = *at;
	return all;
}

static int compare(struct checking *checking)
{
	struct verify *verify = checking->verify;
	const struct store *store = &checking->subject->store;
	struct digest_progress progress = {.bytes_done = &verify->bytes_done, .cancel = verify->cancel};
	AUTO_FREE char **live = all_globs(checking);

	if (!live)
		return -ENOMEM;
	if (verify->quick)
		return seal_verify_quick(store, store->root, checking->path, &checking->manifest, live, note_fault,
					 checking);
	return seal_verify(store, store->root, checking->path, &checking->manifest, live, verify->threads, &progress,
			   note_fault, checking);
}

/* What can not be read is an error that says so; what can be read and differs weighs more. */
static int judge(struct checking *checking, int result)
{
	size_t unreadable = 0, i;
	json_t *fault;

	json_array_foreach(checking->faults, i, fault) unreadable +=
		!strncmp(report_string(fault, "why"), "can not be read", strlen("can not be read"));
	if (result == -ENOENT)
		return fail_whole(checking, ".", "the data is missing");
	if (result < 0)
		fail_with(checking, result, NULL);
	if (json_array_size(checking->faults) > unreadable)
		return EXIT_MISMATCH;
	return result < 0 ? EXIT_ERROR : EXIT_GOOD;
}

static int check_signature(struct checking *checking)
{
	AUTO_FREE char *why = NULL;
	int error = verify_signed(checking->verify, &checking->subject->store, checking->path, &checking->state, &checking->seal,
				  checking->out, &why);

	if (error == -EKEYREJECTED)
		return fail_whole(checking, ".seal/signature", why ? why : strerror(-error));
	return error ? fail_with(checking, error, why) : EXIT_GOOD;
}

static int check_sealed(struct checking *checking)
{
	AUTO_FREE char *why = NULL;
	int error = seal_load(&checking->subject->store, checking->path, &checking->state, &checking->manifest,
			      &checking->seal, &why);

	if (error == -EBADMSG)
		return fail_whole(checking, ".seal", why ? why : strerror(-error));
	if (error)
		return fail_with(checking, error, why);
	describe(checking);
	error = report_worse(check_signature(checking), check_sums(checking));
	return report_worse(error, judge(checking, compare(checking)));
}

static int begin(struct checking *checking)
{
	AUTO_FREE char *shown = subject_shown(checking->subject, checking->path);

	checking->faults = json_array();
	checking->out = json_pack(
		"{s:o, s:o, s:b, s:s, s:n, s:n, s:n, s:n, s:n, s:o}", "path", report_json_path(checking->path),
		subject_kind_name(checking->subject), report_json_path(checking->subject->root), "ok", 0, "against",
		checking->state.travelled || checking->subject->kind == SUBJECT_COPY ? "seal" : "record", "root",
		"signed_by", "files", "bytes", "error", "faults", checking->faults);
	return shown && checking->out ? 0 : -ENOMEM;
}

static int refuse(struct checking *checking)
{
	AUTO_FREE char *state = export_describe(&checking->state), *text = NULL;

	if (!state || asprintf(&text, "%s; only what is sealed can be verified", state) < 0)
		text = NULL;
	fail_with(checking, -EINVAL, text);
	return EXIT_ERROR;
}

static int check_state(struct checking *checking)
{
	AUTO_FREE char *text = NULL;

	switch (checking->state.kind) {
	case STATE_SEALED:
		return check_sealed(checking);
	case STATE_DAMAGED:
		text = export_describe(&checking->state);
		return fail_whole(checking, ".", text ? text : "it is damaged");
	default:
		return refuse(checking);
	}
}

static void count_skipped(struct verify *verify, enum state_kind kind)
{
	json_int_t so_far = json_integer_value(json_object_get(verify->skipped, state_name(kind)));

	json_object_set_new(verify->skipped, state_name(kind), json_integer(so_far + 1));
}

static void count(struct verify *verify, int status)
{
	verify->good += status == EXIT_GOOD;
	verify->failed += status == EXIT_MISMATCH;
	verify->errors += status != EXIT_GOOD && status != EXIT_MISMATCH;
}

int verify_one(struct verify *verify, const struct subject *subject, const char *path, json_t **out)
{
	CLEANUP(checking_free)
	struct checking checking = {.verify = verify, .subject = subject, .path = path};
	int error = state_read(&subject->store, path, &checking.state), status;

	*out = NULL;
	if (!error && subject->whole && checking.state.kind != STATE_SEALED && checking.state.kind != STATE_DAMAGED) {
		count_skipped(verify, checking.state.kind);
		return EXIT_GOOD;
	}
	if (begin(&checking))
		return EXIT_ERROR;
	status = error ? fail_with(&checking, error, NULL) : check_state(&checking);
	json_object_set_new(checking.out, "ok", json_boolean(status == EXIT_GOOD));
	count(verify, status);
	*out = checking.out;
	return status;
}

uint64_t verify_measure(const struct subject *subject, const char *path)
{
	CLEANUP(state_free) struct state state = {0};
	CLEANUP(manifest_free) struct manifest manifest = {0};
	CLEANUP(seal_free) struct seal seal = {0};

	if (state_read(&subject->store, path, &state) ||
	    seal_load(&subject->store, path, &state, &manifest, &seal, NULL))
		return 0;
	return seal.bytes;
}
