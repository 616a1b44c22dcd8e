#include "sealfs/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utlist.h>

/* One name of a node: a row of the table by (parent, name). */
struct node_name {
	UT_hash_handle hh;
	struct node *node, *parent; /* a reference on the parent */
	struct node_name *next;	    /* of the node */
	const char *name;	    /* within key */
	unsigned int key_size;
	char key[]; /* the parent's address, then the name without its NUL, then a NUL that is not part of the key */
};

/* ---- all below: under nodes->lock, where the name ends in _locked ---- */

static void put_locked(struct nodes *nodes, struct node *node, struct node **garbage);

static void make_key(char *key, const struct node *parent, const char *name, size_t length)
{
	memcpy(key, &parent, sizeof(parent));
	memcpy(key + sizeof(parent), name, length);
}

static struct node_name *find_name_locked(struct nodes *nodes, const struct node *parent, const char *name)
{
	char key[sizeof(parent) + NAME_MAX + 1];
	size_t length = strnlen(name, NAME_MAX + 1);
	struct node_name *found = NULL;

	if (length > NAME_MAX)
		return NULL;
	make_key(key, parent, name, length);
	HASH_FIND(hh, nodes->by_name, key, sizeof(parent) + length, found);
	return found;
}

static void remove_name_locked(struct nodes *nodes, struct node_name *name, struct node **garbage)
{
	struct node *node = name->node;

	LL_DELETE(node->names, name);
	HASH_DEL(nodes->by_name, name);
	if (!node->names && node->hashed) {
		/* its number may be given out again: what is found under it from now on is another file */
		HASH_DEL(nodes->by_inode, node);
		node->hashed = false;
	}
	put_locked(nodes, name->parent, garbage);
	free(name);
}

static int add_name_locked(struct nodes *nodes, struct node *node, struct node *parent, const char *text, struct node **garbage)
{
	struct node_name *name = find_name_locked(nodes, parent, text);
	size_t length = strlen(text);

	if (name && name->node == node)
		return 0;
	if (name)
		remove_name_locked(nodes, name, garbage);
	/* a directory has one name only: it was renamed behind our back */
	while (S_ISDIR(node->type) && node->names)
		remove_name_locked(nodes, node->names, garbage);
	name = calloc(1, sizeof(*name) + sizeof(parent) + length + 1);
	if (!name)
		return -ENOMEM;
	make_key(name->key, parent, text, length);
	name->key_size = (unsigned int)(sizeof(parent) + length);
	name->name = name->key + sizeof(parent);
	name->node = node;
	name->parent = parent;
	parent->refs++;
	LL_PREPEND(node->names, name);
	HASH_ADD(hh, nodes->by_name, key, name->key_size, name);
	if (!node->hashed) {
		HASH_ADD(hh, nodes->by_inode, key, sizeof(node->key), node);
		node->hashed = true;
	}
	return 0;
}

/* Unlinks a node that nobody refers to and chains it for node_free(), which must run without the lock. */
static void retire_locked(struct nodes *nodes, struct node *node, struct node **garbage)
{
	if (node->lookups || node->refs)
		return;
	node->refs++; /* so that removing its own names does not come here again */
	while (node->names)
		remove_name_locked(nodes, node->names, garbage);
	if (node->hashed)
		HASH_DEL(nodes->by_inode, node);
	node->hashed = false;
	if (node->promise_parent)
		put_locked(nodes, node->promise_parent, garbage);
	node->promise_parent = *garbage;
	*garbage = node;
}

static void put_locked(struct nodes *nodes, struct node *node, struct node **garbage)
{
	node->refs--;
	retire_locked(nodes, node, garbage);
}

static void free_garbage(struct node *garbage)
{
	while (garbage) {
		struct node *next = garbage->promise_parent;
		if (garbage->directory >= 0)
			close(garbage->directory);
		gate_checkpoint_put(garbage->checkpoint);
		free(garbage->promise_name);
		free(garbage);
		garbage = next;
	}
}

/* ---- public ---- */

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
	return node;
}

int nodes_init(struct nodes *nodes, struct gate *gate, int root, unsigned int depth)
{
	struct stat attributes;
	struct timespec born;

	memset(nodes, 0, sizeof(*nodes));
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
	nodes->root->key = (struct node_key){attributes.st_dev, attributes.st_ino};
	nodes->root->type = S_IFDIR;
	nodes->root->refs = 1;
	return 0;
}

void nodes_destroy(struct nodes *nodes)
{
	struct node_name *name, *next_name;
	struct node *garbage = NULL;

	/* the kernel does not forget one by one when it unmounts */
	HASH_ITER(hh, nodes->by_name, name, next_name)
	{
		name->node->lookups = 0;
	}
	while (nodes->by_name) {
		struct node *node = nodes->by_name->node;
		node->refs++;
		while (node->names)
			remove_name_locked(nodes, node->names, &garbage);
		put_locked(nodes, node, &garbage);
	}
	if (nodes->root) {
		nodes->root->lookups = 0;
		put_locked(nodes, nodes->root, &garbage);
	}
	free_garbage(garbage);
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

static void attach_checkpoint(struct nodes *nodes, struct node *node, struct node *parent, const char *path)
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
	int error = add_name_locked(nodes, node, parent, name, garbage);
	if (!error)
		attach_checkpoint(nodes, node, parent, path);
	if (!error && node->depth == nodes->depth && !node->checkpoint)
		error = -ENOMEM;
	if (!error)
		node->lookups++;
	put_locked(nodes, node, garbage);
	return error;
}

int node_look_up(struct nodes *nodes, struct node *parent, const char *name, const struct stat *attributes, const struct timespec *born,
		 struct node **out)
{
	struct node_key key;
	struct node *node = NULL, *garbage = NULL;
	char path[PATH_MAX] = "";
	int error = 0, directory = -1;

	memset(&key, 0, sizeof(key));
	key.device = attributes->st_dev;
	key.inode = attributes->st_ino;
	if (parent->depth + 1 == nodes->depth)
		error = node_path(nodes, parent, name, path);
	if (!error && S_ISDIR(attributes->st_mode)) {
		directory = openat(parent->directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		error = directory < 0 ? -errno : 0;
	}
	if (error)
		return error;
	pthread_mutex_lock(&nodes->lock);
	HASH_FIND(hh, nodes->by_inode, &key, sizeof(key), node);
	if (node && !same_file(node, attributes, born)) {
		HASH_DEL(nodes->by_inode, node);
		node->hashed = false;
		node->refs++;
		while (node->names)
			remove_name_locked(nodes, node->names, &garbage);
		put_locked(nodes, node, &garbage);
		node = NULL;
	}
	if (!node && (node = new_node(nodes))) {
		node->key = key;
		node->type = attributes->st_mode & S_IFMT;
		node->born = *born;
	}
	error = node ? settle_locked(nodes, node, parent, name, path, &garbage) : -ENOMEM;
	if (!error && node->directory < 0) {
		node->directory = directory;
		directory = -1;
	}
	pthread_mutex_unlock(&nodes->lock);
	free_garbage(garbage);
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
		attach_checkpoint(nodes, node, parent, path);
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
	retire_locked(nodes, node, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	free_garbage(garbage);
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
	put_locked(nodes, node, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	free_garbage(garbage);
}

int node_place(struct nodes *nodes, struct node *node, struct place *place)
{
	int error = 0;

	place->nodes = nodes;
	place->parent = NULL;
	pthread_mutex_lock(&nodes->lock);
	if (node->names) {
		place->parent = node->names->parent;
		place->parent->refs++;
		place->directory = place->parent->directory;
		strcpy(place->name, node->names->name);
	} else {
		error = -ESTALE;
	}
	pthread_mutex_unlock(&nodes->lock);
	return error;
}

void place_put(struct place *place)
{
	if (place->parent)
		node_put(place->nodes, place->parent);
	place->parent = NULL;
}

void node_unlinked(struct nodes *nodes, struct node *parent, const char *name)
{
	struct node *garbage = NULL;

	pthread_mutex_lock(&nodes->lock);
	struct node_name *found = find_name_locked(nodes, parent, name);
	if (found) {
		struct node *node = found->node;
		node->refs++;
		remove_name_locked(nodes, found, &garbage);
		put_locked(nodes, node, &garbage);
	}
	pthread_mutex_unlock(&nodes->lock);
	free_garbage(garbage);
}

void node_renamed(struct nodes *nodes, struct node *old_parent, const char *old_name, struct node *new_parent, const char *new_name, bool exchange)
{
	struct node *garbage = NULL, *moved = NULL, *replaced = NULL;
	char path[PATH_MAX] = "", other_path[PATH_MAX] = "";
	struct gate_checkpoint *dropped[2] = {NULL, NULL};

	node_path(nodes, new_parent, new_name, path);
	node_path(nodes, old_parent, old_name, other_path);
	pthread_mutex_lock(&nodes->lock);
	struct node_name *from = find_name_locked(nodes, old_parent, old_name);
	struct node_name *to = find_name_locked(nodes, new_parent, new_name);
	if (from) {
		moved = from->node;
		moved->refs++;
	}
	if (to) {
		replaced = to->node;
		replaced->refs++;
		remove_name_locked(nodes, to, &garbage);
	}
	/* two names of one file: rename does nothing */
	if (moved && moved != replaced) {
		from = find_name_locked(nodes, old_parent, old_name);
		if (from)
			remove_name_locked(nodes, from, &garbage);
		add_name_locked(nodes, moved, new_parent, new_name, &garbage);
		dropped[0] = moved->checkpoint;
		moved->checkpoint = NULL;
		attach_checkpoint(nodes, moved, new_parent, path);
	} else if (moved) {
		add_name_locked(nodes, moved, new_parent, new_name, &garbage);
	}
	if (replaced && exchange && moved != replaced) {
		add_name_locked(nodes, replaced, old_parent, old_name, &garbage);
		dropped[1] = replaced->checkpoint;
		replaced->checkpoint = NULL;
		attach_checkpoint(nodes, replaced, old_parent, other_path);
	}
	if (moved)
		put_locked(nodes, moved, &garbage);
	if (replaced)
		put_locked(nodes, replaced, &garbage);
	pthread_mutex_unlock(&nodes->lock);
	free_garbage(garbage);
	gate_checkpoint_put(dropped[0]);
	gate_checkpoint_put(dropped[1]);
}

/* The directory and name through which a node is reached; false for the root and for what has no name. */
static bool step_up(const struct node *node, struct node **parent, const char **name)
{
	if (node->promise) {
		*parent = node->promise_parent;
		*name = node->promise_name;
		return true;
	}
	if (!node->names)
		return false;
	*parent = node->names->parent;
	*name = node->names->name;
	return true;
}

/* Puts "name/" before what stands at *at. */
static bool prepend(char *buffer, size_t size, size_t *at, const char *name)
{
	size_t length = strlen(name);
	size_t slash = *at < size - 1;
	if (*at < length + slash)
		return false;
	if (slash)
		buffer[--*at] = '/';
	*at -= length;
	memcpy(buffer + *at, name, length);
	return true;
}

void node_home(struct nodes *nodes, struct node *node, struct node_home *home)
{
	char *buffer = home->path;
	size_t at = NODE_PATH_MAX - 1;
	struct node *parent;
	const char *name;
	bool fits = true;

	buffer[at] = '\0';
	home->checkpoint = NULL;
	home->orphan = false;
	pthread_mutex_lock(&nodes->lock);
	while (node != nodes->root && !node->checkpoint && step_up(node, &parent, &name)) {
		fits &= prepend(buffer, NODE_PATH_MAX, &at, name);
		node = parent;
	}
	if (node->checkpoint) {
		home->checkpoint = gate_checkpoint_ref(node->checkpoint);
		home->top = node->key;
		if (!node->promise && !node->names)
			home->orphan = true;
	} else {
		home->orphan = node != nodes->root;
	}
	pthread_mutex_unlock(&nodes->lock);
	if (fits)
		memmove(buffer, buffer + at, NODE_PATH_MAX - at);
	else
		home->orphan = true; /* so deep that it can not be named: nothing of it can be checked against a seal */
}

void node_home_put(struct node_home *home)
{
	gate_checkpoint_put(home->checkpoint);
	home->checkpoint = NULL;
}

int node_path(struct nodes *nodes, struct node *parent, const char *name, char path[PATH_MAX])
{
	char buffer[PATH_MAX];
	size_t at = PATH_MAX - 1;
	const char *component;
	bool fits = true;

	buffer[at] = '\0';
	if (*name)
		fits = prepend(buffer, sizeof(buffer), &at, name);
	pthread_mutex_lock(&nodes->lock);
	while (fits && parent != nodes->root && step_up(parent, &parent, &component))
		fits = prepend(buffer, sizeof(buffer), &at, component);
	bool arrived = parent == nodes->root;
	pthread_mutex_unlock(&nodes->lock);
	if (!fits)
		return -ENAMETOOLONG;
	strcpy(path, buffer + at);
	return arrived ? 0 : -ESTALE;
}

struct node *node_find_path(struct nodes *nodes, const char *path)
{
	char name[NAME_MAX + 1];

	pthread_mutex_lock(&nodes->lock);
	struct node *node = nodes->root;
	while (node && *path) {
		size_t length = strcspn(path, "/");
		struct node_name *found = NULL;
		if (length <= NAME_MAX) {
			memcpy(name, path, length);
			name[length] = '\0';
			found = find_name_locked(nodes, node, name);
		}
		node = found ? found->node : NULL;
		path += length + (path[length] == '/');
	}
	if (node)
		node->refs++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

int node_reopen(struct nodes *nodes, struct node *node)
{
	struct place place;

	int error = node_place(nodes, node, &place);
	if (error)
		return error;
	int fresh = openat(place.directory, place.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	place_put(&place);
	if (fresh < 0)
		return -errno;
	struct stat attributes;
	bool same = !fstat(fresh, &attributes) && attributes.st_ino == node->key.inode && attributes.st_dev == node->key.device;
	/* onto the same number, so that nobody who uses it at this moment sees it closed */
	error = same ? (dup3(fresh, node->directory, O_CLOEXEC) < 0 ? -errno : 0) : -ESTALE;
	close(fresh);
	return error;
}
