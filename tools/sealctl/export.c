#include "export.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/lease.h"
#include "sealfs/seal.h"
#include "target.h"

int export_record(struct record *record, enum record_kind kind)
{
	int error = record_init(record, kind);

	if (error)
		return error;
	record->pid = getpid();
	record->uid = geteuid();
	record->gid = getegid();
	free(record->trial);
	if (asprintf(&record->trial, "sealctl:%s:%d", record->host, (int)getpid()) < 0) {
		record->trial = NULL;
		record_free(record);
		return -ENOMEM;
	}
	return 0;
}

static char *describe_pending(const struct state *state)
{
	const char *writer = state_writer(state);
	char *text;
	int size = writer ? asprintf(&text, "it is pending, reserved for '%s', who has not begun", writer)
			  : asprintf(&text, "it is pending: reserved, and nobody has written yet");

	return size < 0 ? NULL : text;
}

static char *describe_open(const struct state *state)
{
	char *text;

	return asprintf(&text, "it is open, being written by '%s' on %s", state->claim.trial, state->claim.host) < 0
		       ? NULL
		       : text;
}

static char *describe_failed(const struct state *state)
{
	const char *writer = state_writer(state), *reason = state->end.reason ? state->end.reason : "no reason given";
	char *text;
	int size = writer ? asprintf(&text, "generation %u by '%s' failed: %s", state->generation, writer, reason)
			  : asprintf(&text, "generation %u failed: %s", state->generation, reason);

	return size < 0 ? NULL : text;
}

static char *describe_damaged(const struct state *state)
{
	char *text;

	return asprintf(&text, "its state is damaged: %s", state->damage ? state->damage : "a record cannot be read") <
			       0
		       ? NULL
		       : text;
}

char *export_describe(const struct state *state)
{
	switch (state->kind) {
	case STATE_ABSENT:
		return strdup("there is nothing");
	case STATE_PLAIN:
		return strdup("it is plain data that nobody has claimed");
	case STATE_PENDING:
		return describe_pending(state);
	case STATE_OPEN:
		return describe_open(state);
	case STATE_SEALED:
		return strdup("it is sealed");
	case STATE_FAILED:
		return describe_failed(state);
	default:
		return describe_damaged(state);
	}
}

int export_late(const struct state *state, json_t **reply)
{
	AUTO_FREE char *text = export_describe(state);

	*reply = text ? call_error(CALL_LATE ": %s", text) : NULL;
	return -ETIMEDOUT;
}

int export_refuse(const struct state *state, int result, json_t **reply)
{
	AUTO_FREE char *text = export_describe(state);

	*reply = text ? call_error("%s", text) : NULL;
	return result;
}

void export_root(const struct export_dir *export, const char *path, const struct state *state,
		 char text[EXPORT_ROOT_SIZE])
{
	struct digest root;
	char hex[DIGEST_HEX_SIZE];

	text[0] = '\0';
	if (state->kind != STATE_SEALED || seal_root(export->store, path, state, &root))
		return;
	digest_to_hex(&root, hex);
	strcpy(stpcpy(text, "sha256:"), hex);
}

bool export_locks_tell(const char *root)
{
	struct liveness liveness;
	struct store store;

	if (store_open(&store, root))
		return false;
	liveness_detect(&store, LIVENESS_LOCKS_AUTO, 0, &liveness);
	store_close(&store);
	return liveness.leases;
}

static json_t *reply_generation(const char *path, unsigned int generation)
{
	return json_pack("{s:o, s:I}", "path", report_json_path(path), "generation", (json_int_t)generation);
}

/* Turns the library's errno into a sentence about what is there. */
static int refuse_now(const struct export_dir *export, const char *path, int result, json_t **reply)
{
	CLEANUP(state_free) struct state state = {0};

	if (!state_read(export->store, path, &state))
		return export_refuse(&state, result, reply);
	return result;
}

static int export_reserve(const struct export_dir *export, const struct call *call, json_t **reply)
{
	CLEANUP(record_free) struct record record = {0};
	int error = export_record(&record, RECORD_RESERVE);

	if (!error && call->writer && call->writer[0] && !(record.writer = strdup(call->writer)))
		error = -ENOMEM;
	if (!error)
		error = state_may_write(export->store, call->path);
	if (!error)
		error = state_reserve(export->store, call->path, &record);
	if (error == -EEXIST || error == -EROFS || error == -EBADMSG)
		return refuse_now(export, call->path, error, reply);
	if (!error)
		*reply = reply_generation(call->path, record.generation);
	return error;
}

/* Links the end "failed". When another end was first, that one decides. */
static int end_failed(const struct export_dir *export, const struct call *call, const struct state *state,
		      json_t **reply)
{
	unsigned int generation = state->generation;
	CLEANUP(record_free) struct record record = {0};
	int error = export_record(&record, RECORD_END);
	const char *reason = call->detail && call->detail[0] ? call->detail : "abandoned by hand";

	if (error)
		return error;
	record.generation = generation;
	record.reason = strdup(reason);
	if (!record.reason)
		return -ENOMEM;
	error = state_end(export->store, call->path, &record, NULL);
	if (error == -EEXIST)
		return refuse_now(export, call->path, -EROFS, reply);
	if (!error)
		*reply = reply_generation(call->path, generation);
	if (!error)
		export_hint(state);
	return error;
}

static int export_abandon(const struct export_dir *export, const struct call *call, json_t **reply)
{
	CLEANUP(state_free) struct state state = {0};
	int error = state_read(export->store, call->path, &state);

	if (error)
		return error;
	switch (state.kind) {
	case STATE_OPEN:
	case STATE_PENDING:
		return end_failed(export, call, &state, reply);
	case STATE_FAILED:
		*reply = reply_generation(call->path, state.generation);
		return 0;
	case STATE_SEALED:
		return export_refuse(&state, -EROFS, reply);
	case STATE_DAMAGED:
		return export_refuse(&state, -EBADMSG, reply);
	default:
		return export_refuse(&state, -EINVAL, reply);
	}
}

/* Nobody may be writing it any more. */
static void end_if_dead(const struct export_dir *export, const char *path, const struct state *state)
{
	CLEANUP(record_free) struct record self = {0};

	if (state->kind == STATE_OPEN && export->liveness.leases && !state->claim.no_lease && !export_record(&self, RECORD_END))
		lease_end_dead(export->store, path, self.trial, "owner died");
}

static int export_remove(const struct export_dir *export, const struct call *call, json_t **reply)
{
	CLEANUP(state_free) struct state state = {0};
	int error = state_read(export->store, call->path, &state);

	if (!error)
		end_if_dead(export, call->path, &state);
	if (!error)
		error = state_may_remove(export->store, call->path);
	if (!error)
		error = state_remove(export->store, call->path);
	if (!error)
		export_hint(&state);
	if (error == -EBUSY || error == -ENOENT || error == -EBADMSG)
		return refuse_now(export, call->path, error, reply);
	if (!error)
		*reply = json_pack("{s:o}", "path", report_json_path(call->path));
	return error;
}

static const struct {
	enum sealfs_call_op op;
	int (*run)(const struct export_dir *export, const struct call *call, json_t **reply);
} operations[] = {
	{SEALFS_CALL_RESERVE, export_reserve}, {SEALFS_CALL_SEAL, export_seal},
	{SEALFS_CALL_ABANDON, export_abandon}, {SEALFS_CALL_WAIT, export_wait},
	{SEALFS_CALL_STATUS, export_status},   {SEALFS_CALL_REMOVE, export_remove},
};

int export_call(const struct store *store, const char *root, const struct config *config, const struct call *call,
		json_t **reply)
{
	struct store ours = *store;
	struct export_dir export = {.store = &ours, .root = root, .config = config};

	*reply = NULL;
	liveness_detect(store, LIVENESS_LOCKS_AUTO, 0, &export.liveness);
	ours.no_locks = !export.liveness.leases;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (operations[i].op == call->op)
			return operations[i].run(&export, call, reply);
	return -EOPNOTSUPP;
}
