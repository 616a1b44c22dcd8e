/*
 * read - no early read, read after seal: what a reader is given, through the caches of his machine's NFS client
 *
 * A writes a file, seals it, and its seal returns. B and C, each another machine, have looked its name and its state up before, in vain or not,
 * and open it at any time, twice. A client's caches keep what they once saw, a name that was missing too, until they are made
 * to look again or forget by themselves; opening a file has its pages looked up anew (close-to-open), unless STALE_PAGES.
 *
 * check - safety                                  no assertion can fail
 * check STALE_PAGES safety                        even where pages are stale: then it is EBADMSG
 * broken UNGATED early_read                       a file that is there is opened, sealed or not
 * broken NO_FORCED_STATE false_absence            the state is believed from the cache
 * broken NO_FORCED_NAME false_absence             a name of the manifest is believed missing from the cache
 * broken NO_FSYNC not_durable                     N.end is linked before the data are on the server
 * broken UNVERIFIED,STALE_PAGES wrong_bytes       content is not checked against the seal
 */
#define MACHINES 2
#define OPENS 2

mtype = { none, half, whole };	/* the file's content */
mtype = { absent, open, sealed };

/* ---- the export ---- */
bool claimed, ended, exists;
mtype bytes = none, digest = none;	/* what the server has; what N.end says */
bool returned;				/* `seal` has returned */

/* ---- a client's caches ---- */
bool missing[MACHINES];			/* a negative dentry of the name */
bool remembers[MACHINES];		/* the state folder as it was: */
mtype remembered[MACHINES] = absent;
mtype pages[MACHINES] = none;		/* of the file's content */

bool early_read, false_absence, wrong_bytes, not_durable;

#define state_now (ended -> sealed : (claimed -> open : absent))

proctype writer()
{
	mtype dirty = none;

	claimed = true;				/* gate_claim_() */
	atomic { exists = true; bytes = half };	/* some is written back early */
	dirty = whole;
#ifndef NO_FSYNC
	bytes = dirty;				/* hash_open(): fsync, then hash */
#endif
	atomic {				/* state_end_in() */
		digest = whole;
		ended = true;
		not_durable = (bytes != digest);
		assert(!not_durable)
	};
	bytes = dirty;
	returned = true
}

/* what others on this machine do: look names up by bare NFS, so that caches are hot, and what time does: they forget */
proctype elsewhere(byte me)
{
end:	do
	:: atomic { missing[me] = !exists }
	:: missing[me] -> missing[me] = false
	:: atomic { !remembers[me] -> remembers[me] = true; remembered[me] = state_now }
	:: remembers[me] -> remembers[me] = false
	:: atomic { exists -> pages[me] = bytes }
	od
}

/* gate_enter() and what follows, in a process of another trial */
proctype reader(byte me)
{
	byte opens;
	bool begun, must;
	mtype state;

	do
	:: opens < OPENS ->
		opens++;
		atomic { begun = claimed; must = returned };
		/* gate_reread_(), state_read(): store_open_dir() and store_each_entry() refresh */
look:		atomic {
#ifdef NO_FORCED_STATE
			state = (remembers[me] -> remembered[me] : state_now);
#else
			state = state_now;
#endif
			remembers[me] = true;
			remembered[me] = state
		};
#ifdef UNGATED
		if
		:: exists -> state = sealed
		:: else
		fi;
#endif
		if
		:: state == absent -> /* plain, ENOENT */
			d_step { false_absence = begun || must; assert(!false_absence) }
		:: state == open -> goto look /* wait_here(), until a look says otherwise */
		:: else ->
			/* sealed: lookup.c finds the name, with store_refresh() before it is believed missing */
#ifndef NO_FORCED_NAME
			missing[me] = false;
#endif
			if
			:: atomic { missing[me] || !exists -> missing[me] = true; false_absence = true; assert(!false_absence) }
			:: atomic { !missing[me] && exists };
#ifdef STALE_PAGES
				if
				:: pages[me] == none -> pages[me] = bytes
				:: else
				fi;
#else
				pages[me] = bytes; /* close-to-open */
#endif
				atomic {
#ifndef UNVERIFIED
					if
					:: pages[me] == digest || digest == none ->
#endif
						early_read = !ended;
						wrong_bytes = (ended && pages[me] != digest);
						assert(!early_read);
						assert(!wrong_bytes)
#ifndef UNVERIFIED
					:: else /* EBADMSG */
					fi
#endif
				}
			fi
		fi
	:: else -> break
	od
}

init {
	atomic { run writer(); run elsewhere(0); run elsewhere(1); run reader(0); run reader(1) }
}
