#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "target.h"

/* A bind mount shows what the mount itself shows already. */
static bool is_whole(const struct mount_entry *entry)
{
	return mount_entry_is_sealfs(entry) && !strcmp(entry->root, "/");
}

/* -EACCES: another user's mount. Else 0 with the exit status. */
static int visit(const char *verb, const struct mount_table *mounts, const struct mount_entry *entry, target_mount_fn *each, void *arg, int *status,
		 char **refusal)
{
	CLEANUP(target_free) struct target target = TARGET_INIT;
	AUTO_FREE char *why = NULL;
	int error = target_of_mount(mounts, entry, &target);

	if (!error)
		error = target_connect(&target, &why);
	if (error == -EACCES) {
		free(*refusal);
		*refusal = why;
		why = NULL;
		return error;
	}
	*status = error ? report_failure(verb, entry->point, error, why) : each(arg, &target);
	return 0;
}

int target_each_mount(const char *verb, const char *none, target_mount_fn *each, void *arg)
{
	CLEANUP(mount_table_free) struct mount_table mounts = {0};
	AUTO_FREE char *refusal = NULL;
	const char *closed = NULL;
	bool any = false;
	int error = target_mounts(&mounts), worst = EXIT_GOOD;

	if (error)
		return report_failure("read", "/proc/self/mountinfo", error, NULL);
	for (size_t i = 0; i < mounts.count; i++) {
		int status = EXIT_GOOD;

		if (!is_whole(&mounts.entries[i]))
			continue;
		if (visit(verb, &mounts, &mounts.entries[i], each, arg, &status, &refusal))
			closed = mounts.entries[i].point;
		else
			any = true;
		worst = report_worse(worst, status);
	}
	if (!any && closed)
		return report_failure(verb, closed, -EACCES, refusal);
	if (!any)
		report_note("%s", none);
	return worst;
}
