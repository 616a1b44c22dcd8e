/*
 * liveness - heartbeats, and who is dead
 */
#include "sealfs/liveness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sealfs/lease.h"
#include "state_internal.h"

#define NS_PER_S UINT64_C(1000000000)
#define BEAT_END ".beat"
#define BEAT_NAME_SIZE (STORE_TOKEN_SIZE + sizeof(BEAT_END))
#define BEAT_MODE 0644
#define LATE_LIMIT_NS (300 * NS_PER_S) /* a client tries to reach a server that was away at least so often */
#define OLD_NS (INT64_C(86400) * 1000000000)

static void beat_name(char name[BEAT_NAME_SIZE], const char *mount)
{
	snprintf(name, BEAT_NAME_SIZE, "%s" BEAT_END, mount);
}

/* --- giving them --- */

int liveness_beat(const struct store *store, const char *mount, uint64_t count)
{
	AUTO_FD(dir, store);
	AUTO_FD(file, store);
	char name[BEAT_NAME_SIZE], text[32];
	int size = snprintf(text, sizeof(text), "%020llu\n", (unsigned long long)count);
	int rc;

	dir.fd = store_open_known_dir(store, store->root, STATE_MOUNTS_DIR);
	if (dir.fd < 0)
		return dir.fd;
	beat_name(name, mount);
	/* By its name each time: should somebody have deleted it, it is there again. */
	file.fd = store->ops->openat(store->ctx, dir.fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, BEAT_MODE);
	if (file.fd < 0)
		return file.fd;
	rc = store_pwrite(store, file.fd, text, (size_t)size, 0);
	return rc < 0 ? rc : store->ops->fsync(store->ctx, file.fd);
}

void liveness_stop(const struct store *store, const char *mount)
{
	AUTO_FD(dir, store);
	char name[BEAT_NAME_SIZE];

	dir.fd = store_open_known_dir(store, store->root, STATE_MOUNTS_DIR);
	beat_name(name, mount);
	if (dir.fd >= 0)
		store->ops->unlinkat(store->ctx, dir.fd, name, 0);
}

/* Thousands of machines must not each look at thousands of files: of many, every mount looks at some. */
#define SWEPT_MOST 64

struct sweep {
	const struct store *store;
	int dir;
	int64_t now_ns; /* by the clock that sets the files' times */
	unsigned int count, parts, part;
};

/* The part of all tokens that a name belongs to. */
static unsigned int part_of(const char *name, unsigned int parts)
{
	char digits[9] = "";

	memcpy(digits, name, 8);
	return (unsigned int)(strtoul(digits, NULL, 16) % parts);
}

static bool is_beat(const char *name)
{
	size_t size = strlen(name);

	return size == BEAT_NAME_SIZE - 2 && strcmp(name + size - strlen(BEAT_END), BEAT_END) == 0;
}

static int count_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	((struct sweep *)arg)->count += is_beat(name);
	return 0;
}

static int64_t changed_ns(const struct statx *st)
{
	return st->stx_mtime.tv_sec * INT64_C(1000000000) + st->stx_mtime.tv_nsec;
}

static int sweep_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	const struct sweep *sweep = arg;
	struct statx st;

	if (!is_beat(name) || part_of(name, sweep->parts) != sweep->part)
		return 0;
	if (store_statx(sweep->store, sweep->dir, name, &st) == 0 && sweep->now_ns - changed_ns(&st) > OLD_NS)
		sweep->store->ops->unlinkat(sweep->store->ctx, sweep->dir, name, 0);
	return 0;
}

void liveness_sweep(const struct store *store, const char *mount)
{
	AUTO_FD(dir, store);
	struct sweep sweep = {.store = store};
	char name[BEAT_NAME_SIZE];
	struct statx st;

	dir.fd = store_open_known_dir(store, store->root, STATE_MOUNTS_DIR);
	if (dir.fd < 0)
		return;
	beat_name(name, mount);
	if (store_statx(store, dir.fd, name, &st) < 0)
		return;
	sweep.dir = dir.fd;
	sweep.now_ns = changed_ns(&st);
	store_each_entry(store, dir.fd, count_entry, &sweep);
	sweep.parts = sweep.count / SWEPT_MOST + 1;
	sweep.part = part_of(mount, sweep.parts);
	store_each_entry(store, dir.fd, sweep_entry, &sweep);
}

/* --- looking at them --- */

static uint64_t monotonic_ns(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

unsigned int liveness_limit(unsigned int heartbeat)
{
	/* It may have died right after a beat; and who waits looks a little more rarely than it beats. */
	return heartbeat * (LIVENESS_MISSES + 3);
}

/* A file that is not there is as good as one that does not change. */
static int stat_beat(const struct store *store, const char *mount, struct statx *out)
{
	AUTO_FD(dir, store);
	char name[BEAT_NAME_SIZE];
	int rc;

	*out = (struct statx){0};
	dir.fd = store_open_known_dir(store, store->root, STATE_MOUNTS_DIR);
	if (dir.fd < 0)
		return dir.fd;
	beat_name(name, mount);
	rc = store->ops->statx(store->ctx, dir.fd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
			       out);
	if (rc == -ENOENT || rc == -ESTALE)
		rc = store_statx(store, dir.fd, name, out);
	return rc == -ENOENT ? 0 : rc;
}

/* Takes over what was seen; true when it is not what was seen before. */
static bool has_changed(struct liveness_watch *watch, const struct statx *st)
{
	const int64_t changed[] = {st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec, st->stx_ctime.tv_sec,
				   st->stx_ctime.tv_nsec};
	bool same = watch->seen && watch->inode == st->stx_ino && watch->size == st->stx_size &&
		    memcmp(watch->changed, changed, sizeof(changed)) == 0;

	watch->seen = true;
	watch->inode = st->stx_ino;
	watch->size = st->stx_size;
	memcpy(watch->changed, changed, sizeof(changed));
	return !same;
}

/* We could not ask for a while, so perhaps the other one could not either; and it may need as long again to get through to the server. */
static void forgive(struct liveness_watch *watch, uint64_t away_ns, uint64_t interval_ns)
{
	uint64_t late = away_ns < LATE_LIMIT_NS ? away_ns : LATE_LIMIT_NS;

	watch->missed = -(int)(late / interval_ns + 1);
	watch->cut_off_ns = 0;
}

/* Heartbeats that were missed before it claimed, or before it was seen to have, are no sign: a mount that writes nothing gives none. */
static bool is_silent(const struct liveness_watch *watch, uint64_t now, uint64_t interval)
{
	return watch->missed >= LIVENESS_MISSES && (!watch->since_ns || now - watch->since_ns >= LIVENESS_MISSES * interval);
}

int liveness_look(const struct store *store, const char *mount, unsigned int heartbeat, struct liveness_watch *watch)
{
	uint64_t (*clock)(void) = watch->clock ? watch->clock : monotonic_ns;
	uint64_t interval = (heartbeat ? heartbeat : 1) * NS_PER_S, began = clock(), ended;
	struct statx st;
	int rc;

	if (watch->seen && !watch->cut_off_ns && began - watch->looked_ns < interval)
		return is_silent(watch, began, interval);
	rc = stat_beat(store, mount, &st);
	ended = clock();
	if (rc < 0) {
		if (!watch->cut_off_ns)
			watch->cut_off_ns = began;
		return rc;
	}
	watch->looked_ns = ended;
	if (!watch->cut_off_ns && ended - began > interval)
		watch->cut_off_ns = began;
	if (watch->cut_off_ns)
		forgive(watch, ended - watch->cut_off_ns, interval);
	else if (has_changed(watch, &st))
		watch->missed = 0;
	else if (watch->missed < LIVENESS_MISSES)
		watch->missed++;
	return is_silent(watch, ended, interval);
}

int liveness_judge(const struct store *store, const struct liveness *liveness, const char *path,
		   const struct record *claim, struct liveness_watch *watch, int *lock)
{
	int held;

	if (!claim->no_lease && liveness->probes) {
		held = lock ? lease_watch(store, path, lock) : lease_held(store, path);
		return held < 0 ? held : !held;
	}
	if (!*claim->mount || !claim->heartbeat)
		return -ENOLCK;
	return liveness_look(store, claim->mount, claim->heartbeat, watch);
}

/* No lock is needed for it: the link decides, in the very folder that has this claim. */
int liveness_end_by_link(const struct store *store, const char *path, const struct record *claim, const char *trial,
			 const char *reason, const uint64_t *when)
{
	AUTO_STATE state = {0};
	AUTO_FD(dir, store);
	int rc = state_look(store, path, false, &dir, &state);

	if (rc < 0)
		return rc;
	if (state.kind == STATE_DAMAGED)
		return -EBADMSG;
	if (!state.has_claim || strcmp(state.claim.token, claim->token) != 0)
		return -EBUSY;
	if (state.kind != STATE_OPEN)
		return 0;
	rc = state_fail_in(store, path, dir.fd, state.generation, trial, reason, when);
	return rc == -ENOENT || rc == -ESTALE ? -EBUSY : rc == -EPERM || rc == -EROFS ? -EACCES : rc;
}

int liveness_end_dead(const struct store *store, const struct liveness *liveness, const char *path,
		      const struct record *claim, const char *trial, const char *reason)
{
	if (!claim->no_lease && liveness->probes && !store->no_locks)
		return lease_end_dead(store, path, trial, reason);
	return liveness_end_by_link(store, path, claim, trial, reason, NULL);
}
