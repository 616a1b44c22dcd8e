/*
 * scratch - an export of its own for a test: made, filled, looked at, removed
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sealfs/config.h"
#include "sealfs/record.h"
#include "sealfs/state.h"
#include "sealfs/store.h"

struct scratch {
	char dir[256];
	struct store store;
};

static inline void scratch_make_dir(struct scratch *scratch)
{
	/* The first is for a directory on NFS, say. */
	const char *places[] = {getenv("SEALFS_TEST_DIR"), "/dev/shm", "/tmp"};

	for (size_t i = places[0] ? 0 : 1; i < 3; i++) {
		snprintf(scratch->dir, sizeof(scratch->dir), "%s/sealfs-test-XXXXXX", places[i]);
		if (mkdtemp(scratch->dir))
			return;
	}
	fail_msg("no directory for temporary files");
}

static inline int scratch_delete_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_DP)
		chmod(path, 0700);
	return remove(path);
}

static inline void scratch_delete(const char *path)
{
	nftw(path, scratch_delete_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void scratch_open(struct scratch *scratch)
{
	scratch_make_dir(scratch);
	assert_int_equal(store_open(&scratch->store, scratch->dir), 0);
}

/* With a configuration: depth 1, the defaults. */
static inline void scratch_open_export(struct scratch *scratch)
{
	struct config config;

	scratch_open(scratch);
	assert_int_equal(config_default(&config), 0);
	assert_int_equal(config_init_export(&scratch->store, &config), 0);
	config_free(&config);
}

static inline void scratch_close(struct scratch *scratch)
{
	store_close(&scratch->store);
	scratch_delete(scratch->dir);
}

static inline void scratch_path(const struct scratch *scratch, const char *name, char path[4096])
{
	int length = snprintf(path, 4096, "%s/%s", scratch->dir, name);

	assert_in_range(length, 1, 4095);
}

static inline void scratch_mkdir(const struct scratch *scratch, const char *name)
{
	char path[4096];

	scratch_path(scratch, name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static inline void scratch_write_bytes(const struct scratch *scratch, const char *name, const void *data, size_t size)
{
	char path[4096];
	FILE *file;

	scratch_path(scratch, name, path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static inline void scratch_write(const struct scratch *scratch, const char *name, const char *text)
{
	scratch_write_bytes(scratch, name, text, strlen(text));
}

/* The whole content, NUL-terminated, to be freed; NULL when it is not there. */
static inline char *scratch_read(const struct scratch *scratch, const char *name)
{
	char path[4096];
	char *text = calloc(1, 1 << 20);
	FILE *file;

	scratch_path(scratch, name, path);
	file = fopen(path, "r");
	if (!file) {
		free(text);
		return NULL;
	}
	assert_true(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
	fclose(file);
	return text;
}

static inline int scratch_exists(const struct scratch *scratch, const char *name)
{
	char path[4096];
	struct stat st;

	scratch_path(scratch, name, path);
	return lstat(path, &st) == 0;
}

static inline mode_t scratch_mode(const struct scratch *scratch, const char *name)
{
	char path[4096];
	struct stat st;

	scratch_path(scratch, name, path);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static inline ino_t scratch_inode(const struct scratch *scratch, const char *name)
{
	char path[4096];
	struct stat st;

	scratch_path(scratch, name, path);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

static inline void scratch_make_record(struct record *record, enum record_kind kind, const char *trial)
{
	assert_int_equal(record_init(record, kind), 0);
	record->trial = strdup(trial);
	record->pid = getpid();
	record->uid = getuid();
	record->gid = getgid();
}

static inline int scratch_reserve(const struct scratch *scratch, const char *path, const char *trial,
				  const char *writer)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_RESERVE, trial);
	record.writer = writer ? strdup(writer) : NULL;
	rc = state_reserve(&scratch->store, path, &record);
	record_free(&record);
	return rc;
}

static inline int scratch_claim(const struct scratch *scratch, const char *path, const char *trial)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_CLAIM, trial);
	rc = state_claim(&scratch->store, path, &record);
	record_free(&record);
	return rc;
}

static inline int scratch_fail(const struct scratch *scratch, const char *path, unsigned int generation)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_END, "t");
	record.reason = strdup("exit status 1");
	record.generation = generation;
	rc = state_end(&scratch->store, path, &record, NULL);
	record_free(&record);
	return rc;
}

/* Ends it as sealed, without any seal: for tests of the state alone. */
static inline int scratch_end_sealed(const struct scratch *scratch, const char *path, unsigned int generation)
{
	struct record record;
	int rc;

	scratch_make_record(&record, RECORD_END, "t");
	record.sealed = 1;
	record.generation = generation;
	rc = state_end(&scratch->store, path, &record, NULL);
	record_free(&record);
	return rc;
}

static inline enum state_kind scratch_kind(const struct scratch *scratch, const char *path)
{
	struct state state;
	enum state_kind kind;

	assert_int_equal(state_read(&scratch->store, path, &state), 0);
	kind = state.kind;
	state_free(&state);
	return kind;
}

/* A content that is the same on every machine: byte i is bits 13 to 20 of i × 2654435761. */
static inline void scratch_pattern(uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)((uint32_t)(i * 2654435761u) >> 13);
}

#endif
