/*
 * seal_make - sealing
 *
 * The link of N.end is the one thing that makes a checkpoint sealed, and the last thing done. All before it only writes
 * into the seal folder, which nobody looks at while the checkpoint is open, so any error on the way ends the attempt
 * and nothing has to be undone; the next attempt writes the folder anew.
 */
#include "sealfs/seal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "seal_internal.h"
#include "state_internal.h"

/* What a file was like when it had been hashed. */
struct stamp {
	uint64_t ino;
	struct statx_timestamp mtime;
};

struct sealing {
	const struct store *store;
	struct seal_job *job;
	struct seal_place place;
	struct held_fd state_dir; /* what is decided, is decided upon the records in there */
	struct held_fd folder;	  /* the seal folder */
	struct manifest manifest;
	struct stamp *stamps; /* one an entry */
	struct seal_tree tree;
};

static int fail_at(const struct sealing *s, const char *path, int error)
{
	struct seal_job *job = s->job;
	int rc;

	if (error >= 0 || job->error_path)
		return error;
	if (!path || strcmp(path, ".") == 0)
		rc = asprintf(&job->error_path, "%s", job->path);
	else
		rc = asprintf(&job->error_path, "%s/%s", job->path, path);
	if (rc < 0)
		job->error_path = NULL;
	return error;
}

static int check_state(struct sealing *s)
{
	AUTO_STATE state = {0};
	int rc = state_look(s->store, s->job->path, false, &s->state_dir, &state);

	if (rc < 0)
		return rc;
	if (state.kind == STATE_DAMAGED)
		return -EBADMSG;
	if (state.generation == 0)
		return state.kind == STATE_SEALED ? -EEXIST : -ENOENT;
	if (s->job->claim && (!state.has_claim || strcmp(s->job->claim, state.claim.token) != 0))
		return -EEXIST;
	if (s->job->generation < state.generation || (s->job->generation == state.generation && state.has_end))
		return -EEXIST;
	return s->job->generation == state.generation && state.kind == STATE_OPEN ? 0 : -EINVAL;
}

static struct stamp stamp_of(const struct statx *st)
{
	return (struct stamp){.ino = st->stx_ino, .mtime = st->stx_mtime};
}

static bool same_stamp(const struct stamp *a, const struct statx *st)
{
	return a->ino == st->stx_ino && a->mtime.tv_sec == st->stx_mtime.tv_sec &&
	       a->mtime.tv_nsec == st->stx_mtime.tv_nsec;
}

static int stat_open(const struct store *store, int fd, struct statx *st)
{
	return store->ops->statx(store->ctx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, st);
}

static int hash_open(struct sealing *s, int fd, struct manifest_entry *entry, struct stamp *stamp)
{
	struct digest_sink sink = tree_writer_sink(&s->tree.writer);
	struct statx st;
	int rc = s->store->ops->fsync(s->store->ctx, fd);

	/* Only now: writing back may itself set the time, over NFS. */
	if (rc == 0)
		rc = stat_open(s->store, fd, &st);
	if (rc < 0)
		return rc;
	*stamp = stamp_of(&st);
	if (st.stx_size != entry->size)
		return -EAGAIN;
	seal_tree_next(&s->tree, entry->size);
	rc = digest_file_tree(s->store, fd, entry->size, s->job->threads, &s->job->progress, &sink, &entry->digest);
	if (rc == 0)
		rc = stat_open(s->store, fd, &st);
	if (rc < 0)
		return rc == -EBADMSG ? -EAGAIN : rc;
	return st.stx_size == entry->size && same_stamp(stamp, &st) ? 0 : -EAGAIN;
}

static int hash_file(struct sealing *s, size_t i)
{
	AUTO_FD(fd, s->store);
	struct manifest_entry *entry = &s->manifest.entries[i];
	struct statx st;
	int rc;

	fd.fd = seal_place_open_file(&s->place, entry->path, &st);
	/* It was there, and a file, a moment ago. */
	if (fd.fd == -ENOENT || fd.fd == -EINVAL || fd.fd == -ENOTDIR)
		return fail_at(s, entry->path, -EAGAIN);
	rc = fd.fd < 0 ? fd.fd : hash_open(s, fd.fd, entry, &s->stamps[i]);
	return fail_at(s, entry->path, rc);
}

static int open_folder(struct sealing *s)
{
	bool is_file = s->place.top < 0;
	AUTO_FREE char *folder = state_seal_dir(s->job->path, is_file);

	if (!folder)
		return -ENOMEM;
	s->folder.fd = store_make_dir(s->store, is_file ? s->place.dir : s->place.top, state_last(folder), 0755);
	return s->folder.fd < 0 ? s->folder.fd : 0;
}

static int hash_files(struct sealing *s)
{
	for (size_t i = 0; i < s->manifest.count; i++) {
		int rc = s->manifest.entries[i].type == MANIFEST_FILE ? hash_file(s, i) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int hash_all(struct sealing *s)
{
	int rc = seal_tree_begin(s->store, s->folder.fd, tree_offset(&s->manifest, s->manifest.count), &s->tree);

	if (rc == 0)
		rc = hash_files(s);
	return rc < 0 ? rc : seal_tree_finish(&s->tree);
}

static void count(struct sealing *s)
{
	s->job->files = s->job->bytes = 0;
	for (size_t i = 0; i < s->manifest.count; i++) {
		const struct manifest_entry *entry = &s->manifest.entries[i];

		s->job->files += entry->type == MANIFEST_FILE;
		s->job->bytes += entry->type == MANIFEST_FILE ? entry->size : 0;
	}
	if (s->job->bytes_total)
		atomic_store(s->job->bytes_total, s->job->bytes);
}

static int scan(struct sealing *s)
{
	struct manifest_filter filter = {.live = s->job->live, .skipped = s->job->warn, .arg = s->job->arg};
	int rc = manifest_scan(s->store, s->place.dir, s->place.name, &filter, &s->manifest);

	if (rc < 0)
		return fail_at(s, NULL, rc == -ENOENT ? -ENODATA : rc);
	s->stamps = calloc(s->manifest.count + 1, sizeof(*s->stamps));
	if (!s->stamps)
		return -ENOMEM;
	count(s);
	return 0;
}

static bool same_entry(const struct manifest_entry *a, const struct manifest_entry *b)
{
	return a->type == b->type && a->size == b->size && a->executable == b->executable &&
	       strcmp(a->path, b->path) == 0 && (a->type != MANIFEST_SYMLINK || strcmp(a->target, b->target) == 0);
}

static int check_entry(const struct sealing *s, size_t i, const struct manifest_entry *now)
{
	const struct manifest_entry *entry = &s->manifest.entries[i];
	struct statx st;
	int rc;

	if (!same_entry(entry, now))
		return -EAGAIN;
	if (entry->type != MANIFEST_FILE)
		return 0;
	rc = seal_place_stat(&s->place, entry->path, &st);
	if (rc == -ENOENT || (rc == 0 && !same_stamp(&s->stamps[i], &st)))
		return -EAGAIN;
	return rc;
}

/* Writing has stopped, it is said. A writer that was overlooked must not leave a seal that its own data contradict. */
static int check_unmoved(const struct sealing *s)
{
	AUTO_MANIFEST now = {0};
	struct manifest_filter filter = {.live = s->job->live};
	int rc = manifest_scan(s->store, s->place.dir, s->place.name, &filter, &now);

	if (rc < 0)
		return fail_at(s, NULL, rc == -ENOENT ? -EAGAIN : rc);
	for (size_t i = 0; i < now.count && i < s->manifest.count; i++) {
		rc = check_entry(s, i, &now.entries[i]);
		if (rc < 0)
			return fail_at(s, s->manifest.entries[i].path, rc);
	}
	return now.count == s->manifest.count ? 0 : fail_at(s, NULL, -EAGAIN);
}

static int format_seal(const struct sealing *s, const struct record *end, char **text, size_t *size)
{
	const struct seal_job *job = s->job;
	struct seal seal = {
		.checkpoint = end->checkpoint,
		.generation = job->generation,
		.trial = end->trial,
		.host = end->host,
		.time_ns = end->time_ns,
		.root = job->root,
		.files = job->files,
		.bytes = job->bytes,
		.parents = (struct seal_parent *)job->parents,
		.parent_count = job->parent_count,
	};

	return seal_format(&seal, text, size);
}

static int write_manifest(struct sealing *s, int dir, struct seal_fresh *out)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int rc = manifest_format(&s->manifest, &text, &size, &s->job->root);

	if (rc < 0)
		return rc;
	return size > MANIFEST_SIZE_LIMIT ? -EFBIG : seal_fresh_write(s->store, dir, text, size, out);
}

static int write_seal(struct sealing *s, int dir, struct record *end, struct seal_fresh *out)
{
	AUTO_FREE char *text = NULL;
	size_t size;
	int rc = format_seal(s, end, &text, &size);

	if (rc < 0)
		return rc;
	end->root = s->job->root;
	digest_sha256(text, size, &end->seal);
	return seal_fresh_write(s->store, dir, text, size, out);
}

/*
 * One who lost his lease while he hashed must not put his files over those that another one seals: their digests will
 * be in the record. So all that takes long is done before the look, and only the renames after it. Should even they
 * come late, as those of a machine that was cut off do, the other one has deleted what they rename; and should they
 * come in between, he sees that his files are not there.
 */
static int put_in_place(struct sealing *s, const struct seal_fresh *manifest, const struct seal_fresh *seal,
			const struct seal_signature *signature)
{
	const struct store *store = s->store;
	struct held_fd *dir = &s->folder;
	int rc = state_confirm(store, s->job->path, s->state_dir.fd, s->job->generation);

	if (rc != 0)
		return rc < 0 ? rc : -EEXIST;
	rc = seal_tree_place(&s->tree, dir->fd);
	if (rc == 0)
		rc = store->ops->renameat2(store->ctx, dir->fd, manifest->name, dir->fd, "manifest", 0);
	if (rc == 0)
		rc = store->ops->renameat2(store->ctx, dir->fd, seal->name, dir->fd, "seal", 0);
	if (rc == 0)
		rc = seal_sign_place(store, dir->fd, signature);
	if (rc == 0)
		rc = seal_fresh_remove(dir);
	return rc < 0 ? rc : store_sync_dir(store, dir->fd, "");
}

static int write_folder(struct sealing *s, struct record *end)
{
	struct seal_fresh manifest, seal;
	struct seal_signature signature;
	int dir = s->folder.fd;
	int rc = write_manifest(s, dir, &manifest);

	if (rc == 0)
		rc = write_seal(s, dir, end, &seal);
	if (rc == 0)
		rc = seal_sign_write(s->store, dir, s->job->key, &end->seal, &signature);
	if (rc == 0)
		rc = put_in_place(s, &manifest, &seal, &signature);
	if (rc == 0)
		rc = seal_fresh_confirm(s->store, dir, "manifest", MANIFEST_SIZE_LIMIT, &end->root);
	if (rc == 0)
		rc = seal_fresh_confirm(s->store, dir, "seal", SEAL_SIZE_LIMIT, &end->seal);
	if (rc == 0)
		rc = seal_sign_confirm(s->store, dir, &signature);
	/* Somebody else is at it, and deletes what is not his. */
	return rc == -ENOENT ? -EAGAIN : rc;
}

static int sync_content(const struct sealing *s)
{
	int rc = s->place.top < 0 ? 0 : fail_at(s, NULL, store_sync_dir(s->store, s->place.top, ""));

	for (size_t i = 0; rc == 0 && i < s->manifest.count; i++) {
		const struct manifest_entry *entry = &s->manifest.entries[i];

		if (entry->type == MANIFEST_DIR)
			rc = fail_at(s, entry->path, store_sync_dir(s->store, s->place.top, entry->path));
	}
	return rc;
}

/* Every directory on the way, up to the export's root: the checkpoint's name must be durable, too. */
static int sync_ancestors(const struct sealing *s)
{
	AUTO_FREE char *path = strdup(s->job->path);
	char *slash;

	if (!path)
		return -ENOMEM;
	do {
		int rc;

		slash = strrchr(path, '/');
		*(slash ? slash : path) = '\0';
		rc = store_sync_dir(s->store, s->store->root, path);
		/* One that may be searched but not listed can not be opened to be fsynced. Whoever made it has done so.
		 */
		if (rc < 0 && rc != -EACCES)
			return rc;
	} while (slash);
	return 0;
}

static int fill_end(const struct sealing *s, struct record *end)
{
	int rc = record_init(end, RECORD_END);

	if (rc < 0)
		return rc;
	end->sealed = 1;
	end->generation = s->job->generation;
	end->pid = s->job->pid;
	end->uid = s->job->uid;
	end->gid = s->job->gid;
	end->checkpoint = strdup(s->job->path);
	end->trial = strdup(s->job->trial);
	return end->checkpoint && end->trial ? 0 : -ENOMEM;
}

static int seal_with(struct sealing *s, struct record *end)
{
	int rc = fill_end(s, end);

	if (rc == 0)
		rc = scan(s);
	if (rc == 0)
		rc = open_folder(s);
	if (rc == 0)
		rc = hash_all(s);
	if (rc == 0)
		rc = write_folder(s, end);
	if (rc == 0)
		rc = sync_content(s);
	if (rc == 0)
		rc = sync_ancestors(s);
	if (rc == 0)
		rc = check_unmoved(s);
	return rc < 0 ? rc : state_end_in(s->store, s->job->path, s->state_dir.fd, end, NULL);
}

static int find_and_seal(struct sealing *s)
{
	__attribute__((cleanup(record_free))) struct record end = {0};
	AUTO_FD(parent, s->store);
	AUTO_FD(top, s->store);
	const char *last;
	int rc;

	parent.fd = store_open_parent(s->store, s->store->root, s->job->path, &last);
	rc = parent.fd < 0 ? parent.fd : seal_place_open(s->store, parent.fd, last, &top, &s->place);
	if (rc < 0)
		return rc == -ENOENT ? -ENODATA : rc;
	rc = seal_with(s, &end);
	/* The folder of the state is gone, or, in an NFS client's words, what was there. */
	return rc == -ENOENT || rc == -ESTALE ? -EAGAIN : rc;
}

int seal_checkpoint(const struct store *store, struct seal_job *job)
{
	struct sealing s = {
		.store = store, .job = job, .state_dir = {store, -1}, .folder = {store, -1}, .tree = SEAL_TREE_INIT};
	int rc;

	job->error_path = NULL;
	rc = check_state(&s);
	if (rc == 0)
		rc = find_and_seal(&s);
	held_close(&s.state_dir);
	held_close(&s.folder);
	held_close(&s.tree.file);
	manifest_free(&s.manifest);
	free(s.stamps);
	return rc;
}
