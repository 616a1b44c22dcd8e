/*
 * follow - how far a mount is with sealing, drawn on the terminal while somebody waits for it
 *
 * The mount hashes, and the call that waits for it says nothing until it is done; so the mount is asked now and then, on a descriptor
 * of its own. Nothing is done when standard error is no terminal.
 */
#ifndef SEALCTL_FOLLOW_H
#define SEALCTL_FOLLOW_H

#include <stddef.h>

struct follow;

/*
 * Follows the checkpoint `path` of the mount at `root`, or with `writer`, and `path` "", all that this trial has open there. Strings are copied. NULL when there
 * is nothing to draw on, or no memory or thread for it: both functions take that.
 */
struct follow *follow_start(const char *root, const char *path, const char *writer);
void follow_stop(struct follow *follow);

#endif
