/*
 * kernel - the parts of the FUSE protocol that older headers and libfuse 3.14 lack, in one place
 *
 * Everything here is asked for at run time; nothing depends on a kernel's version.
 */
#ifndef SEALFS_MOUNT_KERNEL_H
#define SEALFS_MOUNT_KERNEL_H

#include <linux/fuse.h>
#include <linux/ioctl.h>
#include <stdint.h>

/* Flags of the INIT message; the upper 32 bits travel in flags2. */
#define KERNEL_PARALLEL_DIROPS (1u << 18)
#define KERNEL_HANDLE_KILLPRIV (1u << 19)
#define KERNEL_HANDLE_KILLPRIV_V2 (1u << 28)
#define KERNEL_INIT_EXT (1u << 30)
#define KERNEL_PASSTHROUGH2 (1u << 5) /* bit 37 */

/* Flags of the answer to OPEN. */
#define KERNEL_FOPEN_KEEP_CACHE (1u << 1)
#define KERNEL_FOPEN_CACHE_DIR (1u << 3)
#define KERNEL_FOPEN_NOFLUSH (1u << 5)
#define KERNEL_FOPEN_PASSTHROUGH (1u << 7)

struct kernel_init_in {
	uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};
struct kernel_init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth;
	uint16_t request_timeout, unused16[11];
};
_Static_assert(sizeof(struct kernel_init_out) == 64, "the INIT reply of protocol 7.23 and later");

struct kernel_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};
_Static_assert(sizeof(struct kernel_open_out) == 16, "fuse_open_out");
_Static_assert(sizeof(struct fuse_entry_out) == 128, "fuse_entry_out");

struct kernel_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define KERNEL_BACKING_OPEN _IOW(229, 1, struct kernel_backing_map)
#define KERNEL_BACKING_CLOSE _IOW(229, 2, uint32_t)

#endif
