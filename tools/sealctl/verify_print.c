#include <inttypes.h>
#include <string.h>

#include "report.h"
#include "target_path.h"
#include "cleanup.h"
#include "verify.h"

static uint64_t number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static bool is_known(const json_t *object, const char *key)
{
	return json_is_integer(json_object_get(object, key));
}

static void print_fault(const json_t *fault)
{
	printf("        %s: ", report_string(fault, "path"));
	report_print_plain(stdout, report_string(fault, "why"));
	if (is_known(fault, "first_block"))
		printf(", blocks %" PRIu64 "-%" PRIu64, number(fault, "first_block"), number(fault, "last_block"));
	putchar('\n');
}

static void print_size(uint64_t files, uint64_t bytes)
{
	char size[REPORT_SIZE_LENGTH];

	printf("%" PRIu64 " file%s, %s", files, files == 1 ? "" : "s", report_size(bytes, size));
}

static const char *root_of(const json_t *checkpoint)
{
	const char *const kinds[] = {"export", "mount", "copy"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (json_object_get(checkpoint, kinds[i]))
			return report_string(checkpoint, kinds[i]);
	return "";
}

/* What made it impossible to say good or failed. */
static void print_error(const json_t *checkpoint, const char *shown)
{
	fflush(stdout);
	fprintf(stderr, "sealctl: cannot verify '%s': ", shown);
	report_print_plain(stderr, report_string(checkpoint, "error"));
	fputc('\n', stderr);
}

void verify_print_one(const json_t *checkpoint)
{
	AUTO_FREE char *shown = path_join(root_of(checkpoint), report_string(checkpoint, "path"));
	const json_t *faults = json_object_get(checkpoint, "faults"), *fault;
	bool ok = json_is_true(json_object_get(checkpoint, "ok"));
	size_t i;

	if (!shown)
		return;
	if (ok || json_array_size(faults)) {
		printf("%s %s  %s", ok ? "good   " : "FAILED ", shown, report_string(checkpoint, "root"));
		if (is_known(checkpoint, "files")) {
			fputs("  ", stdout);
			print_size(number(checkpoint, "files"), number(checkpoint, "bytes"));
		}
		if (!strcmp(report_string(checkpoint, "against"), "seal"))
			fputs(", checked against the seal beside it", stdout);
		putchar('\n');
	}
	json_array_foreach(faults, i, fault) print_fault(fault);
	if (report_string(checkpoint, "error")[0])
		print_error(checkpoint, shown);
	fflush(stdout);
}

static void print_skipped(const json_t *skipped)
{
	const char *separator = "; not sealed and left out: ";
	const char *state;
	json_t *count;

	json_object_foreach((json_t *)skipped, state, count)
	{
		printf("%s%lld %s", separator, (long long)json_integer_value(count), state);
		separator = ", ";
	}
}

static void print_count(uint64_t count, const char *what, const char **separator)
{
	if (!count)
		return;
	printf("%s%" PRIu64 " %s", *separator, count, what);
	*separator = ", ";
}

void verify_print_sum(const struct verify *verify, double seconds)
{
	uint64_t all = verify->good + verify->failed + verify->errors;
	const char *separator = ": ";
	char rate[REPORT_SIZE_LENGTH];

	printf("%" PRIu64 " checkpoint%s", all, all == 1 ? "" : "s");
	print_count(verify->good, "good", &separator);
	print_count(verify->failed, "FAILED", &separator);
	print_count(verify->errors, "not verified", &separator);
	fputs("; ", stdout);
	print_size(verify->files, verify->bytes);
	if (verify->quick)
		fputs(", content not read", stdout);
	printf(", %.1f s", seconds);
	if (!verify->quick && seconds > 0)
		printf(", %s/s", report_size((uint64_t)((double)verify->bytes_done / seconds), rate));
	print_skipped(verify->skipped);
	putchar('\n');
	fflush(stdout);
}

int verify_print_json(const struct verify *verify, json_t *checkpoints, double seconds)
{
	json_auto_t *all = json_pack("{s:o, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:O, s:f}", "checkpoints", checkpoints,
				     "ok", !verify->failed && !verify->errors, "quick", verify->quick, "good",
				     (json_int_t)verify->good, "failed", (json_int_t)verify->failed, "errors",
				     (json_int_t)verify->errors, "files", (json_int_t)verify->files, "bytes",
				     (json_int_t)verify->bytes, "skipped", verify->skipped, "seconds", seconds);

	return all ? report_print_json(all) : EXIT_ERROR;
}
