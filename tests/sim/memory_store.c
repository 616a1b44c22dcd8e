/*
 * memory_store - the server's tree, and what a client knows of it
 */
#include "memory_store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct memory_entry {
	UT_hash_handle hh;
	struct memory_inode *inode;
	char name[];
};

struct memory_lock {
	struct memory_lock *next;
	const struct memory_file *file;
	const struct memory_client *client;
	int type;
	off_t from;
	uint64_t end;
};

struct memory_inode {
	struct memory_server *server;
	uint64_t number;
	mode_t mode;
	unsigned int links, references;
	uint64_t change; /* as NFSv4's attribute: another after each change; with a coarse clock the tick of the last one */
	char *data;
	size_t size;
	struct memory_entry *entries;
	struct memory_inode *parent; /* of a directory */
	struct memory_lock *locks;
};

struct memory_server {
	struct memory_inode *root;
	uint64_t next_number, now_ns;
	bool coarse;
	uint64_t tick;
};

struct memory_file {
	struct memory_inode *inode;
	int flags;
	char *names; /* of a directory that is being listed: what getdents has still to tell, each with its NUL */
	size_t names_size, names_at;
};

/* What a client has seen of an inode. */
struct memory_known {
	UT_hash_handle hh;
	uint64_t number;
	struct statx attributes;
	uint64_t change, fetched_ns;
	bool stale; /* to be fetched anew, whatever its age */
	char *data; /* as it was read, or NULL */
	size_t size;
	char *names; /* the listing, or NULL */
	size_t names_size;
};

struct dentry_key {
	uint64_t directory;
	char name[NAME_MAX + 1];
};
struct memory_dentry {
	UT_hash_handle hh;
	struct memory_inode *inode; /* a reference, or NULL: missing */
	uint64_t change;	    /* of the directory, as the client knew it */
	struct dentry_key key;
};

/* ---- the server ---- */

static struct memory_inode *inode_new(struct memory_server *server, mode_t mode)
{
	struct memory_inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		abort();
	inode->server = server;
	inode->number = ++server->next_number;
	inode->mode = mode;
	inode->change = server->tick;
	return inode;
}

static void inode_changed(struct memory_inode *inode)
{
	inode->change = inode->server->coarse ? inode->server->tick : inode->change + 1;
}

static void inode_put(struct memory_inode *inode)
{
	if (inode->references || inode->links)
		return;
	free(inode->data);
	free(inode);
}

static void inode_release(struct memory_inode *inode)
{
	inode->references--;
	inode_put(inode);
}

static struct memory_entry *entry_find(struct memory_inode *directory, const char *name)
{
	struct memory_entry *entry;

	HASH_FIND_STR(directory->entries, name, entry);
	return entry;
}

static void entry_add(struct memory_inode *directory, const char *name, struct memory_inode *inode)
{
	size_t size = strlen(name) + 1;
	struct memory_entry *entry = calloc(1, sizeof(*entry) + size);

	if (!entry)
		abort();
	memcpy(entry->name, name, size);
	entry->inode = inode;
	inode->links++;
	inode_changed(inode);
	if (S_ISDIR(inode->mode))
		inode->parent = directory;
	inode_changed(directory);
	HASH_ADD_KEYPTR(hh, directory->entries, entry->name, size - 1, entry);
}

static void entry_delete(struct memory_inode *directory, struct memory_entry *entry)
{
	struct memory_inode *inode = entry->inode;

	HASH_DEL(directory->entries, entry);
	free(entry);
	inode_changed(directory);
	inode->links--;
	inode_changed(inode);
	inode_put(inode);
}

struct memory_server *memory_server_new(void)
{
	struct memory_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->tick = 1;
	server->root = inode_new(server, S_IFDIR | 0755);
	server->root->links = 1;
	return server;
}

static void tree_free(struct memory_inode *directory)
{
	struct memory_entry *entry, *next;

	HASH_ITER(hh, directory->entries, entry, next)
	{
		if (S_ISDIR(entry->inode->mode))
			tree_free(entry->inode);
		entry_delete(directory, entry);
	}
}

void memory_server_free(struct memory_server *server)
{
	tree_free(server->root);
	server->root->links = 0;
	inode_put(server->root);
	free(server);
}

void memory_server_pass(struct memory_server *server, uint64_t ns)
{
	server->now_ns += ns;
}

void memory_server_be_coarse(struct memory_server *server)
{
	server->coarse = true;
}

void memory_server_tick(struct memory_server *server)
{
	server->tick++;
}

/* ---- what a client knows ---- */

static struct memory_known *known_of(struct memory_client *client, const struct memory_inode *inode)
{
	struct memory_known *known;

	/* without caches only the last one is kept, to be filled again */
	if (!client->caches && client->known)
		return client->known;
	HASH_FIND(hh, client->known, &inode->number, sizeof(inode->number), known);
	if (known)
		return known;
	known = calloc(1, sizeof(*known));
	if (!known)
		abort();
	known->number = inode->number;
	known->stale = true;
	HASH_ADD(hh, client->known, number, sizeof(known->number), known);
	return known;
}

static void fill_attributes(const struct memory_inode *inode, struct statx *out)
{
	*out = (struct statx){.stx_mask = STATX_BASIC_STATS,
			      .stx_blksize = 4096,
			      .stx_nlink = inode->links,
			      .stx_mode = (uint16_t)inode->mode,
			      .stx_ino = inode->number,
			      .stx_size = inode->size,
			      .stx_blocks = (inode->size + 511) / 512,
			      .stx_dev_minor = 1};
	out->stx_mtime.tv_nsec = (uint32_t)(inode->change % 1000000000);
	out->stx_ctime = out->stx_mtime;
}

/* The answer to a request brings attributes along. */
static struct memory_known *fetched(struct memory_client *client, const struct memory_inode *inode)
{
	struct memory_known *known = known_of(client, inode);

	if (known->change != inode->change || !client->caches) {
		free(known->data);
		free(known->names);
		known->data = known->names = NULL;
	}
	known->change = inode->change;
	known->fetched_ns = client->server->now_ns;
	known->stale = false;
	fill_attributes(inode, &known->attributes);
	return known;
}

/* Asks the server when what is known is too old, or `anew`. */
static struct memory_known *revalidate(struct memory_client *client, const struct memory_inode *inode, bool anew)
{
	struct memory_known *known = known_of(client, inode);

	if (client->caches && !anew && !known->stale && client->server->now_ns - known->fetched_ns < MEMORY_CACHE_NS)
		return known;
	client->requests++;
	return fetched(client, inode);
}

static struct memory_dentry *dentry_of(struct memory_client *client, const struct memory_inode *directory, const char *name)
{
	struct dentry_key key = {.directory = directory->number};
	struct memory_dentry *dentry;

	strncpy(key.name, name, NAME_MAX);
	HASH_FIND(hh, client->dentries, &key, sizeof(key), dentry);
	if (dentry)
		return dentry;
	dentry = calloc(1, sizeof(*dentry));
	if (!dentry)
		abort();
	dentry->key = key;
	HASH_ADD(hh, client->dentries, key, sizeof(dentry->key), dentry);
	return dentry;
}

static void remember(struct memory_client *client, const struct memory_inode *directory, const char *name, struct memory_inode *inode)
{
	if (!client->caches)
		return;
	struct memory_dentry *dentry = dentry_of(client, directory, name);

	if (inode)
		inode->references++;
	if (dentry->inode)
		inode_release(dentry->inode);
	dentry->inode = inode;
	dentry->change = known_of(client, directory)->change;
}

static int lookup_anew(struct memory_client *client, struct memory_inode *directory, const char *name, struct memory_inode **out)
{
	struct memory_entry *entry;

	client->requests++;
	if (!directory->links)
		return -ESTALE;
	fetched(client, directory);
	entry = entry_find(directory, name);
	if (entry)
		fetched(client, entry->inode);
	remember(client, directory, name, entry ? entry->inode : NULL);
	*out = entry ? entry->inode : NULL;
	return entry ? 0 : -ENOENT;
}

/* The name as this client has it. */
static int lookup(struct memory_client *client, struct memory_inode *directory, const char *name, struct memory_inode **out)
{
	if (client->caches) {
		struct memory_dentry *dentry = dentry_of(client, directory, name);

		if (dentry->change && revalidate(client, directory, false)->change == dentry->change) {
			*out = dentry->inode;
			return *out ? 0 : -ENOENT;
		}
	}
	return lookup_anew(client, directory, name, out);
}

/* A change of this client's own. */
static void changed(struct memory_client *client, struct memory_inode *directory, const char *name, struct memory_inode *inode)
{
	fetched(client, directory);
	if (inode)
		fetched(client, inode);
	remember(client, directory, name, inode);
}

/* ---- descriptors and paths ---- */

static struct memory_file *file_of(struct memory_client *client, int fd)
{
	return fd >= 0 && fd < client->file_count ? client->files[fd] : NULL;
}

static int file_add(struct memory_client *client, struct memory_inode *inode, int flags)
{
	struct memory_file *file = calloc(1, sizeof(*file));
	int fd = 0;

	while (fd < client->file_count && client->files[fd])
		fd++;
	if (fd == client->file_count) {
		client->files = realloc(client->files, (size_t)++client->file_count * sizeof(struct memory_file *));
		if (!client->files)
			abort();
	}
	if (!file)
		abort();
	file->inode = inode;
	file->flags = flags;
	inode->references++;
	client->files[fd] = file;
	return fd;
}

/* Walks to the directory that holds the last component, which is copied to `last` ("" for the directory itself). */
static int walk(struct memory_client *client, int dirfd, const char *path, struct memory_inode **directory, char last[NAME_MAX + 1])
{
	struct memory_file *file = file_of(client, dirfd);

	if (!file)
		return -EBADF;
	*directory = file->inode;
	for (;;) {
		size_t size = strcspn(path, "/");
		int rc;

		if (size > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(last, path, size);
		last[size] = '\0';
		if (strcmp(last, ".") == 0)
			last[0] = '\0';
		if (path[size] == '\0')
			return 0;
		path += size + 1;
		if (!last[0])
			continue;
		if (!S_ISDIR((*directory)->mode))
			return -ENOTDIR;
		rc = lookup(client, *directory, last, directory);
		if (rc < 0)
			return rc;
	}
}

/* ---- the operations ---- */

#define CALL(kind)                                                                                                     \
	struct memory_client *client = ctx;                                                                            \
	client->calls[kind]++

static int make_file(struct memory_client *client, struct memory_inode *directory, const char *name, mode_t mode, struct memory_inode **out)
{
	/* one whose last name is gone */
	if (!directory->links)
		return -ESTALE;
	*out = inode_new(client->server, mode);
	entry_add(directory, name, *out);
	changed(client, directory, name, *out);
	return 0;
}

static int memory_openat(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	CALL(MEMORY_OPEN);
	struct memory_inode *directory, *inode;
	char name[NAME_MAX + 1];
	int rc = walk(client, dirfd, path, &directory, name);

	if (rc < 0)
		return rc;
	if (!name[0])
		return file_add(client, directory, flags);
	if (!S_ISDIR(directory->mode))
		return -ENOTDIR;
	if (flags & O_CREAT) {
		/* asks the server, whatever is known */
		struct memory_entry *entry = entry_find(directory, name);

		client->requests++;
		inode = entry ? entry->inode : NULL;
		if (inode && flags & O_EXCL)
			return -EEXIST;
		if (!inode && (rc = make_file(client, directory, name, S_IFREG | mode, &inode)) < 0)
			return rc;
		changed(client, directory, name, inode);
		return file_add(client, inode, flags);
	}
	rc = lookup(client, directory, name, &inode);
	if (rc < 0)
		return rc;
	if (flags & O_DIRECTORY && !S_ISDIR(inode->mode))
		return -ENOTDIR;
	/* a regular file's content and attributes are fetched anew when it is opened; of a directory all is believed */
	if (!(flags & O_PATH) && S_ISREG(inode->mode)) {
		client->requests++;
		/* of what is no more the name is looked up once more, as the kernel does */
		if (!inode->links && (rc = lookup_anew(client, directory, name, &inode)) < 0)
			return rc;
		fetched(client, inode);
	}
	return file_add(client, inode, flags);
}

static void unlock(struct memory_inode *inode, const struct memory_file *file, const struct memory_client *client)
{
	for (struct memory_lock **at = &inode->locks; *at;) {
		struct memory_lock *lock = *at;

		if ((file && lock->file == file) || (client && lock->client == client)) {
			*at = lock->next;
			free(lock);
		} else {
			at = &lock->next;
		}
	}
}

static int memory_close(void *ctx, int fd)
{
	CALL(MEMORY_CLOSE);
	struct memory_file *file = file_of(client, fd);

	if (!file)
		return -EBADF;
	/* the kernel tells the server of files, not of directories */
	if (S_ISREG(file->inode->mode) && !(file->flags & O_PATH))
		client->requests++;
	unlock(file->inode, file, NULL);
	inode_release(file->inode);
	free(file->names);
	free(file);
	client->files[fd] = NULL;
	return 0;
}

static ssize_t memory_pread(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	CALL(MEMORY_READ);
	struct memory_file *file = file_of(client, fd);
	const char *data;
	size_t have;

	if (!file)
		return -EBADF;
	data = file->inode->data;
	have = file->inode->size;
	if (client->caches) {
		struct memory_known *known = known_of(client, file->inode);

		if (!known->data) {
			client->requests++;
			fetched(client, file->inode);
			known->data = calloc(1, have + 1);
			if (!known->data)
				abort();
			memcpy(known->data, data ? data : "", have);
			known->size = have;
		}
		data = known->data;
		have = known->size;
	} else {
		client->requests++;
	}
	if ((size_t)offset >= have)
		return 0;
	if (size > have - (size_t)offset)
		size = have - (size_t)offset;
	memcpy(buf, data + offset, size);
	return (ssize_t)size;
}

static ssize_t memory_pwrite(void *ctx, int fd, const void *buf, size_t size, off_t offset)
{
	CALL(MEMORY_WRITE);
	struct memory_file *file = file_of(client, fd);
	struct memory_inode *inode;
	size_t end = (size_t)offset + size;

	if (!file)
		return -EBADF;
	inode = file->inode;
	client->requests++;
	if (end > inode->size) {
		inode->data = realloc(inode->data, end);
		if (!inode->data)
			abort();
		memset(inode->data + inode->size, 0, end - inode->size);
		inode->size = end;
	}
	memcpy(inode->data + offset, buf, size);
	inode_changed(inode);
	fetched(client, inode);
	return (ssize_t)size;
}

static int memory_fsync(void *ctx, int fd)
{
	CALL(MEMORY_FSYNC);
	struct memory_file *file = file_of(client, fd);

	if (!file)
		return -EBADF;
	/* COMMIT; a directory's changes are durable when they are answered */
	if (S_ISREG(file->inode->mode))
		client->requests++;
	return 0;
}

static int memory_statx(void *ctx, int dirfd, const char *path, int flags, unsigned int mask, struct statx *out)
{
	CALL(MEMORY_STATX);
	struct memory_inode *directory, *inode;
	char name[NAME_MAX + 1];
	int rc = walk(client, dirfd, path, &directory, name);

	if (rc < 0)
		return rc;
	if (name[0] && !S_ISDIR(directory->mode))
		return -ENOTDIR;
	inode = directory;
	if (name[0] && (rc = lookup(client, directory, name, &inode)) < 0)
		return rc;
	if (!inode->links && flags & AT_STATX_FORCE_SYNC) {
		client->requests++;
		rc = name[0] ? lookup_anew(client, directory, name, &inode) : -ESTALE;
		if (rc < 0)
			return rc;
	}
	*out = revalidate(client, inode, flags & AT_STATX_FORCE_SYNC)->attributes;
	return 0;
}

static int memory_mkdirat(void *ctx, int dirfd, const char *path, mode_t mode)
{
	CALL(MEMORY_MKDIR);
	struct memory_inode *directory, *inode;
	char name[NAME_MAX + 1];
	int rc = walk(client, dirfd, path, &directory, name);

	if (rc < 0)
		return rc;
	client->requests++;
	if (!name[0] || entry_find(directory, name))
		return -EEXIST;
	return make_file(client, directory, name, S_IFDIR | mode, &inode);
}

static int memory_unlinkat(void *ctx, int dirfd, const char *path, int flags)
{
	CALL(MEMORY_UNLINK);
	struct memory_inode *directory;
	struct memory_entry *entry;
	char name[NAME_MAX + 1];
	int rc = walk(client, dirfd, path, &directory, name);

	if (rc < 0)
		return rc;
	client->requests++;
	entry = entry_find(directory, name);
	if (!entry)
		return -ENOENT;
	if (!(flags & AT_REMOVEDIR) != !S_ISDIR(entry->inode->mode))
		return flags & AT_REMOVEDIR ? -ENOTDIR : -EISDIR;
	if (entry->inode->entries)
		return -ENOTEMPTY;
	entry_delete(directory, entry);
	changed(client, directory, name, NULL);
	return 0;
}

static int memory_linkat(void *ctx, int olddir, const char *oldpath, int newdir, const char *newpath)
{
	CALL(MEMORY_LINK);
	struct memory_inode *from, *to;
	struct memory_entry *entry;
	char old[NAME_MAX + 1], new[NAME_MAX + 1];
	int rc = walk(client, olddir, oldpath, &from, old);

	if (rc == 0)
		rc = walk(client, newdir, newpath, &to, new);
	if (rc < 0)
		return rc;
	client->requests++;
	entry = entry_find(from, old);
	if (!entry || !to->links)
		return entry ? -ESTALE : -ENOENT;
	if (entry_find(to, new))
		return -EEXIST;
	entry_add(to, new, entry->inode);
	changed(client, to, new, entry->inode);
	return 0;
}

static bool is_below(const struct memory_inode *inode, const struct memory_inode *directory)
{
	for (; inode; inode = inode->parent)
		if (inode == directory)
			return true;
	return false;
}

static int memory_renameat2(void *ctx, int olddir, const char *oldpath, int newdir, const char *newpath, unsigned int flags)
{
	CALL(MEMORY_RENAME);
	struct memory_inode *from, *to, *inode;
	struct memory_entry *entry, *there;
	char old[NAME_MAX + 1], new[NAME_MAX + 1];
	int rc = walk(client, olddir, oldpath, &from, old);

	if (rc == 0)
		rc = walk(client, newdir, newpath, &to, new);
	if (rc < 0)
		return rc;
	client->requests++;
	entry = entry_find(from, old);
	if (!entry || !to->links)
		return entry ? -ESTALE : -ENOENT;
	if (flags || is_below(to, entry->inode))
		return -EINVAL;
	there = entry_find(to, new);
	if (there && there->inode == entry->inode)
		return 0;
	if (there && there->inode->entries)
		return -ENOTEMPTY;
	inode = entry->inode;
	inode->references++;
	if (there)
		entry_delete(to, there);
	entry_delete(from, entry);
	entry_add(to, new, inode);
	changed(client, from, old, NULL);
	changed(client, to, new, inode);
	inode_release(inode);
	return 0;
}

static int memory_symlinkat(void *ctx, const char *target, int dirfd, const char *path)
{
	return -EPERM;
}

static ssize_t memory_readlinkat(void *ctx, int dirfd, const char *path, char *buf, size_t size)
{
	return -EINVAL;
}

static void list_entry(FILE *stream, const struct memory_entry *entry)
{
	fputc(S_ISDIR(entry->inode->mode) ? DT_DIR : DT_REG, stream);
	fwrite(&entry->inode->number, sizeof(entry->inode->number), 1, stream);
	fwrite(entry->name, 1, strlen(entry->name) + 1, stream);
}

static void list(struct memory_client *client, struct memory_file *file)
{
	struct memory_known *known = revalidate(client, file->inode, false);
	struct memory_entry *entry, *next, *last = NULL;
	FILE *stream;

	if (!client->caches || !known->names) {
		free(known->names);
		known->names = NULL;
		client->requests++;
		fetched(client, file->inode);
		stream = open_memstream(&known->names, &known->names_size);
		if (!stream)
			abort();
		/* in no order that anybody could rely on: the oldest first, or the newest */
		HASH_ITER(hh, file->inode->entries, entry, next)
		{
			last = entry;
			if (file->inode->number % 2)
				list_entry(stream, entry);
		}
		for (entry = file->inode->number % 2 ? NULL : last; entry; entry = entry->hh.prev)
			list_entry(stream, entry);
		fclose(stream);
	}
	file->names = malloc(known->names_size + 1);
	if (!file->names)
		abort();
	memcpy(file->names, known->names, known->names_size);
	file->names_size = known->names_size;
}

static ssize_t memory_getdents(void *ctx, int fd, void *buf, size_t size)
{
	CALL(MEMORY_GETDENTS);
	struct memory_file *file = file_of(client, fd);
	size_t used = 0;

	if (!file)
		return -EBADF;
	if (!S_ISDIR(file->inode->mode))
		return -ENOTDIR;
	if (!file->names)
		list(client, file);
	while (file->names_at < file->names_size) {
		const char *at = file->names + file->names_at, *name = at + 1 + sizeof(uint64_t);
		size_t length = (offsetof(struct dirent64, d_name) + strlen(name) + 1 + 7) & ~(size_t)7;
		struct dirent64 *out = (struct dirent64 *)((char *)buf + used);

		if (used + length > size)
			break;
		out->d_type = (unsigned char)*at;
		memcpy(&out->d_ino, at + 1, sizeof(uint64_t));
		out->d_reclen = (unsigned short)length;
		out->d_off = 0;
		memcpy((char *)out + offsetof(struct dirent64, d_name), name, strlen(name) + 1);
		used += length;
		file->names_at += 1 + sizeof(uint64_t) + strlen(name) + 1;
	}
	return (ssize_t)used;
}

static uint64_t range_end(off_t from, off_t size)
{
	return size ? (uint64_t)(from + size) : UINT64_MAX;
}

static bool refused(const struct memory_file *file, int type, off_t from, off_t size)
{
	for (const struct memory_lock *lock = file->inode->locks; lock; lock = lock->next)
		if (lock->file != file && (type == F_WRLCK || lock->type == F_WRLCK) && (uint64_t)from < lock->end &&
		    (uint64_t)lock->from < range_end(from, size))
			return true;
	return false;
}

/* Nobody has two ranges of one file. */
static int memory_lock(void *ctx, int fd, int type, off_t from, off_t size)
{
	CALL(MEMORY_LOCK);
	struct memory_file *file = file_of(client, fd);
	struct memory_lock *lock;

	if (!file)
		return -EBADF;
	client->requests++;
	if (type != F_UNLCK && refused(file, type, from, size))
		return -EAGAIN;
	unlock(file->inode, file, NULL);
	if (type == F_UNLCK)
		return 0;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		abort();
	*lock = (struct memory_lock){.next = file->inode->locks, .file = file, .client = client, .type = type, .from = from, .end = range_end(from, size)};
	file->inode->locks = lock;
	return 0;
}

static int memory_lock_probe(void *ctx, int fd, int type, off_t from, off_t size)
{
	CALL(MEMORY_PROBE);
	struct memory_file *file = file_of(client, fd);

	if (!file)
		return -EBADF;
	client->requests++;
	return refused(file, type, from, size);
}

static int memory_fchmod(void *ctx, int fd, mode_t mode)
{
	CALL(MEMORY_FCHMOD);
	struct memory_file *file = file_of(client, fd);

	if (!file)
		return -EBADF;
	client->requests++;
	file->inode->mode = (file->inode->mode & S_IFMT) | (mode & 07777);
	inode_changed(file->inode);
	fetched(client, file->inode);
	return 0;
}

/* Whoever waits for the clock's next tick first has waited. */
static int memory_touch(void *ctx, int fd)
{
	CALL(MEMORY_TOUCH);
	struct memory_file *file = file_of(client, fd);

	if (!file)
		return -EBADF;
	client->requests++;
	if (!file->inode->links)
		return -ESTALE;
	memory_server_tick(client->server);
	inode_changed(file->inode);
	fetched(client, file->inode);
	return 0;
}

static const struct store_ops memory_ops = {
	.openat = memory_openat,
	.close = memory_close,
	.pread = memory_pread,
	.pwrite = memory_pwrite,
	.fsync = memory_fsync,
	.statx = memory_statx,
	.mkdirat = memory_mkdirat,
	.unlinkat = memory_unlinkat,
	.linkat = memory_linkat,
	.renameat2 = memory_renameat2,
	.symlinkat = memory_symlinkat,
	.readlinkat = memory_readlinkat,
	.getdents = memory_getdents,
	.lock = memory_lock,
	.lock_probe = memory_lock_probe,
	.fchmod = memory_fchmod,
	.touch = memory_touch,
};

struct memory_client *memory_client_new(struct memory_server *server, bool caches)
{
	struct memory_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->server = server;
	client->caches = caches;
	client->store = (struct store){.ops = &memory_ops, .ctx = client};
	client->store.root = file_add(client, server->root, O_RDONLY | O_DIRECTORY);
	return client;
}

static void forget(struct memory_client *client)
{
	struct memory_known *known, *next_known;
	struct memory_dentry *dentry, *next_dentry;

	HASH_ITER(hh, client->dentries, dentry, next_dentry)
	{
		HASH_DEL(client->dentries, dentry);
		if (dentry->inode)
			inode_release(dentry->inode);
		free(dentry);
	}
	HASH_ITER(hh, client->known, known, next_known)
	{
		HASH_DEL(client->known, known);
		free(known->data);
		free(known->names);
		free(known);
	}
}

void memory_client_free(struct memory_client *client)
{
	for (int fd = 0; fd < client->file_count; fd++)
		if (client->files[fd])
			memory_close(client, fd);
	forget(client);
	free(client->files);
	free(client);
}

void memory_client_vanish(struct memory_client *client)
{
	for (int fd = 0; fd < client->file_count; fd++)
		if (client->files[fd])
			unlock(client->files[fd]->inode, NULL, client);
}

uint64_t memory_client_calls(const struct memory_client *client)
{
	uint64_t sum = 0;

	for (int kind = 0; kind < MEMORY_CALLS; kind++)
		sum += client->calls[kind];
	return sum;
}
