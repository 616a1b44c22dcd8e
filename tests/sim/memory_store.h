/*
 * memory_store - an export in memory, as the clients of an NFS server have it
 *
 * One server, any number of clients; each client is a store (sealfs/store.h) of its own whose operations are counted, by kind and as
 * requests to the server. With caches a client believes what it knows as the kernel's does: names, missing ones too, as long as
 * their directory's attributes have not been fetched anew (for MEMORY_CACHE_NS by the server's clock, or by AT_STATX_FORCE_SYNC, or a change of
 * its own); attributes likewise; a listing until the directory is known to have changed; content until the file is opened anew. Without, each
 * operation asks the server. Locks are open-file-description locks, granted or refused, and taken away by memory_client_vanish().
 *
 * No threads. Symlinks, permissions and times (but for a count of changes) are left out. What is no more gives ESTALE, after the name was looked up once more.
 */
#ifndef TESTS_MEMORY_STORE_H
#define TESTS_MEMORY_STORE_H

#include <stdbool.h>

#include "sealfs/store.h"

#define MEMORY_CACHE_NS 30000000000u /* what was measured of Linux' defaults: 29.6 to 29.9 s for a missing name */

enum memory_call {
	MEMORY_OPEN,
	MEMORY_CLOSE,
	MEMORY_READ,
	MEMORY_WRITE,
	MEMORY_FSYNC,
	MEMORY_STATX,
	MEMORY_MKDIR,
	MEMORY_UNLINK,
	MEMORY_LINK,
	MEMORY_RENAME,
	MEMORY_GETDENTS,
	MEMORY_LOCK,
	MEMORY_PROBE,
	MEMORY_FCHMOD,
	MEMORY_TOUCH,
	MEMORY_CALLS,
};

struct memory_server;
struct memory_client {
	struct store store;
	struct memory_server *server;
	bool caches;
	uint64_t calls[MEMORY_CALLS]; /* what the caller asked for */
	uint64_t requests;	      /* what went to the server because of it */
	struct memory_file **files;   /* by descriptor */
	int file_count;
	struct memory_known *known;	  /* attributes, listing and content that it has seen, by inode */
	struct memory_dentry *dentries;	  /* names that it has looked up */
};

/* NULL when memory is out. */
struct memory_server *memory_server_new(void);
/* Its clients must be gone. */
void memory_server_free(struct memory_server *server);
/* The server's clock, which starts at 0: caches grow old by it. */
void memory_server_pass(struct memory_server *server, uint64_t ns);

/* From now on a change shows only as the tick of the server's clock in which it was made, as with NFSv3: of two in one tick a client that has seen the first
 * does not notice the second. */
void memory_server_be_coarse(struct memory_server *server);
void memory_server_tick(struct memory_server *server);

/* The root is open in `store`. */
struct memory_client *memory_client_new(struct memory_server *server, bool caches);
/* Closes what is open. */
void memory_client_free(struct memory_client *client);
/* The server gives its locks away, as it does when the lease of a machine that is cut off has run out. */
void memory_client_vanish(struct memory_client *client);
/* All operations that were counted. */
uint64_t memory_client_calls(const struct memory_client *client);

#endif
