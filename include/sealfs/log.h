/*
 * log - one line to the administrator
 *
 * To stderr until log_to_syslog(), then to syslog. Thread-safe; never fails; blocks no longer than its sink.
 */
#ifndef SEALFS_LOG_H
#define SEALFS_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* Lines above this level are dropped (default: LOG_LEVEL_NOTICE). */
void log_set_level(enum log_level level);
void log_to_syslog(void);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
