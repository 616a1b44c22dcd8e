/*
 * lease - a writer's sign of life: a shared lock on .sealfs/state/<checkpoint>/lock
 *
 * The mount that claimed has it on all of the file, those that joined on all but the first byte: so it is seen whether the one that is to seal lives, also while
 * others of its trial do.
 * The lock is an open-file-description lock, so the file system drops it when the holder is gone: at once on a local file
 * system, after its lease over NFSv4. Nothing here blocks beyond one request to the lock manager. Safety does not rest on it (state.h).
 * Where it is no sign of life (store->no_locks, liveness.h) the file is opened and nothing is locked: everybody gets it, also exclusively.
 */
#ifndef SEALFS_LEASE_H
#define SEALFS_LEASE_H

#include "sealfs/store.h"

/* Owned by one holder; not shared by threads without a lock of the caller's. fd -1: not held. */
struct lease {
	int fd;
	bool joined; /* of a mount that joined */
};
#define LEASE_INIT { .fd = -1 }

/* Takes it shared, making folder and file if missing. A prober holds it exclusively for a moment, so refusals are retried for up to about 100 ms.
 * -EBUSY when somebody holds it exclusively for longer (a seal is under way). */
int lease_share(const struct store *store, const char *path, struct lease *lease);
/* The same of a mount that joins. */
int lease_join(const struct store *store, const char *path, struct lease *lease);
/* Takes it exclusively from the start, as who removes a checkpoint does. -EBUSY when anybody holds it for longer than about 100 ms. */
int lease_seize(const struct store *store, const char *path, struct lease *lease);
/* Shared to exclusive. -EBUSY when somebody else holds it shared: another mount still writes. The shared one is then still held. */
int lease_exclude(const struct store *store, struct lease *lease);
/* Exclusive back to shared. */
int lease_downgrade(const struct store *store, struct lease *lease);
/* Of a shared one: asks for it once more, as it may have lapsed unnoticed while this machine was cut off. 0: it is (still, or again) held; 1: it was lost, and is taken
 * anew; -errno: it is lost, and dropped. */
int lease_renew(const struct store *store, const char *path, struct lease *lease);
void lease_drop(const struct store *store, struct lease *lease);

/* Does the mount live that claimed? 1 yes, 0 no (or there is no lock file), -errno. Takes nothing. An error (-ENOLCK, -EIO, …) is never a no. It asks whether or
 * not this machine takes locks itself. */
int lease_held(const struct store *store, const char *path);
/* The same, to be asked often: one request after the first. *fd is -1 at first; the caller closes it when he is done, or when the folder of the checkpoint's state has
 * changed, since another lock file may be there then. */
int lease_watch(const struct store *store, const char *path, int *fd);
/* Does any live that writes, the one that claimed or one that joined? As above. */
int lease_joined(const struct store *store, const char *path);

/*
 * Ends an open generation whose claimer is gone: looks which one is open, takes his part of the lease exclusively (refused: -EBUSY, he lives), links
 * "failed: <reason>" to that one and no other, drops it. 0 when it is ended now, whoever did it. -EACCES when this user may not decide it.
 */
int lease_end_dead(const struct store *store, const char *path, const char *trial, const char *reason);

#endif
