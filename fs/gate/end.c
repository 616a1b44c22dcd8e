/* end.c - how a generation ends: sealed or abandoned */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "sealfs/creds.h"
#include "sealfs/identity.h"
#include "sealfs/log.h"

#define BY_HAND_PATIENCE_NS 500000000u /* how long a seal by hand waits for files that are being closed */
#define LEASE_RETRY_NS 50000000u       /* how often a seal asks whether the other mounts have let go */
#define MOVED_RETRIES 3		       /* content that changes while it is hashed */

static void set_outcome(struct gate_checkpoint *checkpoint, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void set_outcome(struct gate_checkpoint *checkpoint, int result, const char *format, ...)
{
	struct gate_outcome *outcome = &checkpoint->outcome;
	va_list args;

	memset(outcome, 0, sizeof(*outcome));
	outcome->result = result;
	outcome->generation = checkpoint->own ? checkpoint->own : checkpoint->state.generation;
	va_start(args, format);
	vsnprintf(outcome->message, sizeof(outcome->message), format, args);
	va_end(args);
}

static uint64_t uptime_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void submit(struct gate_checkpoint *checkpoint)
{
	gate_checkpoint_ref(checkpoint); /* the job's */
	pool_submit(checkpoint->gate->pool, &checkpoint->end_job);
}

void gate_begin_end_(struct gate_checkpoint *checkpoint, const char *failure, bool by_hand)
{
	if (checkpoint->ending == ENDING_SEALING || checkpoint->ending == ENDING_ABANDONING)
		return;
	checkpoint->by_hand = by_hand;
	checkpoint->end_uptime_ns = uptime_ns();
	free(checkpoint->end_reason);
	checkpoint->end_reason = failure ? strdup(failure) : NULL;
	if (failure) {
		checkpoint->ending = ENDING_ABANDONING;
		submit(checkpoint);
	} else if (checkpoint->handles || checkpoint->changes) {
		/* the last close goes on; a process that has just ended is closing already */
		checkpoint->ending = ENDING_CLOSING;
		gate_attend_(checkpoint, BY_HAND_PATIENCE_NS);
	} else {
		checkpoint->ending = ENDING_SEALING;
		submit(checkpoint);
	}
}

/* Still open for writing after a while: say so; a seal by hand gives up, the end of a trial goes on waiting. */
void gate_attention_end_(struct gate_checkpoint *checkpoint)
{
	struct gate_write_handle *handle = checkpoint->handles;
	struct identity_process process;

	if (checkpoint->ending != ENDING_CLOSING || !handle)
		return;
	if (identity_process(handle->tid, &process)) {
		process.pid = handle->tid;
		strcpy(process.command, "gone");
	}
	if (checkpoint->by_hand) {
		set_outcome(checkpoint, -EBUSY, "still open for writing by pid %d (%s)", process.pid, process.command);
		checkpoint->ending = ENDING_NONE;
	} else {
		log_warning("'%s': trial '%s' has ended, but pid %d (%s) still has a file open for writing: it is sealed when that is closed",
			    checkpoint->path, checkpoint->state.claim.trial, process.pid, process.command);
	}
}

/* ---- abandoning ---- */

/* Links "failed". Under the lock. */
static int link_failed(struct gate_checkpoint *checkpoint, unsigned int generation, const char *reason, uint64_t when)
{
	const struct store *store = &checkpoint->gate->options.store;
	const struct state *state = &checkpoint->state;
	struct record record;

	int error = record_init(&record, RECORD_END);
	if (error)
		return error;
	const char *trial = state->has_claim ? state->claim.trial : state->has_reserve ? state->reserve.trial : "?";
	record.generation = generation;
	free(record.trial);
	free(record.reason);
	record.trial = strdup(trial);
	record.reason = strdup(reason);
	record.uid = state->has_claim ? state->claim.uid : geteuid();
	record.gid = state->has_claim ? state->claim.gid : getegid();
	record.uptime_ns = when;
	error = record.trial && record.reason ? state_end(store, checkpoint->path, &record, NULL) : -ENOMEM;
	record_free(&record);
	return error == -EEXIST ? 0 : error;
}

/* Under the lock; the lease is dropped. */
static void abandon(struct gate_checkpoint *checkpoint, const char *reason)
{
	unsigned int generation = checkpoint->own;
	const char *trial = checkpoint->state.has_claim ? checkpoint->state.claim.trial : "?";

	int error = link_failed(checkpoint, generation, reason, checkpoint->end_uptime_ns);
	if (error)
		log_error("'%s': abandoned (%s), but that can not be recorded: %s; readers here get EOWNERDEAD, other machines notice it by the lost lease",
			  checkpoint->path, reason, strerror(-error));
	else
		log_warning("'%s': generation %u of trial '%s' has failed: %s; its readers get EOWNERDEAD", checkpoint->path, generation, trial,
			    reason);
	set_outcome(checkpoint, -EOWNERDEAD, "%s", reason);
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
	gate_reread_(checkpoint);
	if (error && checkpoint->state.kind == STATE_OPEN)
		checkpoint->lost = true;
}

static void abandon_as_asked(struct gate_checkpoint *checkpoint)
{
	char *reason = checkpoint->end_reason;
	checkpoint->end_reason = NULL;
	abandon(checkpoint, reason ? reason : "abandoned");
	free(reason);
}

/* ---- sealing ---- */

static void warn_skipped(void *arg, const char *path, const char *why)
{
	struct gate_checkpoint *checkpoint = arg;
	log_warning("'%s': '%s' is not sealed: %s", checkpoint->path, path, why);
}

struct content_search {
	const struct store *store;
	int directory;
	char *const *live;
	bool at_top;
};

/* 1 for the first entry that is neither a directory nor left out of seals anyhow; directories are searched. */
static int is_content(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	struct content_search *search = arg;

	if (manifest_name_hidden(name, search->at_top) || manifest_name_live(search->live, name))
		return 0;
	if (type != DT_DIR)
		return 1;
	int fd = store_open_dir(search->store, search->directory, name);
	if (fd < 0)
		return 1; /* the seal itself will say what is wrong */
	struct content_search below = {search->store, fd, search->live, false};
	int found = store_each_entry(search->store, fd, is_content, &below);
	search->store->ops->close(search->store->ctx, fd);
	return found != 0;
}

static bool has_content(struct gate_checkpoint *checkpoint)
{
	const struct store *store = &checkpoint->gate->options.store;

	int fd = store_open_dir(store, store->root, checkpoint->path);
	if (fd < 0)
		return fd != -ENOENT;
	struct content_search search = {store, fd, checkpoint->gate->options.config.live, true};
	int found = store_each_entry(store, fd, is_content, &search);
	store->ops->close(store->ctx, fd);
	return found != 0;
}

static int run_seal(struct gate_checkpoint *checkpoint, struct seal_job *job)
{
	const struct store *store = &checkpoint->gate->options.store;
	int error = 0;

	for (int turn = 0; turn < MOVED_RETRIES; turn++) {
		free(job->error_path);
		job->error_path = NULL;
		error = seal_checkpoint(store, job);
		if (error != -EAGAIN)
			break;
	}
	return error;
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(waiters_now_ns() - start_ns) / 1e9;
}

/* Under the lock, after a seal that could not be had. */
static void seal_failed(struct gate_checkpoint *checkpoint, struct seal_job *job, int error)
{
	char reason[400];

	if (error == -EEXIST) { /* somebody else decided; reread says what */
		gate_reread_(checkpoint);
		set_outcome(checkpoint, checkpoint->state.kind == STATE_SEALED ? 0 : -EOWNERDEAD, "its end was decided elsewhere");
		checkpoint->ending = ENDING_NONE;
		gate_let_go_(checkpoint);
		return;
	}
	bool vacated = error == -ENODATA && checkpoint->vacated;
	if (vacated)
		snprintf(reason, sizeof(reason), "its trial renamed or removed it");
	else if (error == -ENODATA)
		snprintf(reason, sizeof(reason), "its trial ended without having saved anything");
	else
		snprintf(reason, sizeof(reason), "it could not be sealed: %.200s%s%s",
			 job->error_path ? job->error_path : "", job->error_path ? ": " : "",
			 error == -EAGAIN ? "it changed while it was read" : strerror(-error));
	abandon(checkpoint, reason);
	checkpoint->outcome.vacated = vacated;
}

static void sealed_now(struct gate_checkpoint *checkpoint, struct seal_job *job, uint64_t start_ns)
{
	char hex[DIGEST_HEX_SIZE];

	set_outcome(checkpoint, 0, "%s", "");
	checkpoint->outcome.root = job->root;
	checkpoint->outcome.files = job->files;
	checkpoint->outcome.bytes = job->bytes;
	checkpoint->outcome.seconds = seconds_since(start_ns);
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
	int error = gate_reread_(checkpoint);
	if (!error)
		error = gate_load_seal_(checkpoint);
	digest_to_hex(&job->root, hex);
	if (error)
		log_error("'%s': sealed, but the seal can not be read back: %s", checkpoint->path, strerror(-error));
	else
		log_notice("'%s': sealed by trial '%s': sha256:%s (%llu files, %llu bytes, %.3f s)", checkpoint->path, job->trial, hex,
			   (unsigned long long)job->files, (unsigned long long)job->bytes, checkpoint->outcome.seconds);
}

/* Under the lock. False: the other mounts still write; asked again later. */
static bool take_exclusively(struct gate_checkpoint *checkpoint)
{
	int error = lease_exclude(&checkpoint->gate->options.store, &checkpoint->lease);
	if (!error)
		return true;
	if (error != -EBUSY) {
		char reason[200];
		snprintf(reason, sizeof(reason), "its lease can not be converted: %s", strerror(-error));
		abandon(checkpoint, reason);
		return false;
	}
	if (!checkpoint->by_hand) {
		checkpoint->wait_lease = true;
		gate_attend_(checkpoint, LEASE_RETRY_NS);
		return false;
	}
	set_outcome(checkpoint, -EBUSY, "another mount or machine still writes to it for the same trial");
	checkpoint->ending = ENDING_NONE;
	return false;
}

/* Under the lock on entry and exit, not in between: hashing takes long. */
static void seal(struct gate_checkpoint *checkpoint)
{
	struct gate *gate = checkpoint->gate;
	const struct record *claim = &checkpoint->state.claim;
	char *const *live = gate->options.config.live;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct seal_job job = {.path = checkpoint->path,
			       .generation = checkpoint->own,
			       .trial = strdup(claim->trial),
			       .uid = claim->uid,
			       .gid = claim->gid,
			       .live = live,
			       .threads = cpus > 0 ? (unsigned int)cpus : 1,
			       .warn = warn_skipped,
			       .arg = checkpoint};
	bool by_hand = checkpoint->by_hand;
	uint64_t start = waiters_now_ns();
	int error = job.trial ? 0 : -ENOMEM;

	/* a trial that ended without a single file has not saved: its child must not find an empty, good checkpoint */
	if (!error && !by_hand && !has_content(checkpoint))
		error = -ENODATA;
	if (!error) {
		pthread_mutex_unlock(&checkpoint->lock);
		error = run_seal(checkpoint, &job);
		pthread_mutex_lock(&checkpoint->lock);
	}
	if (error)
		seal_failed(checkpoint, &job, error);
	else
		sealed_now(checkpoint, &job, start);
	free(job.error_path);
	free((char *)job.trial);
}

bool gate_end_now_(struct gate_checkpoint *checkpoint)
{
	CREDS_SCOPE(checkpoint->state.claim.uid, checkpoint->state.claim.gid, 0);
	if (checkpoint->end_running || checkpoint->by_hand)
		return false;
	if (checkpoint->ending == ENDING_ABANDONING) {
		abandon_as_asked(checkpoint);
		return true;
	}
	if (!checkpoint->claimer || checkpoint->handles || has_content(checkpoint))
		return false;
	abandon(checkpoint, "its trial ended without having saved anything");
	return true;
}

/* A mount that joined a trial which another mount opened: it has nothing to decide when all went well. */
static void leave_joined(struct gate_checkpoint *checkpoint)
{
	log_notice("'%s': trial '%s' is done on this mount", checkpoint->path, checkpoint->state.claim.trial);
	set_outcome(checkpoint, 0, "left to the mount that opened it");
	checkpoint->ending = ENDING_NONE;
	gate_let_go_(checkpoint);
}

void gate_end_job_(struct pool_job *pool_job)
{
	struct gate_checkpoint *checkpoint = (void *)((char *)pool_job - offsetof(struct gate_checkpoint, end_job));

	pthread_mutex_lock(&checkpoint->lock);
	if (checkpoint->lease.fd < 0 || checkpoint->ending == ENDING_NONE || !checkpoint->state_known) {
		checkpoint->ending = ENDING_NONE;
	} else {
		CREDS_SCOPE(checkpoint->state.claim.uid, checkpoint->state.claim.gid, 0);
		checkpoint->end_running = true;
		if (checkpoint->ending == ENDING_ABANDONING) {
			abandon_as_asked(checkpoint);
		} else if (!checkpoint->claimer && !checkpoint->by_hand) {
			leave_joined(checkpoint);
		} else if (take_exclusively(checkpoint)) {
			seal(checkpoint);
		}
		checkpoint->end_running = false;
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	gate_checkpoint_put(checkpoint);
}

/* ---- who begins an end ---- */

/* Under the lock: has this mount a say in the end? One that joined, and has let go meanwhile, only when it must tell of a failure. */
static bool rejoin(struct gate_checkpoint *checkpoint, const char *failure)
{
	if (checkpoint->lease.fd >= 0)
		return true;
	unsigned int own = checkpoint->own;
	bool again = failure && !gate_reread_(checkpoint) && checkpoint->state.kind == STATE_OPEN && checkpoint->state.generation == own &&
		     !lease_share(&checkpoint->gate->options.store, checkpoint->path, &checkpoint->lease);
	if (!again)
		gate_let_go_(checkpoint);
	return again;
}

void gate_trial_ended_(void *arg, struct trial *trial, const char *failure)
{
	struct gate *gate = arg;
	struct gate_checkpoint *checkpoint;
	size_t count = 0, used = 0;

	pthread_mutex_lock(&gate->lock);
	DL_COUNT2(gate->mine, checkpoint, count, mine_next);
	struct gate_checkpoint **list = calloc(count + 1, sizeof(struct gate_checkpoint *));
	if (list) {
		DL_FOREACH2(gate->mine, checkpoint, mine_next)
		{
			list[used++] = gate_checkpoint_ref(checkpoint);
		}
	}
	pthread_mutex_unlock(&gate->lock);
	for (size_t i = 0; i < used; i++) {
		pthread_mutex_lock(&list[i]->lock);
		if (list[i]->trial == trial && rejoin(list[i], failure)) {
			gate_begin_end_(list[i], failure, false);
			if (!trial_has_survivors(trial))
				list[i]->end_uptime_ns = 0;
		}
		pthread_mutex_unlock(&list[i]->lock);
		gate_checkpoint_put(list[i]);
	}
	free(list);
}

/* Under the lock: the last thing that a seal waited for may be gone. */
static void check_closed(struct gate_checkpoint *checkpoint)
{
	if (checkpoint->handles || checkpoint->changes)
		return;
	if (checkpoint->ending == ENDING_CLOSING) {
		checkpoint->ending = ENDING_SEALING;
		submit(checkpoint);
	} else if (checkpoint->ending == ENDING_NONE && !checkpoint->claimer && checkpoint->lease.fd >= 0) {
		/* a mount that joined holds the lease only while something is open for writing, so that the other one can seal */
		lease_drop(&checkpoint->gate->options.store, &checkpoint->lease);
	}
}

void gate_vacated(struct gate_checkpoint *checkpoint)
{
	pthread_mutex_lock(&checkpoint->lock);
	checkpoint->vacated = true;
	pthread_mutex_unlock(&checkpoint->lock);
	gate_set_content(checkpoint, 0, 0);
}

void gate_change_done(struct gate *gate, struct gate_checkpoint *checkpoint)
{
	pthread_mutex_lock(&checkpoint->lock);
	checkpoint->changes--;
	check_closed(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
}

void gate_write_opened(struct gate *gate, struct gate_checkpoint *checkpoint, pid_t tid, struct gate_write_handle *handle)
{
	handle->tid = tid;
	handle->checkpoint = gate_checkpoint_ref(checkpoint);
	pthread_mutex_lock(&checkpoint->lock);
	handle->counts = checkpoint->lease.fd >= 0;
	if (handle->counts)
		DL_APPEND(checkpoint->handles, handle);
	pthread_mutex_unlock(&checkpoint->lock);
}

void gate_write_closed(struct gate *gate, struct gate_write_handle *handle)
{
	struct gate_checkpoint *checkpoint = handle->checkpoint;

	if (!checkpoint)
		return;
	pthread_mutex_lock(&checkpoint->lock);
	if (handle->counts)
		DL_DELETE(checkpoint->handles, handle);
	handle->checkpoint = NULL;
	check_closed(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
	gate_checkpoint_put(checkpoint);
}

/* May this caller end or remove it by hand? Root, and whoever opened or reserved it. */
static bool may_decide(const struct state *state, const struct gate_caller *caller)
{
	if (caller->uid == 0)
		return true;
	if (state->has_claim)
		return state->claim.uid == caller->uid;
	return !state->has_reserve || state->reserve.uid == caller->uid;
}

/* Under the lock: opens plain data for the caller, so that they can be sealed. */
static int adopt_plain(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller)
{
	char *trial = NULL;
	int error = gate_may_write_(checkpoint);
	if (!error)
		error = identity_of(caller->tid, gate->options.config.trial_env, &trial);
	if (!error)
		error = gate_claim_(checkpoint, caller, trial, false);
	free(trial);
	return error;
}

static int seal_locked(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, char *why, size_t size)
{
	const struct state *state = &checkpoint->state;

	int error = gate_reread_(checkpoint);
	if (error)
		return error;
	gate_judge_(checkpoint);
	if (!may_decide(state, caller)) {
		snprintf(why, size, "it belongs to uid %u", state->has_claim ? state->claim.uid : state->reserve.uid);
		return -EPERM;
	}
	switch (state->kind) {
	case STATE_PLAIN:
		error = adopt_plain(gate, checkpoint, caller);
		break;
	case STATE_OPEN:
		break;
	case STATE_SEALED:
		snprintf(why, size, "it is sealed already");
		return -EROFS;
	case STATE_FAILED:
		snprintf(why, size, "generation %u has failed: %s", state->generation, state->end.reason ? state->end.reason : "");
		return -EOWNERDEAD;
	case STATE_DAMAGED:
		snprintf(why, size, "%s", state->damage ? state->damage : "damaged record");
		return -EBADMSG;
	default:
		snprintf(why, size, "nothing has been written there (%s)", state_name(state->kind));
		return -ENOENT;
	}
	if (!error && checkpoint->lease.fd < 0) {
		snprintf(why, size, "it is being written through another mount, on %s", state->claim.host);
		return -EBUSY;
	}
	if (!error && checkpoint->ending == ENDING_NONE)
		gate_begin_end_(checkpoint, NULL, true);
	return error;
}

int gate_seal(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, char *why, size_t why_size)
{
	*why = '\0';
	pthread_mutex_lock(&checkpoint->lock);
	int error = seal_locked(gate, checkpoint, caller, why, why_size);
	pthread_mutex_unlock(&checkpoint->lock);
	return error;
}

int gate_wait_end(struct gate *gate, struct gate_checkpoint *checkpoint, struct waiter *waiter, bool (*interrupted)(const void *key),
		  struct gate_outcome *outcome)
{
	int result = 1;

	pthread_mutex_lock(&checkpoint->lock);
	if (checkpoint->ending == ENDING_NONE)
		*outcome = checkpoint->outcome;
	else
		result = waiters_park(gate->waiters, waiter, &checkpoint->enders, "", NULL, 0, interrupted);
	pthread_mutex_unlock(&checkpoint->lock);
	return result;
}

/* A pending reservation is ended without a lease: link decides. */
static int abandon_pending(struct gate_checkpoint *checkpoint, const char *reason)
{
	int error = link_failed(checkpoint, checkpoint->state.generation, reason, uptime_ns());
	if (!error)
		log_warning("'%s': the reservation was abandoned: %s; its readers get EOWNERDEAD", checkpoint->path, reason);
	return error ? error : gate_reread_(checkpoint);
}

static int abandon_locked(struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *reason, char *why, size_t size)
{
	const struct state *state = &checkpoint->state;

	int error = gate_reread_(checkpoint);
	if (error)
		return error;
	gate_judge_(checkpoint);
	if (!may_decide(state, caller)) {
		snprintf(why, size, "it belongs to uid %u", state->has_claim ? state->claim.uid : state->reserve.uid);
		return -EPERM;
	}
	if (state->kind == STATE_FAILED)
		return 0;
	if (state->kind == STATE_PENDING)
		return abandon_pending(checkpoint, reason);
	if (state->kind != STATE_OPEN) {
		snprintf(why, size, "it is %s", state_name(state->kind));
		return state->kind == STATE_SEALED ? -EROFS : -EINVAL;
	}
	if (checkpoint->lease.fd < 0) /* another mount writes: it will find its generation ended */
		return abandon_pending(checkpoint, reason);
	if (checkpoint->ending == ENDING_SEALING) {
		snprintf(why, size, "it is being sealed");
		return -EBUSY;
	}
	gate_begin_end_(checkpoint, reason, true);
	return 0;
}

int gate_abandon(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *reason, char *why,
		 size_t why_size)
{
	*why = '\0';
	pthread_mutex_lock(&checkpoint->lock);
	int error = abandon_locked(checkpoint, caller, reason, why, why_size);
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	return error;
}

int gate_reserve(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller, const char *writer,
		 unsigned int *generation)
{
	struct record record;
	char *trial = NULL;

	if (gate->options.read_only)
		return -EROFS;
	int error = identity_of(caller->tid, gate->options.config.trial_env, &trial);
	if (!error)
		error = record_init(&record, RECORD_RESERVE);
	if (error) {
		free(trial);
		return error;
	}
	free(record.trial);
	record.trial = trial;
	record.pid = caller->tid;
	record.uid = caller->uid;
	record.gid = caller->gid;
	if (writer && *writer && !(record.writer = strdup(writer)))
		error = -ENOMEM;
	CREDS_UMASK_SCOPE(identity_umask(caller->tid));
	pthread_mutex_lock(&checkpoint->lock);
	if (!error)
		error = gate_reread_(checkpoint);
	if (!error)
		gate_judge_(checkpoint);
	if (!error)
		error = gate_may_write_(checkpoint);
	if (!error)
		error = state_reserve(&gate->options.store, checkpoint->path, &record);
	gate_reread_(checkpoint);
	*generation = checkpoint->state.generation;
	pthread_mutex_unlock(&checkpoint->lock);
	record_free(&record);
	return error;
}

int gate_remove(struct gate *gate, struct gate_checkpoint *checkpoint, const struct gate_caller *caller)
{
	if (gate->options.read_only)
		return -EROFS;
	pthread_mutex_lock(&checkpoint->lock);
	int error = gate_reread_(checkpoint);
	if (!error)
		gate_judge_(checkpoint);
	if (!error && checkpoint->state.kind == STATE_OPEN)
		error = -EBUSY;
	else if (!error && !may_decide(&checkpoint->state, caller))
		error = -EPERM;
	if (!error)
		error = state_remove(&gate->options.store, checkpoint->path);
	gate_reread_(checkpoint);
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	if (!error)
		log_notice("'%s': removed by uid %u", checkpoint->path, caller->uid);
	if (!error && gate->options.forget)
		gate->options.forget(gate->options.arg, checkpoint->path);
	return error;
}

/* ---- wrappers ---- */

int gate_run_begin(struct gate *gate, const char *trial, struct trial **out)
{
	int error = trials_get(gate->trials, trial, out);
	if (!error)
		trial_run_begin(*out);
	return error;
}

int gate_run_end(struct gate *gate, struct trial *trial, const char *reason, struct gate_checkpoint ***ending)
{
	struct gate_checkpoint *checkpoint;
	size_t count = 0, used = 0;

	pthread_mutex_lock(&gate->lock);
	DL_COUNT2(gate->mine, checkpoint, count, mine_next);
	*ending = calloc(count + 1, sizeof(struct gate_checkpoint *));
	if (*ending) {
		DL_FOREACH2(gate->mine, checkpoint, mine_next)
		{
			(*ending)[used++] = gate_checkpoint_ref(checkpoint);
		}
	}
	pthread_mutex_unlock(&gate->lock);
	/* keep those of this trial */
	size_t kept = 0;
	for (size_t i = 0; i < used; i++) {
		checkpoint = (*ending)[i];
		pthread_mutex_lock(&checkpoint->lock);
		bool its = checkpoint->trial == trial && checkpoint->lease.fd >= 0;
		pthread_mutex_unlock(&checkpoint->lock);
		if (its)
			(*ending)[kept++] = checkpoint;
		else
			gate_checkpoint_put(checkpoint);
	}
	if (*ending)
		(*ending)[kept] = NULL;
	trial_run_end(trial, reason);
	return *ending ? 0 : -ENOMEM;
}

/* ---- status ---- */

int gate_status(struct gate *gate, struct gate_checkpoint *checkpoint, struct gate_status *out)
{
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&checkpoint->lock);
	int error = checkpoint->ending == ENDING_NONE ? gate_reread_(checkpoint) : 0;
	if (!error) {
		gate_judge_(checkpoint);
		out->sealing = checkpoint->ending != ENDING_NONE;
		out->ours = checkpoint->lease.fd >= 0;
		if (checkpoint->damage)
			snprintf(out->error, sizeof(out->error), "%s", checkpoint->damage);
		else if (checkpoint->outcome.result && checkpoint->outcome.generation == checkpoint->state.generation)
			snprintf(out->error, sizeof(out->error), "%s", checkpoint->outcome.message);
		error = state_read(&gate->options.store, checkpoint->path, &out->state);
	}
	pthread_mutex_unlock(&checkpoint->lock);
	gate_tell_(checkpoint);
	return error;
}

void gate_each_waiter(struct gate *gate, struct gate_checkpoint *checkpoint,
		      void (*each)(void *arg, const struct waiter *waiter, const char *trial), void *arg)
{
	waiters_each(gate->waiters, &checkpoint->readers, each, arg);
}

void gate_each_write_handle(struct gate *gate, struct gate_checkpoint *checkpoint,
			    void (*each)(void *arg, const struct gate_write_handle *handle), void *arg)
{
	struct gate_write_handle *handle;

	pthread_mutex_lock(&checkpoint->lock);
	DL_FOREACH(checkpoint->handles, handle)
	{
		each(arg, handle);
	}
	pthread_mutex_unlock(&checkpoint->lock);
}
