/*
 * state_change - the transitions
 *
 * Each is one link of a finished, fsynced record; a second look after it finds what two transitions that do not exclude
 * each other by name (N.claim and N.end, say) have made together. What must be out of the way first, and why it is
 * safe, is told in state_aside.c.
 */
#include "sealfs/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "state_internal.h"

#define TRIES 16
#define AGAIN 1 /* what was read is no longer so: from the start; as after ESTALE, when a folder went away under us */
#define OURS 2  /* our record is there, from an earlier try whose answer was lost */
#define RECORD_MODE 0644
#define DIR_MODE 0777

/* An error of ours tells nothing about the link: what is at the name does. */
static int settle(const struct store *store, int dir, const struct record *record, int error, struct record *there)
{
	struct record found;
	const char *why;
	bool ours;
	int rc = state_read_record(store, dir, record->checkpoint, record->generation, record->kind, &found, &why);

	if (rc < 0)
		return error;
	ours = strcmp(found.token, record->token) == 0;
	if (there && !ours)
		*there = found;
	else
		record_free(&found);
	if (!ours)
		return -EEXIST;
	/* It is there for all to see. That its folder's fsync failed can not undo an end; whoever begins is told. */
	rc = store_sync_dir(store, dir, "");
	return record->kind == RECORD_END ? 0 : rc;
}

/* Links the record. -EEXIST when there is one already, which *there (if not NULL) is then filled with. */
static int publish(const struct store *store, int dir, const struct record *record, struct record *there)
{
	char name[STATE_RECORD_NAME_SIZE];
	AUTO_FREE char *text = NULL;
	size_t size;
	int rc;

	if (there)
		*there = (struct record){0};
	rc = record_format(record, &text, &size);
	if (rc < 0)
		return rc;
	state_record_name(name, record->generation, record->kind);
	rc = store_create_file(store, dir, name, text, size, RECORD_MODE, 0);
	return rc < 0 ? settle(store, dir, record, rc, there) : 0;
}

static int fill_in(struct record *record, const char *path, unsigned int generation)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	free(record->checkpoint);
	record->checkpoint = copy;
	record->generation = generation;
	return 0;
}

/* 1, 0, -errno */
static int has_record(const struct store *store, int dir, unsigned int generation, enum record_kind kind)
{
	char name[STATE_RECORD_NAME_SIZE];
	struct statx st;
	int rc;

	state_record_name(name, generation, kind);
	rc = store_statx(store, dir, name, &st);
	return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

/* Fills an end that failed, by whom `who` says. */
static int init_failed(struct record *end, const struct record *who, unsigned int generation, const char *reason)
{
	int rc = record_init(end, RECORD_END);

	if (rc < 0)
		return rc;
	end->generation = generation;
	end->pid = who->pid;
	end->uid = who->uid;
	end->gid = who->gid;
	end->trial = strdup(who->trial);
	end->reason = strdup(reason);
	if (end->trial && end->reason)
		return 0;
	record_free(end);
	return -ENOMEM;
}

int state_spend(const struct store *store, const char *path, int dir, struct record *end)
{
	struct record claim;
	int rc = record_init(&claim, RECORD_CLAIM);

	if (rc < 0)
		return rc;
	claim.pid = end->pid;
	claim.uid = end->uid;
	claim.gid = end->gid;
	if (asprintf(&claim.trial, "nobody:%s", claim.token) < 0)
		claim.trial = NULL;
	rc = claim.trial ? fill_in(&claim, path, end->generation) : -ENOMEM;
	if (rc == 0)
		rc = publish(store, dir, &claim, NULL);
	if (rc == 0)
		rc = state_end_in(store, path, dir, end, NULL);
	record_free(&claim);
	return rc;
}

/* Content that lies at the path though the door is closed was put there behind our back, and new content must not mix
 * with it. */
static int spend_for_stray(const struct store *store, const char *path, int dir, unsigned int generation,
			   const struct record *who)
{
	struct record end;
	int rc = init_failed(&end, who, generation, "content was found at its path that is not its own");

	if (rc < 0)
		return rc;
	rc = state_spend(store, path, dir, &end);
	record_free(&end);
	return rc == 0 || rc == -EEXIST ? AGAIN : rc;
}

/* Makes the path of a failed generation free. */
static int make_way(const struct store *store, const char *path, int dir, const struct state *state,
		    const struct record *who)
{
	char token[STORE_TOKEN_SIZE];
	int rc;

	store_token(token);
	rc = state_door_close(store, path, dir, state->end.token, token);
	if (rc == 0)
		rc = state_exit_close(store, state->end.token);
	if (rc != 0)
		return rc < 0 ? rc : AGAIN;
	rc = state_has_content(store, path);
	return rc > 0 ? spend_for_stray(store, path, dir, state->generation + 1, who) : rc;
}

static unsigned int next_generation(const struct state *state)
{
	return state->kind == STATE_PENDING ? state->generation : state->generation + 1;
}

typedef int (*may_fn)(const struct store *store, const char *path, const struct state *state,
		      const struct record *record);

/* The state and its folder, which is made only for one who may go on. */
static int look_for(const struct store *store, const char *path, may_fn may, const struct record *record,
		    struct held_fd *dir, struct state *state)
{
	int rc = state_look(store, path, false, dir, state);

	if (rc == 0)
		rc = may(store, path, state, record);
	if (rc != 0 || dir->fd >= 0)
		return rc;
	state_free(state);
	rc = state_look(store, path, true, dir, state);
	return rc == 0 ? may(store, path, state, record) : rc;
}

/* What both beginnings, reserve and claim, do once it is clear that they may. */
static int begin(const struct store *store, const char *path, int dir, const struct state *state, struct record *record)
{
	int rc = state->kind == STATE_FAILED ? make_way(store, path, dir, state, record) : 0;

	if (rc == 0)
		rc = fill_in(record, path, next_generation(state));
	if (rc == 0)
		rc = publish(store, dir, record, NULL);
	if (rc == -ENOENT || rc == -ESTALE) {
		int current = state_dir_is_current(store, path, dir);

		return current == 0 ? AGAIN : rc;
	}
	return rc;
}

int state_confirm(const struct store *store, const char *path, int dir, unsigned int generation)
{
	int rc = has_record(store, dir, generation, RECORD_END);

	if (rc != 0)
		return rc < 0 ? rc : -EEXIST;
	rc = state_dir_is_current(store, path, dir);
	return rc < 0 ? rc : rc ? 0 : AGAIN;
}

static int may_reserve(const struct store *store, const char *path, const struct state *state,
		       const struct record *record)
{
	int rc;

	switch (state->kind) {
	case STATE_SEALED:
		return -EROFS;
	case STATE_DAMAGED:
		return -EBADMSG;
	case STATE_PLAIN:
		rc = state_has_content(store, path);
		return rc > 0 ? -EEXIST : rc;
	case STATE_PENDING:
		return strcmp(state->reserve.token, record->token) == 0 ? OURS : -EEXIST;
	case STATE_OPEN:
		return -EEXIST;
	default:
		return 0;
	}
}

static int make_checkpoint_dir(const struct store *store, const char *path)
{
	AUTO_FD(parent, store);
	const char *last = state_last(path);
	AUTO_FREE char *above = strndup(path, last == path ? 0 : (size_t)(last - path - 1));
	int rc;

	if (!above)
		return -ENOMEM;
	parent.fd = store_make_dirs(store, store->root, above, DIR_MODE);
	if (parent.fd < 0)
		return parent.fd;
	rc = store->ops->mkdirat(store->ctx, parent.fd, last, DIR_MODE);
	/* Whatever is there already was empty before, or is made by one who has claimed since. */
	return rc == -EEXIST ? 0 : rc < 0 ? rc : store_sync_dir(store, parent.fd, "");
}

static void give_up(const struct store *store, const char *path, int dir, const struct record *reservation)
{
	struct record end;

	if (has_record(store, dir, reservation->generation, RECORD_CLAIM) != 0)
		return;
	if (init_failed(&end, reservation, reservation->generation, "its directory could not be made") < 0)
		return;
	state_end_in(store, path, dir, &end, NULL);
	record_free(&end);
}

/* The reservation is there; its directory comes after it, so that only the one who won makes one. */
static int finish_reserve(const struct store *store, const char *path, int dir, const struct record *record)
{
	int rc = has_record(store, dir, record->generation, RECORD_CLAIM);

	if (rc != 0)
		return rc < 0 ? rc : -EEXIST;
	rc = state_confirm(store, path, dir, record->generation);
	if (rc != 0 || record->writer)
		return rc;
	rc = make_checkpoint_dir(store, path);
	if (rc < 0)
		give_up(store, path, dir, record);
	return rc;
}

static int reserve_once(const struct store *store, const char *path, struct record *record)
{
	AUTO_STATE state = {0};
	AUTO_FD(dir, store);
	int rc = look_for(store, path, may_reserve, record, &dir, &state);

	if (rc == 0)
		rc = begin(store, path, dir.fd, &state, record);
	else if (rc == OURS)
		rc = fill_in(record, path, state.generation);
	return rc == 0 ? finish_reserve(store, path, dir.fd, record) : rc;
}

int state_reserve(const struct store *store, const char *path, struct record *record)
{
	int rc = AGAIN;

	record->kind = RECORD_RESERVE;
	for (int i = 0; (rc == AGAIN || rc == -ESTALE) && i < TRIES; i++)
		rc = reserve_once(store, path, record);
	return rc == AGAIN ? -EAGAIN : rc;
}

static int is_claimable(const struct store *store, const char *path, const struct state *state)
{
	AUTO_FD(parent, store);
	const char *last;
	struct statx st;
	int rc;

	if (!state->has_data || state->is_file || state->kind == STATE_FAILED)
		return 0;
	/* Symlinks, FIFOs and the like are plain and stay so. */
	parent.fd = store_open_parent(store, store->root, path, &last);
	rc = parent.fd < 0 ? parent.fd : store_statx(store, parent.fd, last, &st);
	return rc == 0 && !S_ISDIR(st.stx_mode) ? -EINVAL : rc == -ENOENT ? 0 : rc;
}

static int may_claim(const struct store *store, const char *path, const struct state *state,
		     const struct record *record)
{
	switch (state->kind) {
	case STATE_SEALED:
		return -EROFS;
	case STATE_OPEN:
		return strcmp(state->claim.token, record->token) == 0 ? OURS : -EBUSY;
	case STATE_DAMAGED:
		return -EBADMSG;
	default:
		return is_claimable(store, path, state);
	}
}

static int claim_once(const struct store *store, const char *path, struct record *record)
{
	AUTO_STATE state = {0};
	AUTO_FD(dir, store);
	int rc = look_for(store, path, may_claim, record, &dir, &state);

	/* only what is plain can be so again */
	record->plain = record->plain && state.kind == STATE_PLAIN;
	if (rc == 0)
		rc = begin(store, path, dir.fd, &state, record);
	else if (rc == OURS)
		rc = fill_in(record, path, state.generation);
	return rc == 0 ? state_confirm(store, path, dir.fd, record->generation) : rc;
}

int state_claim(const struct store *store, const char *path, struct record *record)
{
	int rc = AGAIN;

	record->kind = RECORD_CLAIM;
	for (int i = 0; (rc == AGAIN || rc == -ESTALE) && i < TRIES; i++)
		rc = claim_once(store, path, record);
	return rc == AGAIN ? -EAGAIN : rc;
}

/* The end that is there already. *there is filled when it is another's. */
static int ended_already(const struct store *store, const char *path, int dir, const struct record *record,
			 struct record *there)
{
	struct record found;
	const char *why;
	bool ours;
	int rc = state_read_record(store, dir, path, record->generation, RECORD_END, &found, &why);

	if (rc < 0)
		return rc == -ENOENT || rc == -EPROTO ? -EBADMSG : rc;
	ours = strcmp(found.token, record->token) == 0;
	if (there && !ours)
		*there = found;
	else
		record_free(&found);
	return ours ? 0 : -EEXIST;
}

static int link_end(const struct store *store, const char *path, int dir, struct record *record, struct record *there)
{
	int rc = fill_in(record, path, record->generation);

	if (rc == 0 && !record->sealed)
		rc = state_door_make(store, dir, record->token);
	if (rc < 0)
		return rc;
	rc = publish(store, dir, record, there);
	/* Lost for certain only when another one's end is there; else the door may be in force. */
	if (rc == -EEXIST && !record->sealed)
		state_door_drop(store, dir, record->token);
	return rc;
}

static int end_from(const struct store *store, const char *path, int dir, const struct state *state,
		    struct record *record, struct record *out)
{
	record->kind = RECORD_END;
	if (state->kind == STATE_DAMAGED)
		return -EBADMSG;
	if (state->generation == 0)
		return -ENOENT;
	if (record->generation == 0 || record->generation > state->generation)
		return -EINVAL;
	if (state->has_end || record->generation < state->generation)
		return ended_already(store, path, dir, record, out);
	if (record->sealed && !state->has_claim)
		return -EINVAL;
	return link_end(store, path, dir, record, out);
}

int state_end_in(const struct store *store, const char *path, int dir, struct record *record, struct record *out)
{
	AUTO_STATE state = {0};
	int rc = state_read_in(store, path, dir, &state);

	if (out)
		*out = (struct record){0};
	return rc < 0 ? rc : end_from(store, path, dir, &state, record, out);
}

int state_end(const struct store *store, const char *path, struct record *record, struct record *out)
{
	AUTO_STATE state = {0};
	AUTO_FD(dir, store);
	int rc = state_look(store, path, false, &dir, &state);

	if (out)
		*out = (struct record){0};
	if (rc == 0)
		rc = end_from(store, path, dir.fd, &state, record, out);
	/* Removed under us. Not to be tried again: what is there by now may be another's, with the same number. */
	return rc == -ESTALE ? -ENOENT : rc;
}
