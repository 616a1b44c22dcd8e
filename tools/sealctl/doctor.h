/*
 * doctor - what sealfs needs, one check a function
 *
 * Each adds one or more lines to the report and changes nothing; files that a check makes on the export are gone when
 * it returns.
 */
#ifndef SEALCTL_DOCTOR_H
#define SEALCTL_DOCTOR_H

#include <jansson.h>

#include "target.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
	json_t *checks;        /* [{"check", "level", "text", "remedy"}] */
	struct target *target; /* connected; of kind TARGET_NONE when it is a directory that is not yet an export */
	const char *export;    /* the export's directory, or NULL when it cannot be reached from here */
	bool any_fail;
};

/* `remedy` is what to do about it, NULL when there is nothing to do. */
void doctor_add(struct doctor *doctor, enum doctor_level level, const char *check, const char *remedy,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- doctor_kernel.c: this machine ---- */
void doctor_kernel(struct doctor *doctor);
void doctor_fuse_device(struct doctor *doctor);
void doctor_allow_other(struct doctor *doctor);
void doctor_fusermount(struct doctor *doctor);
void doctor_mtab(struct doctor *doctor);
void doctor_passthrough(struct doctor *doctor);
void doctor_exit_info(struct doctor *doctor);
void doctor_request_timeouts(struct doctor *doctor);

/* ---- doctor_export.c: the shared directory ---- */
void doctor_config(struct doctor *doctor);
/* Hard links and locks, tried on a file of its own. */
void doctor_links_and_locks(struct doctor *doctor);

/* ---- doctor_nfs.c: how it is shared ---- */
void doctor_nfs(struct doctor *doctor);
/* How it is noticed that a machine has gone, and after how long. */
void doctor_liveness(struct doctor *doctor);
/* Whom the server takes us for, and its clock. */
void doctor_server(struct doctor *doctor);
/* A directory of the export in which a file may be made for a moment; a descriptor, or -1. */
int doctor_open_scratch(const char *export);

#endif
