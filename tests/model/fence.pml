/*
 * fence - generations: what a writer seals is what he wrote, though one that was given up for dead comes back and writes
 *
 * A writes generation 1 and is cut off; its lock has lapsed, so B, C and D may declare it dead at any time, make way (each slower than the
 * others at any step) and write generation 2. A's requests are served however late. A checkpoint is a directory or, ONE_FILE, a file: then
 * A, too, makes a name at the checkpoint's own path, in a directory that is nobody's.
 *
 * check - safety                        a directory
 * check ONE_FILE safety                 a file
 * broken SAME_INODES foreign_bytes      generation 2 writes into what generation 1 has left
 * broken CREATE_BY_PATH foreign_bytes   a late create goes where the path leads, not where the directory is that it was asked in
 * broken ONE_LOOK,ONE_FILE foreign_bytes  who makes the file looks at the generation before it is open, and not after
 * broken NO_DOOR moved_new              content is moved aside by a rename that can not come too late
 * broken LATE_DOOR moved_new            the door is made after N.end is linked
 */
#define A 0
#define COMPETITORS 3			/* B, C, D: 1, 2, 3 */
#define ANOTHER (COMPETITORS + 2)	/* an inode that A makes: 1 and this one; those of the others: 2, 3, 4 */
#define ABSENT 9

mtype = { none, sealed, failed };

/* ---- the export ---- */
bool claimed2;				/* 2.claim; 1.claim is there */
mtype decided1 = none, decided2 = none;	/* 1.end, 2.end */
byte token;				/* … of 1.end: whose */
byte path = 1;				/* the inode at the checkpoint's path; 0: none */
byte door[COMPETITORS + 1] = ABSENT;	/* aside.<token>: not there, empty (0), or what is in it */

/* ---- what came of it ---- */
bool by_a[ANOTHER + 1];		/* A has written into this inode */
byte held;				/* the inode of generation 2 that its writer writes */
bool foreign_bytes, moved_new;

/* A's bytes come into an inode. */
#define a_writes(inode) d_step { by_a[inode] = true; foreign_bytes = foreign_bytes || decided2 == sealed && held == inode; assert(!foreign_bytes) }

proctype returning()
{
	byte inode = 1;

	do
	:: a_writes(1) /* through a descriptor that it has: nobody looks at that */
	:: decided1 == none -> /* change_own(), state_has_ended(): every create, and the seal, looks at the generation first */
		if
		:: true ->
#ifdef ONE_FILE
			/* create_file() at checkpoint depth: openat(O_CREAT) by name */
			atomic {
				if
				:: path == 0 -> path = ANOTHER
				:: else
				fi;
				inode = path
			};
#ifndef ONE_LOOK
			if
			:: decided1 != none -> break /* what was opened may be another generation's: not a byte goes there */
			:: else
			fi;
#endif
			a_writes(inode)
#else
#ifdef CREATE_BY_PATH
			if
			:: path != 0 -> a_writes(path)
			:: else
			fi
#else
			a_writes(1) /* create_file() in a directory: openat() beside its descriptor */
#endif
#endif
		:: true -> /* seal_checkpoint(): N.end is linked, or there already */
			atomic {
				if
				:: decided1 == none -> decided1 = sealed
				:: else
				fi
			};
			break
		fi
	:: break
	od
}

/* lease_end_dead(): link_end() with state_door_make() */
inline declare_dead()
{
#ifndef LATE_DOOR
	door[me] = 0;
#endif
	atomic {
		if
		:: decided1 == none -> decided1 = failed; token = me
		:: else -> door[me] = ABSENT /* state_door_drop() */
		fi
	};
#ifdef LATE_DOOR
	if
	:: token == me -> door[me] = 0
	:: else
	fi
#endif
}

/* rename_into() the door, or (NO_DOOR) to .sealfs/failed */
inline move_content()
{
	atomic {
		if
#ifdef NO_DOOR
		:: path != 0 ->
#else
		:: path != 0 && door[key] != ABSENT -> door[key] = path;
#endif
			moved_new = moved_new || claimed2;
			assert(!moved_new);
			path = 0
		:: else
		fi
	}
}

/* state_door_close(): 0 in `way` when it is not closed yet */
inline close_door()
{
#ifdef NO_DOOR
	move_content();
	way = true;
#else
	if
	:: door[key] == ABSENT -> way = true
	:: door[key] != ABSENT -> /* close_once(), by a descriptor from now on */
		move_content();
		atomic {
			if
			:: door[key] != ABSENT -> door[key] = 0 /* move_out() */
			:: else
			fi
		};
		atomic { /* unlinkat(AT_REMOVEDIR) */
			way = (door[key] == 0 || door[key] == ABSENT);
			if
			:: door[key] == 0 -> door[key] = ABSENT
			:: else
			fi
		}
	fi
#endif
}

/* generation 2: what its writer writes and seals */
inline write_and_seal()
{
	atomic { /* mkdir, or openat(O_CREAT): of what is there already, it has the inode */
		if
		:: path == 0 -> path = me + 1
		:: else
		fi;
		held = path
	};
	/* hashed; state_confirm(), check_unmoved(); linked */
	atomic {
		if
		:: decided2 == none ->
			decided2 = sealed;
			foreign_bytes = foreign_bytes || by_a[held];
			assert(!foreign_bytes)
		:: else
		fi
	}
}

proctype competitor(byte me)
{
	byte key;
	bool way;

	if
	:: decided1 == none -> declare_dead()
	:: decided1 != none
	fi;
	/* claim_once(), with its tries: look_for(), begin() with make_way() */
	do
	:: decided1 == sealed || claimed2 -> break
	:: decided1 == failed && !claimed2 ->
		key = token;
#ifdef SAME_INODES
		way = true;
#else
		close_door();
#endif
		if
		:: !way
#ifndef SAME_INODES
		:: way && path != 0 && claimed2 /* state_has_content(): another's; read the state again */
		:: way && path != 0 && !claimed2 && by_a[path] -> break /* spend_for_stray(): generation 2 fails at once */
		:: way && (path == 0 || !by_a[path]) ->
#else
		:: way ->
#endif
			atomic { /* N.claim */
				if
				:: !claimed2 -> claimed2 = true; way = true
				:: else -> way = false
				fi
			};
			if
			:: way -> write_and_seal(); break
			:: else
			fi
		fi
	od
}

init {
	atomic { run returning(); run competitor(1); run competitor(2); run competitor(3) }
}
