/*
 * senders - do more threads send requests than one carries out?
 *
 * One sender alone may always have the next request ready: it runs as soon as it has its answer, before whoever gave that does, and when that asks for the next
 * request it is there. A second thread to carry them out would only cost it time. So only requests count that were there already and came from another sender
 * than the one before. Who waits for no answer (a file's release) has no number, and says nothing.
 */
#ifndef SEALFS_SENDERS_H
#define SEALFS_SENDERS_H

#include <stdbool.h>
#include <stdint.h>

#define SENDERS_IN_A_ROW 4 /* so many such requests: they come faster than one thread carries them out */

/* As one thread that carries requests out sees them go by. */
struct senders {
	uint32_t last; /* a thread's number, 0: nobody's yet */
	unsigned int in_a_row;
};

static inline bool senders_are_many(struct senders *senders, uint32_t sender, bool was_there)
{
	if (!sender)
		return false;
	senders->in_a_row = was_there && senders->last && sender != senders->last ? senders->in_a_row + 1 : 0;
	senders->last = sender;
	if (senders->in_a_row < SENDERS_IN_A_ROW)
		return false;
	senders->in_a_row = 0;
	return true;
}

#endif
