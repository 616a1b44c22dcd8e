/* options - the command line of sealfs(8) */
#ifndef SEALFS_OPTIONS_H
#define SEALFS_OPTIONS_H

#include <stdbool.h>

#include "sealfs/hints.h"

struct options {
	char *export_path, *mountpoint;
	int foreground, debug, single_threaded, help, version;
	int read_only, allow_other;
	char *wait_timeout_text;
	unsigned int wait_timeout; /* seconds */
	char *verify;	   /* "open", "read" or "off" */
	char *prefetch;	   /* "on" or "off" */
	char *hints_text;
	struct hints_option hints;
	char *locks;	   /* "auto", "on" or "off" */
	char *heartbeat_text;
	unsigned int heartbeat; /* seconds, 0: as is usual */
	char *posix_locks; /* "mount" or "export" */
	char *passthrough; /* "auto" or "off" */
	char *key;	   /* file of the private key that signs, or NULL */
	char *trust;	   /* directory of the keys that count, or NULL */
	int require_signature;
	char *trial_env;   /* NULL: as the export's config says */
	char *rest;	   /* what goes on to libfuse and the kernel, comma-separated, allocated */
};

/* 0, or -1 after the reason was printed. */
int options_parse(int argc, char **argv, struct options *options);
void options_free(struct options *options);
void options_print_help(void);

#endif
