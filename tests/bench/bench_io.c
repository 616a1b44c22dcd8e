/*
 * bench_io - does one piece of work on a directory and prints how many seconds it took; tests/bench/bench runs it
 *
 *     fill DIR COUNT SIZE          makes DIR with COUNT files f00000, f00001… of SIZE bytes; they stay
 *     create DIR COUNT SIZE        the same, file by file; they are removed afterwards
 *     write DIR SIZE REQUEST       makes DIR and one file in it by requests of REQUEST bytes, no fsync; removed afterwards
 *     read FILE REQUEST            reads a file from its beginning to its end
 *     random FILE READS            4 KiB at random places (the same ones each time)
 *     map FILE READS               a byte of 4 KiB pages at random places, by mmap
 *     open DIR COUNT               open, read and close of all files
 *     stat DIR COUNT               stat of all files
 *     list DIR PASSES              reads the directory so often; the time of one pass
 *
 * What only reads does it twice and measures the second time: that is what "warm" means here. These do it once:
 *
 *     first FILE REQUEST           as read
 *     hash FILE                    SHA-256 of each 4 KiB of it, with as many threads as there are processors: the least that checking it costs
 *     litter DIR COUNT             makes DIR with COUNT empty files; they stay
 *     look DIR COUNT               stat of all files
 *     sweep DIR COUNT              removes them and DIR
 *
 *     wake MOUNT REPEATS WAITERS   so many processes of another trial wait in open() for a checkpoint with one file of 4 KiB; it is sealed
 *     wake-bare DIR REPEATS WAITERS
 *                                  the least that could be: they wait in open() of a FIFO; the file is synced, renamed and its directory
 *                                  synced, then the FIFO opened
 *     seal MOUNT SIZE              a file of SIZE bytes is written to a new checkpoint; the time that its seal takes; removed afterwards
 *     park MOUNT WAITERS           they wait while somebody else measures: "ready", then goes on at every line of standard input, "parked", "over"
 *
 * A line of wake has two times until the last waiter's open() had returned: since the seal (the publishing) was called, and since that
 * call returned. The second can be negative. The trial is that of SEALFS_TRIAL.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sealfs/control.h"

#define PAGE 4096
#define SMALL_FILE 4096
#define REQUEST_LIMIT (16u << 20)
#define WAITERS_LIMIT 20000
#define PATIENCE 3600 /* seconds, for everything; who runs it has less */
#define SEAL_PATIENCE 5.0 /* seconds; a file's close() returns before the mount knows of it */

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	fprintf(stderr, "bench_io: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(error));
	va_end(args);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void pause_for(double seconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&time, NULL);
}

static unsigned long number(const char *text, unsigned long limit)
{
	char *end;

	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno || *end || value < 1 || value > limit) {
		errno = EINVAL;
		die("'%s'", text);
	}
	return value;
}

/* Bytes that no file system finds holes in. */
static char *contents(size_t size)
{
	uint64_t state = 88172645463325252u;
	char *buffer = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);

	if (!buffer)
		die("%zu bytes", size);
	for (size_t i = 0; i < size; i++) {
		state ^= state << 13, state ^= state >> 7, state ^= state << 17;
		buffer[i] = (char)state;
	}
	return buffer;
}

/* ---- writing ---- */

static int open_in(int directory, const char *name, int flags)
{
	int fd = openat(directory, name, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		die("open '%s'", name);
	return fd;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die("open '%s'", path);
	return fd;
}

static void write_file(int directory, const char *name, const char *data, unsigned long size, unsigned long request)
{
	int fd = open_in(directory, name, O_WRONLY | O_CREAT | O_EXCL);

	for (unsigned long done = 0; done < size;) {
		unsigned long part = size - done < request ? size - done : request;
		ssize_t count = write(fd, data, part);
		if (count <= 0)
			die("write '%s'", name);
		done += (unsigned long)count;
	}
	if (close(fd))
		die("close '%s'", name);
}

static void file_name(char *name, size_t size, unsigned long index)
{
	snprintf(name, size, "f%05lu", index);
}

static double make_files(const char *path, unsigned long count, unsigned long size, unsigned long request)
{
	char name[32], *data = contents(request);

	if (mkdir(path, 0755))
		die("mkdir '%s'", path);
	int directory = open_directory(path);
	double began = now();
	for (unsigned long i = 0; i < count; i++) {
		file_name(name, sizeof(name), i);
		write_file(directory, name, data, size, request);
	}
	double seconds = now() - began;
	close(directory);
	free(data);
	return seconds;
}

static void remove_files(const char *path, unsigned long count)
{
	char name[32];
	int directory = open_directory(path);

	for (unsigned long i = 0; i < count; i++) {
		file_name(name, sizeof(name), i);
		if (unlinkat(directory, name, 0))
			die("unlink '%s/%s'", path, name);
	}
	close(directory);
	if (rmdir(path))
		die("rmdir '%s'", path);
}

static double fill(char **words)
{
	unsigned long size = number(words[2], 1ul << 40);

	return make_files(words[0], number(words[1], 100000), size, size < 1 << 20 ? size : 1 << 20);
}

static double create(char **words)
{
	double seconds = fill(words);

	remove_files(words[0], number(words[1], 100000));
	return seconds;
}

static double write_one(char **words)
{
	double seconds = make_files(words[0], 1, number(words[1], 1ul << 40), number(words[2], REQUEST_LIMIT));

	remove_files(words[0], 1);
	return seconds;
}

/* ---- reading: each does one pass ---- */

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("open '%s'", path);
	return fd;
}

static double read_pass(char **words)
{
	unsigned long request = number(words[1], REQUEST_LIMIT);
	char *buffer = contents(request);
	ssize_t count;

	double began = now();
	int fd = open_file(words[0]);
	while ((count = read(fd, buffer, request)) > 0)
		;
	if (count < 0)
		die("read '%s'", words[0]);
	close(fd);
	double seconds = now() - began;
	free(buffer);
	return seconds;
}

/* ---- hashing, on all processors ---- */

#define HASH_PIECE (1u << 20)
#define HASH_THREADS 1024

static struct {
	int fd;
	atomic_ulong next; /* piece that nobody has taken */
} hashing;

static void hash_piece(EVP_MD_CTX *context, const EVP_MD *sha256, const char *data, size_t size)
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	for (size_t at = 0; at < size; at += PAGE)
		if (!EVP_DigestInit_ex(context, sha256, NULL) || !EVP_DigestUpdate(context, data + at, size - at < PAGE ? size - at : PAGE) ||
		    !EVP_DigestFinal_ex(context, digest, NULL))
			die("hash");
}

static void *hash_pieces(void *arg)
{
	EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	char *data = malloc(HASH_PIECE);
	ssize_t count;

	if (!sha256 || !context || !data)
		die("hash");
	while ((count = pread(hashing.fd, data, HASH_PIECE, (off_t)(atomic_fetch_add(&hashing.next, 1) * HASH_PIECE))) > 0)
		hash_piece(context, sha256, data, (size_t)count);
	if (count < 0)
		die("read");
	free(data);
	EVP_MD_CTX_free(context);
	EVP_MD_free(sha256);
	return NULL;
}

static double hash(char **words)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[HASH_THREADS];
	int count = processors < HASH_THREADS ? (int)processors : HASH_THREADS;

	double began = now();
	hashing.fd = open_file(words[0]);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, hash_pieces, NULL))
			die("thread");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	close(hashing.fd);
	return now() - began;
}

/* ---- a great many names ---- */

static void litter_name(char *name, size_t size, unsigned long index)
{
	snprintf(name, size, "l%07lu", index);
}

static double litter(char **words)
{
	unsigned long count = number(words[1], 10000000);
	char name[32];

	double began = now();
	if (mkdir(words[0], 0755))
		die("mkdir '%s'", words[0]);
	int directory = open_directory(words[0]);
	for (unsigned long i = 0; i < count; i++) {
		litter_name(name, sizeof(name), i);
		if (mknodat(directory, name, S_IFREG | 0644, 0))
			die("make '%s'", name);
	}
	close(directory);
	return now() - began;
}

static double look(char **words)
{
	unsigned long count = number(words[1], 10000000);
	struct stat attributes;
	char name[32];

	double began = now();
	int directory = open_directory(words[0]);
	for (unsigned long i = 0; i < count; i++) {
		litter_name(name, sizeof(name), i);
		if (fstatat(directory, name, &attributes, 0))
			die("stat '%s'", name);
	}
	close(directory);
	return now() - began;
}

static double sweep(char **words)
{
	unsigned long count = number(words[1], 10000000);
	char name[32];

	double began = now();
	int directory = open_directory(words[0]);
	for (unsigned long i = 0; i < count; i++) {
		litter_name(name, sizeof(name), i);
		if (unlinkat(directory, name, 0))
			die("unlink '%s'", name);
	}
	close(directory);
	if (rmdir(words[0]))
		die("rmdir '%s'", words[0]);
	return now() - began;
}

static unsigned long pages_of(int fd)
{
	struct stat attributes;

	if (fstat(fd, &attributes) || attributes.st_size < PAGE)
		die("stat");
	return (unsigned long)attributes.st_size / PAGE;
}

static unsigned long random_page(uint64_t *state, unsigned long pages)
{
	*state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
	return *state % pages;
}

static double random_pass(char **words)
{
	unsigned long reads = number(words[1], 1ul << 32);
	uint64_t state = 1234567891;
	int fd = open_file(words[0]);
	unsigned long pages = pages_of(fd);
	char buffer[PAGE];

	double began = now();
	for (unsigned long i = 0; i < reads; i++)
		if (pread(fd, buffer, PAGE, (off_t)(random_page(&state, pages) * PAGE)) != PAGE)
			die("read '%s'", words[0]);
	double seconds = now() - began;
	close(fd);
	return seconds;
}

static double map_pass(char **words)
{
	unsigned long reads = number(words[1], 1ul << 32), pages;
	uint64_t state = 1234567891;
	int fd = open_file(words[0]);

	pages = pages_of(fd);
	double began = now();
	const volatile char *data = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		die("mmap '%s'", words[0]);
	for (unsigned long i = 0; i < reads; i++)
		(void)data[random_page(&state, pages) * PAGE];
	double seconds = now() - began;
	munmap((void *)(uintptr_t)data, pages * PAGE);
	close(fd);
	return seconds;
}

static double open_pass(char **words)
{
	unsigned long count = number(words[1], 100000);
	char path[4200], buffer[SMALL_FILE + 1];

	double began = now();
	for (unsigned long i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/f%05lu", words[0], i);
		int fd = open_file(path);
		if (read(fd, buffer, sizeof(buffer)) <= 0)
			die("read '%s'", path);
		close(fd);
	}
	return now() - began;
}

static double stat_pass(char **words)
{
	unsigned long count = number(words[1], 100000);
	struct stat attributes;
	char path[4200];

	double began = now();
	for (unsigned long i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/f%05lu", words[0], i);
		if (stat(path, &attributes))
			die("stat '%s'", path);
	}
	return now() - began;
}

static double list_pass(char **words)
{
	unsigned long passes = number(words[1], 100000);

	double began = now();
	for (unsigned long i = 0; i < passes; i++) {
		DIR *directory = opendir(words[0]);
		if (!directory)
			die("opendir '%s'", words[0]);
		while (readdir(directory))
			;
		closedir(directory);
	}
	return (now() - began) / (double)passes;
}

/* ---- waiters: processes of another trial, which find here what to do ---- */

struct shared {
	pthread_barrier_t begin, end;
	char path[4096];
	bool over;
	unsigned long waiters;
	int error;
	pid_t pids[WAITERS_LIMIT];
	double ended[WAITERS_LIMIT];
};

static struct shared *shared;

static void share(int fd)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		die("shared memory");
}

/* A child that does not outlive the process that made it. */
static pid_t fork_mortal(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static void waiter(unsigned long index)
{
	shared->pids[index] = getpid();
	for (;;) {
		pthread_barrier_wait(&shared->begin);
		if (shared->over)
			_exit(0);
		int fd = open(shared->path, O_RDONLY | O_CLOEXEC);
		shared->ended[index] = now();
		if (fd < 0)
			shared->error = errno;
		else
			close(fd);
		pthread_barrier_wait(&shared->end);
	}
}

/* The process that the environment of the other trial was given to. */
static int waiters_main(int fd)
{
	int status, failed = 0;

	share(fd);
	for (unsigned long i = 0; i < shared->waiters; i++)
		if (fork_mortal() == 0)
			waiter(i);
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}

static void start_waiters(unsigned long waiters)
{
	pthread_barrierattr_t attributes;
	char text[16];
	int fd = memfd_create("bench_io", 0);

	if (fd < 0 || ftruncate(fd, sizeof(*shared)))
		die("memfd");
	share(fd);
	shared->waiters = waiters;
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->begin, &attributes, (unsigned int)waiters + 1);
	pthread_barrier_init(&shared->end, &attributes, (unsigned int)waiters + 1);
	if (fork_mortal() == 0) {
		snprintf(text, sizeof(text), "%d", fd);
		setenv("SEALFS_TRIAL", "bench-waiters", 1);
		execl("/proc/self/exe", "bench_io", "waiters", text, (char *)NULL);
		die("exec");
	}
	close(fd);
}

static void end_waiters(void)
{
	int status;

	shared->over = true;
	pthread_barrier_wait(&shared->begin);
	while (wait(&status) > 0)
		;
}

/* The time when the last of them had its file. */
static double all_out(void)
{
	double last = 0;

	pthread_barrier_wait(&shared->end);
	if (shared->error) {
		errno = shared->error;
		die("a waiter's open of '%s'", shared->path);
	}
	for (unsigned long i = 0; i < shared->waiters; i++)
		if (shared->ended[i] > last)
			last = shared->ended[i];
	return last;
}

/* ---- waking them: a mount's checkpoint ---- */

static struct sealfs_call call; /* the last call and its answer */

static int call_mount(int root, unsigned int op, const char *path)
{
	memset(&call, 0, sizeof(call));
	call.version = SEALFS_CALL_VERSION;
	call.op = op;
	call.size = (unsigned int)snprintf(call.text, sizeof(call.text), "%s", path) + 4; /* and three empty strings */
	if (ioctl(root, SEALFS_IOC_CALL, &call))
		die("call %u of '%s'", op, path);
	return call.result;
}

/* How many wait on the mount, which nobody else uses. (Its status would tell of each: with so many that alone costs more than their waits do.) */
static unsigned long parked(int root)
{
	static const char mark[] = "\"waiters\":";

	if (call_mount(root, SEALFS_CALL_STATS, ""))
		die("stats: %s", call.text);
	const char *at = strstr(call.text, mark);
	return at ? strtoul(at + sizeof(mark) - 1, NULL, 10) : 0;
}

static void open_checkpoint(int root, const char *mount, const char *name)
{
	static char data[SMALL_FILE] = "a small file";

	snprintf(shared->path, sizeof(shared->path), "%s/%s/file", mount, name);
	if (mkdirat(root, name, 0755))
		die("mkdir '%s'", name);
	int directory = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		die("open '%s'", name);
	write_file(directory, "file", data, sizeof(data), sizeof(data));
	close(directory);
}

static void park_waiters(int root)
{
	pthread_barrier_wait(&shared->begin);
	while (parked(root) < shared->waiters)
		pause_for(shared->waiters > 100 ? 0.02 : 0.001);
	pause_for(shared->waiters > 100 ? 0.2 : 0.003); /* until they sleep soundly, as those do that wait for an hour */
}

/* When it was called last, since it is refused for as long as the mount takes the file for open. */
static void seal(int root, const char *name, double *called, double *returned)
{
	double deadline = now() + SEAL_PATIENCE;
	int result;

	do {
		*called = now();
		result = call_mount(root, SEALFS_CALL_SEAL, name);
		*returned = now();
	} while (result == -EBUSY && now() < deadline);
	if (result) {
		errno = -result;
		die("seal '%s': %s", name, call.text);
	}
}

static void print_wake(double called, double returned, double out)
{
	printf("%.9f %.9f\n", out - called, out - returned);
}

static int wake(char **words)
{
	unsigned long repeats = number(words[1], 100000);
	double called, returned;
	char name[64];
	int root = open_directory(words[0]);

	start_waiters(number(words[2], WAITERS_LIMIT));
	for (unsigned long i = 0; i < repeats; i++) {
		snprintf(name, sizeof(name), "wake-%d-%lu", getpid(), i);
		open_checkpoint(root, words[0], name);
		park_waiters(root);
		seal(root, name, &called, &returned);
		print_wake(called, returned, all_out());
		if (call_mount(root, SEALFS_CALL_REMOVE, name))
			die("remove '%s': %s", name, call.text);
	}
	end_waiters();
	return 0;
}

static double seal_one(char **words)
{
	unsigned long size = number(words[1], 1ul << 40), request = size < 1 << 20 ? size : 1 << 20;
	double called, returned;
	char name[64], *data = contents(request);
	int root = open_directory(words[0]);

	snprintf(name, sizeof(name), "seal-%d", getpid());
	if (mkdirat(root, name, 0755))
		die("mkdir '%s'", name);
	int directory = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		die("open '%s'", name);
	write_file(directory, "file", data, size, request);
	close(directory);
	free(data);
	seal(root, name, &called, &returned);
	if (call_mount(root, SEALFS_CALL_REMOVE, name))
		die("remove '%s': %s", name, call.text);
	return returned - called;
}

static void await_line(const char *word)
{
	char line[16];

	printf("%s\n", word);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(1); /* who measures is gone */
}

static int park(char **words)
{
	double called, returned;
	char name[64];
	int root = open_directory(words[0]);

	snprintf(name, sizeof(name), "park-%d", getpid());
	start_waiters(number(words[1], WAITERS_LIMIT));
	open_checkpoint(root, words[0], name);
	await_line("ready");
	park_waiters(root);
	await_line("parked");
	seal(root, name, &called, &returned);
	all_out();
	if (call_mount(root, SEALFS_CALL_REMOVE, name))
		die("remove '%s': %s", name, call.text);
	await_line("over");
	end_waiters();
	return 0;
}

/* ---- waking them: a FIFO in a bare directory ---- */

static bool in_open(pid_t pid)
{
	char path[64], text[32] = "", wanted[32];

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	char *line = fgets(text, sizeof(text), file);
	fclose(file);
	snprintf(wanted, sizeof(wanted), "%d ", (int)SYS_openat);
	return line && strncmp(line, wanted, strlen(wanted)) == 0;
}

static void park_at_fifo(void)
{
	pthread_barrier_wait(&shared->begin);
	for (unsigned long i = 0; i < shared->waiters;) {
		if (in_open(shared->pids[i]))
			i++;
		else
			pause_for(0.001);
	}
	pause_for(shared->waiters > 100 ? 0.2 : 0.003);
}

static int wake_bare(char **words)
{
	static char data[SMALL_FILE] = "a small file";
	unsigned long repeats = number(words[1], 100000);

	start_waiters(number(words[2], WAITERS_LIMIT));
	if (mkdir(words[0], 0755))
		die("mkdir '%s'", words[0]);
	int directory = open_directory(words[0]);
	if (mkfifoat(directory, "fifo", 0644))
		die("mkfifo");
	snprintf(shared->path, sizeof(shared->path), "%s/fifo", words[0]);
	for (unsigned long i = 0; i < repeats; i++) {
		write_file(directory, "new", data, sizeof(data), sizeof(data));
		park_at_fifo();
		double called = now();
		int fd = open_in(directory, "new", O_RDONLY);
		if (fsync(fd) || renameat(directory, "new", directory, "file") || fsync(directory))
			die("publish");
		double returned = now();
		int fifo = open_in(directory, "fifo", O_WRONLY);
		print_wake(called, returned, all_out());
		close(fifo);
		close(fd);
	}
	end_waiters();
	if (unlinkat(directory, "fifo", 0) || unlinkat(directory, "file", 0) || rmdir(words[0]))
		die("remove '%s'", words[0]);
	return 0;
}

/* ---- main ---- */

static const struct command {
	const char *name;
	int words;
	double (*once)(char **words); /* prints the seconds */
	double (*pass)(char **words); /* the same, of the second pass */
	int (*run)(char **words);
} commands[] = {
	{"fill", 3, fill, NULL, NULL},	     {"create", 3, create, NULL, NULL},	  {"write", 3, write_one, NULL, NULL},
	{"read", 2, NULL, read_pass, NULL},  {"random", 2, NULL, random_pass, NULL}, {"map", 2, NULL, map_pass, NULL},
	{"open", 2, NULL, open_pass, NULL},  {"stat", 2, NULL, stat_pass, NULL},	  {"list", 2, NULL, list_pass, NULL},
	{"first", 2, read_pass, NULL, NULL}, {"hash", 1, hash, NULL, NULL},	  {"litter", 2, litter, NULL, NULL},
	{"look", 2, look, NULL, NULL},	     {"sweep", 2, sweep, NULL, NULL},	  {"seal", 2, seal_one, NULL, NULL},
	{"wake", 3, NULL, NULL, wake},	     {"wake-bare", 3, NULL, NULL, wake_bare},	  {"park", 2, NULL, NULL, park},
};

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "waiters") == 0)
		return waiters_main(atoi(argv[2]));
	alarm(PATIENCE); /* the waiters end with it */
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];
		if (strcmp(argv[1], command->name) != 0 || argc != command->words + 2)
			continue;
		if (command->run)
			return command->run(argv + 2);
		if (command->pass)
			command->pass(argv + 2);
		printf("%.9f\n", command->pass ? command->pass(argv + 2) : command->once(argv + 2));
		return 0;
	}
	fprintf(stderr, "usage: bench_io COMMAND WORD…; the comment at the beginning of tests/bench/bench_io.c tells which\n");
	return 2;
}
