#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sealctl/cleanup.h"
#include "../sealctl/report.h"
#include "outcome.h"

#define TICK_MS 500 /* looking at what is no child of ours, and drawing */

static size_t busy(const struct crew *crew)
{
	size_t count = 0;

	for (size_t i = 0; i < crew->jobs; i++)
		count += crew->slots[i].id != NULL;
	return count;
}

/* ---- beginning ---- */

static int begin(struct crew *crew, const struct trial *trial)
{
	struct crew_slot *slot = crew_free_slot(crew);
	int error;

	slot->id = strdup(trial->id);
	error = slot->id ? launch_start(&crew->launch, trial, &slot->pid) : -ENOMEM;
	slot->began_ns = call_now_ns();
	crew->active = true;
	if (!error)
		return 0;
	/* Another launcher was quicker; its lock is watched. */
	if (error == -EBUSY) {
		slot->pid = 0;
		return 0;
	}
	free(slot->id);
	*slot = (struct crew_slot){0};
	return report_failure("begin trial", trial->id, error, NULL);
}

static void stop(struct crew *crew, int signal_number);

/* Fills the free slots. True when there is more to come. */
static bool fill(struct crew *crew)
{
	while (!crew->stopping && crew_free_slot(crew)) {
		struct trial *trial = NULL;
		int error = crew_next(crew, &trial);

		if (error == -EAGAIN)
			return true;
		if (error == -ENOENT)
			return false;
		if (error || begin(crew, trial)) {
			crew->status = EXIT_ERROR;
			stop(crew, SIGTERM);
			return false;
		}
	}
	return !crew->stopping;
}

/* ---- ending ---- */

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void reap(struct crew *crew)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < crew->jobs; i++)
			if (crew->slots[i].id && crew->slots[i].pid == pid)
				crew_finish(crew, &crew->slots[i], exit_status(status));
}

/* Those that an earlier launcher began. One that has vanished without an end is begun again. */
static void look_at_others(struct crew *crew)
{
	for (size_t i = 0; i < crew->jobs; i++) {
		struct crew_slot *slot = &crew->slots[i];
		enum launch_standing standing;
		int status;
		pid_t pid;

		if (!slot->id || slot->pid || launch_look(crew->place, slot->id, &standing, &status, &pid) ||
		    standing == LAUNCH_RUNNING)
			continue;
		if (standing == LAUNCH_ENDED) {
			crew_finish(crew, slot, status);
			continue;
		}
		free(slot->id);
		*slot = (struct crew_slot){0};
	}
}

/* ---- signals ---- */

/* The trial's own process passes it on to the command; what insists is for the whole group. */
static void signal_one(const struct crew *crew, const struct crew_slot *slot, bool kill_it)
{
	enum launch_standing standing = LAUNCH_RUNNING;
	pid_t pid = slot->pid;
	int status;

	if (!pid && (launch_look(crew->place, slot->id, &standing, &status, &pid) || standing != LAUNCH_RUNNING))
		return;
	/* Of another machine, maybe: then the number means nothing here. */
	if (pid > 0 && (slot->pid || getpgid(pid) == pid))
		kill(kill_it ? -pid : pid, kill_it ? SIGKILL : SIGTERM);
}

static void stop(struct crew *crew, int signal_number)
{
	if (!crew->stopping)
		crew->stopping = signal_number;
	else
		crew->killed = true;
	for (size_t i = 0; i < crew->jobs; i++)
		if (crew->slots[i].id)
			signal_one(crew, &crew->slots[i], crew->killed);
}

static void on_signal(struct crew *crew)
{
	struct signalfd_siginfo info;

	while (read(crew->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		board_clear(&crew->board);
		report_note(crew->stopping ? "the trials are killed"
					   : "the trials are stopped, and run again by the next 'sealtuner run'; a second signal kills them");
		stop(crew, (int)info.ssi_signo);
	}
	reap(crew);
}

/* ---- the table ---- */

/* Whether the trial is among those that wait for its parent's checkpoint. */
static const char *waits_for(const struct crew *crew, const struct trial *trial)
{
	const struct trial *parent = trial->parent == TRIAL_NONE ? NULL : crew->experiment->trials[trial->parent];
	json_auto_t *status = NULL;
	json_t *waiter;
	size_t i;

	if (!parent || place_status(crew->place, parent->id, &status))
		return NULL;
	json_array_foreach(json_object_get(status, "waiters"), i, waiter) if (!strcmp(report_string(waiter, "trial"), trial->id))
		return parent->id;
	return NULL;
}

static struct board_row look(const struct crew *crew, const struct trial *trial, const struct crew_slot *slot)
{
	struct board_row row = {.trial = trial, .waits_for = waits_for(crew, trial), .began_ns = slot->began_ns};
	AUTO_CLOSE int work = launch_open_work(crew->place, trial->id, false);

	row.has_metric = work >= 0 && !outcome_progress(&crew->place->store, work, &row.metric);
	return row;
}

static void draw(struct crew *crew)
{
	AUTO_FREE struct board_row *rows = calloc(crew->jobs + 1, sizeof(*rows));
	size_t count = 0;

	if (!crew->board.terminal || !rows)
		return;
	for (size_t i = 0; i < crew->jobs; i++) {
		const struct trial *trial = crew->slots[i].id ? experiment_find(crew->experiment, crew->slots[i].id) : NULL;

		if (trial)
			rows[count++] = look(crew, trial, &crew->slots[i]);
	}
	board_draw(&crew->board, crew->experiment, rows, count, crew->wanted);
}

/* ---- the loop ---- */

/* Of a run that found all done already. */
static void tell_idle(const struct crew *crew, const struct trial *best)
{
	unsigned int asked = crew->experiment->asked;

	report_note("nothing is left to do in '%s': it has had %u trial%s; %s'sealtuner run --trials' with a greater number than %u goes on",
		    crew->place->shown, asked, asked == 1 ? "" : "s",
		    best ? "'sealtuner best' names the best, " : "none has a result ('sealtuner status' says why), ", asked);
}

static int verdict(struct crew *crew)
{
	const struct trial *best = experiment_best(crew->experiment);

	if (!crew->status && !crew->stopping && !crew->active)
		tell_idle(crew, best);
	if (crew->status)
		return crew->status;
	if (crew->stopping)
		return 128 + crew->stopping;
	return best ? EXIT_GOOD : EXIT_FAILED;
}

int crew_run(struct crew *crew)
{
	struct pollfd polls = {.fd = crew->signals, .events = POLLIN};
	bool more = true;

	board_begin(&crew->board);
	for (;;) {
		more = fill(crew);
		if (!busy(crew) && (!more || crew->stopping))
			break;
		draw(crew);
		if (poll(&polls, 1, TICK_MS) < 0 && errno != EINTR)
			break;
		on_signal(crew);
		look_at_others(crew);
	}
	board_clear(&crew->board);
	return verdict(crew);
}
