/*
 * state - reading a checkpoint's state
 */
#include "sealfs/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sealfs/seal.h"
#include "state_internal.h"

#define TRIES 8
#define PAUSE_NS 10000000 /* the slowest clocks tick as often */

static const char *const kind_names[] = {
	[STATE_ABSENT] = "absent", [STATE_PLAIN] = "plain",   [STATE_PENDING] = "pending", [STATE_OPEN] = "open",
	[STATE_SEALED] = "sealed", [STATE_FAILED] = "failed", [STATE_DAMAGED] = "damaged",
};

static const char *const record_words[] = {
	[RECORD_RESERVE] = "reserve",
	[RECORD_CLAIM] = "claim",
	[RECORD_END] = "end",
};

const char *state_name(enum state_kind kind)
{
	return kind <= STATE_DAMAGED ? kind_names[kind] : "?";
}

void state_free(struct state *state)
{
	record_free(&state->reserve);
	record_free(&state->claim);
	record_free(&state->end);
	free(state->damage);
	*state = (struct state){0};
}

void state_record_name(char name[STATE_RECORD_NAME_SIZE], unsigned int generation, enum record_kind kind)
{
	snprintf(name, STATE_RECORD_NAME_SIZE, "%u.%s", generation, record_words[kind]);
}

/* Which records the highest generation has. */
struct listing {
	unsigned int generation;
	bool there[RECORD_END + 1];
};

static int list_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	struct listing *listing = arg;
	const char *dot = strchr(name, '.');
	uint64_t generation;

	if (!dot || parse_u64(name, (size_t)(dot - name), UINT32_MAX, &generation) < 0 || generation == 0)
		return 0;
	for (unsigned int kind = RECORD_RESERVE; kind <= RECORD_END; kind++) {
		if (strcmp(dot + 1, record_words[kind]) != 0)
			continue;
		if (generation > listing->generation)
			*listing = (struct listing){.generation = (unsigned int)generation};
		if (generation == listing->generation)
			listing->there[kind] = true;
	}
	return 0;
}

int state_read_record(const struct store *store, int dir, const char *path, unsigned int generation,
		      enum record_kind kind, struct record *out, const char **why)
{
	char name[STATE_RECORD_NAME_SIZE];
	AUTO_FREE char *text = NULL;
	size_t size;
	int rc;

	state_record_name(name, generation, kind);
	rc = store_read_file(store, dir, name, RECORD_SIZE_LIMIT, &text, &size);
	if (rc == -EFBIG || rc == -EINVAL) {
		*why = rc == -EFBIG ? "it is too large" : "it is not a regular file";
		return -EBADMSG;
	}
	if (rc == 0)
		rc = record_parse(text, size, out, why);
	if (rc < 0)
		return rc;
	if (out->kind == kind && out->generation == generation && strcmp(out->checkpoint, path) == 0)
		return 0;
	record_free(out);
	*why = "it belongs to another checkpoint or generation";
	return -EBADMSG;
}

/* The first damage that is found stays. */
static int damaged(struct state *state, const char *where, const char *why)
{
	state->kind = STATE_DAMAGED;
	if (state->damage)
		return 0;
	if (asprintf(&state->damage, "%s: %s", where, why) >= 0)
		return 0;
	state->damage = NULL;
	return -ENOMEM;
}

static int read_one(const struct store *store, int dir, const char *path, enum record_kind kind, struct state *out)
{
	struct record *const records[] = {&out->reserve, &out->claim, &out->end};
	bool *const has[] = {&out->has_reserve, &out->has_claim, &out->has_end};
	char name[STATE_RECORD_NAME_SIZE];
	const char *why = "it can not be read";
	int rc = state_read_record(store, dir, path, out->generation, kind, records[kind], &why);

	*has[kind] = rc == 0;
	if (rc != -EBADMSG && rc != -EPROTO)
		return rc;
	state_record_name(name, out->generation, kind);
	return damaged(out, name, why);
}

/* `dir`: the state folder, or why it could not be opened. */
static int read_records(const struct store *store, const char *path, int dir, struct state *out)
{
	struct listing listing = {0};
	int rc;

	if (dir == -ENOTDIR)
		return damaged(out, path, "its state folder is not a directory");
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	rc = store_each_entry(store, dir, list_entry, &listing);
	out->generation = listing.generation;
	for (unsigned int kind = RECORD_RESERVE; rc == 0 && kind <= RECORD_END; kind++) {
		if (listing.there[kind])
			rc = read_one(store, dir, path, kind, out);
	}
	return rc;
}

/* 1 when something is at the checkpoint's path, 0, -errno. */
static int stat_data(const struct store *store, const char *path, struct statx *st)
{
	AUTO_FD(parent, store);
	const char *last;
	int rc;

	parent.fd = store_open_parent(store, store->root, path, &last);
	if (parent.fd < 0)
		return parent.fd == -ENOENT || parent.fd == -ENOTDIR ? 0 : parent.fd;
	rc = store_statx(store, parent.fd, last, st);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return 1;
}

static int look_at_data(const struct store *store, const char *path, struct state *out)
{
	struct statx st;
	int rc = stat_data(store, path, &st);

	out->has_data = rc > 0;
	out->is_file = rc > 0 && S_ISREG(st.stx_mode);
	out->data_inode = rc > 0 ? st.stx_ino : 0;
	return rc < 0 ? rc : 0;
}

/* Data that nobody here knows of may have been sealed elsewhere. */
static int look_at_seal(const struct store *store, const char *path, struct state *out)
{
	AUTO_FD(dir, store);
	AUTO_FREE char *folder = state_seal_dir(path, out->is_file);
	AUTO_FREE char *text = NULL;
	const char *why = "it is not a regular file";
	struct seal seal;
	size_t size;
	int rc;

	if (!folder)
		return -ENOMEM;
	dir.fd = store_open_dir(store, store->root, folder);
	if (dir.fd >= 0)
		store_refresh(store, dir.fd);
	rc = dir.fd < 0 ? dir.fd : store_read_file(store, dir.fd, "seal", SEAL_SIZE_LIMIT, &text, &size);
	/* Who may not look into it can not read the data either: to him it is as good as plain. */
	if (rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP || rc == -EACCES)
		return 0;
	if (rc == 0)
		rc = seal_parse(text, size, &seal, &why);
	if (rc == 0) {
		seal_free(&seal);
		out->travelled = true;
		return 0;
	}
	if (rc == -EBADMSG || rc == -EPROTO || rc == -EINVAL || rc == -EFBIG)
		return damaged(out, folder, rc == -EFBIG ? "the seal is too large" : why);
	return rc;
}

/* Plain data were to be sealed, and that was broken off: they are what they were. */
static void forget_records(struct state *state)
{
	record_free(&state->reserve);
	record_free(&state->claim);
	record_free(&state->end);
	state->has_reserve = state->has_claim = state->has_end = false;
}

static int decide(struct state *state)
{
	char name[STATE_RECORD_NAME_SIZE];

	if (state->kind == STATE_DAMAGED)
		return 0;
	if (state->has_end && !state->has_claim && (!state->has_reserve || state->end.sealed)) {
		state_record_name(name, state->generation, RECORD_END);
		return damaged(state, name, "nobody had claimed what ended");
	}
	if (state->has_end && !state->end.sealed && state->has_claim && state->claim.plain && state->has_data)
		forget_records(state);
	if (state->has_end)
		state->kind = state->end.sealed ? STATE_SEALED : STATE_FAILED;
	else if (state->has_claim)
		state->kind = STATE_OPEN;
	else if (state->has_reserve)
		state->kind = STATE_PENDING;
	else if (state->travelled)
		state->kind = STATE_SEALED;
	else
		state->kind = state->has_data ? STATE_PLAIN : STATE_ABSENT;
	return 0;
}

int state_read_in(const struct store *store, const char *path, int dir, struct state *out)
{
	int rc;

	*out = (struct state){0};
	rc = read_records(store, path, dir, out);
	if (rc == 0)
		rc = look_at_data(store, path, out);
	if (rc == 0 && out->generation == 0 && out->has_data)
		rc = look_at_seal(store, path, out);
	if (rc == 0)
		rc = decide(out);
	if (rc < 0)
		state_free(out);
	return rc;
}

/* There were no records, and then there were data, perhaps with a seal: plain, or a copy. But a trial may have claimed the path between the two looks, and what
 * it writes, or has just begun to seal, is neither. Its claim is there before its data are; and who removes it takes the data away before the records. So:
 * no records after the data were seen, and the same data after that. */
static int confirm_no_records(const struct store *store, const char *path, const struct state *state)
{
	AUTO_FD(dir, store);
	struct listing listing = {0};
	struct statx st;
	int rc = 0;

	dir.fd = state_open_dir(store, path, false);
	if (dir.fd >= 0)
		rc = store_each_entry(store, dir.fd, list_entry, &listing);
	else if (dir.fd != -ENOENT)
		rc = dir.fd;
	if (rc < 0)
		return rc;
	rc = listing.generation ? 0 : stat_data(store, path, &st);
	if (rc < 0)
		return rc;
	return rc > 0 && st.stx_ino == state->data_inode ? 0 : -EAGAIN;
}

static int look_once(const struct store *store, const char *path, bool create, struct held_fd *dir, struct state *out)
{
	int rc;

	held_close(dir);
	dir->fd = state_open_dir(store, path, create);
	if (create && dir->fd < 0) {
		*out = (struct state){0};
		return dir->fd;
	}
	rc = state_read_in(store, path, dir->fd, out);
	if (rc == 0 && out->generation == 0 && out->has_data && out->kind != STATE_DAMAGED) {
		rc = confirm_no_records(store, path, out);
		if (rc < 0)
			state_free(out);
	}
	return rc;
}

int state_look(const struct store *store, const char *path, bool create, struct held_fd *dir, struct state *out)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	int rc = -ESTALE;

	/* Records never go away but with their folder: then it is another state that is to be read. Over NFS one may also be listed, and be missing for whoever
	 * looked for it in vain in the same tick of the server's clock, until whoever made it has given the folder a later time. */
	for (int i = 0; i < TRIES && (rc == -EAGAIN || rc == -ENOENT || rc == -ESTALE); i++) {
		if (i > 1)
			nanosleep(&pause, NULL);
		rc = look_once(store, path, create, dir, out);
	}
	/* What can not be read is not for that reason not there. */
	return dir->fd >= 0 && (rc == -ENOENT || rc == -EAGAIN) ? -EIO : rc;
}

int state_read(const struct store *store, const char *path, struct state *out)
{
	AUTO_FD(dir, store);

	return state_look(store, path, false, &dir, out);
}

int state_read_claim(const struct store *store, const char *path, unsigned int generation, struct record *out)
{
	AUTO_FD(dir, store);
	const char *why;

	dir.fd = state_open_dir(store, path, false);
	return dir.fd < 0 ? dir.fd : state_read_record(store, dir.fd, path, generation, RECORD_CLAIM, out, &why);
}

const char *state_writer(const struct state *state)
{
	if (state->has_claim)
		return state->claim.trial;
	return state->has_reserve ? state->reserve.writer : NULL;
}

bool state_is_writer(const struct state *state, const char *trial)
{
	const char *writer = state_writer(state);

	return writer && trial && strcmp(writer, trial) == 0;
}

int state_has_ended(const struct store *store, const char *path, unsigned int generation)
{
	char name[STATE_RECORD_NAME_SIZE];
	AUTO_FREE char *folder = NULL;
	AUTO_FREE char *file = NULL;
	struct statx st;
	int rc;

	/* Whole paths, unlike elsewhere: whatever a symlink makes of the answer, it only leads to a proper look. */
	state_record_name(name, generation, RECORD_END);
	if (asprintf(&folder, "%s/%s", STATE_DIR, path) < 0)
		folder = NULL;
	if (!folder || asprintf(&file, "%s/%s", folder, name) < 0) {
		file = NULL;
		return -ENOMEM;
	}
	rc = store->ops->statx(store->ctx, store->root, folder, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC,
			       STATX_BASIC_STATS, &st);
	/* A state that has been removed is over as well. */
	if (rc == -ENOENT)
		return 1;
	if (rc == 0)
		rc = store->ops->statx(store->ctx, store->root, file, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st);
	return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}
