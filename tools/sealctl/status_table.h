/*
 * status_table - checkpoints as a table for people
 */
#ifndef SEALCTL_STATUS_TABLE_H
#define SEALCTL_STATUS_TABLE_H

#include <jansson.h>

/* Prints an array of the objects that SEALFS_CALL_STATUS gives, each with "mount" or "export" added. Returns the exit
 * status. */
int status_table_print(const json_t *array);

/* The mount or export that such an object names. Owned by the object. */
const char *status_table_root(const json_t *checkpoint);

#endif
