/* schedule.c - how often a mount whose processes wait looks, judges and asks */
#include "schedule.h"

#include "sealfs/state_watch.h"

#define POLL_FIRST_NS 20000000u	      /* 20 ms */
#define POLL_LAST_NS 1000000000u      /* 1 s */
#define HINTED_FIRST_NS 5000000000u   /* 5 s: with a mount that answers, and so will tell */
#define HINTED_LAST_NS 15000000000u   /* 15 s */
#define JUDGE_NS 3000000000u	      /* is the writer alive? Asked of the file server so often when nobody answers, … */
#define JUDGE_HINTED_NS 300000000000u /* … and so often, lest a liar keeps us, when its mount does */
#define RETRY_NS 200000000u	      /* after the first question that was not answered; then twice as long each time */
#define RETRY_LAST_NS 5000000000u

uint64_t gate_poll_interval_(uint64_t last, bool ours, bool hinted, bool settled)
{
	if (hinted && !settled)
		return STATE_SETTLED_NS;
	if (hinted) {
		uint64_t next = last + last / 2;
		return next < HINTED_FIRST_NS ? HINTED_FIRST_NS : next < HINTED_LAST_NS ? next : HINTED_LAST_NS;
	}
	uint64_t next = last ? last * 2 : ours ? POLL_LAST_NS : POLL_FIRST_NS;
	return next < POLL_LAST_NS ? next : POLL_LAST_NS;
}

uint64_t gate_judge_interval_(bool answers, bool remote)
{
	if (answers)
		return JUDGE_HINTED_NS;
	return remote ? JUDGE_NS : 0;
}

uint64_t gate_ask_interval_(unsigned int unanswered)
{
	return unanswered < 5 ? (uint64_t)RETRY_NS << unanswered : RETRY_LAST_NS;
}
