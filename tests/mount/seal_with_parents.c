/*
 * seal_with_parents EXPORT { [-t TRIAL] [-p PARENT]... PATH }... - makes checkpoints of one file and seals them as if each
 * had been made from its parents, which must be sealed; a parent's root digest is what it is now.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sealfs/record.h"
#include "sealfs/seal.h"
#include "sealfs/state.h"

#define PARENTS_MAX 64

struct next {
	const char *trial;
	struct seal_parent parents[PARENTS_MAX];
	size_t parent_count;
};

static void check(int rc, const char *what, const char *object)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "seal_with_parents: %s %s: %s\n", what, object, strerror(-rc));
	exit(1);
}

static void add_parent(const struct store *store, struct next *next, char *path)
{
	struct seal_parent *parent = &next->parents[next->parent_count++];
	struct state state;

	check(state_read(store, path, &state), "read", path);
	check(seal_root(store, path, &state, &parent->root), "root of", path);
	parent->path = path;
	state_free(&state);
}

static void claim(const struct store *store, const char *path, const char *trial)
{
	struct record record;

	check(record_init(&record, RECORD_CLAIM), "init", path);
	record.trial = strdup(trial);
	check(state_claim(store, path, &record), "claim", path);
	record_free(&record);
}

static void fill(const char *export, const char *path, const char *trial)
{
	char *dir, *file;
	FILE *stream;

	check(asprintf(&dir, "%s/%s", export, path), "name", path);
	check(asprintf(&file, "%s/weights", dir), "name", path);
	check(mkdir(dir, 0755) < 0 ? -errno : 0, "mkdir", dir);
	stream = fopen(file, "w");
	check(stream ? 0 : -errno, "open", file);
	fprintf(stream, "weights of %s by %s\n", path, trial);
	check(fclose(stream) ? -errno : 0, "write", file);
	free(dir);
	free(file);
}

static void make(const struct store *store, const char *export, const char *path, const struct next *next)
{
	struct seal_job job = {.path = path,
			       .generation = 1,
			       .trial = next->trial,
			       .pid = getpid(),
			       .threads = 1,
			       .parents = next->parents,
			       .parent_count = next->parent_count};

	claim(store, path, next->trial);
	fill(export, path, next->trial);
	check(seal_checkpoint(store, &job), "seal", path);
	free(job.error_path);
}

int main(int argc, char **argv)
{
	struct next next = {.trial = "t"};
	struct store store;

	if (argc < 2)
		return 2;
	check(store_open(&store, argv[1]), "open", argv[1]);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "-t") == 0 && i + 1 < argc) {
			next.trial = argv[++i];
		} else if (strcmp(argv[i], "-p") == 0 && i + 1 < argc && next.parent_count < PARENTS_MAX) {
			add_parent(&store, &next, argv[++i]);
		} else {
			make(&store, argv[1], argv[i], &next);
			next = (struct next){.trial = "t"};
		}
	}
	store_close(&store);
	return 0;
}
