#include "checkpoint_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sealfs/manifest.h"
#include "sealfs/state.h"
#include "target_path.h"

void checkpoint_list_free(struct checkpoint_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->paths[i]);
	free(list->paths);
	*list = (struct checkpoint_list){0};
}

int checkpoint_list_add(struct checkpoint_list *list, const char *path)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		char **paths = reallocarray(list->paths, capacity, sizeof(*paths));

		if (!paths)
			return -ENOMEM;
		list->paths = paths;
		list->capacity = capacity;
	}
	list->paths[list->count] = strdup(path);
	return list->paths[list->count] ? (list->count++, 0) : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_once(struct checkpoint_list *list)
{
	size_t kept = 0;

	if (list->count)
		qsort(list->paths, list->count, sizeof(*list->paths), compare);
	for (size_t i = 0; i < list->count; i++) {
		if (kept && !strcmp(list->paths[kept - 1], list->paths[i]))
			free(list->paths[i]);
		else
			list->paths[kept++] = list->paths[i];
	}
	list->count = kept;
}

#define SEALFS_DIR ".sealfs"

struct walk {
	const struct store *store;
	const char *above;
	struct checkpoint_list *list;
	const char *prefix; /* of what is listed */
	unsigned int depth; /* of its entries */
	unsigned int wanted;
};

static int walk_directory(const struct walk *walk);

static int add_below(const struct walk *walk, const char *path)
{
	return !walk->above[0] || path_below(path, walk->above) ? checkpoint_list_add(walk->list, path) : 0;
}

/* Of two paths one lies below the other. */
static bool on_the_way(const char *path, const char *above)
{
	return !above[0] || path_below(path, above) || path_below(above, path);
}

static int walk_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	const struct walk *walk = arg;
	struct walk below = *walk;
	AUTO_FREE char *path = path_join(walk->prefix, name);

	if (!path)
		return -ENOMEM;
	if (manifest_name_hidden(name, false) || !on_the_way(path, walk->above))
		return 0;
	if (walk->depth == walk->wanted)
		return state_path_valid(path, walk->depth) ? add_below(walk, path) : 0;
	if ((type != DT_DIR && type != DT_UNKNOWN) || !strcmp(path, SEALFS_DIR))
		return 0;
	below.prefix = path;
	below.depth++;
	return walk_directory(&below);
}

static int walk_directory(const struct walk *walk)
{
	int fd = store_open_dir(walk->store, walk->store->root, walk->prefix), error;

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EACCES)
		return walk->prefix[0] ? 0 : fd;
	if (fd < 0)
		return fd;
	error = store_each_entry(walk->store, fd, walk_entry, (void *)walk);
	walk->store->ops->close(walk->store->ctx, fd);
	return error;
}

static int add_stated(void *arg, const char *path)
{
	return add_below(arg, path);
}

int checkpoint_list_export(const struct store *store, const struct config *config, const char *above,
			   struct checkpoint_list *list)
{
	struct walk walk = {
		.store = store, .above = above, .list = list, .prefix = "", .depth = 1, .wanted = config->depth};
	int error = walk_directory(&walk);

	if (!error)
		error = state_each(store, config, add_stated, &walk);
	if (!error)
		sort_once(list);
	return error;
}

static int keep_sealed(const struct store *store, const struct checkpoint_list *all, struct checkpoint_list *list)
{
	int error = 0;

	for (size_t i = 0; i < all->count && !error; i++) {
		CLEANUP(state_free) struct state state = {0};

		error = state_read(store, all->paths[i], &state);
		if (!error && (state.kind == STATE_SEALED || state.kind == STATE_DAMAGED))
			error = checkpoint_list_add(list, all->paths[i]);
	}
	return error;
}

int checkpoint_list_copies(const struct store *store, struct checkpoint_list *list)
{
	CLEANUP(checkpoint_list_free) struct checkpoint_list all = {0};
	struct walk walk = {.store = store, .above = "", .list = &all, .prefix = "", .depth = 1, .wanted = 1};
	int error = walk_directory(&walk);

	if (!error)
		sort_once(&all);
	return error ? error : keep_sealed(store, &all, list);
}
