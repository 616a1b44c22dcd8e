/*
 * join - one seal over all mounts of a trial: it waits for those that joined, and fails when one of them is gone or fails
 *
 * A claimed the generation and seals it when the trial has ended there. J and K write for the same trial on other machines: each joins before its
 * first byte, and leaves when its part is on the server. Their trial may fail, and each of the three may vanish at any step, or none; then its lease, or its
 * heartbeat, tells so, some time later. W waits on a machine of its own, and ends the generation when A is gone, whether or not J and K live: then
 * their part of the trial may hang for ever. There are locks (LOCKS) or heartbeats only. A has a lock on all of the file, J and K on all but its first byte.
 *
 * check - safety                          heartbeats only
 * check LOCKS safety
 * check - ltl:ends                        the generation ends
 * check LOCKS ltl:ends
 * broken LIST_BEFORE_CLOSED unsealed_bytes    the joins are listed before the door is closed to others
 * broken LOOK_BEFORE_JOIN unsealed_bytes      who joins looks whether it is closed before he says that he joins, and not after
 * broken VANISHED_IGNORED half_sealed         a joined machine that has vanished is not waited for, and nothing fails
 * broken LEFT_BEFORE_FSYNC not_durable        who leaves says so before his bytes are on the server
 * broken FAILURE_LEAVES failure_sealed        a joined machine whose trial failed just leaves
 * broken WAITS_FOR_THE_DEAD ltl:ends          nobody looks whether those who have not left are alive
 * broken JUDGES_ALL ltl:ends                  who waits takes a joined one's beats for the claimer's
 * broken LOCKS,JUDGES_ALL ltl:ends            … or looks at all of the lock, of which a joined one has a part
 * broken LOCKS,CLAIMS_AS_JOINED living_ended  who claims has no lock on the first byte
 */
#define JOINERS 2
#define A 2
#define MACHINES 3

mtype = { none, sealed, failed };
mtype = { out, in, left, refused };		/* what J and K have said: nothing, N.join, N.left; or they were told no */

/* ---- the export ---- */
mtype said[JOINERS] = out;
mtype ended = none;
bool closed;					/* N.closed */

/* ---- the machines ---- */
bool vanished[MACHINES], noticed[MACHINES];	/* and its lease, or its beat, tells so */
bool lease[MACHINES];				/* shared, on `lock` */
bool excluded;					/* A's, exclusive */
bool writes[JOINERS], dirty[JOINERS], failure[JOINERS];

bool unsealed_bytes, half_sealed, not_durable, failure_sealed, living_ended;

#define may_seal (said[0] != in && said[1] != in)

/* gate_join_(), writing, gate_leave_(), or gate_link_failed_() */
proctype joiner(byte me)
{
	{
#ifdef LOCKS
		if
		:: atomic { !excluded -> lease[me] = true }	/* lease_share() */
		:: excluded -> goto over			/* for longer than it tries: -EBUSY */
		fi;
#endif
#ifdef LOOK_BEFORE_JOIN
		if
		:: closed || ended != none -> said[me] = refused; goto over
		:: else
		fi;
		said[me] = in;
#else
		said[me] = in;					/* state_join(): linked, … */
		if
		:: closed || ended != none -> said[me] = left; goto over	/* … check_open(): and leaves again */
		:: else
		fi;
#endif
		atomic {
			writes[me] = true;
			dirty[me] = true;
			unsealed_bytes = unsealed_bytes || ended == sealed;
			assert(!unsealed_bytes)
		};
		if
		:: true ->
#ifdef LEFT_BEFORE_FSYNC
			atomic { writes[me] = false; said[me] = left };
			dirty[me] = false
#else
			dirty[me] = false;			/* fsync */
			atomic { writes[me] = false; said[me] = left }	/* state_leave() */
#endif
		:: true ->					/* its trial failed: the generation has */
			failure[me] = true;
#ifdef FAILURE_LEAVES
			atomic { writes[me] = false; said[me] = left }
#else
			atomic {
				if
				:: ended == none -> ended = failed
				:: else
				fi;
				writes[me] = false;
				failure_sealed = failure_sealed || ended == sealed;
				assert(!failure_sealed)
			};
			said[me] = left
#endif
		:: vanished[A] -> ended != none; said[me] = left	/* its trial waits for what A was to tell it */
		fi;
over:		lease[me] = false
	} unless { vanished[me] }
}

/* is_dead(), of one that has joined and not left */
#define is_dead(i) (said[i] == in && noticed[i])

/* gate_end_job_() of the mount that claimed: gate_take_exclusively_(), again and again, then gate_seal_() */
proctype sealer()
{
	mtype listed[JOINERS] = out;
	bool all;

	{ do
	:: ended != none -> break				/* somebody failed */
	:: ended == none ->
#ifndef LIST_BEFORE_CLOSED
		closed = true;					/* state_close() */
#endif
#ifdef LOCKS
		atomic { excluded = (!lease[0] && !lease[1]) };	/* lease_exclude() */
		if
		:: !excluded -> all = false
		:: else -> all = true
		fi;
#else
		all = true;
#endif
		atomic { listed[0] = said[0]; listed[1] = said[1] };	/* state_joined() */
#ifdef LIST_BEFORE_CLOSED
		closed = true;
#endif
		if
#ifndef WAITS_FOR_THE_DEAD
#ifdef VANISHED_IGNORED
		:: is_dead(0) && listed[0] == in -> listed[0] = out
		:: is_dead(1) && listed[1] == in -> listed[1] = out
#else
		:: (is_dead(0) && listed[0] == in) || (is_dead(1) && listed[1] == in) ->
			atomic {				/* fail_for() */
				if
				:: ended == none -> ended = failed
				:: else
				fi
			};
			break
#endif
#endif
		:: else
		fi;
		if
		:: all && listed[0] != in && listed[1] != in ->
			atomic {				/* seal_checkpoint() */
				if
				:: ended == none ->
					ended = sealed;
					unsealed_bytes = unsealed_bytes || (writes[0] && !vanished[0]) || (writes[1] && !vanished[1]);
					half_sealed = (vanished[0] && said[0] == in && writes[0]) || (vanished[1] && said[1] == in && writes[1]);
					not_durable = (said[0] == left && dirty[0]) || (said[1] == left && dirty[1]);
					failure_sealed = failure_sealed || failure[0] || failure[1];
					assert(!half_sealed);
					assert(!unsealed_bytes);
					assert(!failure_sealed);
					assert(!not_durable)
				:: else
				fi
			};
			break
		:: else						/* wait_for(): later again */
		fi
	od;
	atomic { lease[A] = false; excluded = false } } unless { vanished[A] }
}

/* liveness_judge() and liveness_end_dead() of a mount whose readers wait: it is the claimer who is asked for */
#ifdef LOCKS
#ifdef JUDGES_ALL
#define claimer_is_dead (!lease[A] && !lease[0] && !lease[1])
#else
#ifdef CLAIMS_AS_JOINED
#define claimer_is_dead true
#else
#define claimer_is_dead (!lease[A])
#endif
#endif
#else
#ifdef JUDGES_ALL
#define claimer_is_dead (noticed[A] && !(said[0] == in && !noticed[0]) && !(said[1] == in && !noticed[1]))
#else
#define claimer_is_dead (noticed[A])
#endif
#endif

proctype waiter()
{
	do
	:: ended != none -> break
	:: atomic { ended == none && claimer_is_dead ->
		ended = failed;
		living_ended = !vanished[A];
		assert(!living_ended)
	   }
	od
}

#define vanishes(i) atomic { may[i] && !vanished[i] -> vanished[i] = true }
/* the lease has run out, or a waiter has counted the beats that are missing */
#define is_noticed(i) atomic { vanished[i] && !noticed[i] -> noticed[i] = true; lease[i] = false; excluded = (i == A -> false : excluded) }

proctype world()
{
	bool may[MACHINES];

	if
	:: true
	:: true -> may[0] = true
	:: true -> may[A] = true
	:: true -> may[0] = true; may[1] = true
	:: true -> may[0] = true; may[A] = true
	fi;
end:	do
	:: vanishes(0)
	:: vanishes(1)
	:: vanishes(A)
	:: is_noticed(0)
	:: is_noticed(1)
	:: is_noticed(A)
	od
}

init {
	atomic { lease[A] = true; run joiner(0); run joiner(1); run sealer(); run waiter(); run world() }
}

#define it_has_ended (ended != none)
ltl ends { <> it_has_ended }
