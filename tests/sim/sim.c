/*
 * sim - what a cluster's file server, network and waiting trials see, simulated
 *
 *     sim [--machines N] [--trials N] [--seconds N] [--seed N] [--json] …       (--help tells all)
 *
 * Trials wait for their parents' checkpoints, in chains and in fan-outs, in three ways: with hints (datagrams), with polls that back off, and with
 * the naive poll that a script makes: once a second and trial. Machines, network and the server's queue are modelled; the decisions are the real code's:
 *
 *   - every transition (reserve, claim, end) and every look is made by the seal library (state.h) on an export in memory (memory_store.h),
 *   - when the next look, judgement or question is due is gate_poll_interval_() and its neighbours (fs/gate/schedule.h),
 *   - whom a mount tells, when and how often is subscribers.h.
 *
 * What a step costs the server is in requests.h. Time is simulated, in ns; the same seed gives the same figures. What must hold whatever the figures is checked at the
 * end: everybody is woken once and not before the end, all requests and datagrams are accounted for. Exit status 1 if not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../fs/gate/schedule.h"
#include "memory_store.h"
#include "requests.h"
#include "sealfs/config.h"
#include "sealfs/lease.h"
#include "sealfs/state_watch.h"
#include "sealfs/subscribers.h"

#define SECOND 1000000000ull
#define NOBODY UINT32_MAX
#define ANNOUNCEMENTS_MAX 65536u
#define SUBSCRIPTIONS_MAX 32768u /* fs/gate/hints.c */

enum way { HINTS, BACK_OFF, NAIVE, WAYS };
static const char *const way_names[WAYS] = {"hints", "polls", "naive"};
enum graph { CHAINS, FAN_OUT, GRAPHS };
static const char *const graph_names[GRAPHS] = {"chains", "fan-out"};

static struct {
	unsigned int machines, trials, chain, fan, experiment, threads, loss_per_mille;
	uint64_t seed, service_ns, network_ns, warm_ns, window_ns, run_ns;
	bool json;
} options = {
	.machines = 10000,
	.trials = 8,
	.chain = 8,
	.fan = 100,
	.experiment = 100,
	.threads = 8,
	.loss_per_mille = 1,
	.seed = 1,
	.service_ns = 50000,
	.network_ns = 100000,
	.warm_ns = 15 * SECOND,
	.window_ns = 20 * SECOND,
	.run_ns = 600 * SECOND,
};

/* ---- the actors ---- */

enum phase { WAITS, RUNS, ENDED };
struct trial {
	uint32_t machine, parent; /* NOBODY: none. Its children come right after it */
	enum phase phase;
	uint64_t ended_ns;
	unsigned int wakes;
	/* of its wait */
	uint64_t interval_ns, judged_ns, stamp_ns, read_ns;
	enum state_kind known; /* its parent's state, as it was read last */
	struct state_stamp stamp;
	int folder; /* of its parent's state; of one that writes: the lock */
	int lock_file; /* of its parent, while it is watched */
	unsigned int looks; /* the number of the look that is due: those before it are void */
	bool looking, again; /* a look is under way; another was asked for meanwhile */
	/* of its questions */
	bool follows, proven, nudged, challenged, has_cookie;
	enum hint_stage stage;
	uint32_t asked; /* the machine */
	unsigned int unanswered;
	uint32_t sequence, asks; /* of the question; of the timer for the next one */
};

struct machine {
	struct memory_client *client;
	struct subscribers *subscribers;
	uint64_t due_ns; /* when it is to send what is due; 0: nothing */
};

/* Something that takes some requests to the server, one after the other. */
enum kind { LOOK, LOOK_NAIVE, CLAIM, END, CHANGE };
struct job {
	enum kind kind;
	uint32_t who;
	unsigned int left;
	unsigned int number; /* LOOK: trial.looks */
	bool further, judge, read; /* LOOK: the stamp is there; what is asked for beside it */
};

enum event_kind { REQUEST, ANSWER, DUE_LOOK, DUE_ASK, DUE_END, DUE_SEND, DATAGRAM };
struct event {
	enum event_kind kind;
	uint32_t who;
	union {
		struct job job;
		struct {
			enum hint_kind kind;
			enum hint_stage stage;
			uint32_t from, trial, sequence;
			uint64_t nonce; /* of what is to be seen */
		} hint;
		uint32_t number;
	};
};

static struct {
	enum way way;
	enum graph graph;
	uint64_t now, random;
	struct memory_server *server;
	struct machine *machines;
	struct trial *trials;
	uint32_t count;
	struct {
		uint64_t when, order;
		uint32_t slot; /* of pool */
	} *heap;
	struct event *pool;
	uint32_t *unused; /* slots of the pool: a stack */
	size_t events, room;
	uint64_t order;
	uint64_t *thread_free; /* of the server */
	bool draining;
	/* figures, of the window */
	uint64_t requests, by_kind[CHANGE + 1], datagrams, peak, in_second, second, busy_ns;
	/* of all */
	uint64_t sent, lost, arrived, asked_requests, served_requests;
	uint64_t *latencies;
	size_t latency_count, latency_room;
} sim;

static void fail(const char *what, uint64_t number)
{
	fprintf(stderr, "sim: %s, %s: %s (%llu)\n", graph_names[sim.graph], way_names[sim.way], what, (unsigned long long)number);
	exit(1);
}

static void need(int rc, const char *what)
{
	if (rc < 0)
		fail(what, (uint64_t)-rc);
}

static uint64_t random_below(uint64_t limit)
{
	/* xorshift64* */
	sim.random ^= sim.random >> 12;
	sim.random ^= sim.random << 25;
	sim.random ^= sim.random >> 27;
	return limit ? (sim.random * 2685821657736338717ull >> 11) % limit : 0;
}

static bool in_window(void)
{
	return sim.now >= options.warm_ns && sim.now < options.warm_ns + options.window_ns;
}

static const char *path_of(uint32_t trial)
{
	static char path[24];

	snprintf(path, sizeof(path), "t%u", trial);
	return path;
}

/* Trials of one experiment share a tuner, which reserves their checkpoints through the mount of its first machine. */
static uint32_t tuner_of(uint32_t trial)
{
	uint32_t machine = sim.trials[trial].machine;
	return machine - machine % options.experiment;
}

static const struct store *store_of(uint32_t machine)
{
	return &sim.machines[machine].client->store;
}

/* ---- events, soonest first, and in the order in which they were made ---- */

static bool before(uint64_t when, uint64_t order, size_t other)
{
	return when != sim.heap[other].when ? when < sim.heap[other].when : order < sim.heap[other].order;
}

static void make_room(void)
{
	size_t room = sim.room ? sim.room * 2 : 1024;

	sim.heap = realloc(sim.heap, room * sizeof(*sim.heap));
	sim.pool = realloc(sim.pool, room * sizeof(*sim.pool));
	sim.unused = realloc(sim.unused, room * sizeof(*sim.unused));
	if (!sim.heap || !sim.pool || !sim.unused)
		fail("out of memory", room);
	for (size_t i = sim.room; i < room; i++)
		sim.unused[i] = (uint32_t)i;
	sim.room = room;
}

static void push(uint64_t when, struct event event)
{
	uint64_t order = sim.order++;

	if (sim.events == sim.room)
		make_room();
	/* as many are in use as there are events: those below are taken */
	uint32_t slot = sim.unused[sim.events];
	size_t at = sim.events++;
	sim.pool[slot] = event;
	for (; at && before(when, order, (at - 1) / 2); at = (at - 1) / 2)
		sim.heap[at] = sim.heap[(at - 1) / 2];
	sim.heap[at].when = when;
	sim.heap[at].order = order;
	sim.heap[at].slot = slot;
}

static struct event pop(void)
{
	struct event event = sim.pool[sim.heap[0].slot];
	size_t at = 0, child, last = --sim.events;

	sim.unused[last] = sim.heap[0].slot;
	while ((child = 2 * at + 1) < last) {
		if (child + 1 < last && before(sim.heap[child + 1].when, sim.heap[child + 1].order, child))
			child++;
		if (before(sim.heap[last].when, sim.heap[last].order, child))
			break;
		sim.heap[at] = sim.heap[child];
		at = child;
	}
	sim.heap[at] = sim.heap[last];
	return event;
}

/* ---- the server: so many threads, first come first served ---- */

static void request(struct job job)
{
	sim.asked_requests += job.left;
	push(sim.now + options.network_ns, (struct event){.kind = REQUEST, .job = job});
}

static void count_served(const struct job *job)
{
	sim.served_requests += job->left;
	if (!in_window())
		return;
	if (sim.now / SECOND != sim.second) {
		sim.second = sim.now / SECOND;
		sim.in_second = 0;
	}
	sim.requests += job->left;
	sim.by_kind[job->kind] += job->left;
	sim.busy_ns += job->left * options.service_ns;
	sim.in_second += job->left;
	if (sim.in_second > sim.peak)
		sim.peak = sim.in_second;
}

/* The requests of one step follow one another: between two of them the network is crossed twice. One thread serves them all. */
static void serve(struct job job)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < options.threads; i++)
		if (sim.thread_free[i] < sim.thread_free[best])
			best = i;
	uint64_t start = sim.thread_free[best] > sim.now ? sim.thread_free[best] : sim.now;
	sim.thread_free[best] = start + job.left * options.service_ns;
	count_served(&job);
	push(sim.thread_free[best] + (job.left - 1) * 2 * options.network_ns, (struct event){.kind = ANSWER, .job = job});
}

/* ---- datagrams ---- */

static void send_hint(uint32_t from, uint32_t to, enum hint_kind kind, uint32_t trial, enum hint_stage stage, uint32_t sequence, uint64_t nonce)
{
	struct event event = {.kind = DATAGRAM, .who = to, .hint = {kind, stage, from, trial, sequence, nonce}};

	sim.sent++;
	sim.datagrams += in_window();
	if (random_below(1000) < options.loss_per_mille)
		sim.lost++;
	else
		push(sim.now + options.network_ns, event);
}

static struct sockaddr_storage address_of(uint32_t machine)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&address;

	in->sin_family = AF_INET;
	in->sin_port = htons(45123);
	in->sin_addr.s_addr = htonl(0x0a000000 + machine);
	return address;
}

static struct hint question(uint32_t parent, uint32_t trial, enum hint_stage stage, uint32_t sequence)
{
	struct hint hint = {.kind = HINT_SUBSCRIBE, .stage = stage, .generation = 1, .sequence = sequence, .nonce = trial + 1ull};

	hint_id(path_of(parent), hint.id);
	return hint;
}

static const uint8_t key[HINT_KEY_SIZE] = {1};

/* As gate_hints_work_(): sends what is due, and comes back when the next is. */
static void send_due(uint32_t number)
{
	struct machine *machine = &sim.machines[number];
	struct subscribers_datagram datagram;
	struct hint hint;

	while (subscribers_next(machine->subscribers, sim.now, &datagram)) {
		uint32_t to = ntohl(((struct sockaddr_in *)&datagram.to)->sin_addr.s_addr) - 0x0a000000;

		need(hint_parse(datagram.data, HINT_SIZE, &hint), "a datagram that can not be read");
		/* of a CHANGED the nonce tells nothing, so whom it is about is found by its topic */
		if (hint.kind == HINT_LOOK) {
			send_hint(number, to, HINT_LOOK, (uint32_t)hint.nonce - 1, hint.stage, 0, hint.nonce);
		} else {
			char *path = subscribers_path(sim.machines[to].subscribers, &hint);
			uint32_t about = path ? (uint32_t)atoi(path + 1) : NOBODY;

			free(path);
			send_hint(number, to, HINT_CHANGED, about, hint.stage, 0, hint.nonce);
		}
	}
	uint64_t due = subscribers_due(machine->subscribers);
	if (due && due != machine->due_ns)
		push(due, (struct event){.kind = DUE_SEND, .who = number});
	machine->due_ns = due;
}

static void stage_over(uint32_t machine, uint32_t trial, enum hint_stage stage)
{
	if (sim.way == HINTS && subscribers_over(sim.machines[machine].subscribers, path_of(trial), 1, stage, sim.now))
		send_due(machine);
}

/* ---- waiting: fs/gate/poll.c ---- */

static void looked(struct job job);

static void start_look(uint32_t number)
{
	struct trial *trial = &sim.trials[number];
	struct job job = {.kind = sim.way == NAIVE ? LOOK_NAIVE : LOOK, .who = number, .number = trial->looks};

	trial->looking = true;
	trial->again = false;
	/* it has begun to wait before the simulation began: all that it saw then is known */
	if (trial->looks == 1) {
		looked(job);
		return;
	}
	if (sim.way == NAIVE) {
		job.left = REQUESTS_HAS_ENDED;
	} else {
		job.left = trial->folder < 0 ? REQUESTS_OPEN_FOLDER + REQUESTS_STAMP : REQUESTS_STAMP;
	}
	request(job);
}

/* gate_attend_(): never later than what was said before */
static void attend(uint32_t number, uint64_t delay)
{
	struct trial *trial = &sim.trials[number];

	if (trial->looking)
		trial->again = true;
	else
		push(sim.now + delay, (struct event){.kind = DUE_LOOK, .who = number, .number = ++trial->looks});
}

/* state_watch_close(), as far as it is the lock's */
static void forget_lock(struct trial *trial)
{
	if (trial->lock_file >= 0)
		store_of(trial->machine)->ops->close(store_of(trial->machine)->ctx, trial->lock_file);
	trial->lock_file = -1;
}

static void wake(uint32_t number)
{
	struct trial *trial = &sim.trials[number];
	const struct trial *parent = &sim.trials[trial->parent];

	if (parent->phase != ENDED || trial->phase != WAITS)
		fail("woken before the end, or twice", number);
	if (sim.latency_count == sim.latency_room) {
		sim.latency_room = sim.latency_room ? sim.latency_room * 2 : 1024;
		sim.latencies = realloc(sim.latencies, sim.latency_room * sizeof(*sim.latencies));
		if (!sim.latencies)
			fail("out of memory", sim.latency_room);
	}
	/* the answer has still to come back */
	if (parent->ended_ns >= options.warm_ns)
		sim.latencies[sim.latency_count++] = sim.now + options.network_ns - parent->ended_ns;
	trial->wakes++;
	trial->phase = RUNS;
	trial->follows = false;
	trial->asks++;
	if (trial->folder >= 0)
		store_of(trial->machine)->ops->close(store_of(trial->machine)->ctx, trial->folder);
	trial->folder = -1;
	forget_lock(trial);
	if (!sim.draining) {
		request((struct job){.kind = CLAIM, .who = number, .left = REQUESTS_CLAIM});
		push(sim.now + options.run_ns / 2 + random_below(options.run_ns), (struct event){.kind = DUE_END, .who = number});
	}
}

/* ---- asking: fs/gate/follow.c ---- */

static void ask(uint32_t number)
{
	struct trial *trial = &sim.trials[number];

	if (trial->proven && trial->unanswered >= UNANSWERED_MAX) {
		trial->proven = false;
		trial->interval_ns = 0;
		attend(number, 0);
	} else if (trial->proven && trial->unanswered >= UNANSWERED_DOUBT) {
		attend(number, 1);
	}
	trial->sequence++;
	trial->challenged = false;
	send_hint(trial->machine, trial->asked, HINT_SUBSCRIBE, number, trial->stage, trial->sequence, 0);
	push(sim.now + gate_ask_interval_(trial->unanswered++), (struct event){.kind = DUE_ASK, .who = number, .number = ++trial->asks});
}

static void follow(uint32_t number, enum hint_stage stage, uint32_t machine)
{
	struct trial *trial = &sim.trials[number];

	/* the kernel tells of what this machine's own mount does: nobody is asked */
	if (machine == trial->machine) {
		trial->follows = false;
		trial->asks++;
		return;
	}
	if (trial->follows && trial->stage == stage && trial->asked == machine)
		return;
	trial->follows = true;
	trial->proven = trial->has_cookie = false;
	trial->stage = stage;
	trial->asked = machine;
	trial->unanswered = 0;
	ask(number);
}

static void renew_later(uint32_t number)
{
	struct trial *trial = &sim.trials[number];

	trial->unanswered = 0;
	push(sim.now + RENEW_NS, (struct event){.kind = DUE_ASK, .who = number, .number = ++trial->asks});
}

static void subscribe_asked(const struct event *event)
{
	struct machine *machine = &sim.machines[event->who];
	struct trial *trial = &sim.trials[event->hint.trial];
	struct sockaddr_storage from = address_of(event->hint.from);
	struct hint hint = question(trial->parent, event->hint.trial, event->hint.stage, event->hint.sequence);
	int answer = HINT_CHALLENGE;

	if (trial->has_cookie && trial->asked == event->who)
		answer = subscribers_add(machine->subscribers, &hint, &from, sim.now);
	if (answer)
		send_hint(event->who, event->hint.from, (enum hint_kind)answer, event->hint.trial, event->hint.stage, event->hint.sequence,
			  event->hint.trial + 1ull);
}

static void seen(const struct event *event)
{
	struct hint hint = {.kind = HINT_SEEN, .stage = event->hint.stage, .generation = 1, .nonce = event->hint.nonce};
	uint8_t data[HINT_SIZE];

	hint_format(&hint, key, data);
	if (subscribers_seen(sim.machines[event->who].subscribers, &hint, data))
		send_due(event->who);
}

static void hint_arrived(const struct event *event)
{
	uint32_t number = event->hint.trial;
	struct trial *trial = number == NOBODY ? NULL : &sim.trials[number];

	sim.arrived++;
	switch (event->hint.kind) {
	case HINT_SUBSCRIBE:
		subscribe_asked(event);
		break;
	case HINT_CHALLENGE:
		if (trial->follows && event->hint.sequence == trial->sequence && !trial->challenged) {
			trial->challenged = trial->has_cookie = true;
			trial->sequence++;
			send_hint(trial->machine, trial->asked, HINT_SUBSCRIBE, number, trial->stage, trial->sequence, 0);
		}
		break;
	case HINT_SUBSCRIBED:
		if (trial->follows && event->hint.sequence == trial->sequence && trial->unanswered) {
			trial->proven = true;
			renew_later(number);
		}
		break;
	case HINT_LOOK:
		send_hint(event->who, event->hint.from, HINT_SEEN, number, event->hint.stage, 0, event->hint.nonce);
		if (trial->follows && trial->phase == WAITS) {
			trial->proven = false;
			trial->nudged = true;
			renew_later(number);
			attend(number, 1);
		}
		break;
	case HINT_CHANGED:
		send_hint(event->who, event->hint.from, HINT_SEEN, number, event->hint.stage, 0, event->hint.nonce);
		if (trial)
			request((struct job){.kind = CHANGE, .who = number, .left = REQUESTS_READ});
		break;
	default:
		seen(event);
	}
}

/* ---- a look's answer ---- */

static bool is_settled(const struct trial *trial)
{
	return trial->read_ns >= trial->stamp_ns + STATE_SETTLED_NS;
}

/* must_judge() */
static bool must_judge(const struct trial *trial)
{
	if (trial->known != STATE_OPEN)
		return false;
	return !trial->judged_ns || sim.now - trial->judged_ns >= gate_judge_interval_(trial->proven, true);
}

/* look(), once the stamp of the folder is there: what more is asked for */
static void look_further(struct trial *trial, struct job *job)
{
	const struct store *store = store_of(trial->machine);
	struct state_stamp stamp;
	bool judge = must_judge(trial), nudged = trial->nudged;

	if (trial->folder < 0)
		trial->folder = state_open_dir(store, path_of(trial->parent), false);
	need(trial->folder, "a state folder can not be opened");
	need(state_stamp(store, trial->folder, &stamp), "a state folder can not be looked at");
	bool differs = trial->stamp_ns == 0 || !state_stamp_equal(&stamp, &trial->stamp);
	if (differs) {
		forget_lock(trial);
		trial->stamp = stamp;
		trial->stamp_ns = sim.now;
	}
	trial->nudged = false;
	job->read = differs || !is_settled(trial) || sim.now - trial->read_ns >= STATE_READ_NS;
	job->judge = judge || (nudged && !job->read);
	job->left = (job->read ? REQUESTS_READ : 0) + (!job->judge ? 0 : trial->lock_file >= 0 ? REQUESTS_JUDGE_AGAIN : REQUESTS_JUDGE);
	if (job->read)
		trial->read_ns = sim.now;
}

static void next_look(uint32_t number)
{
	struct trial *trial = &sim.trials[number];

	trial->looking = false;
	trial->interval_ns = gate_poll_interval_(trial->interval_ns, false, trial->proven, is_settled(trial));
	attend(number, trial->again ? 1 : trial->interval_ns);
}

/* The state as the real code reads it now. */
static enum state_kind read_state(uint32_t machine, uint32_t trial)
{
	struct state state;
	enum state_kind kind;

	need(state_read(store_of(machine), path_of(trial), &state), "a state can not be read");
	kind = state.kind;
	state_free(&state);
	if (kind == STATE_DAMAGED)
		fail("a state is damaged", trial);
	return kind;
}

/* gate_judge_(): nobody dies here, so a writer whose lease is gone has ended. */
static void judge(struct trial *trial)
{
	if (lease_watch(store_of(trial->machine), path_of(trial->parent), &trial->lock_file) != 1 && sim.trials[trial->parent].phase != ENDED)
		fail("a living writer holds no lease", trial->parent);
}

static void looked_further(uint32_t number, const struct job *job)
{
	struct trial *trial = &sim.trials[number];

	if (job->read)
		trial->known = read_state(trial->machine, trial->parent);
	if (job->judge) {
		trial->judged_ns = sim.now;
		judge(trial);
	}
	if (trial->known == STATE_SEALED) {
		wake(number);
		return;
	}
	if (sim.way == HINTS && trial->known == STATE_OPEN)
		follow(number, HINT_OPEN, sim.trials[trial->parent].machine);
	else if (sim.way == HINTS)
		follow(number, HINT_PENDING, tuner_of(trial->parent));
	next_look(number);
}

static void looked(struct job job)
{
	struct trial *trial = &sim.trials[job.who];

	if (job.kind == LOOK_NAIVE) {
		trial->looking = false;
		if (state_has_ended(store_of(trial->machine), path_of(trial->parent), 1) == 1)
			wake(job.who);
		else
			attend(job.who, SECOND);
		return;
	}
	if (!job.further)
		look_further(trial, &job);
	if (!job.further && job.left && trial->looks > 1) {
		job.further = true;
		request(job);
	} else {
		looked_further(job.who, &job);
	}
}

/* ---- writing ---- */

static void claim_now(uint32_t number)
{
	const struct store *store = store_of(sim.trials[number].machine);
	struct lease lease = LEASE_INIT;
	struct record record;

	need(record_init(&record, RECORD_CLAIM), "out of memory");
	free(record.trial);
	record.trial = strdup(path_of(number));
	need(lease_share(store, path_of(number), &lease), "a lease is refused");
	need(state_claim(store, path_of(number), &record), "a claim is refused");
	record_free(&record);
	/* the lease is held until the end: by its descriptor, which is found again there */
	sim.trials[number].folder = lease.fd;
	if (sim.way == HINTS)
		subscribers_announce(sim.machines[sim.trials[number].machine].subscribers, path_of(number), 1, HINT_OPEN);
}

static void claimed(uint32_t number)
{
	uint32_t machine = sim.trials[number].machine, tuner = tuner_of(number);
	struct hint_place place = {.address = address_of(tuner), .key = {1}};

	claim_now(number);
	if (machine == tuner) {
		stage_over(tuner, number, HINT_PENDING);
	} else if (sim.way == HINTS) {
		subscribers_notify(sim.machines[machine].subscribers, &place, path_of(number), 1, HINT_PENDING, sim.now);
		send_due(machine);
	}
}

static void ended(uint32_t number)
{
	struct trial *trial = &sim.trials[number];
	const struct store *store = store_of(trial->machine);
	struct lease lease = {.fd = trial->folder};
	struct record record;

	need(record_init(&record, RECORD_END), "out of memory");
	record.generation = 1;
	record.sealed = 1;
	free(record.trial);
	record.trial = strdup(path_of(number));
	need(state_end(store, path_of(number), &record, NULL), "an end is refused");
	record_free(&record);
	lease_drop(store, &lease);
	trial->folder = trial->lock_file = -1;
	trial->phase = ENDED;
	trial->ended_ns = sim.now;
	stage_over(trial->machine, number, HINT_OPEN);
	/* a mount wakes its own waiters */
	for (uint32_t child = number + 1; sim.way != NAIVE && child < sim.count && sim.trials[child].parent == number; child++)
		if (sim.trials[child].machine == trial->machine && sim.trials[child].phase == WAITS)
			attend(child, 1);
}

static void job_done(struct job job)
{
	switch (job.kind) {
	case LOOK:
	case LOOK_NAIVE:
		looked(job);
		break;
	case CLAIM:
		claimed(job.who);
		break;
	case END:
		ended(job.who);
		break;
	case CHANGE:
		if (read_state(tuner_of(job.who), job.who) != STATE_PENDING)
			stage_over(tuner_of(job.who), job.who, HINT_PENDING);
	}
}

static void happen(const struct event *event)
{
	struct trial *trial = &sim.trials[event->who];

	switch (event->kind) {
	case REQUEST:
		serve(event->job);
		break;
	case ANSWER:
		job_done(event->job);
		break;
	case DUE_LOOK:
		if (trial->phase == WAITS && !trial->looking && event->number == trial->looks)
			start_look(event->who);
		break;
	case DUE_ASK:
		if (trial->follows && event->number == trial->asks)
			ask(event->who);
		break;
	case DUE_END:
		/* its claim is still on the way to a server that is busy */
		if (trial->folder < 0)
			push(sim.now + SECOND, *event);
		else if (!sim.draining)
			request((struct job){.kind = END, .who = event->who, .left = REQUESTS_END});
		break;
	case DUE_SEND:
		send_due(event->who);
		break;
	case DATAGRAM:
		hint_arrived(event);
	}
}

/* ---- the graphs ---- */

/* A chain's trials, or a parent and its children, are next to each other; machines are dealt out at random, so many trials to each. */
static uint32_t parent_of(uint32_t number)
{
	if (sim.graph == CHAINS)
		return number % options.chain ? number - 1 : NOBODY;
	return number % options.fan ? number - number % options.fan : NOBODY;
}

static void deal(void)
{
	/* within an experiment: its trials are next to each other, too */
	uint32_t all = options.experiment * options.trials;

	for (uint32_t first = 0; first < sim.count; first += all) {
		uint32_t end = first + all < sim.count ? first + all : sim.count;

		for (uint32_t i = first; i < end; i++)
			sim.trials[i].machine = i / options.trials;
		for (uint32_t i = end - 1; i > first; i--) {
			uint32_t other = first + (uint32_t)random_below(i - first + 1), machine = sim.trials[i].machine;

			sim.trials[i].machine = sim.trials[other].machine;
			sim.trials[other].machine = machine;
		}
	}
}

static void reserve(uint32_t number)
{
	uint32_t tuner = tuner_of(number);
	struct record record;

	need(record_init(&record, RECORD_RESERVE), "out of memory");
	free(record.trial);
	record.trial = strdup("tuner");
	record.writer = strdup(path_of(number));
	need(state_reserve(store_of(tuner), path_of(number), &record), "a reservation is refused");
	record_free(&record);
	if (sim.way == HINTS)
		subscribers_announce(sim.machines[tuner].subscribers, path_of(number), 1, HINT_PENDING);
}

static void begin(uint32_t number)
{
	struct trial *trial = &sim.trials[number];

	trial->parent = parent_of(number);
	trial->folder = trial->lock_file = -1;
	reserve(number);
	if (trial->parent == NOBODY) {
		trial->phase = RUNS;
		claim_now(number);
		push(random_below(options.run_ns), (struct event){.kind = DUE_END, .who = number});
	} else {
		trial->phase = WAITS;
		trial->known = sim.trials[trial->parent].phase == RUNS ? STATE_OPEN : STATE_PENDING;
		push(random_below(options.warm_ns / 2), (struct event){.kind = DUE_LOOK, .who = number, .number = ++trial->looks});
	}
}

static void build(enum graph graph, enum way way)
{
	struct config config;

	memset(&sim, 0, sizeof(sim));
	sim.graph = graph;
	sim.way = way;
	sim.random = options.seed * 2654435761u + 88172645463325252ull;
	sim.count = options.machines * options.trials;
	sim.server = memory_server_new();
	sim.machines = calloc(options.machines, sizeof(*sim.machines));
	sim.trials = calloc(sim.count, sizeof(*sim.trials));
	sim.thread_free = calloc(options.threads, sizeof(*sim.thread_free));
	if (!sim.server || !sim.machines || !sim.trials || !sim.thread_free)
		fail("out of memory", sim.count);
	for (uint32_t i = 0; i < options.machines; i++) {
		sim.machines[i].client = memory_client_new(sim.server, false);
		sim.machines[i].subscribers = subscribers_create(ANNOUNCEMENTS_MAX, SUBSCRIPTIONS_MAX, key);
	}
	need(config_default(&config), "out of memory");
	need(config_init_export(store_of(0), &config), "the export can not be made");
	config_free(&config);
	deal();
	for (uint32_t i = 0; i < sim.count; i++)
		begin(i);
}

static void tear_down(void)
{
	for (uint32_t i = 0; i < options.machines; i++) {
		memory_client_free(sim.machines[i].client);
		subscribers_destroy(sim.machines[i].subscribers);
	}
	memory_server_free(sim.server);
	free(sim.machines);
	free(sim.trials);
	free(sim.thread_free);
	free(sim.heap);
	free(sim.pool);
	free(sim.unused);
	free(sim.latencies);
}

/* ---- running, and what came of it ---- */

static bool all_woken(void)
{
	for (uint32_t i = 0; i < sim.count; i++)
		if (sim.trials[i].phase == WAITS && sim.trials[sim.trials[i].parent].phase == ENDED)
			return false;
	return true;
}

static void run_until(uint64_t end)
{
	while (sim.events && sim.heap[0].when < end) {
		sim.now = sim.heap[0].when;
		struct event event = pop();

		happen(&event);
	}
	sim.now = end;
}

/* From the window's end on nobody ends any more, but everybody who is to be woken is waited for. */
static void check_conservation(void)
{
	uint64_t under_way = 0, requests = 0, woken = 0;

	sim.draining = true;
	for (int i = 0; i < 60 && !all_woken(); i++)
		run_until(sim.now + SECOND);
	for (uint32_t i = 0; i < sim.count; i++) {
		const struct trial *trial = &sim.trials[i];
		bool due = trial->parent != NOBODY && sim.trials[trial->parent].phase == ENDED;

		if (trial->wakes != due)
			fail("not woken once", i);
		woken += trial->wakes;
	}
	for (size_t i = 0; i < sim.events; i++) {
		const struct event *event = &sim.pool[sim.heap[i].slot];

		under_way += event->kind == DATAGRAM;
		requests += event->kind == REQUEST ? event->job.left : 0;
	}
	if (sim.sent != sim.arrived + sim.lost + under_way)
		fail("datagrams are not accounted for", sim.sent);
	if (sim.asked_requests != sim.served_requests + requests)
		fail("requests are not accounted for", sim.asked_requests);
	if (woken < sim.latency_count)
		fail("more latencies than wakes", sim.latency_count);
	if (sim.way != HINTS && sim.sent)
		fail("datagrams without hints", sim.sent);
	for (int kind = 0; kind <= CHANGE; kind++)
		sim.requests -= sim.by_kind[kind];
	if (sim.requests)
		fail("requests of no kind", sim.requests);
	for (int kind = 0; kind <= CHANGE; kind++)
		sim.requests += sim.by_kind[kind];
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

static double percentile_ms(unsigned int percent)
{
	return sim.latency_count ? (double)sim.latencies[(sim.latency_count - 1) * percent / 100] / 1e6 : 0;
}

static void report(bool first)
{
	double seconds = (double)options.window_ns / 1e9;
	uint32_t waits = 0;

	for (uint32_t i = 0; i < sim.count; i++)
		waits += sim.trials[i].phase == WAITS;
	qsort(sim.latencies, sim.latency_count, sizeof(*sim.latencies), compare);
	double waiting = (double)(sim.by_kind[LOOK] + sim.by_kind[LOOK_NAIVE] + sim.by_kind[CHANGE]) / seconds;
	double rate = (double)sim.requests / seconds, datagrams = (double)sim.datagrams / seconds;
	double busy = (double)sim.busy_ns / ((double)options.window_ns * options.threads);
	if (options.json)
		printf("%s\n  {\"graph\": \"%s\", \"way\": \"%s\", \"waiting\": %u, \"requests_per_second\": %.1f, \"requests_per_second_of_waiting\": %.1f, "
		       "\"peak_requests_per_second\": %llu, \"server_busy\": %.4f, \"datagrams_per_second\": %.1f, \"wakes\": %zu, \"wake_p50_ms\": %.3f, "
		       "\"wake_p99_ms\": %.3f, \"wake_max_ms\": %.3f}",
		       first ? "" : ",", graph_names[sim.graph], way_names[sim.way], waits, rate, waiting, (unsigned long long)sim.peak, busy, datagrams,
		       sim.latency_count, percentile_ms(50), percentile_ms(99), percentile_ms(100));
	else
		printf("%-8s %-6s %8u %11.0f %11.0f %9llu %6.1f%% %12.0f %7zu %9.1f %9.1f %9.1f\n", graph_names[sim.graph], way_names[sim.way], waits, rate,
		       waiting, (unsigned long long)sim.peak, 100 * busy, datagrams, sim.latency_count, percentile_ms(50), percentile_ms(99),
		       percentile_ms(100));
	fflush(stdout);
}

static void header(void)
{
	if (options.json) {
		printf("{\"machines\": %u, \"trials\": %u, \"chain\": %u, \"fan\": %u, \"seed\": %llu, \"threads\": %u, \"service_us\": %.1f, \"results\": [",
		       options.machines, options.trials, options.chain, options.fan, (unsigned long long)options.seed, options.threads,
		       (double)options.service_ns / 1e3);
		return;
	}
	printf("%u machines, %u trials each, in chains of %u and families of %u; a trial runs for %.0f to %.0f s; %.0f s are measured\n"
	       "server: %u threads, %.0f us a request; network: %.0f us one way, %.1f %% of datagrams are lost\n\n",
	       options.machines, options.trials, options.chain, options.fan, (double)options.run_ns / 2e9, (double)options.run_ns * 1.5e-9,
	       (double)options.window_ns / 1e9, options.threads, (double)options.service_ns / 1e3, (double)options.network_ns / 1e3,
	       options.loss_per_mille / 10.0);
	printf("%-8s %-6s %8s %11s %11s %9s %7s %12s %7s %29s\n", "", "", "", "requests/s", "of waiting", "peak", "server", "datagrams/s", "",
	       "wake-up, ms: ");
	printf("%-8s %-6s %8s %11s %11s %9s %7s %12s %7s %9s %9s %9s\n", "graph", "way", "waiting", "in all", "alone", "requests", "busy", "of the whole",
	       "wakes", "median", "p99", "longest");
}

static const struct option long_options[] = {
	{"machines", required_argument, NULL, 'm'},   {"trials", required_argument, NULL, 't'},	    {"chain", required_argument, NULL, 'c'},
	{"fan", required_argument, NULL, 'f'},	      {"experiment", required_argument, NULL, 'e'}, {"threads", required_argument, NULL, 'n'},
	{"service-us", required_argument, NULL, 'u'}, {"network-us", required_argument, NULL, 'w'}, {"loss", required_argument, NULL, 'l'},
	{"seconds", required_argument, NULL, 's'},    {"run", required_argument, NULL, 'r'},	    {"seed", required_argument, NULL, 'x'},
	{"json", no_argument, NULL, 'j'},	      {"help", no_argument, NULL, 'h'},		    {NULL, 0, NULL, 0},
};

static void help(void)
{
	puts("usage: sim [OPTION…]\n"
	     "  --machines N      machines (10000)             --trials N       trials on each (8)\n"
	     "  --chain N         trials in a chain (8)        --fan N          a parent and its children (100)\n"
	     "  --experiment N    machines that share a tuner, which reserves through its own mount (100)\n"
	     "  --threads N       of the server (8)            --service-us N   a thread is busy with a request (50)\n"
	     "  --network-us N    one way (100)                --loss N         of 1000 datagrams, so many are lost (1)\n"
	     "  --seconds N       that are measured (20)       --run N          a trial's mean time, in seconds (600)\n"
	     "  --seed N          (1)                          --json");
}

static unsigned int number(const char *text, unsigned int least)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value < least || value > 10000000) {
		fprintf(stderr, "sim: '%s' is no number from %u to 10000000\n", text, least);
		exit(2);
	}
	return (unsigned int)value;
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'm': options.machines = number(optarg, 1); break;
		case 't': options.trials = number(optarg, 1); break;
		case 'c': options.chain = number(optarg, 2); break;
		case 'f': options.fan = number(optarg, 2); break;
		case 'e': options.experiment = number(optarg, 1); break;
		case 'n': options.threads = number(optarg, 1); break;
		case 'u': options.service_ns = number(optarg, 1) * 1000ull; break;
		case 'w': options.network_ns = number(optarg, 1) * 1000ull; break;
		case 'l': options.loss_per_mille = number(optarg, 0); break;
		case 's': options.window_ns = number(optarg, 1) * SECOND; break;
		case 'r': options.run_ns = number(optarg, 1) * SECOND; break;
		case 'x': options.seed = number(optarg, 0); break;
		case 'j': options.json = true; break;
		case 'h': help(); exit(0);
		default: exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sim: what is '%s'?\n", argv[optind]);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	header();
	for (int graph = 0; graph < GRAPHS; graph++) {
		for (int way = 0; way < WAYS; way++) {
			build((enum graph)graph, (enum way)way);
			run_until(options.warm_ns + options.window_ns);
			check_conservation();
			report(graph == 0 && way == 0);
			tear_down();
		}
	}
	if (options.json)
		puts("\n]}");
	return 0;
}
