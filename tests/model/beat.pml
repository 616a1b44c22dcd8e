/*
 * beat - heartbeats: the living are not declared dead, the dead are, whatever the clocks and the cables do
 *
 * A changes its file once an interval while it lives and writes: it claims, and seals, CLAIMS times, some so soon that no beat was due. B, by its own clock, looks once an interval, and counts the looks that came back and saw no
 * change; after LIMIT of them, and LIMIT intervals after it has seen the claim, A is dead. Real time passes in intervals; in each, A beats and B looks, in either order, unless the server or a cable is
 * away. Who could not reach the server for a while may need as long again to get through to it, when others do already.
 *
 * check - safety                          the living are not declared dead
 * check - ltl:noticed                     the dead are
 * broken COUNT_FAILED living_ended        looks that did not come back are counted
 * broken NOT_FORGIVEN living_ended        after an outage counting goes on where it was
 * broken FILE_TIMES,SKEWED living_ended   the file's time is compared with the clock of who looks
 * broken BEFORE_CLAIM living_ended        what was missed before a claim counts against it
 * broken GIVES_UP ltl:noticed             who has seen one change does not count any more
 */
#define LIMIT 3				/* LIVENESS_MISSES, fewer */
#define OUTAGES 2
#define CLAIMS 5
#ifdef SKEWED
#define SKEW 5
#else
#define SKEW 0
#endif

/* ---- the export ---- */
byte beat = 1;				/* changes with every beat */
byte file_age;				/* intervals since then */
byte claim = 1;				/* the newest … */
bool writes = true;			/* … and whether it is open */
bool dead;				/* N.end: failed, owner died */

bool alive = true, away;		/* A; the server, for both */
byte a_late;				/* intervals for which A's request is still under way after an outage */
bool living_ended;

byte phase;				/* of the interval: bits of who has had his turn */

proctype writer()
{
end:	do
	:: atomic { alive && !(phase & 1) ->
		phase = phase | 1;
		if
		:: !away && a_late == 0 && writes -> beat = beat % 4 + 1; file_age = 0	/* liveness_beat() */
		:: else -> skip
		fi }
	:: atomic { alive && writes && !dead -> writes = false }	/* sealed */
	:: atomic { alive && !writes && !dead && !away && a_late == 0 && claim < CLAIMS -> writes = true; claim++ }
	:: atomic { alive -> alive = false }
	:: atomic { !alive && !(phase & 1) -> phase = phase | 1 }
	od
}

/* liveness_look(), for gate_is_silent_() */
proctype watcher()
{
	byte seen;
	short missed;
	byte cut_off;			/* intervals */
	byte known, since;		/* the claim that it asks about, and for how many intervals it has known of it */

	do
	:: atomic { !dead && !writes && !(phase & 2) -> phase = phase | 2 }	/* there is none to wait for */
	:: atomic { !dead && writes && !(phase & 2) ->
		phase = phase | 2;
		if
		:: known != claim && !away -> known = claim; since = 0	/* known_since() */
		:: else -> since = (since < LIMIT -> since + 1 : since)
		fi;
		if
		:: away ->		/* stat_beat() does not come back */
#ifdef COUNT_FAILED
			missed++
#else
			cut_off++
#endif
		:: !away && cut_off > 0 ->
#ifndef NOT_FORGIVEN
			missed = -(cut_off + 1);	/* forgive() */
#endif
			seen = beat;
			cut_off = 0
		:: !away && cut_off == 0 ->
#ifdef FILE_TIMES
			missed = file_age + SKEW
#else
			if
			:: seen != beat -> seen = beat; missed = 0
#ifdef GIVES_UP
			:: seen == beat && missed == 0 -> skip
			:: seen == beat && missed != 0 -> missed++
#else
			:: else -> missed++
#endif
			fi
#endif
		fi;
		if
#ifdef BEFORE_CLAIM
		:: missed >= LIMIT && !away ->
#else
		:: missed >= LIMIT && since >= LIMIT && known == claim && !away ->
#endif
			dead = true;	/* liveness_end_dead() */
			living_ended = alive;
			assert(!living_ended)
		:: else
		fi }
	:: dead -> break
	od
}

proctype world()
{
	byte outages, length;

end:	do
	:: atomic { phase == 3 || (phase == 1 && dead) ->
		phase = 0;
		file_age = (file_age < LIMIT + 1 -> file_age + 1 : file_age);
		a_late = (a_late > 0 -> a_late - 1 : 0);
		if
		:: away && length < 3 -> length++
		:: away -> away = false; a_late = length + 1; length = 0
		:: !away && outages < OUTAGES -> away = true; outages++
		:: !away -> skip
		fi }
	od
}

init {
	atomic { run writer(); run watcher(); run world() }
}

#define is_gone (!alive && writes)
ltl noticed { [] (is_gone -> <> dead) }
