/*
 * fsx - random operations on two files, each held against a copy in memory after every step
 *
 *     fsx [-n OPERATIONS] [-s SEED] [-m LARGEST] [-l LOG] [-r LOG] [-f KIND:NUMBER] DIRECTORY
 *
 * Reads, writes, reads and writes through mappings, cuts, grows, allocates, punches, zeroes, collapses, inserts, copies within a file and between the two, appends
 * by a second descriptor, renames, links, syncs and opens anew. What is written depends on the seed, the operation's number and the offset alone.
 * The log has one line an operation; -r does what a log says instead of choosing (with the seed that is in its first line). -f spoils the file
 * itself at one operation (byte: one byte differs; size: a byte too many; lost: a write is not done; stale: a byte of the mapping), which must be found: the test of this test.
 *
 * Prints how often it did what; what the file system can not do is said. Status 0: all the same; 1: a difference, which is described with what to do; 2: usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 2
#define LOOK_AT_ALL 256 /* operations between two looks at everything */
#define LAST 16		/* operations that are told of after a failure */

struct subject {
	char path[PATH_MAX], other_path[PATH_MAX];
	int fd, second; /* the second one appends */
	uint8_t *expected;
	size_t size;
};

/* One operation: which file, where, how much, and from where. */
struct step {
	unsigned int kind, file, from_file;
	size_t offset, length, from;
};

static struct subject subjects[FILES];
static size_t largest = 1 << 18;
static uint64_t seed = 1, state, number;
static FILE *log_file;
static const char *log_path = "none (-l)", *directory;
static uint8_t *scratch;
static enum { FAULT_NONE, FAULT_BYTE, FAULT_SIZE, FAULT_LOST, FAULT_STALE } fault;
static uint64_t fault_at;
static bool fault_due;
static struct step history[LAST];

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static const char *name_of(const struct step *step);

static void print_step(FILE *out, uint64_t which, const struct step *step)
{
	fprintf(out, "%" PRIu64 " %s %u %zu %zu %u %zu\n", which, name_of(step), step->file, step->offset, step->length, step->from_file, step->from);
}

static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("fsx: operation %" PRIu64 " of seed %" PRIu64 ": ", number, seed);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\nfsx: the last ones (number, what, file, offset, length, from file, from offset):\n");
	for (uint64_t n = number < LAST ? 0 : number - LAST + 1; n <= number; n++)
		print_step(stdout, n, &history[n % LAST]);
	printf("fsx: do it again with: fsx -s %" PRIu64 " -n %" PRIu64 " -m %zu %s, or -r %s\n", seed, number + 1, largest, directory, log_path);
	if (log_file)
		fflush(log_file);
	exit(1);
}

/* ---- chance ---- */

static uint64_t mixed(uint64_t value)
{
	value += 0x9e3779b97f4a7c15;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

static size_t chance(size_t below)
{
	state += 0x9e3779b97f4a7c15;
	return below ? (size_t)(mixed(state) % below) : 0;
}

/* Often at the edge of a block, where the mistakes are. */
static size_t any_offset(size_t below)
{
	size_t offset = chance(below);
	switch (chance(4)) {
	case 0:
		return offset & ~(size_t)4095;
	case 1:
		offset = (offset & ~(size_t)4095) + chance(3);
		return offset ? offset - 1 : 0;
	default:
		return offset;
	}
}

static void make_content(uint8_t *out, size_t offset, size_t length)
{
	uint64_t base = mixed(seed ^ mixed(number));
	for (size_t i = 0; i < length; i++)
		out[i] = (uint8_t)(base >> ((offset + i) % 8 * 8)) ^ (uint8_t)((offset + i) >> 8) ^ (uint8_t)(offset + i);
}

/* ---- what should be there ---- */

static void compare(const struct subject *subject, size_t offset, const uint8_t *got, size_t length, const char *how)
{
	const uint8_t *expected = subject->expected + offset;

	if (!memcmp(expected, got, length))
		return;
	size_t first = 0, last = length - 1;
	while (expected[first] == got[first])
		first++;
	while (expected[last] == got[last])
		last--;
	fail("%s by %s: bytes %zu to %zu differ (%02x for %02x at the first)", subject->path, how, offset + first, offset + last, got[first], expected[first]);
}

static void check_size(const struct subject *subject)
{
	struct stat attributes;

	if (fstat(subject->fd, &attributes))
		fail("%s: fstat: %s", subject->path, strerror(errno));
	if ((size_t)attributes.st_size != subject->size)
		fail("%s has %jd bytes, not %zu", subject->path, (intmax_t)attributes.st_size, subject->size);
	if (stat(subject->path, &attributes))
		fail("%s: stat: %s", subject->path, strerror(errno));
	if ((size_t)attributes.st_size != subject->size || attributes.st_nlink != 1)
		fail("%s has %jd bytes and %ju names by its path, not %zu and 1", subject->path, (intmax_t)attributes.st_size, (uintmax_t)attributes.st_nlink, subject->size);
}

static void check_all(const struct subject *subject, int fd, const char *how)
{
	/* one byte more than there should be */
	ssize_t count = pread(fd, scratch, subject->size + 1, 0);
	if (count < 0)
		fail("%s: read of all by %s: %s", subject->path, how, strerror(errno));
	if ((size_t)count != subject->size)
		fail("%s: %zd bytes can be read by %s, not %zu", subject->path, count, how, subject->size);
	compare(subject, 0, scratch, subject->size, how);
}

/* What lies between the old end and a new one is zeros. */
static void grow(struct subject *subject, size_t end)
{
	if (end <= subject->size)
		return;
	memset(subject->expected + subject->size, 0, end - subject->size);
	subject->size = end;
}

static void shrink(struct subject *subject, size_t size)
{
	grow(subject, size);
	subject->size = size;
}

/* ---- operations: 0, or the errno of what the file system can not do ---- */

static int unless_possible(const char *what, const struct subject *subject)
{
	if (errno == EOPNOTSUPP || errno == ENOSYS)
		return errno;
	fail("%s: %s: %s", subject->path, what, strerror(errno));
}

static void all_of(const struct subject *subject, ssize_t count, size_t length, const char *what)
{
	if (count < 0)
		fail("%s: %s: %s", subject->path, what, strerror(errno));
	if ((size_t)count != length)
		fail("%s: %s of %zu bytes: %zd", subject->path, what, length, count);
}

static int do_read(struct subject *subject, const struct step *step)
{
	size_t left = step->offset < subject->size ? subject->size - step->offset : 0;
	size_t expected = left < step->length ? left : step->length;
	bool vector = step->length % 3 == 0;
	struct iovec parts[2] = {{scratch, step->length / 2}, {scratch + step->length / 2, step->length - step->length / 2}};
	int fd = step->length % 2 ? subject->fd : subject->second;

	ssize_t count = vector ? preadv(fd, parts, 2, (off_t)step->offset) : pread(fd, scratch, step->length, (off_t)step->offset);
	all_of(subject, count, expected, "read");
	compare(subject, step->offset, scratch, expected, "read");
	return 0;
}

static int do_write(struct subject *subject, const struct step *step)
{
	struct iovec parts[2] = {{scratch, step->length / 2}, {scratch + step->length / 2, step->length - step->length / 2}};

	make_content(scratch, step->offset, step->length);
	grow(subject, step->offset + step->length);
	memcpy(subject->expected + step->offset, scratch, step->length);
	if (fault_due && fault == FAULT_LOST) {
		fault_due = false;
		return 0;
	}
	ssize_t count = step->length % 3 ? pwrite(subject->fd, scratch, step->length, (off_t)step->offset) : pwritev(subject->fd, parts, 2, (off_t)step->offset);
	all_of(subject, count, step->length, "write");
	return 0;
}

static int do_append(struct subject *subject, const struct step *step)
{
	size_t offset = subject->size, length = largest - offset < step->length ? largest - offset : step->length;

	make_content(scratch, offset, length);
	grow(subject, offset + length);
	memcpy(subject->expected + offset, scratch, length);
	all_of(subject, write(subject->second, scratch, length), length, "append");
	return 0;
}

static uint8_t *map(const struct subject *subject, size_t start, size_t length, int protection, int flags)
{
	uint8_t *view = mmap(NULL, length, protection, flags, subject->fd, (off_t)start);
	if (view == MAP_FAILED)
		fail("%s: mmap of %zu bytes: %s", subject->path, length, strerror(errno));
	return view;
}

static int do_mapped_read(struct subject *subject, const struct step *step)
{
	size_t start = step->offset & ~(size_t)4095;

	if (step->offset >= subject->size)
		return 0;
	size_t end = step->offset + step->length < subject->size ? step->offset + step->length : subject->size;
	size_t mapped = (end - start + 4095) & ~(size_t)4095;
	uint8_t *view = map(subject, start, mapped, PROT_READ, step->length % 2 ? MAP_SHARED : MAP_PRIVATE);
	compare(subject, step->offset, view + (step->offset - start), end - step->offset, "mapping");
	for (size_t i = end - start; end == subject->size && i < mapped; i++)
		if (view[i])
			fail("%s by mapping: byte %zu, beyond the end, is not 0", subject->path, start + i);
	munmap(view, mapped);
	return 0;
}

static int do_mapped_write(struct subject *subject, const struct step *step)
{
	size_t start = step->offset & ~(size_t)4095, end = step->offset + step->length;

	if (end > subject->size && ftruncate(subject->fd, (off_t)end))
		fail("%s: ftruncate: %s", subject->path, strerror(errno));
	grow(subject, end);
	make_content(subject->expected + step->offset, step->offset, step->length);
	uint8_t *view = map(subject, start, end - start, PROT_READ | PROT_WRITE, MAP_SHARED);
	memcpy(view + (step->offset - start), subject->expected + step->offset, step->length);
	if (fault_due && fault == FAULT_STALE && step->length) {
		view[step->offset - start] ^= 1;
		fault_due = false;
	}
	if (step->length % 4 == 0 && msync(view, end - start, step->length % 8 ? MS_SYNC : MS_ASYNC))
		fail("%s: msync: %s", subject->path, strerror(errno));
	munmap(view, end - start);
	return 0;
}

static int do_truncate(struct subject *subject, const struct step *step)
{
	bool by_path = step->length % 2;
	if (by_path ? truncate(subject->path, (off_t)step->offset) : ftruncate(subject->fd, (off_t)step->offset))
		fail("%s: truncate to %zu: %s", subject->path, step->offset, strerror(errno));
	shrink(subject, step->offset);
	return 0;
}

static int allocate(const struct subject *subject, int mode, size_t offset, size_t length, const char *what)
{
	return fallocate(subject->fd, mode, (off_t)offset, (off_t)length) ? unless_possible(what, subject) : 0;
}

static int do_allocate(struct subject *subject, const struct step *step)
{
	bool keep = step->length % 2;
	int error = allocate(subject, keep ? FALLOC_FL_KEEP_SIZE : 0, step->offset, step->length, "fallocate");
	if (!error && !keep)
		grow(subject, step->offset + step->length);
	return error;
}

static void clear(struct subject *subject, size_t offset, size_t length)
{
	if (offset < subject->size)
		memset(subject->expected + offset, 0, subject->size - offset < length ? subject->size - offset : length);
}

static int do_punch(struct subject *subject, const struct step *step)
{
	int error = allocate(subject, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, step->offset, step->length, "punching");
	if (!error)
		clear(subject, step->offset, step->length);
	return error;
}

static int do_zero(struct subject *subject, const struct step *step)
{
	bool keep = step->length % 2;
	int error = allocate(subject, FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0), step->offset, step->length, "zeroing");
	if (error)
		return error;
	clear(subject, step->offset, step->length);
	if (!keep)
		grow(subject, step->offset + step->length);
	return 0;
}

/* Whole blocks only, and not up to the end. */
static bool whole_blocks(const struct subject *subject, const struct step *step, size_t *offset, size_t *length)
{
	*offset = step->offset & ~(size_t)4095;
	*length = (step->length & ~(size_t)4095) + 4096;
	return *offset + *length < subject->size;
}

static int do_collapse(struct subject *subject, const struct step *step)
{
	size_t offset, length;

	if (!whole_blocks(subject, step, &offset, &length))
		return 0;
	int error = allocate(subject, FALLOC_FL_COLLAPSE_RANGE, offset, length, "collapsing");
	if (error)
		return error;
	memmove(subject->expected + offset, subject->expected + offset + length, subject->size - offset - length);
	subject->size -= length;
	return 0;
}

static int do_insert(struct subject *subject, const struct step *step)
{
	size_t offset, length;

	if (!whole_blocks(subject, step, &offset, &length) || subject->size + length > largest)
		return 0;
	int error = allocate(subject, FALLOC_FL_INSERT_RANGE, offset, length, "inserting");
	if (error)
		return error;
	memmove(subject->expected + offset + length, subject->expected + offset, subject->size - offset);
	memset(subject->expected + offset, 0, length);
	subject->size += length;
	return 0;
}

/* The two ranges of one file may not overlap. */
static int do_copy(struct subject *subject, const struct step *step)
{
	struct subject *source = &subjects[step->from_file];
	size_t left = step->from < source->size ? source->size - step->from : 0, length = step->length < left ? step->length : left, done = 0;

	if (source == subject) {
		size_t apart = step->from > step->offset ? step->from - step->offset : step->offset - step->from;
		length = length < apart ? length : apart;
	}
	while (done < length) {
		off_t from = (off_t)(step->from + done), to = (off_t)(step->offset + done);
		ssize_t count = copy_file_range(source->fd, &from, subject->fd, &to, length - done, 0);
		if (count < 0)
			return unless_possible("copy_file_range", subject);
		if (count == 0)
			fail("%s: copy_file_range of %zu bytes ends after %zu", subject->path, length, done);
		done += (size_t)count;
	}
	if (length) {
		grow(subject, step->offset + length);
		memcpy(subject->expected + step->offset, source->expected + step->from, length);
	}
	return 0;
}

static int do_sync(struct subject *subject, const struct step *step)
{
	if (step->length % 2 ? fsync(subject->fd) : fdatasync(subject->second))
		fail("%s: fsync: %s", subject->path, strerror(errno));
	return 0;
}

static int do_seek(struct subject *subject, const struct step *step)
{
	off_t data = lseek(subject->fd, (off_t)step->offset, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return unless_possible("seeking data", subject);
	size_t end = data < 0 ? subject->size : (size_t)data;
	for (size_t i = step->offset; i < end && i < subject->size; i++)
		if (subject->expected[i])
			fail("%s: byte %zu is data, but by SEEK_DATA from %zu on the next are at %jd", subject->path, i, step->offset, (intmax_t)data);
	if (data >= 0 && (size_t)data >= subject->size)
		fail("%s: data at %jd, beyond the end", subject->path, (intmax_t)data);
	return 0;
}

static int open_one(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		fail("%s: open: %s", path, strerror(errno));
	return fd;
}

/* Of the two descriptors now one, now the other is first, and at times there is none. */
static int do_reopen(struct subject *subject, const struct step *step)
{
	if (close(subject->second))
		fail("%s: close: %s", subject->path, strerror(errno));
	if (step->length % 2 && close(subject->fd))
		fail("%s: close: %s", subject->path, strerror(errno));
	int fd = open_one(subject->path, O_RDONLY);
	check_all(subject, fd, "a new descriptor");
	close(fd);
	if (step->length % 2)
		subject->fd = open_one(subject->path, O_RDWR);
	subject->second = open_one(subject->path, O_RDWR | O_APPEND);
	return 0;
}

static int do_rename(struct subject *subject, const struct step *step)
{
	char path[PATH_MAX];

	if (rename(subject->path, subject->other_path))
		fail("%s: rename: %s", subject->path, strerror(errno));
	memcpy(path, subject->path, sizeof(path));
	memcpy(subject->path, subject->other_path, sizeof(path));
	memcpy(subject->other_path, path, sizeof(path));
	return 0;
}

/* By another name it is the same file, and stays when the first one goes. */
static int do_link(struct subject *subject, const struct step *step)
{
	if (link(subject->path, subject->other_path))
		fail("%s: link: %s", subject->path, strerror(errno));
	int fd = open_one(subject->other_path, O_RDONLY);
	check_all(subject, fd, "its other name");
	close(fd);
	if (unlink(step->length % 2 ? subject->other_path : subject->path))
		fail("%s: unlink: %s", subject->path, strerror(errno));
	if (step->length % 2)
		return 0;
	if (rename(subject->other_path, subject->path))
		fail("%s: rename: %s", subject->path, strerror(errno));
	return 0;
}

/* ---- which there are ---- */

static struct operation {
	const char *name;
	unsigned int weight;
	int (*run)(struct subject *subject, const struct step *step);
	uint64_t done;
	int impossible; /* errno */
} operations[] = {
	{"read", 16, do_read, 0, 0},	     {"write", 16, do_write, 0, 0},	  {"append", 4, do_append, 0, 0},
	{"mapped-read", 16, do_mapped_read, 0, 0}, {"mapped-write", 16, do_mapped_write, 0, 0}, {"truncate", 8, do_truncate, 0, 0},
	{"allocate", 6, do_allocate, 0, 0},  {"punch", 6, do_punch, 0, 0},	  {"zero", 6, do_zero, 0, 0},
	{"collapse", 4, do_collapse, 0, 0},  {"insert", 4, do_insert, 0, 0},	  {"copy", 8, do_copy, 0, 0},
	{"sync", 1, do_sync, 0, 0},	     {"seek", 3, do_seek, 0, 0},	  {"reopen", 3, do_reopen, 0, 0},
	{"rename", 1, do_rename, 0, 0},	     {"link", 1, do_link, 0, 0},
};
#define KINDS (sizeof(operations) / sizeof(operations[0]))

static const char *name_of(const struct step *step)
{
	return operations[step->kind].name;
}

static struct step choose(void)
{
	unsigned int total = 0, kind = 0;
	struct step step;

	for (unsigned int i = 0; i < KINDS; i++)
		total += operations[i].weight;
	unsigned int pick = (unsigned int)chance(total);
	while (pick >= operations[kind].weight)
		pick -= operations[kind++].weight;
	step.kind = kind;
	step.file = (unsigned int)chance(FILES);
	step.from_file = (unsigned int)chance(FILES);
	step.offset = any_offset(largest - 1);
	/* mostly short */
	size_t room = largest - step.offset, most = chance(4) ? 9000 : 70000;
	step.length = 1 + any_offset(room < most ? room : most);
	if (step.length > room)
		step.length = room;
	step.from = any_offset(largest - 1);
	return step;
}

static bool next_from(FILE *replayed, struct step *step)
{
	char name[32];
	uint64_t which;

	if (fscanf(replayed, "%" SCNu64 " %31s %u %zu %zu %u %zu", &which, name, &step->file, &step->offset, &step->length, &step->from_file, &step->from) != 7)
		return false;
	for (step->kind = 0; step->kind < KINDS && strcmp(operations[step->kind].name, name);)
		step->kind++;
	return which == number && step->kind < KINDS && step->file < FILES && step->from_file < FILES && step->offset <= largest && step->length <= largest &&
	       step->offset + step->length <= largest;
}

/* Somebody else's mistake, for the test of this test. */
static void spoil(struct subject *subject)
{
	uint8_t byte;

	if (fault == FAULT_SIZE && ftruncate(subject->fd, (off_t)subject->size + 1))
		fail("the fault can not be made: %s", strerror(errno));
	if (fault == FAULT_BYTE) {
		if (!subject->size)
			return;
		byte = subject->expected[subject->size / 2] ^ 1;
		all_of(subject, pwrite(subject->fd, &byte, 1, (off_t)subject->size / 2), 1, "fault");
	}
	fault_due = fault == FAULT_LOST || fault == FAULT_STALE;
	fault = fault_due ? fault : FAULT_NONE;
}

static void run_step(const struct step *step)
{
	struct operation *operation = &operations[step->kind];
	struct subject *subject = &subjects[step->file];

	history[number % LAST] = *step;
	if (log_file)
		print_step(log_file, number, step);
	if (fault && !fault_due && number >= fault_at)
		spoil(subject);
	if (!operation->impossible) {
		operation->impossible = operation->run(subject, step);
		operation->done += !operation->impossible;
	}
	check_size(subject);
	if (number % LOOK_AT_ALL == LOOK_AT_ALL - 1)
		for (unsigned int i = 0; i < FILES; i++)
			check_all(&subjects[i], subjects[i].second, "read");
}

/* ---- starting and ending ---- */

static void begin(void)
{
	scratch = malloc(largest + 1);
	for (unsigned int i = 0; i < FILES; i++) {
		struct subject *subject = &subjects[i];
		subject->expected = calloc(1, largest);
		if (!scratch || !subject->expected)
			fail("no memory");
		if (snprintf(subject->path, PATH_MAX, "%s/fsx-%u", directory, i) >= PATH_MAX ||
		    snprintf(subject->other_path, PATH_MAX, "%s/fsx-%u-renamed", directory, i) >= PATH_MAX)
			fail("'%s' is too long", directory);
		unlink(subject->other_path); /* a failure has left it */
		subject->fd = open_one(subject->path, O_RDWR | O_CREAT | O_TRUNC);
		subject->second = open_one(subject->path, O_RDWR | O_APPEND);
	}
}

static void end(void)
{
	for (unsigned int i = 0; i < FILES; i++) {
		struct subject *subject = &subjects[i];
		check_all(subject, subject->fd, "read");
		if (close(subject->fd) || close(subject->second))
			fail("%s: close: %s", subject->path, strerror(errno));
		free(subject->expected);
	}
	free(scratch);
	printf("fsx: seed %" PRIu64 ": %" PRIu64 " operations, no difference:", seed, number);
	for (unsigned int i = 0; i < KINDS; i++) {
		if (operations[i].impossible)
			printf(" %s: %s", operations[i].name, strerror(operations[i].impossible));
		else
			printf(" %s %" PRIu64, operations[i].name, operations[i].done);
		printf(i + 1 < KINDS ? "," : "\n");
	}
}

static bool set_fault(const char *text)
{
	static const char *const kinds[] = {NULL, "byte", "size", "lost", "stale"};
	char kind[8];

	if (sscanf(text, "%7[a-z]:%" SCNu64, kind, &fault_at) != 2)
		return false;
	for (unsigned int i = 1; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i], kind))
			fault = (__typeof__(fault))i;
	return fault != FAULT_NONE;
}

static int usage(void)
{
	fprintf(stderr, "usage: fsx [-n OPERATIONS] [-s SEED] [-m LARGEST] [-l LOG] [-r LOG] [-f byte|size|lost|stale:NUMBER] DIRECTORY\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t count = 10000;
	FILE *replayed = NULL;
	struct step step;
	int option;

	while ((option = getopt(argc, argv, "n:s:m:l:r:f:")) != -1) {
		if (option == 'n')
			count = strtoull(optarg, NULL, 10);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (option == 'm')
			largest = strtoull(optarg, NULL, 10);
		else if (option == 'l' && !(log_file = fopen(log_path = optarg, "w")))
			return perror(optarg), 2;
		else if (option == 'r' && !(replayed = fopen(optarg, "r")))
			return perror(optarg), 2;
		else if (option == '?' || (option == 'f' && !set_fault(optarg)))
			return usage();
	}
	if (optind + 1 != argc || largest < 65536)
		return usage();
	directory = argv[optind];
	if (replayed && fscanf(replayed, "fsx %" SCNu64 " %zu\n", &seed, &largest) != 2)
		return fprintf(stderr, "fsx: that is no log\n"), 2;
	if (log_file)
		fprintf(log_file, "fsx %" PRIu64 " %zu\n", seed, largest);
	state = mixed(seed);
	begin();
	for (number = 0; replayed ? next_from(replayed, &step) : number < count; number++) {
		if (!replayed)
			step = choose();
		run_step(&step);
	}
	if (replayed && !feof(replayed))
		return fprintf(stderr, "fsx: line %" PRIu64 " of the log is no operation\n", number + 2), 2;
	end();
	return 0;
}
