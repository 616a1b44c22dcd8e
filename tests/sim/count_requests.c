/*
 * count_requests - how many requests to the file server each step of the real code makes
 *
 *     count_requests memory               against an export in memory, whose client caches as Linux' does; what each may make at most is requests.h:
 *                                         exit status 1 when one makes more
 *     count_requests STEP DIRECTORY N     one step on N checkpoints of an export over NFS, on a machine of its own, where /proc/net/rpc/nfs counts:
 *                                         prepare (on another), then, in this order, open, stamp, judge, again, naive; (on the other) end; read; and claim
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_store.h"
#include "requests.h"
#include "sealfs/config.h"
#include "sealfs/lease.h"
#include "sealfs/state.h"

static const char *path_of(const char *prefix, int number)
{
	static char path[32];

	snprintf(path, sizeof(path), "%s%d", prefix, number);
	return path;
}

static void need(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "count_requests: %s: %s\n", what, strerror(-rc));
	exit(1);
}

/* ---- the steps ---- */

static void make_record(struct record *record, enum record_kind kind, const char *path)
{
	need(record_init(record, kind), "record");
	free(record->trial);
	record->trial = strdup("t");
	record->generation = 1;
	if (kind == RECORD_RESERVE)
		record->writer = strdup("t");
	record->sealed = kind == RECORD_END;
}

static void reserve(const struct store *store, const char *path)
{
	struct record record;

	make_record(&record, RECORD_RESERVE, path);
	need(state_reserve(store, path, &record), "reserve");
	record_free(&record);
}

static struct lease claim(const struct store *store, const char *path)
{
	struct lease lease = LEASE_INIT;
	struct record record;

	make_record(&record, RECORD_CLAIM, path);
	need(lease_share(store, path, &lease), "lease");
	need(state_claim(store, path, &record), "claim");
	record_free(&record);
	return lease;
}

static void end(const struct store *store, const char *path, struct lease *lease)
{
	struct record record;

	make_record(&record, RECORD_END, path);
	need(state_end(store, path, &record, NULL), "end");
	record_free(&record);
	lease_drop(store, lease);
}

static void read_all(const struct store *store, const char *path)
{
	struct state state;

	need(state_read(store, path, &state), "read");
	state_free(&state);
}

/* ---- over NFS ---- */

static uint64_t requests_so_far(void)
{
	char line[256];
	uint64_t count = 0;
	FILE *file = fopen("/proc/net/rpc/nfs", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "rpc %" SCNu64, &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

static void step(const struct store *store, const char *word, const char *path, int *fd)
{
	struct state_stamp stamp;

	if (strcmp(word, "open") == 0) {
		*fd = state_open_dir(store, path, false);
		need(*fd, "open");
	} else if (strcmp(word, "stamp") == 0) {
		need(state_stamp(store, *fd, &stamp), "stamp");
	} else if (strcmp(word, "judge") == 0) {
		need(lease_watch(store, path, fd), "judge");
	} else if (strcmp(word, "again") == 0) {
		need(lease_watch(store, path, fd), "judge again");
	} else if (strcmp(word, "naive") == 0) {
		need(state_has_ended(store, path, 1), "naive");
	} else if (strcmp(word, "read") == 0) {
		read_all(store, path);
	} else {
		fprintf(stderr, "count_requests: there is no step '%s'\n", word);
		exit(2);
	}
}

static void over_nfs(const char *word, const char *directory, int count)
{
	struct lease leases[1000];
	struct store store;
	int fd = -1;
	char line[16];

	need(store_open(&store, directory), directory);
	if (count > 1000)
		count = 1000;
	if (strcmp(word, "prepare") == 0) {
		struct config config;

		need(config_default(&config), "config");
		need(config_init_export(&store, &config), "config");
		for (int i = 0; i < count; i++) {
			reserve(&store, path_of("r", i));
			reserve(&store, path_of("c", i));
			leases[i] = claim(&store, path_of("c", i));
		}
		puts("prepared");
		fflush(stdout);
		/* until told to */
		if (!fgets(line, sizeof(line), stdin))
			exit(1);
		uint64_t before = requests_so_far();
		for (int i = 0; i < count; i++)
			end(&store, path_of("c", i), &leases[i]);
		printf("%-8s %.2f\n", "end", (double)(requests_so_far() - before) / count);
	} else if (strcmp(word, "claim") == 0) {
		uint64_t before = requests_so_far();

		for (int i = 0; i < count; i++)
			leases[i] = claim(&store, path_of("r", i));
		printf("%-8s %.2f\n", "claim", (double)(requests_so_far() - before) / count);
	} else {
		uint64_t sum = 0;

		for (int i = 0; i < count; i++) {
			if (strcmp(word, "stamp") == 0)
				step(&store, "open", path_of("c", i), &fd);
			if (strcmp(word, "again") == 0)
				step(&store, "judge", path_of("c", i), &fd);
			uint64_t before = requests_so_far();
			step(&store, word, path_of("c", i), &fd);
			sum += requests_so_far() - before;
			if (fd >= 0)
				store.ops->close(store.ctx, fd);
			fd = -1;
		}
		printf("%-8s %.2f\n", word, (double)sum / count);
	}
	store_close(&store);
}

/* ---- in memory ---- */

static int in_memory(void)
{
	static const struct {
		const char *step;
		unsigned int most;
	} steps[] = {{"claim", REQUESTS_CLAIM},	 {"open", REQUESTS_OPEN_FOLDER},      {"read", REQUESTS_READ}, {"stamp", REQUESTS_STAMP},
		     {"judge", REQUESTS_JUDGE},	 {"again", REQUESTS_JUDGE_AGAIN}, {"naive", REQUESTS_HAS_ENDED},	      {"end", REQUESTS_END},   {"read", REQUESTS_READ}};
	struct memory_server *server = memory_server_new();
	struct memory_client *writer = memory_client_new(server, true), *reader = memory_client_new(server, true);
	struct config config;
	struct lease leases[2] = {LEASE_INIT, LEASE_INIT};
	int fd = -1, lock = -1, status = 0;

	need(config_default(&config), "config");
	need(config_init_export(&writer->store, &config), "config");
	config_free(&config);
	/* once before: what all checkpoints have in common is known then */
	for (int turn = 0; turn < 2; turn++) {
		const char *path = path_of("c", turn);

		reserve(&writer->store, path);
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			uint64_t before = writer->requests + reader->requests;

			if (strcmp(steps[i].step, "claim") == 0)
				leases[turn] = claim(&writer->store, path);
			else if (strcmp(steps[i].step, "end") == 0)
				end(&writer->store, path, &leases[turn]);
			else if (strcmp(steps[i].step, "judge") == 0 || strcmp(steps[i].step, "again") == 0)
				step(&reader->store, steps[i].step, path, &lock);
			else
				step(&reader->store, steps[i].step, path, &fd);
			uint64_t made = writer->requests + reader->requests - before;
			if (turn == 1)
				printf("%-8s %" PRIu64 " of at most %u\n", steps[i].step, made, steps[i].most);
			if (turn == 1 && made > steps[i].most)
				status = 1;
		}
		reader->store.ops->close(reader, fd);
		reader->store.ops->close(reader, lock);
		fd = lock = -1;
	}
	memory_client_free(writer);
	memory_client_free(reader);
	memory_server_free(server);
	return status;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "memory") == 0)
		return in_memory();
	if (argc != 4) {
		fputs("usage: count_requests memory | STEP DIRECTORY N\n", stderr);
		return 2;
	}
	over_nfs(argv[1], argv[2], atoi(argv[3]));
	return 0;
}
