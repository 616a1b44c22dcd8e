/*
 * end - one decision: a generation ends once, the same for all; who lives is not declared dead, who is dead is
 *
 * Three machines with a mount each. A writes generation 1; B and C wait for it, look whether its writer is dead, and B
 * writes generation 2 when the first one failed. At every step a machine may crash, be cut off (its requests then wait, as those
 * of a hard NFS mount do, and are served when it is back, however late), lose its lock to the server's lease, and return.
 *
 * check - safety                      no assertion can fail
 * check CUTS=1 ltl:waiter_ends        what has been claimed ends for those who wait
 * broken END_BY_RENAME ended_twice    N.end is renamed into place instead of linked
 * broken SURE_OF_ITSELF disagreement  who seals takes a link that was refused for his own
 * broken JUDGE_UNLOCKED living_ended  "owner died" without the exclusive lock and the second look
 * broken JUDGE_WHOEVER living_ended who judges ends whatever is open by then: his own lock may have lapsed meanwhile
 * broken LEASE_AFTER_CLAIM living_ended  the claim is linked before the lease is held
 * broken NO_JUDGE,CUTS=1 ltl:waiter_ends  nobody looks whether the writer is dead
 */
#define A 0
#define B 1
#define C 2
#define MACHINES 3
#define GENERATIONS 2
#ifndef CUTS
#define CUTS 2
#endif
#define CRASHES 1
#ifdef JUDGE_UNLOCKED
#define JUDGE_WHOEVER
#endif

mtype = { none, shared, exclusive, sealed, failed, pending, open };

/* ---- the export ---- */
byte claimed[GENERATIONS + 1];		/* N.claim: 0, or whose, plus 1 */
mtype decided[GENERATIONS + 1] = none;	/* N.end */
mtype lock[MACHINES] = none;		/* what the lock manager has granted on `lock` */

/* ---- the machines ---- */
bool alive[MACHINES] = true, reachable[MACHINES] = true;
bool lapsed[MACHINES];			/* its lock was taken away by the lease */
bool let_go[MACHINES];			/* it gave its own lock back */
bool done[MACHINES];
byte ends[GENERATIONS + 1];		/* how often N.end came to be */
bool ended_twice, disagreement, living_ended;

/* A request of this machine's is served. */
#define served reachable[me]

#define refused_shared (lock[(me + 1) % 3] == exclusive || lock[(me + 2) % 3] == exclusive)
#define refused_exclusive (lock[(me + 1) % 3] != none || lock[(me + 2) % 3] != none)

/* state_read(): records only come to be, so a listing is as good as a moment. 1.reserve is there from the start. */
inline look(generation, kind)
{
	atomic {
		served;
		generation = (claimed[2] || decided[2] != none -> 2 : 1);
		kind = (decided[generation] != none -> decided[generation] : (claimed[generation] -> open : pending));
	}
}

/* store_create_file() of N.end in state_end_in(): linkat(2), which is refused when the name is there */
inline link_end(generation, how, won)
{
	atomic {
		served;
#ifdef END_BY_RENAME
		won = true;
#else
		won = (decided[generation] == none);
#endif
		if
		:: won ->
			decided[generation] = how;
			ends[generation]++;
			ended_twice = ended_twice || ends[generation] > 1;
			assert(!ended_twice)
		:: else
		fi
	}
}

/* what this machine tells its own processes of a generation */
inline tell(generation, how)
{
	d_step {
		disagreement = disagreement || decided[generation] != how;
		assert(!disagreement)
	}
}

/* lease_share(), which waits for a prober */
inline share_lease()
{
	atomic { served && !refused_shared -> lock[me] = shared; lapsed[me] = false; let_go[me] = false }
}

/* lease_drop() */
inline drop_lease()
{
	atomic { served -> lock[me] = none; let_go[me] = true }
}

/* state_claim(): linkat(2) of N.claim, then state_confirm() */
inline link_claim(generation, won)
{
	atomic {
		served;
		won = (claimed[generation] == 0 && decided[generation] == none);
		if
		:: won -> claimed[generation] = me + 1
		:: else
		fi
	}
}

/* gate_claim_(), the trial's writing, gate_end_job_() with gate_take_exclusively_() and gate_seal_(), or gate_abandon_() */
inline write_generation(generation)
{
#ifdef LEASE_AFTER_CLAIM
	link_claim(generation, won);
	share_lease();
#else
	share_lease();
	link_claim(generation, won);
#endif
	if
	:: !won -> drop_lease()
	:: won ->
		if
		:: true -> /* lease_exclude(): another's lock refuses it; one that has lapsed is an error, or a new one: the link decides */
			if
			:: atomic { served && !refused_exclusive -> lock[me] = exclusive }
				/* seal_checkpoint(): hashes, then state_confirm() */
				look(seen, kind);
				if
				:: seen != generation || kind != open -> won = false
				:: else -> link_end(generation, sealed, won)
				fi;
#ifdef SURE_OF_ITSELF
				won = true;
#endif
				if
				:: won -> tell(generation, sealed)
				:: else /* seal_failed(): -EEXIST, gate_reread_() says what */
				fi
			:: served && lock[me] == none -> link_end(generation, failed, won)
			fi
		:: true -> link_end(generation, failed, won) /* gate_link_failed_(): needs no lock */
		fi;
		drop_lease()
	fi
}

/* lease_held() and lease_end_dead(), called by gate_judge_() */
inline judge(generation)
{
	suspect = generation;
	if
	:: served && refused_exclusive -> skip /* somebody lives who holds it */
	:: served && !refused_exclusive ->
#ifndef JUDGE_UNLOCKED
		if
		:: served && refused_exclusive -> goto judged
		:: atomic { served && !refused_exclusive -> lock[me] = exclusive }
		fi;
#endif
		look(seen, kind); /* end_unless_held(), state_end_in() */
		if
#ifdef JUDGE_WHOEVER
		:: kind == open ->
#else
		:: kind == open && seen == suspect -> /* the claim whose writer was looked for (by its token) */
#endif
			atomic {
				served;
				owner = claimed[seen] - 1;
				won = (decided[seen] == none);
				if
				:: won ->
					decided[seen] = failed;
					ends[seen]++;
					/* only whose lock the server took away, or who gave it back, has no say any more */
					living_ended = living_ended || !(lapsed[owner] || let_go[owner]);
					assert(!living_ended)
				:: else
				fi
			}
		:: else
		fi;
#ifndef JUDGE_UNLOCKED
		atomic { served -> lock[me] = none }
#endif
	fi;
judged:	skip
}

proctype machine(byte me)
{
	byte seen, suspect, owner, generation = 1;
	mtype kind;
	bool won;

	{
		if
		:: me == A -> write_generation(1)
		:: else
		fi;
		/* gate_poll_job_(), again and again: gate_reread_(), gate_judge_(), gate_verdict_() */
		do
		:: look(seen, kind);
			if
			:: seen > generation -> break /* the one that was waited for has failed */
			:: seen == generation && kind == sealed -> tell(seen, sealed); break
			:: seen == generation && kind == failed ->
				tell(seen, failed);
				if
				:: me == B && generation < GENERATIONS ->
					generation++;
					write_generation(2);
					break
				:: else -> break
				fi
			:: else ->
#ifndef NO_JUDGE
				if
				:: kind == open -> judge(seen)
				:: else
				fi
#endif
			fi
		od;
		done[me] = true
	} unless { !alive[me] }
}

/* what happens to machines and cables */
proctype world()
{
	byte crashes, cuts, who;

end:	do
	:: atomic { crashes < CRASHES -> crashes++;
		if
		:: alive[A] && !done[A] -> alive[A] = false
		:: alive[B] && !done[B] -> alive[B] = false
		:: alive[C] && !done[C] -> alive[C] = false
		:: else
		fi }
	:: atomic { cuts < CUTS -> cuts++;
		if
		:: reachable[A] -> reachable[A] = false
		:: reachable[B] -> reachable[B] = false
		:: reachable[C] -> reachable[C] = false
		:: else
		fi }
	:: atomic { !reachable[A] -> reachable[A] = true }
	:: atomic { !reachable[B] -> reachable[B] = true }
	:: atomic { !reachable[C] -> reachable[C] = true }
	/* the server's lease */
	:: atomic { !(reachable[A] && alive[A]) && lock[A] != none -> lock[A] = none; lapsed[A] = true }
	:: atomic { !(reachable[B] && alive[B]) && lock[B] != none -> lock[B] = none; lapsed[B] = true }
	:: atomic { !(reachable[C] && alive[C]) && lock[C] != none -> lock[C] = none; lapsed[C] = true }
	od
}

init {
	atomic { run world(); run machine(A); run machine(B); run machine(C) }
}

#define claim_is_there (claimed[1] != 0)
#define c_is_answered (done[C] || !alive[C])
ltl waiter_ends { [] (claim_is_there -> <> c_is_answered) }
