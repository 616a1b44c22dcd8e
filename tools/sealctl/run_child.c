#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "cleanup.h"
#include "run.h"

#define NUMBER_SIZE 32

static void forwarded_set(sigset_t *set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(set, signals[i]);
	sigaddset(set, SIGRTMIN);
}

int run_refuse_stops(int signals)
{
	sigset_t set;

	call_block_stops(NULL);
	forwarded_set(&set);
	sigaddset(&set, SIGTSTP);
	return signalfd(signals, &set, 0) < 0 ? -errno : 0;
}

int run_block_signals(sigset_t *before)
{
	sigset_t set;
	int fd;

	forwarded_set(&set);
	/* Whoever started us may ignore it, and then wait() would not tell how the command ended. */
	signal(SIGCHLD, SIG_DFL);
	if (sigprocmask(SIG_BLOCK, &set, before))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Does not return. What execvp() says goes through the pipe, which a successful exec closes. */
static void become(char **argv, const sigset_t *before, int report)
{
	ssize_t written;
	int error;

	sigprocmask(SIG_SETMASK, before, NULL);
	execvp(argv[0], argv);
	error = errno;
	written = write(report, &error, sizeof(error));
	_exit(written == sizeof(error) ? 127 : 126);
}

/* The command, and whoever it becomes by exec, knows from it where to say that all is done (tools/python/tell_end.py). */
static int set_parent(void)
{
	char text[NUMBER_SIZE];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	return setenv("SEALCTL_RUN", text, 1) ? -errno : 0;
}

int run_child_start(char **argv, const sigset_t *before, pid_t *child)
{
	AUTO_CLOSE int read_end = -1;
	int ends[2], error = set_parent();
	ssize_t size;

	if (error)
		return error;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	read_end = ends[0];
	*child = fork();
	if (*child == 0)
		become(argv, before, ends[1]);
	if (*child < 0)
		error = errno;
	close(ends[1]);
	if (error)
		return -error;
	do
		size = read(read_end, &error, sizeof(error));
	while (size < 0 && errno == EINTR);
	if (size != sizeof(error))
		return 0;
	waitpid(*child, NULL, 0);
	return -error;
}

/*
 * A key of the terminal (^C, ^\) and its hang-up reach the whole foreground group, the command too: the kernel is their
 * sender, and they are not sent on. Neither is what the command itself sent to its group.
 */
static void forward(pid_t child, const struct signalfd_siginfo *info)
{
	if (info->ssi_code != SI_KERNEL && info->ssi_pid != (uint32_t)child)
		kill(child, (int)info->ssi_signo);
}

/* Of the command's own process: what it starts can not speak for it. */
static bool is_told(pid_t child, const struct signalfd_siginfo *info)
{
	return info->ssi_signo == (uint32_t)SIGRTMIN && info->ssi_pid == (uint32_t)child;
}

int run_child_wait(pid_t child, int signals, bool *told, int *status)
{
	struct signalfd_siginfo info;
	pid_t ended;

	while ((ended = waitpid(child, status, WNOHANG)) == 0) {
		ssize_t size = read(signals, &info, sizeof(info));

		if (size < 0 && errno != EINTR)
			return -errno;
		if (size != sizeof(info) || info.ssi_signo == SIGCHLD)
			continue;
		if (info.ssi_signo != (uint32_t)SIGRTMIN)
			forward(child, &info);
		else if (told && is_told(child, &info)) {
			*told = true;
			return 0;
		}
	}
	return ended < 0 ? -errno : 0; /* how it ended nobody knows then, so it has not ended well */
}
