/* follow.c - this mount's waiters: the mount that can tell of the end is asked to, and asked again while they wait */
#include "hints.h"

#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "schedule.h"

#define LOOK_NS 1000000000u  /* looks that datagrams cause: one a second and checkpoint, … */
#define LOOK_BURST 4
#define LOOKS_NS 10000000u   /* … and a hundred a second in all */
#define LOOKS_BURST 256

static void drop(struct gate_hints *hints, struct gate_follow *follow)
{
	HASH_DELETE(hh, hints->by_nonce, follow);
	DL_DELETE(hints->following, follow);
	follow->on = false;
	follow->proven = false;
}

void gate_hints_leave_(struct gate_checkpoint *checkpoint)
{
	struct gate_hints *hints = checkpoint->gate->hints;

	pthread_mutex_lock(&hints->lock);
	bool was = checkpoint->follow.on;
	if (was)
		drop(hints, &checkpoint->follow);
	pthread_mutex_unlock(&hints->lock);
	if (was)
		gate_checkpoint_put(checkpoint);
}

/* The record whose mount can tell when its stage is over. */
static const struct record *stage_of(const struct state *state, enum hint_stage *stage)
{
	*stage = state->kind == STATE_OPEN ? HINT_OPEN : HINT_PENDING;
	if (state->kind == STATE_OPEN)
		return &state->claim;
	return state->kind == STATE_PENDING ? &state->reserve : NULL;
}

static bool same_question(const struct gate_follow *follow, const struct hint_place *place, unsigned int generation, enum hint_stage stage)
{
	return follow->on && follow->asked.generation == generation && follow->asked.stage == stage && !memcmp(&follow->to, place, sizeof(*place));
}

void gate_hints_follow_(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	struct gate_hints *hints = gate->hints;
	struct gate_follow *follow = &checkpoint->follow;
	struct hint_place place;
	enum hint_stage stage;
	uint64_t nonce;

	const struct record *record = hints->fd >= 0 ? stage_of(&checkpoint->state, &stage) : NULL;
	if (!record || !record->hint || !strcmp(record->mount, gate->token) || hint_place_parse(record->hint, &place) ||
	    getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce)) {
		gate_hints_leave_(checkpoint);
		return;
	}
	pthread_mutex_lock(&hints->lock);
	if (!same_question(follow, &place, record->generation, stage)) {
		if (follow->on)
			drop(hints, follow);
		else
			gate_checkpoint_ref(checkpoint);
		follow->to = place;
		follow->asked = (struct hint){.kind = HINT_SUBSCRIBE, .stage = stage, .generation = record->generation, .nonce = nonce};
		hint_id(checkpoint->path, follow->asked.id);
		follow->on = true;
		follow->unanswered = 0;
		follow->due_ns = waiters_now_ns();
		HASH_ADD(hh, hints->by_nonce, asked.nonce, sizeof(follow->asked.nonce), follow);
		DL_APPEND(hints->following, follow);
		gate_kick_(gate);
	}
	pthread_mutex_unlock(&hints->lock);
}

bool gate_hints_proven_(struct gate_checkpoint *checkpoint)
{
	struct gate_hints *hints = checkpoint->gate->hints;

	pthread_mutex_lock(&hints->lock);
	bool proven = checkpoint->follow.on && checkpoint->follow.proven;
	pthread_mutex_unlock(&hints->lock);
	return proven;
}

/* ---- under the lock ---- */

static void ask(struct gate *gate, struct gate_follow *follow)
{
	uint8_t data[HINT_SIZE];

	follow->asked.sequence++;
	hint_format(&follow->asked, follow->to.key, data);
	gate_hints_send_(gate, &follow->to.address, data);
}

/* How long until it may be looked at because of a datagram. */
static uint64_t look_delay(struct gate_hints *hints, struct gate_follow *follow, uint64_t now)
{
	uint64_t own = bucket_take(&follow->looks, now, LOOK_NS, LOOK_BURST);
	return own ? own : bucket_take(&hints->looks, now, LOOKS_NS, LOOKS_BURST);
}

/* True when the checkpoint is to be looked at in *delay ns. */
static bool heard(struct gate *gate, struct gate_follow *follow, const struct hint *hint, const struct sockaddr_storage *from, uint64_t *delay)
{
	uint64_t now = waiters_now_ns();

	switch (hint->kind) {
	case HINT_LOOK:
		gate_hints_answer_(gate, from, hint, HINT_SEEN, 0, follow->to.key);
		follow->proven = false;
		follow->nudged = true;
		follow->unanswered = 0;
		follow->due_ns = now + RENEW_NS;
		*delay = look_delay(gate->hints, follow, now);
		return true;
	case HINT_CHALLENGE:
		/* once for each question: two that misunderstand each other shall not be busy with that */
		if (hint->sequence == follow->asked.sequence && !follow->challenged) {
			follow->asked.cookie = hint->cookie;
			follow->challenged = true;
			ask(gate, follow);
		}
		return false;
	default:
		/* an older answer, replayed, proves nothing, nor the same one again */
		if (hint->sequence == follow->asked.sequence && follow->unanswered) {
			follow->proven = true;
			follow->unanswered = 0;
			follow->due_ns = now + RENEW_NS;
		}
		return false;
	}
}

void gate_follow_heard_(struct gate *gate, const struct hint *hint, const void *data, const struct sockaddr_storage *from)
{
	struct gate_hints *hints = gate->hints;
	struct gate_checkpoint *checkpoint = NULL;
	struct gate_follow *follow;
	uint64_t delay = 0;

	pthread_mutex_lock(&hints->lock);
	HASH_FIND(hh, hints->by_nonce, &hint->nonce, sizeof(hint->nonce), follow);
	if (!follow || !hint_is_authentic(data, follow->to.key))
		atomic_fetch_add(&gate->stats.hints_dropped, 1);
	else if (heard(gate, follow, hint, from, &delay))
		checkpoint = gate_checkpoint_ref((void *)((char *)follow - offsetof(struct gate_checkpoint, follow)));
	pthread_mutex_unlock(&hints->lock);
	if (!checkpoint)
		return;
	/* not 0: that would make the looks after it come quickly, too */
	gate_attend_(checkpoint, delay ? delay : 1);
	gate_checkpoint_put(checkpoint);
}

bool gate_hints_nudged_(struct gate_checkpoint *checkpoint)
{
	struct gate_hints *hints = checkpoint->gate->hints;

	pthread_mutex_lock(&hints->lock);
	bool nudged = checkpoint->follow.nudged;
	checkpoint->follow.nudged = false;
	pthread_mutex_unlock(&hints->lock);
	return nudged;
}

/* Asks again. True when the last answer is so long ago that the checkpoint is to be looked at, in *delay ns. */
static bool ask_again(struct gate *gate, struct gate_follow *follow, uint64_t now, uint64_t *delay)
{
	bool doubt = follow->proven && follow->unanswered >= UNANSWERED_DOUBT;
	bool silent = doubt && follow->unanswered >= UNANSWERED_MAX;

	/* its writer may be dead: from now on it is looked at more often */
	if (silent)
		follow->proven = false;
	*delay = silent ? 0 : 1;
	follow->due_ns = now + gate_ask_interval_(follow->unanswered++);
	follow->challenged = false;
	ask(gate, follow);
	return doubt;
}

uint64_t gate_follow_work_(struct gate *gate, uint64_t now)
{
	struct gate_hints *hints = gate->hints;
	struct gate_checkpoint *doubtful;
	struct gate_follow *follow;
	uint64_t next, delay;

	do {
		doubtful = NULL;
		next = 0;
		pthread_mutex_lock(&hints->lock);
		DL_FOREACH(hints->following, follow)
		{
			if (follow->due_ns <= now && ask_again(gate, follow, now, &delay)) {
				doubtful = gate_checkpoint_ref((void *)((char *)follow - offsetof(struct gate_checkpoint, follow)));
				break;
			}
			if (!next || follow->due_ns < next)
				next = follow->due_ns;
		}
		pthread_mutex_unlock(&hints->lock);
		if (doubtful) {
			gate_attend_(doubtful, delay);
			gate_checkpoint_put(doubtful);
		}
	} while (doubtful);
	return next;
}

void gate_follow_stop_(struct gate *gate)
{
	struct gate_hints *hints = gate->hints;

	while (hints->following)
		gate_hints_leave_((void *)((char *)hints->following - offsetof(struct gate_checkpoint, follow)));
}
