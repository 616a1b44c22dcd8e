/*
 * waits_dir - the files of waits in .sealfs/mounts
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "sealfs/state.h"
#include "sealfs/waits.h"

#define NAME_SIZE (STORE_TOKEN_SIZE + sizeof(".waits"))
#define HOUR INT64_C(3600)
#define WEEK (7 * 24 * HOUR)
#define SWEPT_MOST 256 /* mounts looked at in one go */

static void name_of(char name[NAME_SIZE], const char *token, const char *end)
{
	snprintf(name, NAME_SIZE, "%.*s%s", STORE_TOKEN_SIZE - 1, token, end);
}

static void name_of_trial(char name[NAME_SIZE], const char *trial)
{
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;

	digest_sha256(trial, strlen(trial), &digest);
	digest_to_hex(&digest, hex);
	name_of(name, hex, ".trial");
}

int waits_open_dir(const struct store *store)
{
	return store_open_known_dir(store, store->root, STATE_MOUNTS_DIR);
}

int waits_begin(const struct store *store, int dir, const char *mount)
{
	char name[NAME_SIZE];
	int fd;

	name_of(name, mount, ".mount");
	fd = store_open_lock(store, dir, name, O_RDWR | O_CREAT | O_EXCL);
	/* Without a lock the time of what is published has to do. */
	if (fd >= 0)
		store->ops->lock(store->ctx, fd, F_WRLCK, 0, 0);
	return fd;
}

void waits_end(const struct store *store, int dir, const char *mount, int alive)
{
	char name[NAME_SIZE];

	name_of(name, mount, ".waits");
	store->ops->unlinkat(store->ctx, dir, name, 0);
	if (alive < 0)
		return;
	name_of(name, mount, ".mount");
	/* closed first: an NFS client keeps what is open under another name */
	store->ops->close(store->ctx, alive);
	store->ops->unlinkat(store->ctx, dir, name, 0);
}

int waits_write(const struct store *store, int dir, const char *mount, const char *text, size_t size)
{
	char name[NAME_SIZE];
	int rc;

	name_of(name, mount, ".waits");
	if (size > 0)
		return store_create_file(store, dir, name, text, size, 0644, 1);
	rc = store->ops->unlinkat(store->ctx, dir, name, 0);
	return rc == -ENOENT ? 0 : rc;
}

static int read_link(const struct store *store, int dir, const char *name, char mount[STORE_TOKEN_SIZE])
{
	ssize_t size = store->ops->readlinkat(store->ctx, dir, name, mount, STORE_TOKEN_SIZE);

	if (size < 0)
		return (int)size;
	if (size != STORE_TOKEN_SIZE - 1)
		return -ENOENT;
	mount[size] = '\0';
	return strspn(mount, "0123456789abcdef") == STORE_TOKEN_SIZE - 1 ? 0 : -ENOENT;
}

int waits_link(const struct store *store, int dir, const char *trial, const char *mount)
{
	char name[NAME_SIZE], temp[STORE_TOKEN_SIZE + 5] = ".tmp.";
	int rc;

	name_of_trial(name, trial);
	store_token(temp + 5);
	rc = store->ops->symlinkat(store->ctx, mount, dir, temp);
	if (rc < 0)
		return rc;
	rc = store->ops->renameat2(store->ctx, dir, temp, dir, name, 0);
	if (rc < 0)
		store->ops->unlinkat(store->ctx, dir, temp, 0);
	/* so that a client that missed the name a moment ago looks it up anew */
	return rc < 0 ? rc : store_sync_dir(store, dir, "");
}

void waits_unlink(const struct store *store, int dir, const char *trial, const char *mount)
{
	char name[NAME_SIZE], there[STORE_TOKEN_SIZE];

	name_of_trial(name, trial);
	if (read_link(store, dir, name, there) == 0 && strcmp(there, mount) == 0)
		store->ops->unlinkat(store->ctx, dir, name, 0);
}

int waits_find(const struct store *store, int dir, const char *trial, char mount[STORE_TOKEN_SIZE])
{
	char name[NAME_SIZE];
	int rc;

	name_of_trial(name, trial);
	rc = read_link(store, dir, name, mount);
	/* No link, or no trial's of ours. */
	return rc == -EINVAL ? -ENOENT : rc;
}

int waits_read(const struct store *store, int dir, const char *mount, struct waits *out)
{
	char name[NAME_SIZE];
	AUTO_FREE char *text = NULL;
	size_t size;
	int rc;

	name_of(name, mount, ".waits");
	rc = store_read_file(store, dir, name, WAITS_SIZE_LIMIT, &text, &size);
	if (rc == 0)
		rc = waits_parse(text, size, out, NULL);
	if (rc == 0 && strcmp(out->mount, mount) != 0) {
		waits_free(out);
		rc = -EBADMSG;
	}
	return rc;
}

int waits_alive(const struct store *store, int dir, const char *mount)
{
	AUTO_FD(fd, store);
	char name[NAME_SIZE];

	name_of(name, mount, ".mount");
	fd.fd = store_open_lock(store, dir, name, O_RDONLY | O_NONBLOCK);
	if (fd.fd < 0)
		return fd.fd == -ENOENT ? 0 : fd.fd;
	return store->ops->lock_probe(store->ctx, fd.fd, F_WRLCK, 0, 0);
}

struct walk {
	const struct store *store;
	int dir;
	int (*each)(void *arg, const struct waits *waits, int alive);
	void *arg;
	const char *own;
	int64_t now; /* seconds, of the file server */
	unsigned int count;
};

static bool has_form(const char *name, const char *end)
{
	return strlen(name) == STORE_TOKEN_SIZE - 1 + strlen(end) &&
	       strspn(name, "0123456789abcdef") == STORE_TOKEN_SIZE - 1 && strcmp(name + STORE_TOKEN_SIZE - 1, end) == 0;
}

static int read_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	const struct walk *walk = arg;
	char token[STORE_TOKEN_SIZE];
	struct waits waits;
	int rc;

	if (!has_form(name, ".waits"))
		return 0;
	snprintf(token, sizeof(token), "%s", name);
	/* Gone meanwhile, or somebody's nonsense. */
	if (waits_read(walk->store, walk->dir, token, &waits) < 0)
		return 0;
	rc = walk->each(walk->arg, &waits, waits_alive(walk->store, walk->dir, token));
	waits_free(&waits);
	return rc;
}

int waits_each(const struct store *store, int (*each)(void *arg, const struct waits *waits, int alive), void *arg)
{
	AUTO_FD(dir, store);
	struct walk walk = {.store = store, .each = each, .arg = arg};

	dir.fd = walk.dir = waits_open_dir(store);
	if (dir.fd < 0)
		return dir.fd == -ENOENT ? 0 : dir.fd;
	return store_each_entry(store, dir.fd, read_entry, &walk);
}

/* Of a link: what it leads to is gone. */
static bool leads_nowhere(const struct walk *walk, const char *name)
{
	char token[STORE_TOKEN_SIZE], sign[NAME_SIZE];
	struct statx st;

	if (read_link(walk->store, walk->dir, name, token) < 0)
		return false;
	name_of(sign, token, ".mount");
	return store_statx(walk->store, walk->dir, sign, &st) == -ENOENT;
}

static bool is_left(const struct walk *walk, const char *name)
{
	char token[STORE_TOKEN_SIZE];
	struct statx st;
	int64_t age;

	snprintf(token, sizeof(token), "%s", name);
	if (strcmp(token, walk->own) == 0 || store_statx(walk->store, walk->dir, name, &st) < 0)
		return false;
	age = walk->now - st.stx_mtime.tv_sec;
	if (age < HOUR)
		return false;
	if (has_form(name, ".trial"))
		return leads_nowhere(walk, name);
	return age >= WEEK || waits_alive(walk->store, walk->dir, token) == 0;
}

static int sweep_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	struct walk *walk = arg;

	if (!has_form(name, ".waits") && !has_form(name, ".mount") && !has_form(name, ".trial"))
		return 0;
	if (walk->count++ == SWEPT_MOST)
		return 1;
	/* Another user's stays: the folder is sticky. */
	if (is_left(walk, name))
		walk->store->ops->unlinkat(walk->store->ctx, walk->dir, name, 0);
	return 0;
}

void waits_sweep(const struct store *store, int dir, const char *own)
{
	struct walk walk = {.store = store, .dir = dir, .own = own};
	char name[NAME_SIZE];
	struct statx st;

	/* Made a moment ago. */
	name_of(name, own, ".mount");
	if (store_statx(store, dir, name, &st) < 0)
		return;
	walk.now = st.stx_mtime.tv_sec;
	store_each_entry(store, dir, sweep_entry, &walk);
}
