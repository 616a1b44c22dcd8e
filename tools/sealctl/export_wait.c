#include "export.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "report.h"
#include "sealfs/liveness.h"
#include "sealfs/state_watch.h"

/* As mounts do that nobody tells of the end: a look is one request, and so is a judgement. */
#define POLL_FIRST_NS INT64_C(20000000)
#define POLL_LAST_NS INT64_C(1000000000)
#define JUDGE_NS INT64_C(3000000000)

/* A waiter's clock. */
struct pace {
	int64_t deadline_ns; /* 0: none */
	int64_t poll_ns;     /* until the next look */
	int64_t judge_ns;    /* when it is looked next whether the writer lives */
	struct state_watch seen;
	struct state state;  /* as it was read last */
	bool known;	     /* it was */
	struct liveness_watch watch;
	char claim[STORE_TOKEN_SIZE]; /* whose mount's heartbeats `watch` has seen, since it was claimed */
};

/* Sleeps until the next look; -ETIMEDOUT when there is none before the deadline. */
static int pace_sleep(struct pace *pace)
{
	int64_t left = pace->deadline_ns ? pace->deadline_ns - call_now_ns() : INT64_MAX;
	int64_t sleep_ns = pace->poll_ns < left ? pace->poll_ns : left;
	struct timespec time = {.tv_sec = sleep_ns / 1000000000, .tv_nsec = sleep_ns % 1000000000};

	if (left <= 0)
		return -ETIMEDOUT;
	nanosleep(&time, NULL);
	pace->poll_ns = pace->poll_ns * 2 < POLL_LAST_NS ? pace->poll_ns * 2 : POLL_LAST_NS;
	return 0;
}

/* Ends the generation when its writer is gone; true when it did. */
static bool judge_writer(const struct export_dir *export, const char *path, struct pace *pace)
{
	CLEANUP(record_free) struct record self = {0};
	const struct record *claim = &pace->state.claim;

	if (pace->state.kind != STATE_OPEN || call_now_ns() < pace->judge_ns)
		return false;
	pace->judge_ns = call_now_ns() + (export->store->local ? 0 : JUDGE_NS);
	if (strcmp(pace->claim, claim->token) != 0) {
		pace->watch = (struct liveness_watch){0};
		strcpy(pace->claim, claim->token);
	}
	if (liveness_judge(export->store, &export->liveness, path, claim, &pace->watch,
			   pace->seen.folder >= 0 ? &pace->seen.lock_file : NULL) <= 0 ||
	    export_record(&self, RECORD_END))
		return false;
	return !liveness_end_dead(export->store, &export->liveness, path, claim, self.trial, "owner died");
}

static int reply_good(const struct export_dir *export, const char *path, const struct state *state, json_t **reply)
{
	char root[EXPORT_ROOT_SIZE];

	export_root(export, path, state, root);
	*reply = json_pack("{s:o, s:s}", "path", report_json_path(path), "root", root);
	return 0;
}

/* Reads the state, if it may have changed. */
static int read_state(const struct export_dir *export, const char *path, struct pace *pace)
{
	uint64_t now = (uint64_t)call_now_ns();
	int error;

	if (!state_watch_differs(export->store, path, &pace->seen, now) && pace->known)
		return 0;
	if (pace->known)
		state_free(&pace->state);
	pace->seen.read_ns = now;
	error = state_read(export->store, path, &pace->state);
	pace->known = !error;
	return error;
}

/* One look: the end's result, or -EINPROGRESS. */
static int look(const struct export_dir *export, const char *path, struct pace *pace, json_t **reply)
{
	int error = read_state(export, path, pace);

	if (!error && judge_writer(export, path, pace))
		error = read_state(export, path, pace);
	if (error)
		return error;
	switch (pace->state.kind) {
	case STATE_PENDING:
	case STATE_OPEN:
		return -EINPROGRESS;
	case STATE_SEALED:
	case STATE_PLAIN: /* nothing to wait for */
		return reply_good(export, path, &pace->state, reply);
	case STATE_FAILED:
		return export_refuse(&pace->state, -EOWNERDEAD, reply);
	case STATE_DAMAGED:
		return export_refuse(&pace->state, -EBADMSG, reply);
	default:
		return export_refuse(&pace->state, -ENOENT, reply);
	}
}

int export_wait(const struct export_dir *export, const struct call *call, json_t **reply)
{
	struct pace pace = {.deadline_ns = call->deadline_ns, .poll_ns = POLL_FIRST_NS, .seen = STATE_WATCH_INIT};
	int result;

	while ((result = look(export, call->path, &pace, reply)) == -EINPROGRESS)
		if (pace_sleep(&pace)) {
			result = export_late(&pace.state, reply);
			break;
		}
	if (pace.known)
		state_free(&pace.state);
	state_watch_close(export->store, &pace.seen);
	return result;
}
