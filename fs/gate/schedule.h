/* schedule - how often a mount whose processes wait looks, judges and asks. Pure functions; times in ns. */
#ifndef SEALFS_GATE_SCHEDULE_H
#define SEALFS_GATE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define RENEW_NS 1000000000u  /* the mount that can tell of the end is asked again so long after its answer */
#define UNANSWERED_DOUBT 2u   /* questions, one after the other: then the export is looked at, once, … */
#define UNANSWERED_MAX 3u     /* … and then it can not be relied on */

/* Until the next look, if the last time it was `last` (0: the first look was just now). `ours`: this mount writes. `hinted`: somebody sends a datagram when it
 * ends. `settled`: what was read last is sure to be what was there. */
uint64_t gate_poll_interval_(uint64_t last, bool ours, bool hinted, bool settled);

/* How long after a look at the sign of life of a writer elsewhere there is the next. `answers`: his mount answers questions. `remote`: it is the file server that
 * is asked for it. */
uint64_t gate_judge_interval_(bool answers, bool remote);

/* How long after a question the next one is sent, if it is not answered; `unanswered` were sent before it. */
uint64_t gate_ask_interval_(unsigned int unanswered);

#endif
