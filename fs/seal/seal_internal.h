/*
 * seal_internal - what sealing and verifying share
 */
#ifndef SEAL_SEAL_INTERNAL_H
#define SEAL_SEAL_INTERNAL_H

#include "internal.h"
#include "sealfs/manifest.h"

#define AUTO_MANIFEST __attribute__((cleanup(manifest_free))) struct manifest

/* Where a checkpoint is: `name` in `dir`; `top` is the directory itself, or -1 when it is a file. */
struct seal_place {
	const struct store *store;
	int dir, top;
	const char *name;
};

/* Opens the directory, if it is one, for as long as the caller holds *top. */
int seal_place_open(const struct store *store, int dir, const char *name, struct held_fd *top,
		    struct seal_place *place);
/* Opens the regular file of a manifest's entry and fills *st. -EINVAL when it is something else now. */
int seal_place_open_file(const struct seal_place *place, const char *path, struct statx *st);
int seal_place_stat(const struct seal_place *place, const char *path, struct statx *st);

#endif
