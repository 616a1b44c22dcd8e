/*
 * test_stale_caches - the state on the export, seen by machines whose NFS clients believe what they know for as long as they may
 *
 * Machines run the real code on one export in memory (tests/sim/memory_store.h), each with a cache of its own that answers look-ups, attributes and
 * listings until it is refreshed: a name that was once looked up in vain stays missing, and one that was found leads to where it led. Two write, one after
 * the other or against each other, seal, abandon, remove, die, and come back when others have gone on; one waits. Between any two of
 * their operations another one may run, as a seed says. Whatever the order is:
 *
 *     what a look tells was so at some moment between the end of the last transition that was over before it began, and its own end;
 *     so nothing unsealed is taken for sealed, and nothing that is sealed, or open, for absent;
 *     a generation has one end, and who was told that his record decided has decided;
 *     what is sealed verifies on every machine, and is what its writer wrote and nothing else;
 *     who waits learns of the end at his next looks, without his cache having grown old.
 *
 * That these checks can fail is shown by breaking what they rest on: see broken_machines_are_caught().
 *
 * SEALFS_TEST_SEEDS (300) is how many orders are tried, SEALFS_TEST_SEED the one to look at alone.
 *
 * time limit: 300
 */
#include <pthread.h>
#include <time.h>

#include "../sim/memory_store.h"
#include "../unit/scratch.h"
#include "sealfs/lease.h"
#include "sealfs/seal.h"

#define PATH "c"
#define MACHINES 3 /* the last one only waits */
#define ATTEMPTS 3
#define VERSIONS 256
#define LOOKS 4	      /* after so many looks who waits has learnt of an end that is over */
#define BROKEN_SEEDS 3000
#define STEPS 2000000 /* more: somebody turns in circles */

/* What is broken on purpose. */
enum fault { FAULT_NONE, FAULT_NO_REFRESH, FAULT_NO_DATE, FAULT_SECOND_LINK_WINS, FAULT_NO_END_LOOKED_FOR };

/* What was so, for a while: the oracle's view, which has no cache, after each change. */
struct version {
	unsigned int generation;
	enum state_kind kind;
	char claim[STORE_TOKEN_SIZE], end[STORE_TOKEN_SIZE];
};

struct machine {
	struct world *world;
	struct memory_client *client;
	struct store store;
	const char *name;
	pthread_t thread;
	pthread_cond_t turn;
	int version;	       /* the last one that its own changes made */
	unsigned int asleep;   /* cut off for so many steps of the others */
	bool dead, vanished, over;
};

struct world {
	struct memory_server *server;
	struct memory_client *oracle;
	struct machine machines[MACHINES];
	enum fault fault;
	uint64_t random;
	pthread_mutex_t lock;
	int running; /* whose turn it is; -1: nobody's */
	unsigned long steps;
	struct version versions[VERSIONS];
	int count, completed; /* versions; the newest one whose transition is over */
	int unread;	      /* looks that could not be had */
	bool quiet;	      /* nobody changes anything any more */
	int looks;	      /* of the one who waits, since then */
	int seals, fails, lookers_sealed;
	char wrong[600]; /* the first thing that was */
};

static void __attribute__((format(printf, 2, 3))) wrong(struct world *world, const char *format, ...)
{
	va_list args;

	if (*world->wrong)
		return;
	va_start(args, format);
	vsnprintf(world->wrong, sizeof(world->wrong), format, args);
	va_end(args);
}

static unsigned int chance(struct world *world, unsigned int below)
{
	/* xorshift64* */
	world->random ^= world->random >> 12;
	world->random ^= world->random << 25;
	world->random ^= world->random >> 27;
	return (unsigned int)((world->random * 2685821657736338717u) >> 33) % below;
}

/* ---- turns ---- */

/* Under the lock. Those who are cut off sleep until the others have done something, or have nothing to do. */
static void choose(struct world *world)
{
	int awake[MACHINES], count = 0;

	for (int pass = 0; pass < 2 && count == 0; pass++) {
		for (int i = 0; i < MACHINES; i++) {
			struct machine *machine = &world->machines[i];

			if (machine->over)
				continue;
			if (pass)
				machine->asleep = 0;
			else if (machine->asleep)
				machine->asleep--;
			if (!machine->asleep)
				awake[count++] = i;
		}
	}
	world->running = count ? awake[chance(world, (unsigned int)count)] : -1;
	if (count)
		pthread_cond_signal(&world->machines[world->running].turn);
}

static void await_turn(struct machine *machine)
{
	struct world *world = machine->world;

	while (world->running != (int)(machine - world->machines))
		pthread_cond_wait(&machine->turn, &world->lock);
}

static _Thread_local struct machine *self;

static void give_way(void)
{
	struct world *world = self->world;

	if (++world->steps > STEPS)
		wrong(world, "it does not end");
	if (chance(world, 3) == 0)
		return;
	if (chance(world, 8) == 0)
		memory_server_tick(world->server);
	/* now and then a machine, or the network, is slow */
	if (chance(world, 60) == 0)
		self->asleep = chance(world, 300);
	choose(world);
	await_turn(self);
}

/* Of the library, which waits for a lock or for the clock: others go on. */
int nanosleep(const struct timespec *time, struct timespec *left)
{
	if (self)
		give_way();
	return 0;
}

/* ---- what is so ---- */

static void fill_version(const struct state *state, struct version *out)
{
	*out = (struct version){.generation = state->generation, .kind = state->kind};
	if (state->has_claim)
		memcpy(out->claim, state->claim.token, sizeof(out->claim));
	if (state->has_end)
		memcpy(out->end, state->end.token, sizeof(out->end));
}

static bool same_version(const struct version *a, const struct version *b)
{
	return a->generation == b->generation && a->kind == b->kind && !strcmp(a->claim, b->claim) && !strcmp(a->end, b->end);
}

/* One claim has one end, whatever comes. */
static void check_one_end(struct world *world, const struct version *now)
{
	for (int i = 0; i < world->count; i++) {
		const struct version *before = &world->versions[i];

		if (*now->claim && !strcmp(now->claim, before->claim) && *before->end && strcmp(now->end, before->end))
			wrong(world, "generation %u has ended twice", now->generation);
	}
}

/* After a change on the server. */
static void observe(struct machine *machine)
{
	struct world *world = machine->world;
	struct version now;
	struct state state;

	if (state_read(&world->oracle->store, PATH, &state))
		return; /* in the middle of a removal */
	fill_version(&state, &now);
	state_free(&state);
	if (world->count && same_version(&now, &world->versions[world->count - 1]))
		return;
	check_one_end(world, &now);
	if (world->count == VERSIONS) {
		wrong(world, "too much happens");
		return;
	}
	world->versions[world->count++] = now;
	machine->version = world->count - 1;
}

static void transition_is_over(struct machine *machine)
{
	if (!machine->dead && machine->version > machine->world->completed)
		machine->world->completed = machine->version;
}

/* A record of ours, whose transition is said to have been done, was there. */
static void expect_done(struct machine *machine, const char *what, const char *token)
{
	struct world *world = machine->world;

	for (int i = 0; i < world->count; i++)
		if (!strcmp(world->versions[i].claim, token) || !strcmp(world->versions[i].end, token))
			return;
	wrong(world, "%s: its %s is said to be done and is not", machine->name, what);
}

/* ---- the operations: those of the client in memory, with others' in between ---- */

#define BEFORE(result)                                                                                                 \
	struct machine *machine = ctx;                                                                                 \
	const struct store_ops *ops = machine->client->store.ops;                                                      \
	void *client = machine->client;                                                                                \
	give_way();                                                                                                    \
	if (machine->dead)                                                                                             \
	return (result)
#define CHANGES(call)                                                                                                  \
	({                                                                                                             \
		int rc_ = (call);                                                                                      \
		if (rc_ >= 0)                                                                                          \
			observe(machine);                                                                              \
		rc_;                                                                                                   \
	})

static int stale_openat(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	BEFORE(-EIO);
	return ops->openat(client, dirfd, name, flags, mode);
}

static int stale_close(void *ctx, int fd)
{
	BEFORE(0);
	return ops->close(client, fd);
}

static ssize_t stale_pread(void *ctx, int fd, void *buf, size_t size, off_t offset)
{
	BEFORE(-EIO);
	return ops->pread(client, fd, buf, size, offset);
}

static ssize_t stale_pwrite(void *ctx, int fd, const void *buf, size_t size, off_t offset)
{
	BEFORE(-EIO);
	return ops->pwrite(client, fd, buf, size, offset);
}

static int stale_fsync(void *ctx, int fd)
{
	BEFORE(-EIO);
	return ops->fsync(client, fd);
}

static int stale_statx(void *ctx, int dirfd, const char *name, int flags, unsigned int mask, struct statx *out)
{
	BEFORE(-EIO);
	if (machine->world->fault == FAULT_NO_REFRESH)
		flags &= ~AT_STATX_FORCE_SYNC;
	return ops->statx(client, dirfd, name, flags, mask, out);
}

static int stale_mkdirat(void *ctx, int dirfd, const char *name, mode_t mode)
{
	BEFORE(-EIO);
	return CHANGES(ops->mkdirat(client, dirfd, name, mode));
}

static int stale_unlinkat(void *ctx, int dirfd, const char *name, int flags)
{
	BEFORE(-EIO);
	return CHANGES(ops->unlinkat(client, dirfd, name, flags));
}

static int stale_linkat(void *ctx, int olddir, const char *oldname, int newdir, const char *newname)
{
	BEFORE(-EIO);
	if (machine->world->fault == FAULT_SECOND_LINK_WINS)
		ops->unlinkat(client, newdir, newname, 0);
	return CHANGES(ops->linkat(client, olddir, oldname, newdir, newname));
}

static int stale_renameat2(void *ctx, int olddir, const char *oldname, int newdir, const char *newname, unsigned int flags)
{
	BEFORE(-EIO);
	return CHANGES(ops->renameat2(client, olddir, oldname, newdir, newname, flags));
}

static int stale_symlinkat(void *ctx, const char *target, int dirfd, const char *name)
{
	BEFORE(-EIO);
	return ops->symlinkat(client, target, dirfd, name);
}

static ssize_t stale_readlinkat(void *ctx, int dirfd, const char *name, char *buf, size_t size)
{
	BEFORE(-EIO);
	return ops->readlinkat(client, dirfd, name, buf, size);
}

static ssize_t stale_getdents(void *ctx, int fd, void *buf, size_t size)
{
	BEFORE(-EIO);
	return ops->getdents(client, fd, buf, size);
}

static int stale_lock(void *ctx, int fd, int type, off_t from, off_t size)
{
	BEFORE(-EIO);
	return ops->lock(client, fd, type, from, size);
}

static int stale_lock_probe(void *ctx, int fd, int type, off_t from, off_t size)
{
	BEFORE(-EIO);
	return ops->lock_probe(client, fd, type, from, size);
}

static int stale_fchmod(void *ctx, int fd, mode_t mode)
{
	BEFORE(-EIO);
	return ops->fchmod(client, fd, mode);
}

static int stale_touch(void *ctx, int fd)
{
	BEFORE(-EIO);
	if (machine->world->fault == FAULT_NO_DATE)
		return 0;
	return ops->touch(client, fd);
}

static const struct store_ops stale_ops = {
	.openat = stale_openat,
	.close = stale_close,
	.pread = stale_pread,
	.pwrite = stale_pwrite,
	.fsync = stale_fsync,
	.statx = stale_statx,
	.mkdirat = stale_mkdirat,
	.unlinkat = stale_unlinkat,
	.linkat = stale_linkat,
	.renameat2 = stale_renameat2,
	.symlinkat = stale_symlinkat,
	.readlinkat = stale_readlinkat,
	.getdents = stale_getdents,
	.lock = stale_lock,
	.lock_probe = stale_lock_probe,
	.fchmod = stale_fchmod,
	.touch = stale_touch,
};

/* ---- looking ---- */

static const char *text_of(const struct version *version)
{
	static _Thread_local char text[2][64];
	static _Thread_local int at;

	at = !at;
	snprintf(text[at], sizeof(text[at]), "%u %s", version->generation, state_name(version->kind));
	return text[at];
}

/* What is sealed is what its writer wrote: his claim's token, in each file. */
static int check_content(struct machine *machine, const struct state *state, struct manifest *manifest)
{
	const struct store *store = &machine->store;

	for (size_t i = 0; i < manifest->count; i++) {
		char name[300], *text = NULL;
		size_t size;
		int dir, rc;

		if (manifest->entries[i].type != MANIFEST_FILE)
			continue;
		dir = store_open_dir(store, store->root, PATH);
		if (dir < 0)
			return dir;
		snprintf(name, sizeof(name), "%s", manifest->entries[i].path);
		rc = store_read_file(store, dir, name, 4096, &text, &size);
		store->ops->close(store->ctx, dir);
		if (rc == 0 && strcmp(text, state->claim.token))
			rc = -EXDEV;
		free(text);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_sealed(struct machine *machine, const struct state *state)
{
	struct manifest manifest;
	int rc = seal_load(&machine->store, PATH, state, &manifest, NULL, NULL);

	if (rc == 0) {
		rc = seal_verify(&machine->store, machine->store.root, PATH, &manifest, NULL, 1, NULL, NULL, NULL);
		if (rc == 0)
			rc = check_content(machine, state, &manifest);
	}
	manifest_free(&manifest);
	return rc;
}

/* Only a removal that has begun meanwhile excuses it. */
static void check_sealed(struct machine *machine, const struct state *state)
{
	struct world *world = machine->world;
	struct version seen;
	int rc = read_sealed(machine, state);

	world->lookers_sealed++;
	fill_version(state, &seen);
	if (rc && !machine->dead && same_version(&seen, &world->versions[world->count - 1]))
		wrong(world, "%s: sealed generation %u %s: %s", machine->name, state->generation,
		      rc == -EXDEV ? "has another one's bytes" : "does not verify", strerror(rc < 0 ? -rc : 0));
}

static int look(struct machine *machine, struct state *state)
{
	struct world *world = machine->world;
	int from = world->completed < 0 ? 0 : world->completed;
	struct version seen;
	int rc = state_read(&machine->store, PATH, state);

	if (machine->dead) {
		if (rc == 0)
			state_free(state);
		return -EIO;
	}
	if (rc) {
		/* of one who made a record and then slept the folder has no later time yet: that is an error, and not that there is nothing */
		if (rc == -EIO)
			world->unread++;
		else
			wrong(world, "%s: the state can not be read: %s", machine->name, strerror(-rc));
		return rc;
	}
	fill_version(state, &seen);
	for (int i = from; i < world->count; i++)
		if (same_version(&seen, &world->versions[i]))
			return 0;
	wrong(world, "%s sees %s, which is neither %s nor what came after", machine->name, text_of(&seen), text_of(&world->versions[from]));
	return 0;
}

/* The naive look at one generation. */
static int look_for_end(struct machine *machine, unsigned int generation, const char *claim)
{
	struct world *world = machine->world;
	const struct version *before = &world->versions[world->completed < 0 ? 0 : world->completed];
	bool ended = !strcmp(before->claim, claim) && *before->end;
	int rc = state_has_ended(&machine->store, PATH, generation);

	if (rc == 0 && ended && !machine->dead)
		wrong(world, "%s does not see that generation %u has ended", machine->name, generation);
	return world->fault == FAULT_NO_END_LOOKED_FOR ? 0 : rc;
}

/* ---- writing ---- */

static void make_record(struct record *record, enum record_kind kind, const char *trial)
{
	if (record_init(record, kind))
		abort();
	free(record->trial);
	record->trial = strdup(trial);
}

static int write_file(struct machine *machine, int dir, const char *name, const char *text)
{
	const struct store *store = &machine->store;
	int fd = store->ops->openat(store->ctx, dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), rc;

	if (fd < 0)
		return fd;
	rc = store_pwrite(store, fd, text, strlen(text), 0);
	if (rc == 0)
		rc = store->ops->fsync(store->ctx, fd);
	store->ops->close(store->ctx, fd);
	return rc;
}

/* The number alone says nothing: who removes a checkpoint makes numbers be counted from 1 again. */
static int is_lost(struct machine *machine, const struct record *claim)
{
	struct record there;
	int rc = look_for_end(machine, claim->generation, claim->token);

	if (rc)
		return rc;
	rc = state_read_claim(&machine->store, PATH, claim->generation, &there);
	if (rc)
		return rc;
	rc = strcmp(there.token, claim->token) != 0;
	record_free(&there);
	return machine->world->fault == FAULT_NO_END_LOOKED_FOR ? 0 : rc;
}

/* As through a mount: before each change it is asked whether the generation still is ours. */
static int write_content(struct machine *machine, const struct record *claim)
{
	const struct store *store = &machine->store;
	int dir, rc = store->ops->mkdirat(store->ctx, store->root, PATH, 0755);

	if (rc < 0 && rc != -EEXIST)
		return rc;
	dir = store_open_dir(store, store->root, PATH);
	if (dir < 0)
		return dir;
	for (int i = 0; rc >= 0 || rc == -EEXIST; i++) {
		char name[16];

		rc = is_lost(machine, claim);
		if (rc == 0 && i < 2) {
			snprintf(name, sizeof(name), "file%d", i);
			rc = write_file(machine, dir, name, claim->token);
		} else if (rc == 0) {
			break;
		} else {
			rc = -EOWNERDEAD;
		}
	}
	store->ops->close(store->ctx, dir);
	return rc;
}

static int seal(struct machine *machine, const struct record *claim, struct lease *lease)
{
	struct seal_job job = {.path = PATH, .generation = claim->generation, .claim = claim->token, .trial = claim->trial};
	int rc = lease_exclude(&machine->store, lease);

	if (rc == 0)
		rc = seal_checkpoint(&machine->store, &job);
	free(job.error_path);
	if (rc == 0 && !machine->dead) {
		transition_is_over(machine);
		machine->world->seals++;
	}
	return rc;
}

static void abandon(struct machine *machine, const struct record *claim)
{
	struct record end, there;
	int rc;

	make_record(&end, RECORD_END, claim->trial);
	end.generation = claim->generation;
	end.reason = strdup("exit status 1");
	rc = state_end(&machine->store, PATH, &end, &there);
	if (rc == 0 && !machine->dead) {
		expect_done(machine, "end", end.token);
		transition_is_over(machine);
		machine->world->fails++;
	} else if (rc == -EEXIST && !machine->dead) {
		expect_done(machine, "predecessor's end", there.token);
	}
	record_free(&there);
	record_free(&end);
}

static void cut_off(struct machine *machine)
{
	if (chance(machine->world, 3))
		return;
	/* it is gone for longer than its lease lasts, or for good */
	machine->vanished = true;
	memory_client_vanish(machine->client);
	machine->asleep = 50 + chance(machine->world, 2000);
	machine->dead = chance(machine->world, 2) == 0;
	give_way();
}

static void write_generation(struct machine *machine)
{
	struct lease lease = LEASE_INIT;
	struct record claim;
	int rc = lease_share(&machine->store, PATH, &lease);

	make_record(&claim, RECORD_CLAIM, machine->name);
	if (rc == 0)
		rc = state_claim(&machine->store, PATH, &claim);
	if (rc == 0 && !machine->dead) {
		expect_done(machine, "claim", claim.token);
		transition_is_over(machine);
		cut_off(machine);
		rc = write_content(machine, &claim);
		if (rc == 0)
			cut_off(machine);
		if (rc == 0 && chance(machine->world, 2))
			seal(machine, &claim, &lease);
		else
			abandon(machine, &claim);
	}
	lease_drop(&machine->store, &lease);
	record_free(&claim);
}

static void reserve(struct machine *machine)
{
	struct record record;
	int rc;

	make_record(&record, RECORD_RESERVE, "tuner");
	record.writer = strdup("one");
	rc = state_reserve(&machine->store, PATH, &record);
	if (rc == 0)
		transition_is_over(machine);
	record_free(&record);
}

/* Somebody's machine may be gone: then the generation is ended for him. */
static void judge(struct machine *machine)
{
	if (lease_held(&machine->store, PATH) != 0)
		return;
	if (lease_end_dead(&machine->store, PATH, machine->name, "owner died") == 0)
		transition_is_over(machine);
}

static void remove_it(struct machine *machine)
{
	if (state_remove(&machine->store, PATH) == 0)
		transition_is_over(machine);
}

static void write_or_wait(struct machine *machine)
{
	struct state state;

	if (look(machine, &state))
		return;
	switch (state.kind) {
	case STATE_OPEN:
		judge(machine);
		break;
	case STATE_SEALED:
		check_sealed(machine, &state);
		if (chance(machine->world, 4) == 0)
			remove_it(machine);
		break;
	case STATE_ABSENT:
	case STATE_PLAIN:
		if (chance(machine->world, 4) == 0)
			reserve(machine);
		write_generation(machine);
		break;
	default:
		write_generation(machine);
		break;
	}
	state_free(&state);
}

static void write_all(struct machine *machine)
{
	for (int i = 0; i < ATTEMPTS && !machine->dead && !*machine->world->wrong; i++)
		write_or_wait(machine);
}

/* ---- waiting ---- */

/* Until what is there has an end, or nobody will make one. */
static void await_end(struct machine *machine)
{
	struct world *world = machine->world;
	struct state state;

	while (!*world->wrong) {
		bool quiet = world->quiet, waits;
		char claim[STORE_TOKEN_SIZE] = "";
		unsigned int generation;

		if (look(machine, &state)) {
			/* who made the record may be gone: then only age helps */
			if (quiet)
				memory_server_pass(world->server, MEMORY_CACHE_NS);
			if (quiet && ++world->looks > LOOKS)
				wrong(world, "%s can not read the state", machine->name);
			give_way();
			continue;
		}
		waits = state.kind == STATE_OPEN || !quiet;
		generation = state.generation;
		if (state.kind == STATE_SEALED)
			check_sealed(machine, &state);
		if (state.kind == STATE_OPEN) {
			memcpy(claim, state.claim.token, sizeof(claim));
			judge(machine);
		}
		state_free(&state);
		if (!waits)
			return;
		for (int i = 0; i < 3 && *claim && look_for_end(machine, generation, claim) == 0; i++)
			give_way();
		if (quiet && ++world->looks > LOOKS)
			wrong(world, "%s still waits for generation %u", machine->name, generation);
		give_way();
	}
}

/* ---- a run ---- */

static void *run(void *arg)
{
	struct machine *machine = self = arg;
	struct world *world = machine->world;

	pthread_mutex_lock(&world->lock);
	await_turn(machine);
	if (machine == &world->machines[MACHINES - 1])
		await_end(machine);
	else
		write_all(machine);
	/* a process that ends, or a machine that is off, holds no lock */
	memory_client_vanish(machine->client);
	machine->over = true;
	world->quiet = true;
	for (int i = 0; i < MACHINES - 1; i++)
		world->quiet &= world->machines[i].over;
	choose(world);
	pthread_mutex_unlock(&world->lock);
	return NULL;
}

static void begin_world(struct world *world, unsigned int seed, bool coarse, enum fault fault)
{
	static const char *const names[MACHINES] = {"one", "two", "reader"};
	struct config config;

	*world = (struct world){.fault = fault, .random = seed * 2654435761u + 88172645463325252u, .running = -1, .completed = -1};
	pthread_mutex_init(&world->lock, NULL);
	world->server = memory_server_new();
	assert_non_null(world->server);
	if (coarse)
		memory_server_be_coarse(world->server);
	world->oracle = memory_client_new(world->server, false);
	assert_non_null(world->oracle);
	assert_int_equal(config_default(&config), 0);
	assert_int_equal(config_init_export(&world->oracle->store, &config), 0);
	config_free(&config);
	for (int i = 0; i < MACHINES; i++) {
		struct machine *machine = &world->machines[i];

		*machine = (struct machine){.world = world, .name = names[i], .client = memory_client_new(world->server, true), .version = -1};
		assert_non_null(machine->client);
		pthread_cond_init(&machine->turn, NULL);
		machine->store = machine->client->store;
		machine->store.ops = &stale_ops;
		machine->store.ctx = machine;
		machine->store.remote = true;
	}
	observe(&world->machines[0]);
}

/* NULL when all was as it must be. */
static const char *run_world(unsigned int seed, bool coarse, enum fault fault, struct world *world)
{
	begin_world(world, seed, coarse, fault);
	pthread_mutex_lock(&world->lock);
	for (int i = 0; i < MACHINES; i++)
		assert_int_equal(pthread_create(&world->machines[i].thread, NULL, run, &world->machines[i]), 0);
	choose(world);
	pthread_mutex_unlock(&world->lock);
	for (int i = 0; i < MACHINES; i++) {
		pthread_join(world->machines[i].thread, NULL);
		pthread_cond_destroy(&world->machines[i].turn);
	}
	for (int i = 0; i < MACHINES; i++)
		memory_client_free(world->machines[i].client);
	memory_client_free(world->oracle);
	memory_server_free(world->server);
	pthread_mutex_destroy(&world->lock);
	return *world->wrong ? world->wrong : NULL;
}

static unsigned int seeds(void)
{
	const char *text = getenv("SEALFS_TEST_SEEDS");

	return text ? (unsigned int)atoi(text) : 300;
}

static struct world world;

static void all_orders(bool coarse)
{
	const char *only = getenv("SEALFS_TEST_SEED");
	int seals = 0, fails = 0, seen = 0, vanished = 0, unread = 0;

	for (unsigned int seed = only ? (unsigned int)atoi(only) : 1; seed <= seeds() || only; seed++) {
		const char *what = run_world(seed, coarse, FAULT_NONE, &world);

		if (what)
			fail_msg("seed %u: %s", seed, what);
		seals += world.seals;
		fails += world.fails;
		seen += world.lookers_sealed;
		unread += world.unread;
		vanished += world.machines[0].vanished + world.machines[1].vanished;
		if (only)
			break;
	}
	print_message("%u orders: %d seals, %d failures, %d machines that vanished, %d looks at what is sealed, %d in vain\n", seeds(), seals, fails, vanished, seen, unread);
	/* nothing would be shown where nothing happens */
	if (!only)
		assert_true(seals * 8 > (int)seeds() && fails * 8 > (int)seeds() && vanished * 8 > (int)seeds());
}

static void looks_are_fresh_and_ends_unique_with_a_count_of_changes(void **unused)
{
	all_orders(false);
}

static void looks_are_fresh_and_ends_unique_with_times_of_ticks(void **unused)
{
	all_orders(true);
}

static void expect_caught(bool coarse, enum fault fault, const char *name)
{
	unsigned int tried = 0;
	bool caught = false;
	char first[600] = "";

	for (unsigned int seed = 1; seed <= BROKEN_SEEDS && !caught; seed++, tried++) {
		const char *what = run_world(seed, coarse, fault, &world);

		if (what) {
			caught = true;
			snprintf(first, sizeof(first), "%s", what);
		}
	}
	print_message("%s: caught in the %u. order; %s\n", name, tried, first);
	assert_true(caught);
}

static void broken_machines_are_caught(void **unused)
{
	expect_caught(false, FAULT_NO_REFRESH, "names are not looked up anew");
	expect_caught(true, FAULT_NO_DATE, "changed directories get no later time");
	expect_caught(false, FAULT_SECOND_LINK_WINS, "a second link wins");
	expect_caught(false, FAULT_NO_END_LOOKED_FOR, "who comes back does not ask whether he has lost");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_are_fresh_and_ends_unique_with_a_count_of_changes),
		cmocka_unit_test(looks_are_fresh_and_ends_unique_with_times_of_ticks),
		cmocka_unit_test(broken_machines_are_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
