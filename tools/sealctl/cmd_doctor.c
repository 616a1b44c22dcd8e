#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "doctor.h"
#include "report.h"

static const char *const level_names[] = {[DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail"};

void doctor_add(struct doctor *doctor, enum doctor_level level, const char *check, const char *remedy,
		const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	doctor->any_fail |= level == DOCTOR_FAIL;
	json_array_append_new(doctor->checks,
			      json_pack("{s:s, s:s, s:o, s:s?}", "check", check, "level", level_names[level], "text",
					report_json_text(text ? text : "out of memory"), "remedy", remedy));
}

static void (*const checks[])(struct doctor *doctor) = {
	doctor_kernel,           doctor_fuse_device, doctor_allow_other, doctor_fusermount, doctor_mtab, doctor_passthrough, doctor_exit_info,
	doctor_request_timeouts, doctor_config,      doctor_nfs,         doctor_links_and_locks,
	doctor_liveness,         doctor_server,
};

static void print_lines(const json_t *lines)
{
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		const char *remedy = report_string(line, "remedy");

		printf("%-5s %-17s", report_string(line, "level"), report_string(line, "check"));
		report_print_plain(stdout, report_string(line, "text"));
		printf("%s%s\n", remedy[0] ? "; " : "", remedy);
	}
}

/* The export under a mount, as this process sees it: it may be hidden, in another mount namespace, or closed to this
 * user. */
static char *export_of_mount(struct doctor *doctor)
{
	CLEANUP(target_free) struct target below = TARGET_INIT;
	char *export = target_mounted_export(doctor->target->info);

	if (export && !target_locate(export, &below) && below.kind != TARGET_MOUNT && !access(export, X_OK))
		return export;
	doctor_add(doctor, DOCTOR_WARN, "export", "run doctor with the export's path, as a user who may enter it",
		   "'%s' cannot be reached from here, so it is not checked", export ? export : "?");
	free(export);
	return NULL;
}

static int examine(struct target *target, bool json)
{
	struct doctor doctor = {.checks = json_array(), .target = target};
	AUTO_FREE char *export = NULL;
	int status;

	export = target->kind == TARGET_MOUNT ? export_of_mount(&doctor) : strdup(target->root);
	doctor.export = export;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&doctor);
	status = doctor.any_fail ? EXIT_ERROR : EXIT_GOOD;
	if (json)
		status = report_worse(status, report_print_json(doctor.checks));
	else
		print_lines(doctor.checks);
	json_decref(doctor.checks);
	return status;
}

/* An export to be, that is. */
static int must_be_directory(const char *path, char **why)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return 0;
	*why = strdup("it is no directory; name the export's directory, or a mount point");
	return -ENOTDIR;
}

/* A directory that is not an export yet is examined as one to be; a config that cannot be read is a line of the report.
 */
static int examine_path(const char *path, bool json)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	AUTO_FREE char *why = NULL;
	int error = target_locate(path, &target);

	if (!error && target.kind == TARGET_NONE) {
		target.root = realpath(path, NULL);
		error = target.root ? must_be_directory(target.root, &why) : -errno;
	} else if (!error && target.kind == TARGET_MOUNT) {
		error = target_connect(&target, &why);
	}
	return error ? report_failure("examine", path, error, why) : examine(&target, json);
}

int cmd_doctor(const struct command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return report_help(self);
		if (option != 'j')
			return report_usage(self, NULL);
		json = true;
	}
	if (argc - optind != 1)
		return report_usage(self, "exactly one EXPORT or MOUNT is needed");
	return examine_path(argv[optind], json);
}
