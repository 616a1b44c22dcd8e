/*
 * state_remove - removing a checkpoint for good
 *
 * Whatever the state, it is first brought to an end that failed, by our own record: so its content has a door and the
 * state folder an exit (state_aside.c), and neither can leave when somebody else has claimed the path meanwhile. A
 * crash leaves it as it was or failed, with a leftover in .sealfs/failed; to remove it again goes on from there. The
 * lease is only taken so as not to come in the way of one who is about to claim.
 */
#include "sealfs/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>

#include "sealfs/lease.h"
#include "state_internal.h"

#define TRIES 8
#define AGAIN 1 /* somebody else was faster: from the start */

struct removal {
	const struct store *store;
	const char *path;
	/* what has gone to .sealfs/failed under these names is deleted in the end */
	char earlier[STORE_TOKEN_SIZE], content[STORE_TOKEN_SIZE];
	struct record end; /* ours; its token names the exit */
	struct held_fd exit;
};

static int may_remove(const struct state *state)
{
	switch (state->kind) {
	case STATE_ABSENT:
		return -ENOENT;
	case STATE_OPEN:
		return -EBUSY;
	case STATE_DAMAGED:
		return -EBADMSG;
	default:
		return 0;
	}
}

static int prepare(struct removal *removal)
{
	int rc = record_init(&removal->end, RECORD_END);

	if (rc < 0)
		return rc;
	store_token(removal->earlier);
	store_token(removal->content);
	/* An id of -1 is never set: this only asks for the thread's own. */
	removal->end.uid = (uid_t)setfsuid((uid_t)-1);
	removal->end.gid = (gid_t)setfsgid((gid_t)-1);
	removal->end.trial = strdup("nobody");
	removal->end.reason = strdup("it was removed");
	return removal->end.trial && removal->end.reason ? 0 : -ENOMEM;
}

static void discard(struct removal *removal)
{
	held_close(&removal->exit);
	record_free(&removal->end);
}

/* Brings it to our end, whatever it was. */
static int end_it(struct removal *removal, const struct state *state, int dir)
{
	const struct store *store = removal->store;
	int rc = 0;

	if (state->kind == STATE_FAILED)
		rc = state_door_close(store, removal->path, dir, state->end.token, removal->earlier);
	if (rc == 0 && state->kind == STATE_FAILED)
		rc = state_exit_close(store, state->end.token);
	if (rc != 0)
		return rc;
	removal->exit.fd = state_exit_make(store, removal->end.token);
	if (removal->exit.fd < 0)
		return removal->exit.fd;
	/* A reservation's claim is ours then, and nobody else's. */
	removal->end.generation = state->kind == STATE_PENDING ? state->generation : state->generation + 1;
	rc = state_spend(store, removal->path, dir, &removal->end);
	return rc == -EEXIST || rc == -ENOENT || rc == -ESTALE ? AGAIN : rc;
}

/* The state folder, by one rename. Through our exit only the folder can go in which our end is the last word: whoever
 * goes on there closes the exit first. */
static int move_state(const struct removal *removal)
{
	AUTO_FD(parent, removal->store);
	AUTO_FREE char *folder = NULL;
	const char *last;
	int rc;

	if (asprintf(&folder, "%s/%s", STATE_DIR, removal->path) < 0) {
		folder = NULL;
		return -ENOMEM;
	}
	parent.fd = store_open_parent(removal->store, removal->store->root, folder, &last);
	if (parent.fd < 0)
		return parent.fd;
	store_refresh(removal->store, parent.fd);
	rc = removal->store->ops->renameat2(removal->store->ctx, parent.fd, last, removal->exit.fd, last, 0);
	if (rc < 0)
		return rc == -ENOENT || rc == -ESTALE ? AGAIN : rc;
	rc = store_sync_dir(removal->store, parent.fd, "");
	return rc < 0 ? rc : store_sync_dir(removal->store, removal->exit.fd, "");
}

/* What is still open somewhere can stay as a leftover (NFS keeps it under a name of its own): the checkpoint is gone.
 */
static int delete_one(const struct store *store, int failed, const char *token)
{
	int rc = store_remove_tree(store, failed, token);

	return rc == -ENOTEMPTY || rc == -EBUSY ? 0 : rc;
}

static int delete_moved(const struct removal *removal)
{
	AUTO_FD(failed, removal->store);
	int rc;

	failed.fd = store_open_known_dir(removal->store, removal->store->root, STATE_FAILED_DIR);
	if (failed.fd < 0)
		return failed.fd == -ENOENT ? 0 : failed.fd;
	rc = delete_one(removal->store, failed.fd, removal->end.token);
	if (rc == 0)
		rc = delete_one(removal->store, failed.fd, removal->content);
	return rc < 0 ? rc : delete_one(removal->store, failed.fd, removal->earlier);
}

static int remove_this(struct removal *removal)
{
	AUTO_STATE state = {0};
	AUTO_FD(dir, removal->store);
	int rc = state_look(removal->store, removal->path, true, &dir, &state);

	if (rc == 0)
		rc = may_remove(&state);
	if (rc == 0)
		rc = end_it(removal, &state, dir.fd);
	if (rc == 0)
		rc = state_door_close(removal->store, removal->path, dir.fd, removal->end.token, removal->content);
	return rc == 0 ? move_state(removal) : rc;
}

/* Where there are no locks nobody's claim waits for one either; and safety rests on the links and renames alone. */
static int remove_leased(struct removal *removal)
{
	struct lease lease = LEASE_INIT;
	int rc = lease_seize(removal->store, removal->path, &lease);

	if (rc < 0 && rc != -ENOLCK && rc != -EOPNOTSUPP && rc != -ENOSYS)
		return rc;
	rc = remove_this(removal);
	/* Before the lock file is deleted: over NFS an open one would stay. */
	lease_drop(removal->store, &lease);
	return rc;
}

static int remove_once(const struct store *store, const char *path, bool first)
{
	struct removal removal = {.store = store, .path = path, .exit = {store, -1}};
	AUTO_STATE state = {0};
	int rc = state_read(store, path, &state);
	int deleted;

	if (rc == 0)
		rc = may_remove(&state);
	if (rc < 0)
		return rc == -ENOENT && !first ? 0 : rc;
	rc = prepare(&removal);
	if (rc == 0)
		rc = remove_leased(&removal);
	/* Also after an error: what has gone aside is no longer of use to anybody. */
	deleted = delete_moved(&removal);
	discard(&removal);
	if (rc == -ESTALE)
		return AGAIN;
	return rc == 0 ? deleted : rc;
}

int state_remove(const struct store *store, const char *path)
{
	int rc = remove_once(store, path, true);

	for (int i = 1; rc == AGAIN && i < TRIES; i++)
		rc = remove_once(store, path, false);
	return rc == AGAIN ? -EAGAIN : rc;
}
