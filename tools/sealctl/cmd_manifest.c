#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "export.h"
#include "report.h"
#include "sealfs/manifest.h"
#include "sealfs/seal.h"
#include "subject.h"

#define VERB "show the manifest of"

enum form { FORM_TEXT, FORM_FSVERITY, FORM_JSON };

/* A manifest that was checked against its root digest. */
struct listing {
	const char *path; /* the checkpoint */
	struct manifest manifest;
	struct digest root;
};

static int finish(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_GOOD;
	report_note("cannot write to standard output: %s", strerror(errno));
	return EXIT_ERROR;
}

/* A manifest that can be parsed has one form only, so this is what is stored, byte for byte. */
static int print_text(const struct listing *listing)
{
	AUTO_FREE char *text = NULL;
	struct digest root;
	size_t size;

	if (manifest_format(&listing->manifest, &text, &size, &root))
		return EXIT_ERROR;
	fwrite(text, 1, size, stdout);
	return finish();
}

/* As `fsverity digest` prints it when it is run in the checkpoint: names as they are. */
static int print_fsverity(const struct listing *listing)
{
	char hex[DIGEST_HEX_SIZE];
	const char *slash = strrchr(listing->path, '/');
	const char *itself = slash ? slash + 1 : listing->path;

	for (size_t i = 0; i < listing->manifest.count; i++) {
		const struct manifest_entry *entry = &listing->manifest.entries[i];

		if (entry->type != MANIFEST_FILE)
			continue;
		digest_to_hex(&entry->digest, hex);
		printf("sha256:%s %s\n", hex, strcmp(entry->path, ".") ? entry->path : itself);
	}
	return finish();
}

static json_t *digest_json(const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(digest, hex);
	return json_sprintf("sha256:%s", hex);
}

static json_t *entry_json(const struct manifest_entry *entry)
{
	static const char *const types[] = {
		[MANIFEST_FILE] = "file", [MANIFEST_DIR] = "dir", [MANIFEST_SYMLINK] = "symlink"};
	json_t *object = json_pack("{s:o, s:s, s:I}", "path", report_json_path(entry->path), "type", types[entry->type],
				   "size", (json_int_t)entry->size);

	if (entry->type == MANIFEST_FILE) {
		json_object_set_new(object, "digest", digest_json(&entry->digest));
		json_object_set_new(object, "executable", json_boolean(entry->executable));
	}
	if (entry->type == MANIFEST_SYMLINK)
		json_object_set_new(object, "target", report_json_path(entry->target));
	return object;
}

static int print_json(const struct listing *listing)
{
	json_t *entries = json_array();
	json_auto_t *object = json_pack("{s:o, s:o, s:o}", "path", report_json_path(listing->path), "root",
					digest_json(&listing->root), "entries", entries);

	for (size_t i = 0; object && i < listing->manifest.count; i++)
		if (json_array_append_new(entries, entry_json(&listing->manifest.entries[i])))
			return EXIT_ERROR;
	return object ? report_print_json(object) : EXIT_ERROR;
}

static int (*const printers[])(const struct listing *listing) = {
	[FORM_TEXT] = print_text,
	[FORM_FSVERITY] = print_fsverity,
	[FORM_JSON] = print_json,
};

/* 0 or -errno; *why is allocated or NULL. */
static int load(const struct subject *subject, const char *path, struct listing *listing, char **why)
{
	CLEANUP(state_free) struct state state = {0};
	CLEANUP(seal_free) struct seal seal = {0};
	int error = state_read(&subject->store, path, &state);

	if (error)
		return error;
	if (state.kind != STATE_SEALED) {
		AUTO_FREE char *text = export_describe(&state);

		if (asprintf(why, "%s; only what is sealed has a manifest", text ? text : "it is not sealed") < 0)
			*why = NULL;
		return state.kind == STATE_DAMAGED ? -EBADMSG : -EINVAL;
	}
	error = seal_load(&subject->store, path, &state, &listing->manifest, &seal, why);
	listing->path = path;
	listing->root = seal.root;
	return error;
}

static int show(const char *given, enum form form)
{
	CLEANUP(subject_free) struct subject subject = SUBJECT_INIT;
	struct listing listing = {0};
	AUTO_FREE char *why = NULL;
	int status = subject_open(VERB, given, &subject), error;

	if (status)
		return status;
	if (subject.whole)
		return report_failure(VERB, given, -EINVAL,
				      "more than one checkpoint may lie there; name one, 'sealctl status' shows them");
	error = load(&subject, subject.checkpoints.paths[0], &listing, &why);
	status = error ? report_failure(VERB, given, error, why) : printers[form](&listing);
	manifest_free(&listing.manifest);
	return status;
}

int cmd_manifest(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"fsverity", no_argument, NULL, 'f'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	enum form form = FORM_TEXT;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option == '?')
			return report_usage(self, NULL);
		if (form != FORM_TEXT)
			return report_usage(self, "--json and --fsverity cannot be combined");
		form = option == 'j' ? FORM_JSON : FORM_FSVERITY;
	}
	if (argc - optind != 1)
		return report_usage(self, "exactly one PATH is needed");
	return show(argv[optind], form);
}
