#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <fcntl.h>

#include "call.h"
#include "cleanup.h"
#include "follow.h"
#include "report.h"
#include "run.h"
#include "sealfs/escape.h"

#define PATIENCE_MS 2000 /* then it is said what the end waits for */
#define PATIENCE_NEXT_MS 60000

/* One mount's end, in a thread of its own, since each may wait for other processes of the trial. */
struct job {
	pthread_t thread;
	struct follow *follow;
	const struct run *run;
	const struct run_mount *mount;
	const char *reason;
	int finished; /* eventfd, shared */
	atomic_bool done;
	bool started;
	/* valid once done */
	json_t *reply;
	int result;
};

static void finish_job(struct job *job)
{
	uint64_t one = 1;

	atomic_store(&job->done, true);
	if (write(job->finished, &one, sizeof(one)) < 0)
		report_note("cannot tell that a mount is done: %s", strerror(errno));
}

/* Its daemon is gone. That is this run's concern only if the trial was writing there. */
static void judge_lost(struct job *job)
{
	json_t *failed = NULL;

	if (run_lost(job->run, job->mount, &failed))
		return; /* the error stands */
	if (!json_array_size(failed))
		report_note("mount '%s' is gone; trial '%s' was writing nothing there", job->mount->point, job->run->trial);
	json_decref(job->reply);
	job->reply = json_pack("{s:o}", "failed", failed);
	job->result = job->reply ? 0 : -ENOMEM;
}

static void *run_job(void *arg)
{
	struct job *job = arg;
	struct call call = {.op = SEALFS_CALL_RUN_END, .trial = job->run->trial, .detail = job->reason};

	job->result = call_mount(job->mount->fd, &call, &job->reply);
	if (job->result == -ENOTCONN || job->result == -ECONNABORTED)
		judge_lost(job);
	finish_job(job);
	return NULL;
}

static void start_job(struct job *job)
{
	int error = pthread_create(&job->thread, NULL, run_job, job);

	job->started = !error;
	job->follow = follow_start(job->mount->point, "", job->run->trial);
	if (error) {
		job->result = -error;
		finish_job(job);
	}
}

static bool all_done(struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!atomic_load(&jobs[i].done))
			return false;
	return true;
}

/* ---- what takes so long ---- */

static void tell_writers(const char *path, const json_t *writers)
{
	json_t *process;
	size_t i;

	json_array_foreach(writers, i, process)
	{
		long long pid = json_integer_value(json_object_get(process, "pid"));
		const char *command = report_string(process, "command");

		if (*command)
			report_note("waiting to seal '%s': still open for writing by pid %lld (%s)", path, pid, command);
		else
			report_note("waiting to seal '%s': pid %lld, which opened a file for writing, has ended, but a process that it started still holds it ('fuser -v' on the files names it)",
				    path, pid);
	}
}

static void tell_checkpoint(const struct job *job, const json_t *checkpoint)
{
	const char *path = report_string(checkpoint, "path");
	AUTO_FREE char *writer = escape_text(job->run->trial);

	if (!writer || strcmp(report_string(checkpoint, "writer"), writer) ||
	    strcmp(report_string(checkpoint, "state"), "open"))
		return;
	if (json_array_size(json_object_get(checkpoint, "open_for_writing")))
		tell_writers(path, json_object_get(checkpoint, "open_for_writing"));
	else if (report_string(checkpoint, "waits_for")[0])
		report_note("waiting to seal '%s': trial '%s' has not ended on %s", path, job->run->trial,
			    report_string(checkpoint, "waits_for"));
	else if (json_is_true(json_object_get(checkpoint, "sealing")))
		report_note("sealing '%s' ...", path);
}

/* On a descriptor of its own: the parked call's may not be disturbed. */
static void tell_delay(const struct job *job)
{
	AUTO_CLOSE int fd = open(job->mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_auto_t *reply = NULL;
	json_t *checkpoint;
	size_t i;

	if (fd < 0 || call_mount(fd, &(struct call){.op = SEALFS_CALL_STATUS}, &reply))
		return;
	json_array_foreach(reply, i, checkpoint) tell_checkpoint(job, checkpoint);
}

/* ---- waiting for the jobs ---- */

/* Under nohup(1), say. The descriptor gives even those. */
static bool is_ignored(int signal_number)
{
	struct sigaction action;

	return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* The key has stopped the rest of the group, for which the end may wait. */
static void refuse_stop(void)
{
	report_note(
		"what the command wrote is being sealed, which cannot be suspended; ^C twice ends the wait for that");
	kill(0, SIGCONT);
}

/* A time limit's SIGTERM must not throw away a checkpoint that is complete; who insists need not wait for it. */
static bool must_give_up(int signals, unsigned int *count)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGTSTP)
		refuse_stop();
	if (info.ssi_signo == SIGTSTP || info.ssi_signo == SIGCHLD || info.ssi_signo == SIGUSR1 ||
	    info.ssi_signo == SIGUSR2 || is_ignored((int)info.ssi_signo))
		return false;
	if (++*count == 1)
		report_note("what the command wrote is being sealed; a second signal ends the wait for that");
	return *count > 1;
}

/* True when all is done, false when the user does not want to wait. */
static bool wait_for_jobs(struct job *jobs, size_t count, int finished, int signals)
{
	struct pollfd polls[] = {{.fd = finished, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	int patience = PATIENCE_MS;
	unsigned int signal_count = 0;
	uint64_t ignored;

	while (!all_done(jobs, count)) {
		int ready = poll(polls, 2, patience);

		if (ready == 0) {
			for (size_t i = 0; i < count; i++)
				if (!atomic_load(&jobs[i].done))
					tell_delay(&jobs[i]);
			patience = PATIENCE_NEXT_MS;
		}
		if (ready > 0 && polls[0].revents && read(finished, &ignored, sizeof(ignored)) < 0)
			return false;
		if (ready > 0 && polls[1].revents && must_give_up(signals, &signal_count))
			return false;
	}
	return true;
}

/* ---- the report ---- */

/* A line must stay one that can be read: of each kind so many are named. */
#define NAMED 8

struct summary {
	FILE *stream;
	const char *separator;
	int status;
};

static void add_separator(struct summary *summary)
{
	fputs(summary->separator, summary->stream);
	summary->separator = ", ";
}

/* True when enough are named; the last one tells how many there are more. */
static bool is_enough(struct summary *summary, const json_t *list, size_t index, const char *what)
{
	if (index < NAMED)
		return false;
	if (index == NAMED) {
		add_separator(summary);
		fprintf(summary->stream, "%s %zu more ('sealctl status' lists them)", what,
			json_array_size(list) - NAMED);
	}
	return true;
}

static void add_sealed(struct summary *summary, const json_t *reply)
{
	json_t *item;
	size_t i;
	const json_t *list = json_object_get(reply, "sealed");

	json_array_foreach(list, i, item)
	{
		if (is_enough(summary, list, i, "sealed"))
			continue;
		add_separator(summary);
		fputs("sealed ", summary->stream);
		report_print_seal(summary->stream, item, true);
	}
}

static void add_joined(struct summary *summary, const json_t *reply)
{
	json_t *item;
	size_t i;
	const json_t *list = json_object_get(reply, "joined");

	json_array_foreach(list, i, item)
	{
		if (is_enough(summary, list, i, "left to another run"))
			continue;
		add_separator(summary);
		fprintf(summary->stream, "left '%s' to another run of the trial", report_string(item, "path"));
	}
}

static void add_failed(struct summary *summary, const json_t *reply)
{
	json_t *item;
	size_t i;
	const json_t *list = json_object_get(reply, "failed");

	json_array_foreach(list, i, item)
	{
		const char *reason = report_string(item, "reason");

		if (is_enough(summary, list, i, "abandoned"))
			continue;
		add_separator(summary);
		fprintf(summary->stream, "abandoned '%s'%s%s", report_string(item, "path"), reason[0] ? ": " : "",
			reason);
	}
}

static void add_job(struct summary *summary, const struct job *job)
{
	add_sealed(summary, job->reply);
	add_failed(summary, job->reply);
	add_joined(summary, job->reply);
	if (json_array_size(json_object_get(job->reply, "failed")))
		summary->status = report_worse(summary->status, EXIT_FAILED);
	if (!job->result)
		return;
	summary->status = report_worse(summary->status, report_status(job->result));
	if (json_array_size(json_object_get(job->reply, "failed")))
		return;
	add_separator(summary);
	fprintf(summary->stream, "cannot end the run on '%s': %s", job->mount->point,
		call_why(job->reply, job->result));
}

/* One line, whatever there is to tell. */
static int report_jobs(const struct job *jobs, size_t count)
{
	AUTO_FREE char *line = NULL;
	size_t size;
	struct summary summary = {open_memstream(&line, &size), "", EXIT_GOOD};

	if (!summary.stream)
		return EXIT_ERROR;
	for (size_t i = 0; i < count; i++)
		add_job(&summary, &jobs[i]);
	if (fclose(summary.stream))
		return EXIT_ERROR;
	if (size)
		report_note("%s", line);
	else if (count && !jobs[0].reason[0])
		report_note("trial '%s' has written no checkpoint", jobs[0].run->trial);
	return summary.status;
}

static int report_given_up(const char *trial)
{
	report_note(
		"interrupted: what trial '%s' wrote is sealed when nobody has it open for writing any more; 'sealctl "
		"status' shows that, 'sealctl abandon' prevents it",
		trial);
	return EXIT_ERROR;
}

static void join_jobs(struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (jobs[i].started)
			pthread_join(jobs[i].thread, NULL);
		json_decref(jobs[i].reply);
	}
	free(jobs);
}

int run_end(struct run *run, const char *reason, int signals)
{
	AUTO_CLOSE int finished = eventfd(0, EFD_CLOEXEC);
	struct job *jobs = calloc(run->count + 1, sizeof(*jobs));

	size_t count = 0;
	bool done;
	int status;

	if (finished < 0 || !jobs) {
		free(jobs);
		return report_failure("end", run->trial, finished < 0 ? -errno : -ENOMEM, NULL);
	}
	run_refuse_stops(signals);
	for (size_t i = 0; i < run->count; i++) {
		if (!run->mounts[i].begun)
			continue;
		jobs[count] = (struct job){
			.run = run, .mount = &run->mounts[i], .reason = reason, .finished = finished};
		start_job(&jobs[count++]);
	}
	done = wait_for_jobs(jobs, count, finished, signals);
	for (size_t i = 0; i < count; i++)
		follow_stop(jobs[i].follow);
	/* The threads still use the jobs: they go with the process. The mounts go on without anybody who waits. */
	if (!done)
		_exit(report_given_up(run->trial));
	status = report_jobs(jobs, count);
	join_jobs(jobs, count);
	return status;
}
