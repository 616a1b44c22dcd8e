/*
 * checkpoint_list - which checkpoints there are
 */
#ifndef SEALCTL_CHECKPOINT_LIST_H
#define SEALCTL_CHECKPOINT_LIST_H

#include <stddef.h>

#include "sealfs/config.h"
#include "sealfs/store.h"

struct checkpoint_list {
	char **paths; /* sorted, each once */
	size_t count, capacity;
};
void checkpoint_list_free(struct checkpoint_list *list);

/* Adds a copy of `path`. -ENOMEM. */
int checkpoint_list_add(struct checkpoint_list *list, const char *path);

/*
 * Everything at the export's depth at or below `above` ("" for all) that has a state, data, or both. What this user may
 * not look into is left out. -errno.
 */
int checkpoint_list_export(const struct store *store, const struct config *config, const char *above,
			   struct checkpoint_list *list);

/* Everything in the directory that is the store's root and has a seal beside it, whatever that is worth. -errno. */
int checkpoint_list_copies(const struct store *store, struct checkpoint_list *list);

#endif
