/*
 * state_join - further mounts of the trial that writes
 *
 * Only the mount that claimed a generation seals it, and it must not do so before the trial's other mounts are done, nor
 * when one of them is gone for good in the middle of its files. So whoever joins says so before it writes its first
 * byte, by N.join.<token>, and says N.left.<token> when its part of the trial has ended well and is on the server. A
 * join that has not left, of a mount that does not live any more (liveness.h), makes the generation fail.
 *
 * Nobody may join behind the back of the one who seals. He makes the folder N.closed, and then lists the joins; whoever
 * joins links N.join.<token>, and then looks for N.closed, and leaves again if it is there. Whichever way the two meet,
 * one of them sees the other. Each of the looks comes after a change by the same machine in the same folder, so not
 * even an NFS client that tells changes apart by coarse times answers it from its cache.
 */
#include "sealfs/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "state_internal.h"

#define TOKEN_LENGTH (STORE_TOKEN_SIZE - 1)
#define NAME_SIZE (STATE_RECORD_NAME_SIZE + STORE_TOKEN_SIZE)
#define RECORD_MODE 0644
#define CLOSED_MODE 0755

static void join_name(char name[NAME_SIZE], unsigned int generation, enum record_kind kind, const char *token)
{
	snprintf(name, NAME_SIZE, "%u.%s.%s", generation, kind == RECORD_JOIN ? "join" : "left", token);
}

static void closed_name(char name[NAME_SIZE], unsigned int generation)
{
	snprintf(name, NAME_SIZE, "%u.closed", generation);
}

/* 1, 0, -errno */
static int is_there(const struct store *store, int dir, const char *name)
{
	struct statx st;
	int rc = store_statx(store, dir, name, &st);

	return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

static int link_record(const struct store *store, int dir, const struct record *record, const char *token)
{
	AUTO_FREE char *text = NULL;
	char name[NAME_SIZE];
	size_t size;
	int rc = record_format(record, &text, &size);

	if (rc < 0)
		return rc;
	join_name(name, record->generation, record->kind, token);
	return store_create_file(store, dir, name, text, size, RECORD_MODE, 0);
}

static int link_left(const struct store *store, int dir, const struct record *join)
{
	struct record left;
	int rc = record_init(&left, RECORD_LEFT);

	if (rc < 0)
		return rc;
	left.generation = join->generation;
	left.pid = join->pid;
	left.uid = join->uid;
	left.gid = join->gid;
	memcpy(left.mount, join->mount, sizeof(left.mount));
	left.checkpoint = strdup(join->checkpoint);
	left.trial = strdup(join->trial);
	rc = left.checkpoint && left.trial ? link_record(store, dir, &left, join->token) : -ENOMEM;
	record_free(&left);
	/* From an earlier try whose answer was lost. */
	return rc == -EEXIST ? 0 : rc;
}

/* -EEXIST: the generation has ended; -EBUSY: it is closed. */
static int check_open(const struct store *store, const char *path, int dir, unsigned int generation)
{
	char name[NAME_SIZE];
	int rc = state_confirm(store, path, dir, generation);

	if (rc != 0)
		return rc < 0 ? rc : -EEXIST;
	closed_name(name, generation);
	rc = is_there(store, dir, name);
	return rc > 0 ? -EBUSY : rc;
}

static int may_join(const struct state *state, const struct record *record)
{
	if (state->kind == STATE_DAMAGED)
		return -EBADMSG;
	return state->kind == STATE_OPEN && state->generation == record->generation &&
			       strcmp(state->claim.trial, record->trial) == 0
		       ? 0
		       : -EEXIST;
}

int state_join(const struct store *store, const char *path, struct record *record)
{
	AUTO_STATE state = {0};
	AUTO_FD(dir, store);
	int rc = state_look(store, path, false, &dir, &state);

	record->kind = RECORD_JOIN;
	if (rc == 0)
		rc = may_join(&state, record);
	/* Most of those who come too late need not make anybody wait for them. */
	if (rc == 0)
		rc = check_open(store, path, dir.fd, record->generation);
	if (rc < 0)
		return rc;
	free(record->checkpoint);
	record->checkpoint = strdup(path);
	if (!record->checkpoint)
		return -ENOMEM;
	rc = link_record(store, dir.fd, record, record->token);
	if (rc == 0)
		rc = check_open(store, path, dir.fd, record->generation);
	/* Also after an error: the join may be there nevertheless. */
	if (rc < 0)
		link_left(store, dir.fd, record);
	return rc;
}

int state_leave(const struct store *store, const char *path, const struct record *join)
{
	AUTO_FD(dir, store);

	dir.fd = state_open_dir(store, path, false);
	/* Removed, and with it whoever waited for us. */
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	return link_left(store, dir.fd, join);
}

/* Makes or removes the directory that tells that nobody may join any more; that it is so already is as good. */
static int set_closed(const struct store *store, const char *path, unsigned int generation, bool closed)
{
	AUTO_FD(dir, store);
	char name[NAME_SIZE];
	int rc;

	dir.fd = state_open_dir(store, path, false);
	if (dir.fd < 0)
		return dir.fd;
	closed_name(name, generation);
	rc = closed ? store->ops->mkdirat(store->ctx, dir.fd, name, CLOSED_MODE) : store->ops->unlinkat(store->ctx, dir.fd, name, AT_REMOVEDIR);
	return rc == (closed ? -EEXIST : -ENOENT) ? 0 : rc;
}

int state_close(const struct store *store, const char *path, unsigned int generation)
{
	return set_closed(store, path, generation, true);
}

int state_reopen(const struct store *store, const char *path, unsigned int generation)
{
	return set_closed(store, path, generation, false);
}

/* --- who has joined and not left --- */

struct listing {
	unsigned int generation;
	size_t count;
	char (*tokens)[STORE_TOKEN_SIZE]; /* of both kinds, in the order in which they were met */
	bool *is_left;
};

static int add_token(struct listing *listing, const char *token, bool is_left)
{
	char(*tokens)[STORE_TOKEN_SIZE] = reallocarray(listing->tokens, listing->count + 1, sizeof(*tokens));
	bool *flags;

	if (!tokens)
		return -ENOMEM;
	listing->tokens = tokens;
	flags = reallocarray(listing->is_left, listing->count + 1, sizeof(*flags));
	if (!flags)
		return -ENOMEM;
	listing->is_left = flags;
	memcpy(tokens[listing->count], token, STORE_TOKEN_SIZE);
	flags[listing->count++] = is_left;
	return 0;
}

static int list_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	struct listing *listing = arg;
	const char *dot = strchr(name, '.');
	uint64_t generation;

	if (!dot || parse_u64(name, (size_t)(dot - name), UINT32_MAX, &generation) < 0 ||
	    generation != listing->generation)
		return 0;
	if (strncmp(dot, ".join.", 6) != 0 && strncmp(dot, ".left.", 6) != 0)
		return 0;
	if (strlen(dot + 6) != TOKEN_LENGTH)
		return 0;
	return add_token(listing, dot + 6, dot[1] == 'l');
}

static void listing_free(struct listing *listing)
{
	free(listing->tokens);
	free(listing->is_left);
	listing->tokens = NULL;
	listing->is_left = NULL;
	listing->count = 0;
}

static bool has_left(const struct listing *listing, size_t join)
{
	for (size_t i = 0; i < listing->count; i++) {
		if (listing->is_left[i] && strcmp(listing->tokens[i], listing->tokens[join]) == 0)
			return true;
	}
	return listing->is_left[join];
}

static size_t count_unleft(const struct listing *listing)
{
	size_t count = 0;

	for (size_t i = 0; i < listing->count; i++)
		count += !has_left(listing, i);
	return count;
}

/* A change of our own, after which the machine's cache of the folder is worth nothing. */
static void stir(const struct store *store, int dir)
{
	char name[sizeof(".tmp.") + STORE_TOKEN_SIZE] = ".tmp.";

	store_token(name + strlen(name));
	if (store->ops->mkdirat(store->ctx, dir, name, 0700) == 0)
		store->ops->unlinkat(store->ctx, dir, name, AT_REMOVEDIR);
}

/* Whoever left must not be missed: upon that somebody may be declared dead. */
static int list(const struct store *store, int dir, struct listing *listing)
{
	int rc = store_each_entry(store, dir, list_entry, listing);

	if (rc < 0 || count_unleft(listing) == 0)
		return rc;
	stir(store, dir);
	listing_free(listing);
	return store_each_entry(store, dir, list_entry, listing);
}

static int read_join(const struct store *store, int dir, const char *path, unsigned int generation, const char *token,
		     struct record *out)
{
	AUTO_FREE char *text = NULL;
	char name[NAME_SIZE];
	size_t size;
	int rc;

	join_name(name, generation, RECORD_JOIN, token);
	rc = store_read_file(store, dir, name, RECORD_SIZE_LIMIT, &text, &size);
	if (rc == 0)
		rc = record_parse(text, size, out, NULL);
	if (rc < 0)
		return rc == -EFBIG || rc == -EINVAL ? -EBADMSG : rc;
	if (out->kind == RECORD_JOIN && out->generation == generation && strcmp(out->checkpoint, path) == 0 &&
	    strcmp(out->token, token) == 0)
		return 0;
	record_free(out);
	return -EBADMSG;
}

static int read_unleft(const struct store *store, int dir, const char *path, const struct listing *listing,
		       struct record **out, size_t *count)
{
	*out = calloc(count_unleft(listing) + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < listing->count; i++) {
		int rc;

		if (has_left(listing, i))
			continue;
		rc = read_join(store, dir, path, listing->generation, listing->tokens[i], &(*out)[*count]);
		if (rc < 0)
			return rc;
		(*count)++;
	}
	return 0;
}

int state_joined(const struct store *store, const char *path, unsigned int generation, struct record **out,
		 size_t *count)
{
	__attribute__((cleanup(listing_free))) struct listing listing = {.generation = generation};
	AUTO_FD(dir, store);
	int rc;

	*out = NULL;
	*count = 0;
	dir.fd = state_open_dir(store, path, false);
	rc = dir.fd < 0 ? dir.fd : list(store, dir.fd, &listing);
	if (rc == 0)
		rc = read_unleft(store, dir.fd, path, &listing, out, count);
	if (rc == 0)
		return 0;
	state_joined_free(*out, *count);
	*out = NULL;
	*count = 0;
	return rc;
}

void state_joined_free(struct record *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		record_free(&list[i]);
	free(list);
}
