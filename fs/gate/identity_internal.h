/* identity_internal - what the parts of the identity module share */
#ifndef SEALFS_GATE_IDENTITY_INTERNAL_H
#define SEALFS_GATE_IDENTITY_INTERNAL_H

#include "sealfs/identity.h"

/* Reads a whole file of /proc, NUL-terminated. */
int identity_read_proc_(pid_t tid, const char *what, char **data, size_t *size);

/* ---- identity_lost.c ---- */
/* Has the process written its title over its arguments and on into its environment, of which `block` is what is there now? */
bool identity_is_overwritten_(pid_t tid, const char *block, size_t size);
/* The trial that this process is the wrapper of, allocated; or NULL. */
char *identity_wrapped_by_(const struct identity_process *process);

#endif
