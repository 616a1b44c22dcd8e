/* sealed.c - what is sealed: loaded once, shared by all that have something of it open */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/log.h"

#define REFRESHED_MOST 256 /* directories */

struct gate_sealed *gate_sealed_ref(struct gate_sealed *sealed)
{
	atomic_fetch_add(&sealed->refs, 1);
	return sealed;
}

void gate_sealed_put(struct gate_sealed *sealed)
{
	if (!sealed || atomic_fetch_sub(&sealed->refs, 1) != 1)
		return;
	gate_checks_free_(sealed);
	if (sealed->tree >= 0)
		close(sealed->tree);
	manifest_free(&sealed->manifest);
	free(sealed->path);
	free(sealed->sealed_as);
	free(sealed);
}

/*
 * An NFS client believes for up to a minute that what it once saw, or missed, is still so. It is asked anew for each directory of the checkpoint, so that it looks up
 * its names anew; those beyond a number for which somebody can be made to wait are asked for when they are missing.
 */
static void refresh_names(const struct gate *gate, const struct gate_sealed *sealed)
{
	const struct store *store = &gate->options.store;
	unsigned int left = REFRESHED_MOST;

	int top = store_open_dir(store, store->root, sealed->path);
	if (top < 0)
		return;
	store_refresh(store, top);
	for (size_t i = 0; i < sealed->manifest.count && left; i++) {
		if (sealed->manifest.entries[i].type != MANIFEST_DIR)
			continue;
		left--;
		int fd = store_open_dir(store, top, sealed->manifest.entries[i].path);
		if (fd < 0)
			continue;
		store_refresh(store, fd);
		store->ops->close(store->ctx, fd);
	}
	store->ops->close(store->ctx, top);
}

/* Was it removed, or written anew, since its state was read? The content goes after the state has changed. */
static bool has_gone(struct gate_checkpoint *checkpoint)
{
	unsigned int generation = checkpoint->state.generation;

	return !gate_reread_(checkpoint) && (checkpoint->state.kind != STATE_SEALED || checkpoint->state.generation != generation);
}

int gate_load_seal_(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;
	char *why = NULL;

	if (checkpoint->sealed)
		return 0;
	if (checkpoint->damage)
		return -EBADMSG;
	struct gate_sealed *sealed = calloc(1, sizeof(*sealed));
	if (!sealed)
		return -ENOMEM;
	sealed->refs = 1;
	sealed->tree = -1;
	sealed->path = strdup(checkpoint->path);
	manifest_init(&sealed->manifest);
	struct seal seal = {.checkpoint = NULL};
	int error = sealed->path ? seal_load(store, checkpoint->path, &checkpoint->state, &sealed->manifest, &seal, &why) : -ENOMEM;
	sealed->seal_digest = seal.digest;
	sealed->seal_time_ns = seal.time_ns;
	if (!error && strcmp(seal.checkpoint, checkpoint->path) && !(sealed->sealed_as = strdup(seal.checkpoint)))
		error = -ENOMEM;
	seal_free(&seal);
	if (!error)
		error = seal_root(store, checkpoint->path, &checkpoint->state, &sealed->root);
	if (!error)
		error = gate_checks_init_(sealed);
	if (!error && checkpoint->gate->options.verify == GATE_VERIFY_READ)
		sealed->tree = seal_open_tree(store, checkpoint->path, &checkpoint->state);
	if (error) {
		gate_sealed_put(sealed);
		if (error == -ENOENT)
			error = -EBADMSG; /* a record says sealed, and the seal is not there */
		if (error == -EBADMSG && has_gone(checkpoint))
			error = -ESTALE;
		if (error == -EBADMSG) {
			checkpoint->damage = why ? why : strdup("its seal is missing or can not be read");
			log_error("'%s': sealed by trial '%s' on %s, but %s; 'sealctl status %s' tells more", checkpoint->path,
				  checkpoint->state.has_end ? checkpoint->state.end.trial : "?",
				  checkpoint->state.has_end ? checkpoint->state.end.host : "?",
				  checkpoint->damage ? checkpoint->damage : "its seal does not hold", checkpoint->path);
		} else {
			free(why);
		}
		return error;
	}
	if (checkpoint->gate->options.remote)
		refresh_names(checkpoint->gate, sealed);
	checkpoint->sealed = sealed;
	return 0;
}
