/* places - the export and the mount point: what is refused before anything is done */
#ifndef SEALFS_PLACES_H
#define SEALFS_PLACES_H

#include <limits.h>

#include "options.h"

/* Fills in the real paths of both. 0, or -1 after the reason was printed. */
int places_check(const struct options *options, char export_path[PATH_MAX], char mountpoint[PATH_MAX]);

#endif
