/*
 * wake - no lost wake-up, no wrong one: the wait points of one mount, its loop, the hints, and the poll behind them
 *
 * Two readers of one mount wait for a checkpoint. The writer is on another machine (or, LOCAL, on this very mount), ends generation 1 and, if it
 * failed, writes generation 2. A hint is a datagram: it may be lost, come twice, come late, or be forged; it makes the loop look, and
 * nothing else. With HINTS_ONLY none is lost and there is no poll: then hints alone must suffice.
 *
 * check - safety                                  no assertion can fail
 * check - ltl:answered                            polls suffice, whatever becomes of the hints
 * check LOCAL safety                              likewise with the writer on this mount
 * check LOCAL ltl:answered                        the writer's end, and the poll, suffice
 * check HINTS_ONLY ltl:answered                   hints suffice when none is lost
 * broken PARK_UNLOCKED,LOCAL ltl:answered         a waiter is linked after the look, without the lock
 * broken NO_POLL ltl:answered                     no poll behind the hints, and one is lost
 * broken HINT_BEFORE_LINK,HINTS_ONLY ltl:answered  the hint is sent before N.end is linked
 * broken SUBSCRIBE_LATE,HINTS_ONLY ltl:answered   who subscribes after the end is not told of it
 * broken ATTENTION_LOST ltl:answered              attention that comes while the poll is running is forgotten
 * broken GONE_BY ltl:answered                     nobody tells those whose generation ended between two polls
 * broken WAKE_ALL wrong_verdict                   one generation's verdict is told to those who wait for the next
 * broken HINT_IS_BELIEVED wrong_verdict           a hint wakes without a look
 * broken TAKEN_TWICE answered_twice               an interruption answers a waiter that it found, not one that it took off
 */
#define READERS 2
#define GENERATIONS 2

mtype = { none, sealed, failed, pending, open };
mtype = { nothing, go_on, owner_dead, interrupted, look_again };	/* what a waiter is answered: 0, -EOWNERDEAD, -EINTR */

/* ---- the export ---- */
bool claimed[GENERATIONS + 1];
mtype decided[GENERATIONS + 1] = none;

/* ---- the mount: struct gate_checkpoint, struct waiters ---- */
bool locked, wanted;		/* checkpoint->lock */
byte known = 1;			/* checkpoint->state: generation */
mtype kind = pending;		/* … and kind */
bool ours;			/* checkpoint->lease.fd >= 0: written through this mount */
bool linked[READERS];		/* the waiter is linked to the point */
byte awaits[READERS];		/* waiter->generation */
mtype answer[READERS] = nothing;
bool timed, running;		/* is_timed, poll_running */
bool subscribing, subscribed;	/* a subscription is under way to the writer's mount; it is there */
bool over;			/* the writer's mount knows of the end */
bool hint;			/* a datagram is under way to this mount */

bool wrong_verdict, answered_twice;

#define count (linked[0] + linked[1])
/* A mutex starves nobody: whoever ends a generation is next when it wants it. */
#define acquire atomic { !locked && !wanted -> locked = true }
#define acquire_next wanted = true; atomic { !locked -> locked = true; wanted = false }
#define release locked = false

/* gate_reread_() */
inline reread()
{
	d_step {
		known = (claimed[2] -> 2 : 1);
		kind = (decided[known] != none -> decided[known] : (claimed[known] -> open : pending))
	}
}

/* gate_attend_(): the loop is to look */
inline attend()
{
#ifdef ATTENTION_LOST
	if
	:: !running -> timed = true
	:: else
	fi
#else
	timed = true
#endif
}

/* waiter->resume(), by whoever took it off */
inline resume(i, what)
{
	d_step {
		answered_twice = answered_twice || answer[i] != nothing;
		assert(!answered_twice);
		answer[i] = what;
		wrong_verdict = wrong_verdict || (what == owner_dead && decided[awaits[i]] != failed) ||
			(what == go_on && decided[awaits[i]] != sealed && decided[2] != sealed);
		assert(!wrong_verdict)
	}
}

/* waiters_wake(): those whose generation is below `below` */
inline wake(what, below)
{
	d_step {
		i = 0;
		do
		:: i < READERS ->
			if
			:: linked[i] && awaits[i] < below ->
				linked[i] = false;
				answered_twice = answered_twice || answer[i] != nothing;
				answer[i] = what;
				wrong_verdict = wrong_verdict || (what == owner_dead && decided[awaits[i]] != failed) ||
					(what == go_on && decided[awaits[i]] != sealed && decided[2] != sealed)
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		assert(!answered_twice);
		assert(!wrong_verdict)
	}
}

#ifdef WAKE_ALL
#define below_next 9
#else
#define below_next (generation + 1)
#endif

/* gate_tell_() with gate_verdict_(), once it has the lock */
inline tell_locked()
{
	d_step { generation = known; verdict = kind };
	release;
	if
	:: verdict == sealed -> wake(go_on, below_next)
	:: verdict == failed -> wake(owner_dead, below_next)
#ifndef GONE_BY
	:: verdict == open || verdict == pending -> wake(owner_dead, generation)
#else
	:: else
#endif
	fi;
	d_step { generation = 0; verdict = none }
}

inline tell()
{
	acquire;
	tell_locked()
}

/* gate_enter() with wait_here(), after every answer once more */
proctype reader(byte me)
{
	bool first, was_ours;

	do
	:: acquire;
		if
		:: ours /* gate_refresh_(): this mount writes it, so it knows */
		:: else -> reread()
		fi;
		if
		:: kind == sealed || kind == failed -> release; break
		:: else ->
			d_step { first = (count == 0); was_ours = ours; awaits[me] = known };
#ifdef PARK_UNLOCKED
			release;
			acquire;
#endif
			d_step { answer[me] = nothing; linked[me] = true }; /* waiters_park() */
			if
			:: first || !was_ours -> attend()
			:: else
			fi;
			release;
			d_step { answer[me] != nothing; awaits[me] = 0; first = false; was_ours = false }; /* parked: no thread, no poll of its own */
			if
			:: answer[me] == go_on /* ESTALE: the kernel walks the path again */
			:: else -> break
			fi
		fi
	od
}

/* waiters_interrupt(): one is killed */
proctype killer()
{
	if
	:: true
	:: atomic { linked[0] ->
#ifdef TAKEN_TWICE
		skip };
#else
		linked[0] = false };
#endif
		resume(0, interrupted);
		linked[0] = false
	fi
}

/* gate_loop_() with attend_due() and gate_poll_job_() */
proctype loop()
{
	bool waited, again;
	byte generation, i;
	mtype verdict = none;

end:	do
	:: atomic { timed && !running -> timed = false; running = true };
		waited = (count > 0);
		if
		:: waited && !subscribed -> subscribing = true
		:: else
		fi;
		acquire;
		if
		:: waited -> reread(); again = (kind == open || kind == pending)
		:: else -> again = false
		fi;
		release;
		tell();
		d_step {
			running = false;
#if !defined(NO_POLL) && !defined(HINTS_ONLY)
			timed = timed || again;
#endif
			waited = false;
			again = false
		}
	/* a datagram has come */
	:: atomic { hint -> hint = false };
#ifdef HINT_IS_BELIEVED
		generation = known;
		wake(go_on, below_next)
#else
		attend()
#endif
	od
}

/* what the network does to datagrams, and who forges them */
proctype network()
{
	bool forged;

end:	do
	:: atomic { subscribing -> subscribing = false; subscribed = true;
#ifndef SUBSCRIBE_LATE
		hint = hint || over /* the answer tells it, too */
#endif
		}
#ifndef HINTS_ONLY
	:: atomic { subscribing -> subscribing = false }
	:: atomic { hint -> hint = false }
#endif
	/* forged, or one that has come before */
	:: atomic { !forged && !hint -> forged = true; hint = true }
	od
}

#define send_hint hint = hint || subscribed

#ifdef LOCAL
/* gate_end_job_() on this mount: N.end is linked without checkpoint->lock, which is let go of while content is hashed */
inline end_generation(g, how)
{
	acquire_next;
	release; /* hashing */
	decided[g] = how;
	acquire_next;
	ours = false; /* gate_let_go_() */
	if
	:: count > 0 -> attend()
	:: else
	fi;
	reread();
	release;
	acquire_next;
	tell_locked()
}
#else
/* on another machine; who has subscribed is sent a hint, and one who subscribes later is answered with one */
inline end_generation(g, how)
{
#ifdef HINT_BEFORE_LINK
	atomic { send_hint; over = true };
	decided[g] = how
#else
	decided[g] = how;
	atomic { send_hint; over = true }
#endif
}
#endif

proctype writer()
{
	byte generation, i;
	mtype verdict = none;

#ifdef LOCAL
	acquire_next;
	claimed[1] = true;
	ours = true;
	reread();
	release;
#else
	claimed[1] = true;
#endif
	if
	:: end_generation(1, sealed)
	:: end_generation(1, failed);
		/* another machine may go on with the next generation, or nobody does */
		if
		:: true
#ifndef HINTS_ONLY
		:: claimed[2] = true;
			if
			:: decided[2] = sealed
			:: decided[2] = failed
			:: true /* is being written for ever */
			fi
#endif
		fi
	fi
}

init {
	atomic {
#ifdef HINTS_ONLY
		claimed[1] = true; /* a reservation has no address to ask */
#endif
		 run reader(0); run reader(1); run loop(); run writer(); run killer();
#ifndef LOCAL
		run network()
#endif
	}
}

#define first_waits (linked[0] && (awaits[0] == 1 || decided[2] != none))
#define second_waits (linked[1] && (awaits[1] == 1 || decided[2] != none))
ltl answered { [] ((first_waits -> <> !first_waits) && (second_waits -> <> !second_waits)) }
