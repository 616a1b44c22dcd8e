#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "crew.h"
#include "give.h"
#include "outcome.h"

#define COMPLAINT_SIZE 300

/* Why a trial has failed, in its own words if it left some. Allocated; NULL when memory is out. */
static char *describe(const struct store *store, int work, int status)
{
	AUTO_FREE char *complaint = outcome_complaint(store, work);
	char *text;
	int size;

	if (status > 128 && sigabbrev_np(status - 128))
		size = asprintf(&text, "killed by SIG%s%s%.*s", sigabbrev_np(status - 128), complaint ? ": " : "",
				COMPLAINT_SIZE, complaint ? complaint : "");
	else
		size = asprintf(&text, "exit status %d%s%.*s", status, complaint ? ": " : "", COMPLAINT_SIZE,
				complaint ? complaint : "");
	return size < 0 ? NULL : text;
}

/* What is to be told. *text, to be freed, holds the reason. */
static void judge(struct crew *crew, const char *id, int status, struct give_result *result, char **text)
{
	const struct store *store = &crew->place->store;
	AUTO_CLOSE int work = launch_open_work(crew->place, id, false);

	*result = (struct give_result){0};
	if (work < 0) {
		result->failed = "its work directory is gone";
		return;
	}
	if (status) {
		*text = describe(store, work, status);
		result->failed = *text ? *text : "it ended badly";
	} else if (outcome_read(store, work, &result->value)) {
		result->failed = "it has reported no result";
	}
}

/* It ended well and need not have saved anything: then nobody is to wait for that any more. */
static void drop_reservation(struct crew *crew, const struct trial *trial)
{
	enum state_kind kind;

	if (launch_must_save(crew->experiment, trial) || place_state(crew->place, trial->id, &kind) || kind != STATE_PENDING)
		return;
	place_call(crew->place, SEALFS_CALL_ABANDON, trial->id, NULL, "its trial ended without having saved anything", NULL);
}

static void free_slot(struct crew_slot *slot)
{
	free(slot->id);
	*slot = (struct crew_slot){0};
}

/* One that was stopped is run again by the next launcher, as if it had not begun. */
static bool was_stopped(const struct crew *crew, int status)
{
	return crew->stopping && status;
}

void crew_finish(struct crew *crew, struct crew_slot *slot, int status)
{
	AUTO_FREE char *text = NULL, *why = NULL, *note = NULL;
	const struct trial *trial = experiment_find(crew->experiment, slot->id);
	double seconds = slot->began_ns ? (double)(call_now_ns() - slot->began_ns) / 1e9 : 0;
	struct give_result result;
	int error;

	crew->active = true;
	if (!trial || was_stopped(crew, status)) {
		launch_forget(crew->place, slot->id);
		free_slot(slot);
		return;
	}
	judge(crew, slot->id, status, &result, &text);
	error = give_tell(crew->place, crew->experiment, slot->id, &result, &why, &note);
	if (note)
		report_note("%s", note);
	if (!error && !status)
		drop_reservation(crew, trial);
	if (error && error != -EOWNERDEAD) {
		board_clear(&crew->board);
		crew->status = report_worse(crew->status, report_failure("tell of trial", slot->id, error,
									 why ? why : crew->experiment->why));
		crew->stopping = crew->stopping ? crew->stopping : SIGTERM;
	} else {
		board_ended(&crew->board, crew->experiment, trial, seconds);
	}
	free_slot(slot);
}
