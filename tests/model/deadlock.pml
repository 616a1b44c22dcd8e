/*
 * deadlock - trials on several machines that wait for each other in a circle: exactly one wait of it is refused
 *
 * Each machine waits for the next one's checkpoint (CYCLE), or the last one writes and will end. A machine publishes what waits on it, then searches what all have
 * published, and refuses a wait of its own if that is the cycle's victim: the one that began last, in an order that all see alike. A published wait that has
 * ended may be seen for a while longer.
 *
 * check CYCLE safety                      one victim, not more
 * check CYCLE ltl:broken_up               and not less
 * check - safety                          nobody is refused where there is no cycle
 * broken SEARCH_FIRST,CYCLE ltl:broken_up     searched is before it is published, and not again
 * broken ANY_VICTIM,CYCLE two_victims     whoever finds the cycle refuses his own wait
 * broken UNCONFIRMED needless             what is published is believed, though that wait may be over
 */
#define MACHINES 3

/* ---- the export ---- */
bool published[MACHINES];		/* .sealfs/mounts/<token>.waits: it waits for the next one */
bool ended[MACHINES];			/* its checkpoint's N.end */

/* ---- the machines ---- */
bool waits[MACHINES], refused[MACHINES];
byte since[MACHINES];			/* when its wait began: the later, the more */
byte clock;
bool two_victims, needless;

#define next(i) ((i + 1) % MACHINES)
#define cycle_published (published[0] && published[1] && published[2])
#define cycle_is (waits[0] && waits[1] && waits[2])

/* cycle_victim(): the same for all */
#define is_victim(me) (since[me] > since[next(me)] && since[me] > since[next(next(me))])

/* Long enough after a change, files tell what is. */
#define files_are_current (published[0] == waits[0] && published[1] == waits[1] && published[2] == waits[2])

/* search_all() and suspect(): found once, found again when what was late has been published, and so on the export, too */
inline refuse_if_cycle()
{
	found = cycle_published;
	if
#ifdef ANY_VICTIM
	:: found ->
#else
	:: found && is_victim(me) ->
#endif
		atomic {
#ifndef UNCONFIRMED
			files_are_current || ended[0] || ended[1] || ended[2] || refused[0] || refused[1] || refused[2];
			found = cycle_published && !ended[0] && !ended[1] && !ended[2];
#endif
			needless = needless || (found && !cycle_is && refused[0] + refused[1] + refused[2] == 0);
			assert(!needless)
		};
		if
		:: found ->
			atomic { /* waiters_refuse() */
				refused[me] = refused[me] || waits[me];
				waits[me] = false
			}
		:: else
		fi
	:: else
	fi
}

proctype machine(byte me)
{
	bool found;

#ifndef CYCLE
	/* the last one does not wait: it writes */
	if
	:: me == MACHINES - 1 ->
		/* it had waited before, for the first one's earlier checkpoint, and its file tells so for a while */
		atomic { published[me] = true; clock++; since[me] = clock };
		ended[me] = true;
		published[me] = false;
		goto over
	:: else
	fi;
#endif
	atomic { waits[me] = true; clock++; since[me] = clock };
#ifdef SEARCH_FIRST
	refuse_if_cycle();
	published[me] = true;
#else
	published[me] = true;			/* publish.c */
#endif
	do
	:: ended[next(me)] -> waits[me] = false; break	/* it is woken */
	:: !waits[me] -> break
#ifndef SEARCH_FIRST
	:: waits[me] && !ended[next(me)] -> refuse_if_cycle()	/* gate_deadlock_check_(), now and then */
#endif
	od;
	/* who is refused, or has what it waited for, ends one day */
	two_victims = (refused[0] + refused[1] + refused[2] > 1);
	assert(!two_victims);
	ended[me] = true;
	published[me] = false;
over:	skip
}

init {
	atomic { run machine(0); run machine(1); run machine(2) }
}

ltl broken_up { <> (ended[0] && ended[1] && ended[2]) }
