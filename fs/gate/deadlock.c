/*
 * deadlock.c - trials of several machines that wait for each other: one of them is refused
 *
 * A mount first publishes what waits on it, then searches: so whoever closes a cycle finds it. The same cycle must be found twice, some seconds apart, and every wait
 * in it must still make sense on the export, before anybody is refused.
 */
#include "publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/cycle.h"
#include "sealfs/log.h"

#define CONFIRM_NS 2000000000u
/* after a change here; the last one again and again: clocks that differ, or a slow export, may have hidden a cycle from whoever closed it */
static const uint64_t intervals_ns[] = {2000000000, 3000000000, 5000000000, 15000000000};
#define INTERVALS (sizeof(intervals_ns) / sizeof(intervals_ns[0]))

/* What was read of another mount in one search. */
struct reading {
	struct reading *next;
	struct waits waits;
	char mount[STORE_TOKEN_SIZE];
	bool counts;
};

struct search {
	const struct gate_waits *own;
	const struct store *store;
	int dir;
	struct reading *readings;
};

static struct reading *read_mount(struct search *search, const char *mount)
{
	struct reading *reading;

	for (reading = search->readings; reading; reading = reading->next)
		if (!strcmp(reading->mount, mount))
			return reading;
	reading = calloc(1, sizeof(*reading));
	if (!reading)
		return NULL;
	snprintf(reading->mount, sizeof(reading->mount), "%s", mount);
	reading->counts = waits_alive(search->store, search->dir, mount) != 0 && !waits_read(search->store, search->dir, mount, &reading->waits);
	reading->next = search->readings;
	search->readings = reading;
	return reading;
}

static int each_of(const struct waits *waits, const char *trial, int (*each)(void *walk, const struct cycle_wait *wait), void *walk)
{
	int stop = 0;

	for (size_t i = 0; !stop && i < waits->count; i++) {
		const struct waits_entry *entry = &waits->entries[i];
		if (!entry->awaited || strcmp(entry->trial, trial))
			continue;
		struct cycle_wait wait = {.trial = entry->trial,
					  .awaited = entry->awaited,
					  .checkpoint = entry->checkpoint,
					  .mount = waits->mount,
					  .host = waits->host,
					  .generation = entry->generation,
					  .since_ns = entry->since_ns};
		stop = each(walk, &wait);
	}
	return stop;
}

static int waits_of(void *arg, const char *trial, int (*each)(void *walk, const struct cycle_wait *wait), void *walk)
{
	struct search *search = arg;
	const struct waits *own = &search->own->published;
	char mount[STORE_TOKEN_SIZE];

	int stop = each_of(own, trial, each, walk);
	if (stop || waits_find(search->store, search->dir, trial, mount) || !strcmp(mount, own->mount))
		return stop;
	const struct reading *reading = read_mount(search, mount);
	return reading && reading->counts ? each_of(&reading->waits, trial, each, walk) : 0;
}

/* The cycle as text: to be compared, and for people. */
static char *describe(const struct cycle_wait *waits, size_t count, bool for_people)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	for (size_t i = 0; stream && i < count; i++) {
		if (for_people)
			fprintf(stream, "%strial '%s' on %s waits for '%s', which trial '%s' writes", i ? "; " : "", waits[i].trial, waits[i].host,
				waits[i].checkpoint, waits[i].awaited);
		else
			fprintf(stream, "%s %s %s %u %lld\n", waits[i].mount, waits[i].trial, waits[i].checkpoint, waits[i].generation,
				(long long)waits[i].since_ns);
	}
	if (stream)
		fclose(stream);
	return text;
}

/* Is each of them really still waiting for that? Waits are published a second late. */
static bool holds_on_export(const struct store *store, const struct cycle_wait *waits, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct state state;
		if (state_read(store, waits[i].checkpoint, &state))
			return false;
		bool holds = (state.kind == STATE_OPEN || state.kind == STATE_PENDING) && state.generation == waits[i].generation &&
			     state_is_writer(&state, waits[i].awaited);
		state_free(&state);
		if (!holds)
			return false;
	}
	return true;
}

static void refuse(struct gate_waits *waits, const struct cycle_wait *cycle, size_t count, const struct cycle_wait *victim)
{
	struct gate *gate = waits->gate;
	struct gate_checkpoint *checkpoint = gate_checkpoint_get(gate, victim->checkpoint);
	char *text = describe(cycle, count, true);

	if (checkpoint && waiters_refuse(gate->waiters, &checkpoint->readers, victim->trial, victim->generation, -EDEADLK)) {
		log_warning("'%s': trial '%s' on %s gets EDEADLK: it would wait for ever: %s; 'sealctl status' shows the waits", victim->checkpoint, victim->trial,
			    victim->host, text ? text : "in a circle");
		gate_kick_(gate);
	}
	gate_checkpoint_put(checkpoint);
	free(text);
}

/* A cycle was found whose victim waits here. True when it is to be looked at again soon. */
static bool suspect(struct gate_waits *waits, const struct cycle_wait *cycle, size_t count, const struct cycle_wait *victim, uint64_t now)
{
	char *text = describe(cycle, count, false);
	bool again = text && waits->suspected && !strcmp(text, waits->suspected);

	if (again && now < waits->suspected_ns + CONFIRM_NS) {
		free(text);
		return true;
	}
	free(waits->suspected);
	waits->suspected = again ? NULL : text;
	waits->suspected_ns = now;
	if (!again)
		return true;
	free(text);
	if (holds_on_export(&waits->gate->options.store, cycle, count))
		refuse(waits, cycle, count, victim);
	return false;
}

static bool is_first_of_trial(const struct waits *waits, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (!strcmp(waits->entries[i].trial, waits->entries[index].trial))
			return false;
	return true;
}

/* True when a cycle was found. */
static bool search_all(struct gate_waits *waits, int dir, uint64_t now)
{
	struct search search = {.own = waits, .store = &waits->gate->options.store, .dir = dir};
	struct cycle_wait cycle[CYCLE_MAX];
	bool found = false;

	for (size_t i = 0; !found && i < waits->published.count; i++) {
		if (!is_first_of_trial(&waits->published, i))
			continue;
		int count = cycle_find(waits->published.entries[i].trial, waits_of, &search, cycle);
		if (count <= 0)
			continue;
		const struct cycle_wait *victim = &cycle[cycle_victim(cycle, (size_t)count)];
		/* each cycle is found from each of its trials: this mount deals with those of which its own is the victim */
		if (!strcmp(victim->mount, waits->gate->token) && !strcmp(victim->trial, waits->published.entries[i].trial))
			found = suspect(waits, cycle, (size_t)count, victim, now);
	}
	while (search.readings) {
		struct reading *next = search.readings->next;
		waits_free(&search.readings->waits);
		free(search.readings);
		search.readings = next;
	}
	return found;
}

/* Has anybody published anything since two searches ago? One change in the same tick of the server's clock as another can be missed once. */
static bool may_have_changed(struct gate_waits *waits, int dir)
{
	struct state_stamp stamp = {.inode = 0};

	if (state_stamp(&waits->gate->options.store, dir, &stamp) || !state_stamp_equal(&stamp, &waits->stamp)) {
		waits->unchanged = 0;
		waits->stamp = stamp;
		return true;
	}
	return waits->unchanged++ < 2;
}

void gate_deadlock_restart_(struct gate_waits *waits, uint64_t now)
{
	waits->checks = 0;
	waits->unchanged = 0;
	waits->check_ns = now;
}

void gate_deadlock_check_(struct gate_waits *waits, uint64_t now)
{
	const struct store *store = &waits->gate->options.store;

	if (!waits->published.count || now < waits->check_ns)
		return;
	int dir = waits_open_dir(store);
	bool found = dir >= 0 && may_have_changed(waits, dir) && search_all(waits, dir, now);
	if (dir >= 0)
		store->ops->close(store->ctx, dir);
	if (found)
		waits->unchanged = 0;
	waits->check_ns = now + (found ? CONFIRM_NS : intervals_ns[waits->checks < INTERVALS ? waits->checks : INTERVALS - 1]);
	waits->checks++;
}
