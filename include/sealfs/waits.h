/*
 * waits - what waits on a mount, for the other mounts to see
 *
 * Each mount with processes that wait for longer than a moment keeps in .sealfs/mounts/ a file TOKEN.waits, replaced as a whole whenever that changes, and gone
 * when nobody waits; TOKEN.mount, which it holds locked, as its sign of life; and for each trial that waits a symbolic link HASH.trial to TOKEN, so that what
 * a trial waits for is found by its name. Nothing but messages, listings and the search for cycles depends on them.
 *
 * Text as in record.h: "sealfs waits 1", mount, host, time, and for each wait a group of lines that begins with `checkpoint`.
 * All functions: 0 or -errno.
 */
#ifndef SEALFS_WAITS_H
#define SEALFS_WAITS_H

#include "sealfs/record.h"
#include "sealfs/store.h"

#define WAITS_SIZE_LIMIT (1 << 20) /* bytes */
#define WAITS_MAX 1000		   /* of a mount; more are not published */

struct waits_entry {
	char *checkpoint;
	unsigned int generation;
	char *trial;	  /* that waits */
	char *awaited;	  /* the trial that writes or will write it, or NULL */
	int64_t pid;	  /* of one of its processes */
	char *command;
	int64_t since_ns; /* CLOCK_REALTIME of that machine */
};

struct waits {
	char mount[STORE_TOKEN_SIZE];
	char *host;
	int64_t time_ns; /* when it was written */
	struct waits_entry *entries;
	size_t count;
};

void waits_free(struct waits *waits);
/* A new, empty entry at the end; NULL when memory is out. Its strings are owned by it. */
struct waits_entry *waits_add(struct waits *waits);

/* The text, allocated. No I/O. */
int waits_format(const struct waits *waits, char **text, size_t *size);
/* As record_parse(). On success to be freed with waits_free(). */
int waits_parse(const char *text, size_t size, struct waits *out, const char **why);

/* Opens .sealfs/mounts, to be given to the following as `dir`. A descriptor or -errno. */
int waits_open_dir(const struct store *store);

/* Makes `mount`'s sign of life: a descriptor that holds the lock, to be closed at its end. Where there are no locks it is only a file. */
int waits_begin(const struct store *store, int dir, const char *mount);
/* Takes the sign of life and the waits away, and the link of each of `trials` (NULL-terminated) that leads to this mount. */
void waits_end(const struct store *store, int dir, const char *mount, int alive);
/* Writes the text in place of what was there; an empty one removes it. */
int waits_write(const struct store *store, int dir, const char *mount, const char *text, size_t size);
/* This trial waits on that mount; or no more, which changes nothing when the link leads elsewhere by now. */
int waits_link(const struct store *store, int dir, const char *trial, const char *mount);
void waits_unlink(const struct store *store, int dir, const char *trial, const char *mount);

/* Where that trial waits. -ENOENT: nowhere. */
int waits_find(const struct store *store, int dir, const char *trial, char mount[STORE_TOKEN_SIZE]);
/* What waits on that mount. -ENOENT: nothing. */
int waits_read(const struct store *store, int dir, const char *mount, struct waits *out);
/* 1: the mount lives; 0: it does not; -errno: that can not be told. */
int waits_alive(const struct store *store, int dir, const char *mount);

/* Calls `each` for every mount's waits; what can not be read is left out. */
int waits_each(const struct store *store, int (*each)(void *arg, const struct waits *waits, int alive), void *arg);

/* Removes what dead mounts left: no lock is held and it is older than an hour, or it is older than a week, by the file server's clock. */
void waits_sweep(const struct store *store, int dir, const char *own);

#endif
