/*
 * requests - how many requests to the file server a step of the real code makes
 *
 * Counted over NFS 4.2 by count_requests (tests/sim/README; Linux 6.12 as client and server), and against the same code on an
 * export in memory: tests/unit/check-sim fails when the code makes more.
 */
#ifndef TESTS_SIM_REQUESTS_H
#define TESTS_SIM_REQUESTS_H

/*                                 counted: NFS 4.2, memory */
#define REQUESTS_STAMP 1	/* 1.0   1   state_stamp() of a folder that is open: a look at what has not changed */
#define REQUESTS_OPEN_FOLDER 4	/* 4.0   2   state_open_dir() of a checkpoint that was not looked at before */
#define REQUESTS_READ 14	/* 13.8  14  state_read() of a state that has changed */
#define REQUESTS_JUDGE 8	/* 8.0   6   lease_held() of a writer who lives */
#define REQUESTS_CLAIM 35	/* 34.2  23  lease_share() and state_claim() of what is reserved */
#define REQUESTS_END 21		/* 20.1  19  state_end() and lease_drop() */
#define REQUESTS_HAS_ENDED 2	/* 2.0   2   state_has_ended() of what has not: the naive look */

#endif
