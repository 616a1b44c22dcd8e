/* sealed.c - what is sealed: loaded once, shared by all that have something of it open */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/log.h"

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
	free(sealed);
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
	checkpoint->sealed = sealed;
	return 0;
}
