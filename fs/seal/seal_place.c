/*
 * seal_place - finding what a manifest names, without leaving the checkpoint
 */
#include "seal_internal.h"

int seal_place_open(const struct store *store, int dir, const char *name, struct held_fd *top, struct seal_place *place)
{
	struct statx st;
	int rc = store_statx(store, dir, name, &st);

	*place = (struct seal_place){.store = store, .dir = dir, .top = -1, .name = name};
	if (rc < 0 || !S_ISDIR(st.stx_mode))
		return rc;
	top->fd = place->top = store_open_dir(store, dir, name);
	return top->fd < 0 ? top->fd : 0;
}

/* The directory of an entry (closed by *held if it had to be opened) and its name in there. */
static int locate(const struct seal_place *place, const char *path, struct held_fd *held, const char **name)
{
	if (place->top < 0) {
		*name = place->name;
		return place->dir;
	}
	return held->fd = store_open_parent(place->store, place->top, path, name);
}

int seal_place_open_file(const struct seal_place *place, const char *path, struct statx *st)
{
	AUTO_FD(held, place->store);
	const char *name;
	int dir = locate(place, path, &held, &name);

	return dir < 0 ? dir : store_open_regular(place->store, dir, name, st);
}

int seal_place_stat(const struct seal_place *place, const char *path, struct statx *st)
{
	AUTO_FD(held, place->store);
	const char *name;
	int dir = locate(place, path, &held, &name);

	return dir < 0 ? dir : store_statx(place->store, dir, name, st);
}
