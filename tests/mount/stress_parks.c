/*
 * stress_parks MOUNT - parks, interrupts, wakes, kills and refusals by the thousand, whose counters add up
 *
 *     -r N   rounds (100)            -p N   reader processes (8)
 *     -a N   every N-th round is abandoned instead of sealed (5; 0: none)
 *     -t     the mount has a wait_timeout of one second, and this program lets it pass in every round
 *
 * In each round the writer makes a checkpoint; the readers, processes of another trial, look at it in random ways at random moments,
 * some with a timer that interrupts them, some in a child that is killed; meanwhile the checkpoint is sealed or abandoned. Each attempt must end
 * in one of the ways that its kind allows, with the right bytes if it succeeded, and all attempts of a round must end before the next begins: a lost
 * wake-up would show as a program that never ends. Prints the counters; status 0 if all is as it must be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sealfs/control.h"

#define CONTENT_SIZE 10000

enum outcome { GOT, INTERRUPTED, AGAIN, TIMED_OUT, DIED, ABSENT, KILLED, WRONG, OUTCOMES };
static const char *const outcome_names[OUTCOMES] = {
	"got", "interrupted", "again", "timed out", "owner died", "absent", "killed", "WRONG",
};

enum kind { READ, READ_INTERRUPTIBLY, READ_NOT_WAITING, STAT_OF_PROMISE, LIST, LIST_INTERRUPTIBLY, OPEN_BELOW_PROMISE, KILL_WHILE_READING, KINDS };
static const char *const kind_names[KINDS] = {
	"read", "interruptible read", "non-blocking read", "stat of a missing name", "listing", "interruptible listing",
	"open below a missing directory", "killed reader",
};

struct shared {
	pthread_barrier_t begin, end;
	unsigned int round;
	bool abandoned, over;
	unsigned long attempts, counts[KINDS][OUTCOMES];
	pthread_mutex_t lock; /* of the counts */
};

struct settings {
	const char *mount;
	unsigned int rounds, readers, abandon_every;
	bool timeouts;
};

static struct shared *shared;

static void __attribute__((format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "stress_parks: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(errno));
	va_end(args);
	exit(1);
}

static void pause_up_to(unsigned int microseconds, unsigned int *seed)
{
	usleep((useconds_t)rand_r(seed) % (microseconds + 1)); /* the load itself; nothing relies on it */
}

/* What the byte at an offset of a round's file is. */
static unsigned char content(unsigned int round, unsigned int offset)
{
	return (unsigned char)((round * 2654435761u + offset * 40503u) >> 7);
}

static void checkpoint_name(char *buffer, size_t size, const char *mount, unsigned int round)
{
	snprintf(buffer, size, "%s/c%u", mount, round);
}

/* ---- one attempt of a reader */

static enum outcome outcome_of_errno(int number)
{
	switch (number) {
	case EINTR:
		return INTERRUPTED;
	case EAGAIN:
		return AGAIN;
	case ETIMEDOUT:
		return TIMED_OUT;
	case EOWNERDEAD:
		return DIED;
	case ENOENT:
		return ABSENT;
	default:
		fprintf(stderr, "stress_parks: unexpected: %s\n", strerror(number));
		return WRONG;
	}
}

static enum outcome read_file(const char *path, int flags)
{
	unsigned char data[CONTENT_SIZE + 1];
	int fd = open(path, O_RDONLY | flags);
	ssize_t used;

	if (fd < 0)
		return outcome_of_errno(errno);
	used = read(fd, data, sizeof(data));
	close(fd);
	if (used != CONTENT_SIZE) {
		fprintf(stderr, "stress_parks: round %u: read %zd bytes\n", shared->round, used);
		return WRONG;
	}
	for (unsigned int i = 0; i < CONTENT_SIZE; i++) {
		if (data[i] != content(shared->round, i)) {
			fprintf(stderr, "stress_parks: round %u: byte %u is wrong\n", shared->round, i);
			return WRONG;
		}
	}
	return GOT;
}

static enum outcome list(const char *path)
{
	unsigned int entries = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return outcome_of_errno(errno);
	while (readdir(dir))
		entries++;
	closedir(dir);
	return entries == 3 ? GOT : WRONG; /* ".", ".." and the file */
}

static enum outcome stat_missing(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return WRONG;
	return outcome_of_errno(errno);
}

static enum outcome kill_while_reading(const char *path, unsigned int *seed)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		read_file(path, 0);
		_exit(0);
	}
	pause_up_to(3000, seed);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid) /* hangs here, if a parked process can not be killed */
		die("waitpid");
	return KILLED;
}

static void on_alarm(int number)
{
	(void)number;
}

static void arm(unsigned int microseconds)
{
	struct itimerval timer = { .it_value = { .tv_usec = (suseconds_t)microseconds } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static enum outcome attempt(enum kind kind, const char *checkpoint, unsigned int *seed)
{
	char path[4200];
	enum outcome outcome;
	bool interruptible = kind == READ_INTERRUPTIBLY || kind == LIST_INTERRUPTIBLY;

	snprintf(path, sizeof(path), "%s/%s", checkpoint,
		 kind == STAT_OF_PROMISE ? "never" : kind == OPEN_BELOW_PROMISE ? "no/never" : "file");
	if (interruptible)
		arm(1 + (unsigned int)rand_r(seed) % 5000);
	switch (kind) {
	case READ_NOT_WAITING:
		outcome = read_file(path, O_NONBLOCK);
		break;
	case STAT_OF_PROMISE:
		outcome = stat_missing(path);
		break;
	case LIST:
	case LIST_INTERRUPTIBLY:
		outcome = list(checkpoint);
		break;
	case KILL_WHILE_READING:
		outcome = kill_while_reading(path, seed);
		break;
	default:
		outcome = read_file(path, 0);
		break;
	}
	if (interruptible)
		arm(0);
	return outcome;
}

/* How may an attempt of this kind end? */
static bool allowed(enum kind kind, enum outcome outcome, bool abandoned, bool timeouts)
{
	switch (outcome) {
	case GOT:
		return !abandoned && kind != STAT_OF_PROMISE && kind != OPEN_BELOW_PROMISE;
	case INTERRUPTED:
		return kind == READ_INTERRUPTIBLY || kind == LIST_INTERRUPTIBLY;
	case AGAIN:
		return kind == READ_NOT_WAITING;
	case TIMED_OUT:
		return timeouts;
	case DIED:
		return abandoned;
	case ABSENT:
		return !abandoned && (kind == STAT_OF_PROMISE || kind == OPEN_BELOW_PROMISE);
	case KILLED:
		return kind == KILL_WHILE_READING;
	default:
		return false;
	}
}

/* ---- a reader's process */

static int reader_main(const struct settings *settings, unsigned int number)
{
	struct sigaction action = { .sa_handler = on_alarm }; /* no SA_RESTART: EINTR is what we want to see */
	char checkpoint[4096];
	unsigned int seed = number * 7919 + 1;

	sigaction(SIGALRM, &action, NULL);
	for (;;) {
		pthread_barrier_wait(&shared->begin);
		if (shared->over)
			return 0;
		checkpoint_name(checkpoint, sizeof(checkpoint), settings->mount, shared->round);
		enum kind kind = (enum kind)((unsigned int)rand_r(&seed) % KINDS);
		pause_up_to(2000, &seed);
		enum outcome outcome = attempt(kind, checkpoint, &seed);
		if (!allowed(kind, outcome, shared->abandoned, settings->timeouts)) {
			fprintf(stderr, "stress_parks: round %u (%s): %s ended as '%s'\n", shared->round,
				shared->abandoned ? "abandoned" : "sealed", kind_names[kind], outcome_names[outcome]);
			outcome = WRONG;
		}
		pthread_mutex_lock(&shared->lock);
		shared->attempts++;
		shared->counts[kind][outcome]++;
		pthread_mutex_unlock(&shared->lock);
		pthread_barrier_wait(&shared->end);
	}
}

/* ---- the writer */

static int call(int fd, unsigned int op, const char *path, const char *detail)
{
	static struct sealfs_call request;
	const char *const strings[] = { path, "", "", detail };

	memset(&request, 0, sizeof(request));
	request.version = SEALFS_CALL_VERSION;
	request.op = op;
	for (unsigned int i = 0; i < 4; i++) {
		memcpy(request.text + request.size, strings[i], strlen(strings[i]) + 1);
		request.size += (unsigned int)strlen(strings[i]) + 1;
	}
	if (ioctl(fd, SEALFS_IOC_CALL, &request) < 0)
		die("call %u of '%s'", op, path);
	if (request.result != 0)
		fprintf(stderr, "stress_parks: call %u of '%s': %s\n", op, path, request.text);
	return request.result;
}

static void make(const char *checkpoint, unsigned int round)
{
	unsigned char data[CONTENT_SIZE];
	char path[4200];
	int fd;

	for (unsigned int i = 0; i < CONTENT_SIZE; i++)
		data[i] = content(round, i);
	snprintf(path, sizeof(path), "%s/file", checkpoint);
	if (mkdir(checkpoint, 0755) < 0)
		die("mkdir %s", checkpoint);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, data, CONTENT_SIZE) != CONTENT_SIZE || close(fd) < 0)
		die("write %s", path);
}

static void play(const struct settings *settings, int root, unsigned int round, unsigned int *seed)
{
	char checkpoint[4096], name[32];

	checkpoint_name(checkpoint, sizeof(checkpoint), settings->mount, round);
	snprintf(name, sizeof(name), "c%u", round);
	make(checkpoint, round);
	shared->round = round;
	shared->abandoned = settings->abandon_every && round % settings->abandon_every == 0;
	pthread_barrier_wait(&shared->begin);
	if (settings->timeouts)
		sleep(2); /* the mount's wait_timeout is 1 */
	else
		pause_up_to(4000, seed);
	/* the kernel lets go of a closed file in the background: on a slow machine later than a seal by hand waits for it */
	int result, tries = 0;
	do
		result = call(root, shared->abandoned ? SEALFS_CALL_ABANDON : SEALFS_CALL_SEAL, name, shared->abandoned ? "for the test" : "");
	while (result == -EBUSY && ++tries < 20);
	if (result != 0)
		shared->counts[READ][WRONG]++;
	pthread_barrier_wait(&shared->end);
}

static void prepare(unsigned int readers)
{
	pthread_barrierattr_t barrier;
	pthread_mutexattr_t mutex;

	pthread_barrierattr_init(&barrier);
	pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->begin, &barrier, readers + 1);
	pthread_barrier_init(&shared->end, &barrier, readers + 1);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &mutex);
}

/* A reader is another trial: its environment must be another from its start, so it is this program once more. */
static void start_reader(char **argv, unsigned int number, int fd)
{
	char number_text[16], fd_text[16];
	pid_t writer = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* else it waits at the barrier for ever, if the writer fails */
	if (getppid() != writer)
		_exit(1);
	snprintf(number_text, sizeof(number_text), "%u", number);
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	setenv("SEALFS_TRIAL", "stress-reader", 1);
	setenv("STRESS_READER", number_text, 1);
	setenv("STRESS_SHARED", fd_text, 1);
	execv("/proc/self/exe", argv);
	die("exec");
}

static int report(const struct settings *settings)
{
	unsigned long sum = 0, wrong = 0, expected = (unsigned long)settings->rounds * settings->readers;

	for (unsigned int kind = 0; kind < KINDS; kind++) {
		printf("%-32s", kind_names[kind]);
		for (unsigned int outcome = 0; outcome < OUTCOMES; outcome++) {
			sum += shared->counts[kind][outcome];
			if (outcome == WRONG)
				wrong += shared->counts[kind][outcome];
			if (shared->counts[kind][outcome])
				printf("  %s %lu", outcome_names[outcome], shared->counts[kind][outcome]);
		}
		printf("\n");
	}
	printf("%u rounds, %lu attempts of %lu, %lu counted, %lu wrong\n", settings->rounds, shared->attempts, expected, sum, wrong);
	return wrong || sum != expected || shared->attempts != expected;
}

static int writer_main(const struct settings *settings, char **argv, int fd)
{
	unsigned int seed = 1;
	int root = open(settings->mount, O_RDONLY | O_DIRECTORY), status, failed = 0;

	if (root < 0)
		die("open %s", settings->mount);
	prepare(settings->readers);
	for (unsigned int i = 1; i <= settings->readers; i++)
		start_reader(argv, i, fd);
	for (unsigned int round = 1; round <= settings->rounds; round++)
		play(settings, root, round, &seed);
	shared->over = true;
	pthread_barrier_wait(&shared->begin);
	while (wait(&status) > 0)
		failed |= status != 0;
	return report(settings) || failed;
}

static int usage(void)
{
	fprintf(stderr, "usage: stress_parks [-r ROUNDS] [-p READERS] [-a N] [-t] MOUNT\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct settings settings = { .rounds = 100, .readers = 8, .abandon_every = 5 };
	const char *number = getenv("STRESS_READER"), *inherited = getenv("STRESS_SHARED");
	int option, fd;

	while ((option = getopt(argc, argv, "r:p:a:t")) != -1) {
		switch (option) {
		case 'r':
			settings.rounds = (unsigned int)atoi(optarg);
			break;
		case 'p':
			settings.readers = (unsigned int)atoi(optarg);
			break;
		case 'a':
			settings.abandon_every = (unsigned int)atoi(optarg);
			break;
		case 't':
			settings.timeouts = true;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc - 1)
		return usage();
	settings.mount = argv[optind];
	fd = inherited ? atoi(inherited) : memfd_create("stress_parks", 0);
	if (fd < 0 || (!inherited && ftruncate(fd, sizeof(*shared)) < 0))
		die("memfd");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	return number ? reader_main(&settings, (unsigned int)atoi(number)) : writer_main(&settings, argv, fd);
}
