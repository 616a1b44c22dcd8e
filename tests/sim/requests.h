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
#define REQUESTS_OPEN_FOLDER 3	/* 3.0   2   state_open_dir() of a checkpoint that was not looked at before */
#define REQUESTS_READ 14	/* 11.0  14  state_read() of a state that has changed */
#define REQUESTS_JUDGE 6	/* 6.0   5   lease_watch() of a writer who lives, the first time */
#define REQUESTS_JUDGE_AGAIN 1	/* 1.0   1   … and every other time */
#define REQUESTS_CLAIM 44	/* 43.1  23  lease_share() and state_claim() of what is reserved */
#define REQUESTS_END 27		/* 26.1  19  state_end() and lease_drop() */
#define REQUESTS_HAS_ENDED 2	/* 2.0   2   state_has_ended() of what has not: the naive look */

#endif
