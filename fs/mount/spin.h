/*
 * spin - is the next request worth staying awake for?
 *
 * Whoever has just been answered often asks again within microseconds. To sleep until then costs more than that: a processor must be told to go on, and on a virtual
 * machine that goes by way of the host. To stay awake for it costs processor time where nobody asks, or where he who would has to wait for this very processor. So it is
 * tried, and left alone for a while where it has brought nothing: in the long run for all but one of SPIN_PAUSE requests.
 */
#ifndef SEALFS_SPIN_H
#define SEALFS_SPIN_H

#include <stdbool.h>

#define SPIN_NS 30000 /* so long at most */
#define SPIN_TRIES 4 /* in vain, before it is left alone */
#define SPIN_PAUSE 256 /* requests at most, until it is tried again */

/* As one thread that waits for requests sees them come. */
struct spin {
	unsigned int in_vain; /* tries since the last that was worth it */
	unsigned int pause;
};

static inline bool spin_is_due(struct spin *spin)
{
	if (!spin->pause)
		return true;
	spin->pause--;
	return false;
}

/* `worth`: a request came meanwhile; it was not there before, nor still to come afterwards. */
static inline void spin_ended(struct spin *spin, bool worth)
{
	spin->in_vain = worth ? 0 : spin->in_vain + 1;
	if (spin->in_vain < SPIN_TRIES)
		return;
	unsigned int doublings = spin->in_vain - SPIN_TRIES;
	spin->pause = doublings < 8 ? 1u << doublings : SPIN_PAUSE;
}

/* Returns when the descriptor can be read, or before that; the caller reads and waits as if nothing had been done. */
void spin_until_readable(struct spin *spin, int fd);

#endif
