#include "sealfs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

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

void log_line(enum log_level level, const char *format, ...)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_DEBUG};
	char line[2048] = "sealfs: ";
	va_list args;

	if (level > max_level)
		return;
	va_start(args, format);
	int used = vsnprintf(line + 8, sizeof(line) - 10, format, args);
	va_end(args);
	if (used < 0)
		return;
	size_t size = 8 + ((size_t)used < sizeof(line) - 11 ? (size_t)used : sizeof(line) - 11);
	if (use_syslog) {
		syslog(priority[level], "%s", line + 8);
		return;
	}
	line[size++] = '\n';
	/* one write, so that lines of several threads do not mix */
	if (write(STDERR_FILENO, line, size) < 0)
		return;
}
