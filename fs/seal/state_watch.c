/*
 * state_watch - one look at the folder instead of reading all that is in it
 */
#include "sealfs/state_watch.h"

static bool look(const struct store *store, const char *path, struct state_watch *watch, uint64_t now_ns)
{
	struct state_stamp stamp = {0};
	bool fresh = watch->folder < 0;

	if (fresh)
		watch->folder = state_open_dir(store, path, false);
	bool known = watch->folder >= 0 && !state_stamp(store, watch->folder, &stamp);
	if (known && state_stamp_equal(&stamp, &watch->stamp))
		return false;
	watch->stamp = stamp;
	watch->stamp_ns = now_ns;
	/* the path may lead to another one by now */
	if (!fresh || !known)
		state_watch_close(store, watch);
	return true;
}

bool state_watch_differs(const struct store *store, const char *path, struct state_watch *watch, uint64_t now_ns)
{
	bool changed = look(store, path, watch, now_ns);

	return changed || !watch->read_ns || !state_watch_settled(watch) || now_ns - watch->read_ns >= STATE_READ_NS;
}

bool state_watch_settled(const struct state_watch *watch)
{
	return watch->read_ns >= watch->stamp_ns + STATE_SETTLED_NS;
}

void state_watch_close(const struct store *store, struct state_watch *watch)
{
	if (watch->folder >= 0)
		store->ops->close(store->ctx, watch->folder);
	if (watch->lock_file >= 0)
		store->ops->close(store->ctx, watch->lock_file);
	watch->folder = watch->lock_file = -1;
}
