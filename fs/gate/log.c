#include "sealfs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "sealfs/escape.h"

#define LINE_SIZE 4096 /* bytes; what is longer is cut */

static _Atomic enum log_level max_level = LOG_LEVEL_NOTICE;
static atomic_bool use_syslog;

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_to_syslog(void)
{
	openlog("sealfs", LOG_PID, LOG_DAEMON);
	use_syslog = true;
}

/* One write, so that lines of several threads do not mix. */
static void write_line(const char *text)
{
	char line[LINE_SIZE + 16];

	int size = snprintf(line, sizeof(line), "sealfs: %s\n", text);
	if (size >= (int)sizeof(line)) {
		size = sizeof(line) - 1;
		line[size - 1] = '\n';
	}
	if (size > 0 && write(STDERR_FILENO, line, (size_t)size) < 0)
		return;
}

void log_line(enum log_level level, const char *format, ...)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_DEBUG};
	char text[LINE_SIZE];
	va_list args;

	if (level > max_level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* names may hold anything: a line of the log is one line */
	char *line = escape_line(text);
	if (use_syslog)
		syslog(priority[level], "%s", line ? line : "(out of memory)");
	else
		write_line(line ? line : "(out of memory)");
	free(line);
}
