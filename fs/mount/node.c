/* node.c - nodes: found, made, promised and forgotten */
#include "node_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utlist.h>

/* At most so many, and at most half of all: worker threads have pipes, who writes is remembered by an open file. */
#define RESERVED_DESCRIPTORS 1024

int node_attributes(int fd, const char *name, struct stat *out, struct timespec *born)
{
	struct statx x;

	if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &x))
		return -errno;
	memset(out, 0, sizeof(*out));
	out->st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
	out->st_ino = x.stx_ino;
	out->st_mode = x.stx_mode;
	out->st_nlink = x.stx_nlink;
	out->st_uid = x.stx_uid;
	out->st_gid = x.stx_gid;
	out->st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
	out->st_size = (off_t)x.stx_size;
	out->st_blksize = x.stx_blksize;
	out->st_blocks = (blkcnt_t)x.stx_blocks;
	out->st_atim = (struct timespec){x.stx_atime.tv_sec, x.stx_atime.tv_nsec};
	out->st_mtim = (struct timespec){x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec};
	out->st_ctim = (struct timespec){x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec};
	*born = (struct timespec){0, 0};
	if (x.stx_mask & STATX_BTIME)
		*born = (struct timespec){x.stx_btime.tv_sec, x.stx_btime.tv_nsec};
	return 0;
}

static struct node *new_node(struct nodes *nodes)
{
	struct node *node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->directory = -1;
	node->generation = ++nodes->next_generation;
	DL_APPEND2(nodes->all, node, all_prev, all_next);
	atomic_fetch_add(&nodes->count, 1);
	return node;
}

int nodes_init(struct nodes *nodes, struct gate *gate, int root, unsigned int depth)
{
	struct stat attributes;
	struct timespec born;
	struct rlimit limit;

	memset(nodes, 0, sizeof(*nodes));
	nodes->descriptors = INT_MAX;
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < INT_MAX)
		nodes->descriptors = (int)(limit.rlim_cur - (limit.rlim_cur / 2 < RESERVED_DESCRIPTORS ? limit.rlim_cur / 2 : RESERVED_DESCRIPTORS));
	pthread_mutex_init(&nodes->lock, NULL);
	pthread_mutex_init(&nodes->io_lock, NULL);
	nodes->gate = gate;
	nodes->depth = depth;
	nodes->root = new_node(nodes);
	if (!nodes->root)
		return -ENOMEM;
	int error = node_attributes(root, "", &attributes, &born);
	if (error)
		return error;
	nodes->root->directory = fcntl(root, F_DUPFD_CLOEXEC, 0);
	if (nodes->root->directory < 0)
		return -errno;
	nodes->root->key = (struct node_key){.device = attributes.st_dev, .inode = attributes.st_ino};
	nodes->root->type = S_IFDIR;
	nodes->root->refs = 1;
	return 0;
}

void nodes_destroy(struct nodes *nodes)
{
	struct node_name *name, *next_name;
	struct node *node, *garbage = NULL;

	HASH_ITER(hh, nodes->by_name, name, next_name)
	{
		HASH_DEL(nodes->by_name, name);
		for (struct node_name *twin; name; name = twin) {
			twin = name->twin;
			free(name);
		}
	}
	HASH_CLEAR(hh, nodes->by_inode);
	DL_FOREACH2(nodes->all, node, all_next)
	{
		node->promise_parent = garbage;
		garbage = node;
	}
	nodes->all = nodes->root = NULL;
	node_free_garbage(nodes, garbage);
	pthread_mutex_destroy(&nodes->lock);
	pthread_mutex_destroy(&nodes->io_lock);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Is what stands under this number still the file that we know? */
static bool same_file(const struct node *node, const struct stat *attributes, const struct timespec *born)
{
	return node->type == (attributes->st_mode & S_IFMT) && same_time(&node->born, born);
}

void node_attach_checkpoint_locked(struct nodes *nodes, struct node *node, struct node *parent, const char *path)
{
	node->depth = parent->depth + 1;
	if (node->depth == nodes->depth && !node->checkpoint)
		node->checkpoint = gate_checkpoint_get(nodes->gate, path);
}

/* Gives a node its name, its checkpoint and one kernel reference; one that was new and failed is gone afterwards. */
static int settle_locked(struct nodes *nodes, struct node *node, struct node *parent, const char *name, const char *path,
			 struct node **garbage)
{
	node->refs++;
	int error = node_add_name_locked(nodes, node, parent, name, garbage);
	if (!error)
		node_attach_checkpoint_locked(nodes, node, parent, path);
	if (!error && node->depth == nodes->depth && !node->checkpoint)
		error = -ENOMEM;
	if (!error)
		node->lookups++;
	node_put_locked(nodes, node, garbage);
	return error;
}

/* A directory has one name, and keeps its node whatever becomes of its checkpoint. */
static struct node_key make_key(const struct stat *attributes, const void *scope, uint64_t entry)
{
	struct node_key key;

	memset(&key, 0, sizeof(key)); /* it is hashed as it lies in memory */
	key.device = attributes->st_dev;
	key.inode = attributes->st_ino;
	if (!S_ISDIR(attributes->st_mode)) {
		key.scope = scope;
		key.entry = entry;
	}
	return key;
}

/* The top directory of the checkpoint that `parent` belongs to. */
static const struct node *top_above_locked(const struct nodes *nodes, const struct node *parent)
{
	while (parent && !parent->checkpoint && parent != nodes->root)
		parent = parent->names ? parent->names->parent : NULL;
	return parent && parent->checkpoint ? parent : NULL;
}

void node_rescope_locked(struct nodes *nodes, struct node *node)
{
	struct node *other = NULL;

	if (S_ISDIR(node->type) || node->depth != nodes->depth)
		return;
	if (node->hashed)
		HASH_DEL(nodes->by_inode, node);
	node->key.scope = node->checkpoint;
	HASH_FIND(hh, nodes->by_inode, &node->key, sizeof(node->key), other);
	if (node->hashed && !other)
		HASH_ADD(hh, nodes->by_inode, key, sizeof(node->key), node);
	else
		node->hashed = false;
}

int node_look_up(struct nodes *nodes, struct node *parent, const char *name, const struct stat *attributes, const struct timespec *born,
		 uint64_t entry, struct node **out)
{
	struct gate_checkpoint *checkpoint = NULL;
	struct node *node = NULL, *garbage = NULL;
	char path[PATH_MAX] = "";
	int error = 0, directory = -1;

	if (parent->depth + 1 == nodes->depth) {
		error = node_path(nodes, parent, name, path);
		if (!error && !(checkpoint = gate_checkpoint_get(nodes->gate, path)))
			error = -ENOMEM;
	}
	if (!error && S_ISDIR(attributes->st_mode)) {
		directory = openat(parent->directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		error = directory < 0 ? -errno : 0;
	}
	if (error) {
		gate_checkpoint_put(checkpoint);
		return error;
	}
	pthread_mutex_lock(&nodes->lock);
	const void *scope = checkpoint ? (const void *)checkpoint : top_above_locked(nodes, parent);
	struct node_key key = make_key(attributes, scope, entry);
	HASH_FIND(hh, nodes->by_inode, &key, sizeof(key), node);
	if (node && !same_file(node, attributes, born)) {
		HASH_DEL(nodes->by_inode, node);
		node->hashed = false;
		node->refs++;
		while (node->names)
			node_remove_name_locked(nodes, node->names, &garbage);
		node_put_locked(nodes, node, &garbage);
		node = NULL;
	}
	if (directory >= nodes->descriptors && !(node && node->directory >= 0))
		error = -EMFILE;
	if (!error && !node && (node = new_node(nodes))) {
		node->key = key;
		node->type = attributes->st_mode & S_IFMT;
		node->born = *born;
	}
	if (!error)
		error = node ? settle_locked(nodes, node, parent, name, path, &garbage) : -ENOMEM;
	if (!error && directory >= 0 && node->directory < 0) {
		node->directory = directory;
		directory = -1;
	}
	pthread_mutex_unlock(&nodes->lock);
	node_free_garbage(nodes, garbage);
	gate_checkpoint_put(checkpoint);
	if (directory >= 0)
		close(directory);
	*out = node;
	return error;
}

int node_promise(struct nodes *nodes, struct node *parent, const char *name, mode_t type, struct node **out)
{
	char path[PATH_MAX] = "";
	int error = parent->depth + 1 == nodes->depth ? node_path(nodes, parent, name, path) : 0;
	if (error)
		return error;
	pthread_mutex_lock(&nodes->lock);
	struct node *node = new_node(nodes);
	if (node && !(node->promise_name = strdup(name))) {
		DL_DELETE2(nodes->all, node, all_prev, all_next);
		atomic_fetch_sub(&nodes->count, 1);
		free(node);
		node = NULL;
	}
	if (node) {
		node->promise = true;
		node->type = type;
		node->key.inode = node->generation | 1ull << 63;
		node->promise_parent = parent;
		parent->refs++;
		node->lookups = 1;
		node_attach_checkpoint_locked(nodes, node, parent, path);
	}
	pthread_mutex_unlock(&nodes->lock);
	*out = node;
	return node ? 0 : -ENOMEM;
}

void node_forget(struct nodes *nodes, struct node *node, uint64_t count)
{
	struct node *garbage = NULL;

	pthread_mutex_lock(&nodes->lock);
	node->lookups -= count < node->lookups ? count : node->lookups;
	node_retire_locked(nodes, node, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	node_free_garbage(nodes, garbage);
}

struct gate_checkpoint *node_checkpoint(struct nodes *nodes, struct node *node)
{
	pthread_mutex_lock(&nodes->lock);
	struct gate_checkpoint *checkpoint = node->checkpoint ? gate_checkpoint_ref(node->checkpoint) : NULL;
	pthread_mutex_unlock(&nodes->lock);
	return checkpoint;
}

struct node *node_ref(struct nodes *nodes, struct node *node)
{
	pthread_mutex_lock(&nodes->lock);
	node->refs++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

void node_put(struct nodes *nodes, struct node *node)
{
	struct node *garbage = NULL;

	if (!node)
		return;
	pthread_mutex_lock(&nodes->lock);
	node_put_locked(nodes, node, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	node_free_garbage(nodes, garbage);
}
