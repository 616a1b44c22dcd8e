/*
 * state_aside - how the content of a failed generation gets out of the way, once, whoever does it, however late
 *
 * A rename names its source by path, and whoever renames may be slow: between his look at the state and the moment when
 * the server does it, others may have moved the old content, claimed the next generation and filled the path anew. A
 * check before the rename can not exclude that, and neither can a lock (the lease of a partitioned machine runs out),
 * so the rename itself must fail when it comes too late. What can be made to vanish under it is its destination:
 *
 *   - Whoever ends generation N as failed first makes the folder `aside.<token of N.end>` in the state folder: the
 * generation's door. It is made once, by the one who holds that token, before N.end is linked, and never again.
 *   - Content leaves the path only through the door: renamed into it, and from there to .sealfs/failed/.
 *   - The door is closed by rmdir, which fails as long as something is in it. N+1.reserve and N+1.claim are linked only
 * after that.
 *
 * So a rename that succeeds finds the door there, hence no record of generation N+1, hence moves nothing that is open
 * or sealed; and one that comes later gets ENOENT or ESTALE, over NFS too, where the folder is named by its handle. A
 * crash anywhere leaves generation N failed with its content at the path, in the door, or in .sealfs/failed; who comes
 * next goes on from there. Content that turns up at the path after the door was closed (copied there behind a mount),
 * and content that is removed, plain or sealed, has no door: a generation that fails at once gives it one
 * (state_spend()).
 *
 * The state folder itself, when a checkpoint is removed, leaves in the same way, by its exit: .sealfs/failed/<token of
 * N.end>, made before that N.end is linked by whoever removes. N+1.reserve and N+1.claim are linked only after it is
 * closed by rmdir, too, which fails when the state folder is in it.
 */
#include "sealfs/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "state_internal.h"

#define DOOR_MODE 0700
#define TRIES 8
#define TOKEN_LENGTH (STORE_TOKEN_SIZE - 1)

static void door_name(char name[STATE_DOOR_NAME_SIZE], const char *end_token)
{
	snprintf(name, STATE_DOOR_NAME_SIZE, "aside.%s", end_token);
}

int state_door_make(const struct store *store, int dir, const char end_token[STORE_TOKEN_SIZE])
{
	char name[STATE_DOOR_NAME_SIZE];

	int rc;

	door_name(name, end_token);
	rc = store->ops->mkdirat(store->ctx, dir, name, DOOR_MODE);
	/* Nobody else has the token: it is ours, made by a request whose answer was lost. */
	return rc == -EEXIST ? 0 : rc;
}

void state_door_drop(const struct store *store, int dir, const char end_token[STORE_TOKEN_SIZE])
{
	char name[STATE_DOOR_NAME_SIZE];

	door_name(name, end_token);
	store->ops->unlinkat(store->ctx, dir, name, AT_REMOVEDIR);
}

/* A directory that may be written but not listed can not be opened, so not be fsynced on its own account. */
static int sync_parent(const struct store *store, int parent)
{
	int rc = store_sync_dir(store, parent, "");

	return rc == -EACCES ? 0 : rc;
}

static int open_failed(const struct store *store, const char *token)
{
	AUTO_FD(sealfs, store);
	AUTO_FD(failed, store);

	sealfs.fd = store_open_known_dir(store, store->root, ".sealfs");
	if (sealfs.fd < 0)
		return sealfs.fd;
	/* What is in there may be deleted by hand, the folder too. */
	failed.fd = store_make_dir(store, sealfs.fd, "failed", 01777);
	return failed.fd < 0 ? failed.fd : store_make_dir(store, failed.fd, token, 0755);
}

static int rename_into(const struct store *store, int from, const char *name, int to, const char *new_name)
{
	int rc = store->ops->renameat2(store->ctx, from, name, to, new_name, 0);

	return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

static int move_to_failed(const struct store *store, int from, const char *name, const char *token,
			  const char *new_name)
{
	AUTO_FD(target, store);
	int rc;

	target.fd = open_failed(store, token);
	if (target.fd < 0)
		return target.fd;
	rc = rename_into(store, from, name, target.fd, new_name);
	return rc > 0 ? store_sync_dir(store, target.fd, "") : rc;
}

static char *sidecar_name(const char *path)
{
	AUTO_FREE char *sidecar = state_seal_dir(path, true);

	return sidecar ? strdup(state_last(sidecar)) : NULL;
}

static int move_entry(const struct store *store, int parent, const char *name, const char *token)
{
	struct statx st;
	int rc = store_statx(store, parent, name, &st);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return move_to_failed(store, parent, name, token, name);
}

int state_move_aside(const struct store *store, const char *path)
{
	AUTO_FD(parent, store);
	AUTO_FREE char *sidecar = sidecar_name(path);
	char token[STORE_TOKEN_SIZE];
	const char *last;
	int rc;

	if (!sidecar)
		return -ENOMEM;
	store_token(token);
	parent.fd = store_open_parent(store, store->root, path, &last);
	if (parent.fd < 0)
		return parent.fd == -ENOENT || parent.fd == -ENOTDIR ? 0 : parent.fd;
	rc = move_entry(store, parent.fd, last, token);
	if (rc == 0)
		rc = move_entry(store, parent.fd, sidecar, token);
	return rc < 0 ? rc : sync_parent(store, parent.fd);
}

/* An open door, and what is named how when it has gone through. */
struct door {
	const struct store *store;
	int fd;
	const char *last, *sidecar;
};

/* Into the door, under names that are new each time: <token> for the content, <token>.seal for its sidecar. */
static int move_in(const struct door *door, int parent, const char *token)
{
	char name[STORE_TOKEN_SIZE + sizeof(".seal")];
	int rc;

	store_refresh(door->store, parent);
	rc = rename_into(door->store, parent, door->last, door->fd, token);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%s.seal", token);
	rc = rename_into(door->store, parent, door->sidecar, door->fd, name);
	if (rc >= 0)
		rc = sync_parent(door->store, parent);
	return rc;
}

static int move_out(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	const struct door *door = arg;
	char token[STORE_TOKEN_SIZE] = "";
	int rc;

	if (strlen(name) < TOKEN_LENGTH)
		return 0;
	memcpy(token, name, TOKEN_LENGTH);
	rc = move_to_failed(door->store, door->fd, name, token, name[TOKEN_LENGTH] ? door->sidecar : door->last);
	return rc < 0 ? rc : 0;
}

static int pass_through(const struct store *store, const char *path, int fd, const char *token)
{
	AUTO_FD(parent, store);
	AUTO_FREE char *sidecar = sidecar_name(path);
	struct door door = {.store = store, .fd = fd, .last = state_last(path), .sidecar = sidecar};
	const char *last;
	int rc = 0;

	if (!sidecar)
		return -ENOMEM;
	parent.fd = store_open_parent(store, store->root, path, &last);
	if (parent.fd >= 0)
		rc = move_in(&door, parent.fd, token);
	else if (parent.fd != -ENOENT && parent.fd != -ENOTDIR)
		rc = parent.fd;
	return rc < 0 ? rc : store_each_entry(store, fd, move_out, &door);
}

/* 0 closed, 1 not yet. */
static int close_once(const struct store *store, const char *path, int dir, const char *name, const char *token)
{
	AUTO_FD(door, store);
	int rc;

	door.fd = store_open_dir(store, dir, name);
	if (door.fd < 0)
		return door.fd == -ENOENT ? 0 : door.fd;
	rc = pass_through(store, path, door.fd, token);
	if (rc == 0)
		rc = store->ops->unlinkat(store->ctx, dir, name, AT_REMOVEDIR);
	if (rc == 0)
		return store_sync_dir(store, dir, "");
	/* Another one put something in or closed it meanwhile. */
	return rc == -ENOTEMPTY || rc == -EEXIST || rc == -ENOENT || rc == -ESTALE ? 1 : rc;
}

int state_door_close(const struct store *store, const char *path, int dir, const char end_token[STORE_TOKEN_SIZE],
		     const char token[STORE_TOKEN_SIZE])
{
	char name[STATE_DOOR_NAME_SIZE];
	char again[STORE_TOKEN_SIZE];
	int rc;

	door_name(name, end_token);
	rc = close_once(store, path, dir, name, token);
	for (int i = 1; rc == 1 && i < TRIES; i++) {
		/* What appeared since must not collide with what went through before. */
		store_token(again);
		rc = close_once(store, path, dir, name, again);
	}
	return rc == 1 ? -EAGAIN : rc;
}

int state_exit_make(const struct store *store, const char end_token[STORE_TOKEN_SIZE])
{
	return open_failed(store, end_token);
}

int state_exit_close(const struct store *store, const char end_token[STORE_TOKEN_SIZE])
{
	AUTO_FD(failed, store);
	int rc;

	failed.fd = store_open_known_dir(store, store->root, STATE_FAILED_DIR);
	if (failed.fd < 0)
		return failed.fd == -ENOENT ? 0 : failed.fd;
	rc = store->ops->unlinkat(store->ctx, failed.fd, end_token, AT_REMOVEDIR);
	if (rc == 0)
		return store_sync_dir(store, failed.fd, "");
	if (rc == -ENOTEMPTY || rc == -EEXIST)
		return 1;
	return rc == -ENOENT ? 0 : rc;
}
