/*
 * test_seal - sealing, loading, verifying; and all that must not be sealed or believed
 */
#include "sealfs/seal.h"

#include <sys/wait.h>

#include "scratch.h"

static struct scratch scratch;

static int setup(void **state)
{
	umask(022);
	scratch_open_export(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static void job_for(struct seal_job *job, const char *path, unsigned int generation)
{
	*job = (struct seal_job){.path = path, .generation = generation, .trial = "t", .pid = 1, .threads = 2};
}

static int seal_path(const char *path, unsigned int generation)
{
	struct seal_job job;
	int rc;

	job_for(&job, path, generation);
	rc = seal_checkpoint(&scratch.store, &job);
	free(job.error_path);
	return rc;
}

static void make_open(const char *path)
{
	char name[300];

	scratch_mkdir(&scratch, path);
	assert_int_equal(scratch_claim(&scratch, path, "t"), 0);
	snprintf(name, sizeof(name), "%s/sub", path);
	scratch_mkdir(&scratch, name);
	snprintf(name, sizeof(name), "%s/model.pt", path);
	scratch_write(&scratch, name, "weights");
	snprintf(name, sizeof(name), "%s/sub/opt\xff", path);
	scratch_write(&scratch, name, "moments");
	snprintf(name, sizeof(name), "%s/%s/latest", scratch.dir, path);
	assert_int_equal(symlink("model.pt", name), 0);
	snprintf(name, sizeof(name), "%s/%s/model.pt", scratch.dir, path);
	assert_int_equal(chmod(name, 0744), 0);
}

struct faults {
	int count;
	char text[4096];
};

static void note_fault(void *arg, const struct seal_fault *fault)
{
	struct faults *faults = arg;

	faults->count++;
	strcat(faults->text, fault->path);
	strcat(faults->text, ": ");
	strcat(faults->text, fault->why);
	strcat(faults->text, ";");
}

static int load(const char *path, struct manifest *manifest, struct seal *seal, char **why)
{
	struct state state;
	int rc;

	assert_int_equal(state_read(&scratch.store, path, &state), 0);
	rc = seal_load(&scratch.store, path, &state, manifest, seal, why);
	state_free(&state);
	return rc;
}

static int verify(const char *path, struct faults *faults)
{
	struct manifest manifest;
	int rc;

	*faults = (struct faults){0};
	assert_int_equal(load(path, &manifest, NULL, NULL), 0);
	rc = seal_verify(&scratch.store, scratch.store.root, path, &manifest, NULL, 2, NULL, note_fault, faults);
	manifest_free(&manifest);
	return rc;
}

static void sealed_checkpoint_loads_and_verifies(void **unused)
{
	struct digest parent_root;
	struct seal_parent parents[2] = {{.path = (char *)"run1/t 3"}, {.path = (char *)"run1/t2"}};
	atomic_uint_least64_t done = 0, total = 0;
	struct manifest manifest;
	struct seal_job job;
	struct faults faults;
	struct state state;
	struct digest root;
	struct seal seal;
	char *why;

	setup(NULL);
	make_open("c");
	digest_sha256("p", 1, &parent_root);
	parents[0].root = parents[1].root = parent_root;
	job_for(&job, "c", 1);
	job.parents = parents;
	job.parent_count = 2;
	job.bytes_total = &total;
	job.progress.bytes_done = &done;
	assert_int_equal(seal_checkpoint(&scratch.store, &job), 0);
	assert_null(job.error_path);
	assert_int_equal(job.files, 2);
	assert_int_equal(job.bytes, 14);
	assert_int_equal(total, 14);
	assert_int_equal(done, 14);

	assert_int_equal(state_read(&scratch.store, "c", &state), 0);
	assert_int_equal(state.kind, STATE_SEALED);
	assert_false(state.travelled);
	assert_true(digest_equal(&state.end.root, &job.root));
	assert_int_equal(seal_root(&scratch.store, "c", &state, &root), 0);
	assert_true(digest_equal(&root, &job.root));
	state_free(&state);

	assert_int_equal(load("c", &manifest, &seal, &why), 0);
	assert_null(why);
	assert_int_equal(manifest.count, 4);
	assert_true(manifest_find(&manifest, "model.pt")->executable);
	assert_string_equal(manifest_find(&manifest, "latest")->target, "model.pt");
	assert_non_null(manifest_find(&manifest, "sub/opt\xff"));
	assert_string_equal(seal.checkpoint, "c");
	assert_int_equal(seal.parent_count, 2);
	assert_string_equal(seal.parents[0].path, "run1/t 3");
	assert_true(digest_equal(&seal.parents[1].root, &parent_root));
	assert_int_equal(seal.bytes, 14);
	seal_free(&seal);
	manifest_free(&manifest);
	assert_int_equal(verify("c", &faults), 0);
	teardown(NULL);
}

/* The text, by hand. */
static void manifest_is_what_the_format_says(void **unused)
{
	static const char expected[] = "sealfs manifest 1\n"
				       "symlink  8  latest -> model.pt\n"
				       "sha256:@W:x  7  model.pt\n"
				       "dir  0  sub\n"
				       "sha256:@M  7  sub/opt\\xff\n";
	struct digest digest;
	char hex[DIGEST_HEX_SIZE];
	char *text;
	const char *at;

	setup(NULL);
	make_open("c");
	assert_int_equal(seal_path("c", 1), 0);
	text = scratch_read(&scratch, "c/.seal/manifest");
	at = text;
	for (const char *c = expected; *c; c++) {
		if (*c != '@') {
			assert_int_equal(*at++, *c);
			continue;
		}
		c++;
		assert_int_equal(digest_buffer(*c == 'W' ? "weights" : "moments", 7, &digest), 0);
		digest_to_hex(&digest, hex);
		assert_memory_equal(at, hex, 64);
		at += 64;
	}
	assert_int_equal(*at, '\0');
	free(text);
	teardown(NULL);
}

static void one_file_is_sealed_beside_itself(void **unused)
{
	struct faults faults;
	char name[256];

	setup(NULL);
	scratch_write(&scratch, "one.pt", "weights");
	assert_int_equal(scratch_claim(&scratch, "one.pt", "t"), 0);
	assert_int_equal(seal_path("one.pt", 1), 0);
	assert_true(scratch_exists(&scratch, ".one.pt.seal/manifest"));
	assert_int_equal(verify("one.pt", &faults), 0);
	scratch_write(&scratch, "one.pt", "WEIGHTS");
	assert_int_equal(verify("one.pt", &faults), 1);
	assert_string_equal(faults.text, ".: content differs;");
	/* A name that leaves no room for the sidecar's. */
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	scratch_write(&scratch, name, "x");
	assert_int_equal(scratch_claim(&scratch, name, "t"), 0);
	assert_int_equal(seal_path(name, 1), 0);
	assert_int_equal(verify(name, &faults), 0);
	assert_int_equal(state_remove(&scratch.store, name), 0);
	assert_int_equal(state_remove(&scratch.store, "one.pt"), 0);
	assert_false(scratch_exists(&scratch, ".one.pt.seal"));
	teardown(NULL);
}

static void empty_directory_and_empty_file_can_be_sealed(void **unused)
{
	struct faults faults;

	setup(NULL);
	scratch_mkdir(&scratch, "c");
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	assert_int_equal(seal_path("c", 1), 0);
	assert_int_equal(verify("c", &faults), 0);
	scratch_write(&scratch, "f", "");
	assert_int_equal(scratch_claim(&scratch, "f", "t"), 0);
	assert_int_equal(seal_path("f", 1), 0);
	assert_int_equal(verify("f", &faults), 0);
	teardown(NULL);
}

static void damage_to(const char *what, const char *expected)
{
	struct faults faults;
	char path[4096];

	scratch_path(&scratch, "c/model.pt", path);
	if (strcmp(what, "content") == 0) {
		scratch_write(&scratch, "c/model.pt", "weightz");
	} else if (strcmp(what, "size") == 0) {
		scratch_write(&scratch, "c/model.pt", "weights and more");
	} else if (strcmp(what, "missing") == 0) {
		assert_int_equal(unlink(path), 0);
	} else if (strcmp(what, "mode") == 0) {
		assert_int_equal(chmod(path, 0644), 0);
	} else if (strcmp(what, "type") == 0) {
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/etc/passwd", path), 0);
	} else if (strcmp(what, "target") == 0) {
		scratch_path(&scratch, "c/latest", path);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("model.xx", path), 0);
	} else if (strcmp(what, "more") == 0) {
		scratch_write(&scratch, "c/sub/extra", "");
	} else {
		scratch_path(&scratch, "c/sub", path);
		scratch_delete(path);
	}
	assert_true(verify("c", &faults) > 0);
	assert_string_equal(faults.text, expected);
}

static void damage_behind_the_mount_is_found(void **unused)
{
	static const char *const cases[][2] = {
		{"content", "model.pt: content differs;"},   {"size", "model.pt: size differs;"},
		{"missing", "model.pt: missing;"},           {"mode", "model.pt: mode differs;"},
		{"type", "model.pt: type differs;"},         {"target", "latest: target differs;"},
		{"more", "sub/extra: not in the manifest;"}, {"directory", "sub: missing;sub/opt\xff: missing;"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup(NULL);
		make_open("c");
		assert_int_equal(seal_path("c", 1), 0);
		damage_to(cases[i][0], cases[i][1]);
		teardown(NULL);
	}
}

static void live_and_hidden_names_are_neither_sealed_nor_missed(void **unused)
{
	char *live[] = {"events.*", NULL};
	struct manifest manifest;
	struct seal_job job;
	struct faults faults = {0};

	setup(NULL);
	make_open("c");
	scratch_write(&scratch, "c/events.1", "x");
	scratch_write(&scratch, "c/.nfs01", "x");
	job_for(&job, "c", 1);
	job.live = live;
	assert_int_equal(seal_checkpoint(&scratch.store, &job), 0);
	assert_int_equal(job.files, 2);
	scratch_write(&scratch, "c/events.1", "more");
	scratch_write(&scratch, "c/sub/events.2", "x");
	assert_int_equal(load("c", &manifest, NULL, NULL), 0);
	assert_int_equal(
		seal_verify(&scratch.store, scratch.store.root, "c", &manifest, live, 1, NULL, note_fault, &faults), 0);
	assert_int_equal(
		seal_verify(&scratch.store, scratch.store.root, "c", &manifest, NULL, 1, NULL, note_fault, &faults), 2);
	manifest_free(&manifest);
	teardown(NULL);
}

static void only_what_is_open_is_sealed(void **unused)
{
	setup(NULL);
	assert_int_equal(seal_path("none", 1), -ENOENT);
	scratch_mkdir(&scratch, "plain");
	assert_int_equal(seal_path("plain", 1), -ENOENT);
	assert_int_equal(scratch_reserve(&scratch, "pending", "t", NULL), 0);
	assert_int_equal(seal_path("pending", 1), -EINVAL);
	assert_int_equal(scratch_claim(&scratch, "nothing", "t"), 0);
	assert_int_equal(seal_path("nothing", 1), -ENODATA);
	make_open("c");
	assert_int_equal(seal_path("c", 2), -EINVAL);
	assert_int_equal(scratch_fail(&scratch, "c", 1), 0);
	assert_int_equal(seal_path("c", 1), -EEXIST);
	assert_int_equal(scratch_claim(&scratch, "c", "t"), 0);
	scratch_mkdir(&scratch, "c");
	/* The writer that came back from a partition. */
	assert_int_equal(seal_path("c", 1), -EEXIST);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	assert_int_equal(seal_path("c", 2), 0);
	assert_int_equal(seal_path("c", 2), -EEXIST);
	teardown(NULL);
}

static void copy_brings_its_seal_along(void **unused)
{
	struct manifest manifest;
	char command[1024];
	struct faults faults;
	struct state state;
	struct digest root;
	struct seal seal;

	setup(NULL);
	make_open("c");
	assert_int_equal(seal_path("c", 1), 0);
	scratch_write(&scratch, "f", "x");
	assert_int_equal(scratch_claim(&scratch, "f", "t"), 0);
	assert_int_equal(seal_path("f", 1), 0);
	snprintf(command, sizeof(command), "cd %s && cp -a c copy && cp f g && cp -a .f.seal .g.seal", scratch.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(state_read(&scratch.store, "copy", &state), 0);
	assert_int_equal(state.kind, STATE_SEALED);
	assert_true(state.travelled);
	assert_int_equal(seal_root(&scratch.store, "copy", &state, &root), 0);
	assert_int_equal(seal_load(&scratch.store, "copy", &state, &manifest, &seal, NULL), 0);
	assert_true(digest_equal(&seal.root, &root));
	assert_string_equal(seal.checkpoint, "c");
	manifest_free(&manifest);
	seal_free(&seal);
	state_free(&state);
	assert_int_equal(verify("copy", &faults), 0);
	assert_int_equal(verify("g", &faults), 0);
	assert_int_equal(scratch_claim(&scratch, "copy", "t"), -EROFS);
	assert_int_equal(scratch_reserve(&scratch, "copy", "t", NULL), -EROFS);
	/* Half a copy is plain, and one with a torn seal is neither plain nor sealed. */
	snprintf(command, sizeof(command), "cd %s && truncate -s -1 copy/.seal/seal && rm .g.seal/seal", scratch.dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(scratch_kind(&scratch, "copy"), STATE_DAMAGED);
	assert_int_equal(scratch_claim(&scratch, "copy", "t"), -EBADMSG);
	assert_int_equal(scratch_kind(&scratch, "g"), STATE_PLAIN);
	teardown(NULL);
}

static void edited_seal_or_manifest_is_not_loaded(void **unused)
{
	static const char *const edits[] = {
		"rm -r c/.seal",
		"rm c/.seal/manifest",
		"rm c/.seal/seal",
		"echo >>c/.seal/manifest",
		"echo >>c/.seal/seal",
		"sed -i s/weights/x/ c/.seal/seal; sed -i 's/  7  model/  8  model/' c/.seal/manifest",
		"cp other/.seal/seal c/.seal/seal",
		"cp other/.seal/* c/.seal/",
		"rm c/.seal/seal; mkdir c/.seal/seal",
		"mv c/.seal x; ln -s ../x c/.seal",
		"mv c/.seal/manifest x; ln -s ../../x c/.seal/manifest",
	};
	struct manifest manifest;

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		char command[1024];
		char *why = NULL;

		setup(NULL);
		make_open("c");
		assert_int_equal(seal_path("c", 1), 0);
		make_open("other");
		scratch_write(&scratch, "other/more", "x");
		assert_int_equal(seal_path("other", 1), 0);
		snprintf(command, sizeof(command), "cd %s && %s", scratch.dir, edits[i]);
		assert_int_equal(system(command), 0);
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_SEALED);
		if (load("c", &manifest, NULL, &why) != -EBADMSG)
			fail_msg("loaded after: %s", edits[i]);
		assert_non_null(why);
		free(why);
		assert_int_equal(manifest.count, 0);
		teardown(NULL);
	}
}

/* As whoever controls the server could: another checkpoint's content and seal, and a record that goes with them. */
static void good_seal_of_another_checkpoint_is_not_loaded(void **unused)
{
	struct manifest manifest;
	struct state state;
	char *why = NULL, *text, command[1024];
	size_t size;

	setup(NULL);
	make_open("c");
	make_open("d");
	for (int i = 0; i < 2; i++) {
		struct seal_job job;

		job_for(&job, i ? "d" : "c", 1);
		assert_int_equal(seal_checkpoint(&scratch.store, &job), 0);
		free(job.error_path);
	}
	assert_int_equal(state_read(&scratch.store, "d", &state), 0);
	free(state.end.checkpoint);
	state.end.checkpoint = strdup("c");
	assert_int_equal(record_format(&state.end, &text, &size), 0);
	state_free(&state);
	snprintf(command, sizeof(command), "cd %s && rm -rf c && cp -a d c && rm .sealfs/state/c/1.end", scratch.dir);
	assert_int_equal(system(command), 0);
	scratch_write_bytes(&scratch, ".sealfs/state/c/1.end", text, size);
	free(text);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_SEALED);
	assert_int_equal(load("c", &manifest, NULL, &why), -EBADMSG);
	assert_non_null(strstr(why, "'d'"));
	free(why);
	assert_int_equal(load("d", &manifest, NULL, &why), 0);
	manifest_free(&manifest);
	teardown(NULL);
}

/* What the table of operations lets happen in the middle of a sealing. */
static const char *meanwhile;
static unsigned int fsyncs;

static int fsync_and_meanwhile(void *ctx, int fd)
{
	char command[1024];

	if (++fsyncs == 3 && meanwhile) {
		snprintf(command, sizeof(command), "cd %s && %s", scratch.dir, meanwhile);
		assert_int_equal(system(command), 0);
	}
	return store_system_ops.fsync(NULL, fd);
}

static void content_that_moves_while_it_is_sealed_is_not_sealed(void **unused)
{
	static const char *const moves[] = {
		"printf x >>c/model.pt",
		"printf WEIGHTS >c/model.pt; touch -d @1 c/model.pt",
		"rm c/model.pt",
		"printf weights >c/new && mv c/new c/model.pt",
		"chmod 644 c/model.pt",
		"touch c/another",
		"mkdir c/sub/another",
		"ln -sfn other c/latest",
		"rm c/latest && mkdir c/latest",
		"mv c elsewhere",
	};
	struct store_ops ops = store_system_ops;
	struct store store;

	ops.fsync = fsync_and_meanwhile;
	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		struct seal_job job;
		int rc;

		setup(NULL);
		make_open("c");
		store = scratch.store;
		store.ops = &ops;
		fsyncs = 0;
		meanwhile = moves[i];
		job_for(&job, "c", 1);
		rc = seal_checkpoint(&store, &job);
		if (rc != -EAGAIN)
			fail_msg("%d after: %s", rc, moves[i]);
		assert_non_null(job.error_path);
		assert_memory_equal(job.error_path, "c", 1);
		free(job.error_path);
		assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
		teardown(NULL);
	}
}

/* The first is that of the directory in which the seal folder is made. */
static int fsync_fails(void *ctx, int fd)
{
	return ++fsyncs == 2 ? -ENOSPC : store_system_ops.fsync(NULL, fd);
}

static void failed_fsync_names_the_file_and_seals_nothing(void **unused)
{
	struct store_ops ops = store_system_ops;
	struct seal_job job;
	struct store store;

	setup(NULL);
	make_open("c");
	ops.fsync = fsync_fails;
	store = scratch.store;
	store.ops = &ops;
	fsyncs = 0;
	job_for(&job, "c", 1);
	assert_int_equal(seal_checkpoint(&store, &job), -ENOSPC);
	assert_string_equal(job.error_path, "c/model.pt");
	free(job.error_path);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	assert_false(scratch_exists(&scratch, "c/.seal/seal"));
	teardown(NULL);
}

static void cancelled_sealing_seals_nothing(void **unused)
{
	atomic_bool cancel = true;
	struct seal_job job;

	setup(NULL);
	make_open("c");
	job_for(&job, "c", 1);
	job.progress.cancel = &cancel;
	assert_int_equal(seal_checkpoint(&scratch.store, &job), -ECANCELED);
	free(job.error_path);
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	teardown(NULL);
}

static void symlink_in_place_of_the_seal_folder_is_not_followed(void **unused)
{
	char path[4096];

	setup(NULL);
	make_open("c");
	scratch_mkdir(&scratch, "elsewhere");
	scratch_path(&scratch, "c/.seal", path);
	assert_int_equal(symlink("../elsewhere", path), 0);
	assert_int_equal(seal_path("c", 1), -ENOTDIR);
	assert_false(scratch_exists(&scratch, "elsewhere/manifest"));
	assert_int_equal(scratch_kind(&scratch, "c"), STATE_OPEN);
	teardown(NULL);
}

static void seal_meets_failure_and_one_of_both_holds(void **unused)
{
	for (int round = 0; round < 20; round++) {
		enum state_kind kind;
		int status;
		pid_t pid;
		int rc;

		setup(NULL);
		make_open("c");
		pid = fork();
		if (pid == 0)
			_exit(scratch_fail(&scratch, "c", 1) == 0 ? 0 : 1);
		rc = seal_path("c", 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		kind = scratch_kind(&scratch, "c");
		assert_int_equal(kind, rc == 0 ? STATE_SEALED : STATE_FAILED);
		assert_true(rc == 0 || rc == -EEXIST);
		assert_int_equal(WEXITSTATUS(status), rc == 0 ? 1 : 0);
		teardown(NULL);
	}
}

static void seal_text_is_read_strictly(void **unused)
{
	struct seal seal = {.checkpoint = (char *)"run 1/t4",
			    .generation = 2,
			    .trial = (char *)"t",
			    .host = (char *)"h",
			    .files = UINT64_MAX};
	struct seal again;
	const char *why;
	size_t size;
	char *text;

	assert_int_equal(seal_format(&seal, &text, &size), 0);
	assert_memory_equal(text, "sealfs seal 1\ncheckpoint: run 1/t4\ngeneration: 2\n", 49);
	assert_int_equal(seal_parse(text, size, &again, &why), 0);
	assert_string_equal(again.checkpoint, "run 1/t4");
	assert_true(again.files == UINT64_MAX);
	assert_null(again.parents);
	seal_free(&again);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		assert_true(seal_parse(text, size, &again, &why) < 0);
		assert_non_null(why);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t part = 0; part < size; part++)
		assert_true(seal_parse(text, part, &again, NULL) < 0);
	free(text);
	seal.host = NULL;
	assert_int_equal(seal_format(&seal, &text, &size), -EINVAL);
}

static void many_parents_fit(void **unused)
{
	enum { COUNT = 3000 };
	struct seal_parent *parents = calloc(COUNT, sizeof(*parents));
	struct seal_job job;
	struct seal seal;
	struct manifest manifest;

	for (int i = 0; i < COUNT; i++)
		parents[i].path = (char *)"run1/a-trial-with-a-longer-name";
	setup(NULL);
	make_open("c");
	job_for(&job, "c", 1);
	job.parents = parents;
	job.parent_count = COUNT;
	assert_int_equal(seal_checkpoint(&scratch.store, &job), 0);
	assert_int_equal(load("c", &manifest, &seal, NULL), 0);
	assert_int_equal(seal.parent_count, COUNT);
	seal_free(&seal);
	manifest_free(&manifest);
	free(parents);
	teardown(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_checkpoint_loads_and_verifies),
		cmocka_unit_test(manifest_is_what_the_format_says),
		cmocka_unit_test(one_file_is_sealed_beside_itself),
		cmocka_unit_test(empty_directory_and_empty_file_can_be_sealed),
		cmocka_unit_test(damage_behind_the_mount_is_found),
		cmocka_unit_test(live_and_hidden_names_are_neither_sealed_nor_missed),
		cmocka_unit_test(only_what_is_open_is_sealed),
		cmocka_unit_test(copy_brings_its_seal_along),
		cmocka_unit_test(edited_seal_or_manifest_is_not_loaded),
		cmocka_unit_test(good_seal_of_another_checkpoint_is_not_loaded),
		cmocka_unit_test(content_that_moves_while_it_is_sealed_is_not_sealed),
		cmocka_unit_test(failed_fsync_names_the_file_and_seals_nothing),
		cmocka_unit_test(cancelled_sealing_seals_nothing),
		cmocka_unit_test(symlink_in_place_of_the_seal_folder_is_not_followed),
		cmocka_unit_test(seal_meets_failure_and_one_of_both_holds),
		cmocka_unit_test(seal_text_is_read_strictly),
		cmocka_unit_test(many_parents_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
