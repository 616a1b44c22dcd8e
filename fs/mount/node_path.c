/* node_path.c - where a node is: its place, its path, its checkpoint */
#include "node_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	home->ambiguous = S_ISREG(node->type) && !node->key.entry && node->names && node->names->next;
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

static bool is_in_locked(const struct nodes *nodes, struct node *node, const struct gate_checkpoint *checkpoint)
{
	const char *name;

	while (node != nodes->root && !node->checkpoint && step_up(node, &node, &name))
		;
	/* what stood at the checkpoint's path before, and was moved aside, has lost that name */
	return node->checkpoint == checkpoint && node->names;
}

struct node **nodes_of(struct nodes *nodes, const struct gate_checkpoint *checkpoint)
{
	struct node *node, **list;
	size_t count = 0;

	pthread_mutex_lock(&nodes->lock);
	for (node = nodes->all; node; node = node->all_next)
		count += S_ISREG(node->type) && !node->promise && is_in_locked(nodes, node, checkpoint);
	list = calloc(count + 1, sizeof(*list));
	count = 0;
	for (node = list ? nodes->all : NULL; node; node = node->all_next) {
		if (!S_ISREG(node->type) || node->promise || !is_in_locked(nodes, node, checkpoint))
			continue;
		node->refs++;
		list[count++] = node;
	}
	pthread_mutex_unlock(&nodes->lock);
	return list;
}

bool node_is_in(struct nodes *nodes, uint64_t inode, const struct gate_checkpoint *checkpoint)
{
	struct node *node;
	bool found = false;

	pthread_mutex_lock(&nodes->lock);
	for (node = nodes->all; node && !found; node = node->all_next)
		found = node->key.inode == inode && !node->promise && is_in_locked(nodes, node, checkpoint);
	pthread_mutex_unlock(&nodes->lock);
	return found;
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
			found = node_find_name_locked(nodes, node, name);
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
