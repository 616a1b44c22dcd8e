#include "export.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "progress.h"
#include "report.h"
#include "sealfs/lease.h"
#include "sealfs/seal.h"

/* A lease that is given back when it goes out of scope. */
struct held {
	const struct store *store;
	struct lease lease;
};

static void held_drop(struct held *held)
{
	if (held->lease.fd >= 0)
		lease_drop(held->store, &held->lease);
	held->lease.fd = -1;
}

static void warn_skipped(void *arg, const char *path, const char *why)
{
	report_note("'%s' is left out of the seal: %s", path, why);
}

static json_t *reply_seal(const char *path, const struct seal_job *job, double seconds)
{
	char hex[DIGEST_HEX_SIZE], root[EXPORT_ROOT_SIZE];

	digest_to_hex(&job->root, hex);
	strcpy(stpcpy(root, "sha256:"), hex);
	return json_pack("{s:o, s:s, s:I, s:I, s:I, s:f}", "path", report_json_path(path), "root", root, "files",
			 (json_int_t)job->files, "bytes", (json_int_t)job->bytes, "generation",
			 (json_int_t)job->generation, "seconds", seconds);
}

static int fail_seal(const struct seal_job *job, int error, json_t **reply)
{
	const char *what = error == -EAGAIN ? "changed while it was sealed" : strerror(-error);

	if (error == -ENODATA)
		*reply = call_error("there is nothing at its path");
	else if (job->error_path)
		*reply = call_error("%s: %s", job->error_path, what);
	return error;
}

static int run_job(const struct export_dir *export, const char *path, unsigned int generation,
		   const struct signing_key *key, json_t **reply)
{
	CLEANUP(record_free) struct record self = {0};
	atomic_uint_least64_t done = 0, total = 0;
	struct seal_job job = {.path = path,
			       .generation = generation,
			       .pid = getpid(),
			       .uid = geteuid(),
			       .gid = getegid(),
			       .live = export->config->live,
			       .threads = digest_threads(),
			       .key = key,
			       .warn = warn_skipped,
			       .progress = {.bytes_done = &done},
			       .bytes_total = &total};
	struct progress *progress;
	int64_t start = call_now_ns();
	int error = export_record(&self, RECORD_END);

	if (error)
		return error;
	job.trial = self.trial;
	progress = progress_start("sealing", &done, &total);
	error = seal_checkpoint(export->store, &job);
	progress_stop(progress);
	if (error)
		fail_seal(&job, error, reply);
	else
		*reply = reply_seal(path, &job, (double)(call_now_ns() - start) / 1e9);
	free(job.error_path);
	return error;
}

/* Data that were there before sealfs, or that were written straight to the export. */
static int claim_data(const struct export_dir *export, const char *path, unsigned int *generation)
{
	CLEANUP(record_free) struct record claim = {0};
	int error = export_record(&claim, RECORD_CLAIM);

	claim.plain = 1;
	/* Where we have no lease, nothing tells whether we live; then nobody is to take us for dead. */
	claim.no_lease = !export->liveness.leases;
	if (!error)
		error = state_claim(export->store, path, &claim);
	*generation = claim.generation;
	return error;
}

/* Plain data that could not be sealed are plain again. Should not even that be possible: who looks at them next finds the writer dead, with the same result. */
static void give_back(const struct export_dir *export, const char *path, unsigned int generation)
{
	CLEANUP(record_free) struct record end = {0};

	if (export_record(&end, RECORD_END))
		return;
	end.generation = generation;
	end.reason = strdup("its seal was broken off");
	if (end.reason)
		state_end(export->store, path, &end, NULL);
}

/*
 * An open checkpoint that no mount writes any more may lack bytes that never reached the server. Only a claim by
 * sealctl itself, whose sealing broke off, is known to have all its data here.
 */
static bool claimed_by_hand(const struct state *state)
{
	return !strncmp(state->claim.trial, "sealctl:", strlen("sealctl:"));
}

/* As a mount does, when it is asked to seal what a dead writer left. */
static int end_dead(const struct export_dir *export, const char *path, const struct state *state, struct held *held,
		    json_t **reply)
{
	CLEANUP(record_free) struct record self = {0};

	held_drop(held);
	if (!export_record(&self, RECORD_END))
		lease_end_dead(export->store, path, self.trial, "owner died");
	*reply = call_error("its writer '%s' on %s is gone, so what it left may not be all", state->claim.trial,
			    state->claim.host);
	return -EOWNERDEAD;
}

/* Takes the lease exclusively: granted, no mount writes, unless it is one that takes no locks. */
static int exclude_writers(const struct export_dir *export, const char *path, const struct state *state,
			   struct held *held, json_t **reply)
{
	int error = lease_share(export->store, path, &held->lease);

	if (!error)
		error = lease_exclude(export->store, &held->lease);
	if (!error && state->kind == STATE_OPEN && !claimed_by_hand(state) &&
	    (state->claim.no_lease || !export->liveness.leases))
		error = -EBUSY;
	if (error == -EBUSY && state->kind == STATE_OPEN)
		*reply = call_error("it is open for writing through a mount, by '%s' on %s; seal it there",
				    state->claim.trial, state->claim.host);
	return error;
}

static int seal_state(const struct export_dir *export, const char *path, const struct state *state,
		      const struct signing_key *key, json_t **reply)
{
	CLEANUP(held_drop) struct held held = {export->store, LEASE_INIT};
	unsigned int generation = state->generation;
	int error = state_may_write(export->store, path);

	if (!error)
		error = exclude_writers(export, path, state, &held, reply);
	if (error)
		return error;
	if (state->kind != STATE_OPEN)
		error = claim_data(export, path, &generation);
	else if (!claimed_by_hand(state))
		return end_dead(export, path, state, &held, reply);
	if (error)
		return error;
	error = run_job(export, path, generation, key, reply);
	if (error && state->kind == STATE_PLAIN)
		give_back(export, path, generation);
	return error;
}

static int any_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	return 1;
}

/* A reservation without a named writer has an empty directory, which is not yet anything to seal. */
static bool is_empty(const struct export_dir *export, const char *path, const struct state *state)
{
	AUTO_CLOSE int fd = -1;

	if (!state->has_data || state->is_file)
		return !state->has_data;
	fd = store_open_dir(export->store, export->store->root, path);
	return fd >= 0 && store_each_entry(export->store, fd, any_entry, NULL) == 0;
}

int export_seal(const struct export_dir *export, const struct call *call, json_t **reply)
{
	CLEANUP(state_free) struct state state = {0};
	int error = state_read(export->store, call->path, &state);

	if (error)
		return error;
	switch (state.kind) {
	case STATE_SEALED:
		*reply = call_error("it is sealed already");
		return -EROFS;
	case STATE_FAILED:
		return export_refuse(&state, -EOWNERDEAD, reply);
	case STATE_DAMAGED:
		return export_refuse(&state, -EBADMSG, reply);
	case STATE_ABSENT:
		return export_refuse(&state, -ENOENT, reply);
	case STATE_PENDING:
		if (is_empty(export, call->path, &state))
			return export_refuse(&state, -ENODATA, reply);
		break;
	default:
		break;
	}
	return seal_state(export, call->path, &state, call->key, reply);
}
