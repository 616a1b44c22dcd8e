#include "call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>

#include "cleanup.h"
#include "report.h"

int64_t call_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int pack_string(struct sealfs_call *message, const char *text)
{
	size_t size = text ? strlen(text) + 1 : 1;

	if (size > SEALFS_CALL_TEXT - message->size)
		return -ENAMETOOLONG;
	memcpy(message->text + message->size, text ? text : "", size);
	message->size += (__u32)size;
	return 0;
}

static int pack(struct sealfs_call *message, const struct call *call)
{
	const char *const strings[] = {call->path, call->trial, call->writer, call->detail};
	int error = 0;

	message->version = SEALFS_CALL_VERSION;
	message->op = call->op;
	for (size_t i = 0; !error && i < 4; i++)
		error = pack_string(message, strings[i]);
	return error;
}

/* The signal only has to interrupt the ioctl. */
static void on_alarm(int signal)
{
}

/* The signal may come just before the ioctl begins and then interrupts nothing: so it is repeated until disarmed. */
static void arm_alarm(int64_t deadline_ns)
{
	struct sigaction action = {.sa_handler = on_alarm};
	int64_t left_us = (deadline_ns - call_now_ns()) / 1000;
	struct itimerval timer = {.it_interval = {.tv_usec = 50000}};

	if (left_us < 10000)
		left_us = 10000;
	timer.it_value.tv_sec = left_us / 1000000;
	timer.it_value.tv_usec = left_us % 1000000;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void disarm_alarm(void)
{
	static const struct itimerval off;

	setitimer(ITIMER_REAL, &off, NULL);
}

static int issue(int fd, struct sealfs_call *message, int64_t deadline_ns)
{
	struct sealfs_call request = *message;

	while (ioctl(fd, SEALFS_IOC_CALL, message) < 0) {
		if (errno != EINTR)
			return -errno;
		if (deadline_ns && call_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		*message = request;
	}
	return message->size > SEALFS_CALL_TEXT ? -EPROTO : 0;
}

/* Reads what did not fit. `text` has room for all of it. */
static int fetch_more(int fd, struct sealfs_call *message, char *text, uint64_t have, uint64_t total)
{
	while (have < total) {
		int error;

		*message = (struct sealfs_call){.version = SEALFS_CALL_VERSION, .op = SEALFS_CALL_MORE, .offset = have};
		error = issue(fd, message, 0);
		if (!error && message->result)
			error = message->result;
		if (error)
			return error;
		if (!message->size || message->size > total - have)
			return -EPROTO;
		memcpy(text + have, message->text, message->size);
		have += message->size;
	}
	return 0;
}

static int parse_reply(int fd, struct sealfs_call *message, json_t **reply)
{
	uint64_t total = message->total > message->size ? message->total : message->size, have = message->size;
	AUTO_FREE char *text = NULL;
	int error;

	if (total > SIZE_MAX - 1 || !(text = malloc(total + 1)))
		return -ENOMEM;
	memcpy(text, message->text, have);
	error = fetch_more(fd, message, text, have, total);
	if (error)
		return error;
	if (total)
		*reply = json_loadb(text, total, JSON_DECODE_ANY, NULL);
	return total && !*reply ? -EPROTO : 0;
}

void call_block_stops(sigset_t *before)
{
	sigset_t stops;

	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &stops, before);
}

static int call_plain(int fd, const struct call *call, json_t **reply)
{
	AUTO_FREE struct sealfs_call *message = calloc(1, sizeof(*message));
	int error, result;

	if (!message)
		return -ENOMEM;
	error = pack(message, call);
	if (!error)
		error = issue(fd, message, call->deadline_ns);
	if (error)
		return error;
	result = message->result;
	error = parse_reply(fd, message, reply);
	return result ? result : error;
}

int call_mount(int fd, const struct call *call, json_t **reply)
{
	sigset_t before;
	int result;

	*reply = NULL;
	if (call->op != SEALFS_CALL_WAIT)
		call_block_stops(&before);
	if (call->deadline_ns)
		arm_alarm(call->deadline_ns);
	result = call_plain(fd, call, reply);
	if (call->deadline_ns)
		disarm_alarm();
	if (call->op != SEALFS_CALL_WAIT)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

const char *call_why(const json_t *reply, int result)
{
	const char *why = report_string(reply, "error");

	if (why[0])
		return why;
	if (result == -ETIMEDOUT)
		return CALL_LATE;
	if (result == -ENOTTY)
		return "it does not answer as a sealfs mount";
	if (result == -EPROTO)
		return "the mount's answer makes no sense; sealctl and sealfs may be of different versions";
	return strerror(-result);
}

json_t *call_error(const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;
	int size;

	va_start(args, format);
	size = vasprintf(&text, format, args);
	va_end(args);
	if (size < 0) {
		text = NULL;
		return NULL;
	}
	return json_pack("{s:o}", "error", report_json_text(text));
}
