#include "workers.h"

#include <errno.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "senders.h"
#include "spin.h"

#define WORKERS 64 /* a hard NFS mount can hold some of them */
#define SPARES 10  /* that have nothing to do are kept, … */
#define SPARES_AT_REST 2 /* … and so many where there has been nothing to do for a while */
#define LARGE_FORGET (64 << 10) /* bytes */
#define REST_NS 500000000
#define TICK_NS 1000000
#define QUIET_TICKS 20 /* after which the watch sleeps */
#define SHORT_READ 8192 /* bytes: those of a small sealed file, which was read a moment ago to be verified */
#define SHORT_WRITE 32768 /* bytes that are copied sooner than another thread is awake */
#define QUEUED_NS 3000 /* a request that was there before the thread asked for it comes within this time */

struct workers;

struct worker {
	struct workers *workers;
	pthread_t thread;
	struct worker *next, *next_spare; /* workers->lock */
	bool superfluous;		  /* likewise */
	sem_t wanted;
	struct fuse_buf buffer;
};

struct workers {
	struct fuse_session *session;
	bool always;
	int over_event; /* written when the session has ended by itself */
	atomic_bool over;
	atomic_int error;
	atomic_int readers;  /* wait for a request, or are about to */
	atomic_ulong taken;  /* requests so far */
	atomic_bool watched; /* the watch ticks */
	sem_t watch_wanted;
	pthread_mutex_t lock; /* guards all below */
	struct worker *all, *spares; /* the last to become spare first: what it needs is still in the processor's cache */
	struct worker *gone;	     /* not in the list any more; ends, and is to be joined */
	unsigned int count, spare_count;
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A thread that is cancelled leaves its frames without their ends, where the address sanitizer would tidy up behind it: it is not to mark the stack of those. */
#define ENDS_ANYWHERE __attribute__((no_sanitize("address")))

static void *work(void *arg);

/* Signals are for the thread that runs the session. */
static int start_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

static int add_worker_locked(struct workers *workers)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	worker->workers = workers;
	sem_init(&worker->wanted, 0, 0);
	int error = start_thread(&worker->thread, work, worker);
	if (error) {
		sem_destroy(&worker->wanted);
		free(worker);
		return error;
	}
	worker->next = workers->all;
	workers->all = worker;
	workers->count++;
	return 0;
}

static void join_worker(struct worker *worker)
{
	if (!worker)
		return;
	pthread_join(worker->thread, NULL);
	sem_destroy(&worker->wanted);
	free(worker->buffer.mem);
	free(worker);
}

/* Makes one more thread wait for requests, if nobody does. Where that fails it is whoever is ready first. */
static int hand_over(struct workers *workers)
{
	int nobody = 0;

	/* counted from now on, so that nobody else is called as well */
	if (!atomic_compare_exchange_strong(&workers->readers, &nobody, 1))
		return 0;
	pthread_mutex_lock(&workers->lock);
	struct worker *spare = workers->spares;
	int error = 0;
	if (workers->over) {
		error = -EAGAIN;
	} else if (spare) {
		workers->spares = spare->next_spare;
		workers->spare_count--;
		sem_post(&spare->wanted);
	} else {
		error = workers->count < WORKERS ? add_worker_locked(workers) : -EAGAIN;
	}
	pthread_mutex_unlock(&workers->lock);
	if (error)
		atomic_fetch_sub(&workers->readers, 1);
	return error;
}

/* There are enough without it. Whoever did so before is joined by the next. */
static struct worker *leave_locked(struct worker *worker)
{
	struct workers *workers = worker->workers;
	struct worker **place = &workers->all, *before = workers->gone;

	while (*place != worker)
		place = &(*place)->next;
	*place = worker->next;
	workers->count--;
	workers->gone = worker;
	return before;
}

/* A burst of requests leaves threads, and each of them some memory, that nobody needs until the next. */
static void let_spares_go(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	struct worker **place = &workers->spares;
	for (unsigned int kept = 0; kept < SPARES_AT_REST && *place; kept++)
		place = &(*place)->next_spare;
	while (!workers->over && *place) {
		struct worker *spare = *place;
		*place = spare->next_spare;
		workers->spare_count--;
		spare->superfluous = true;
		sem_post(&spare->wanted);
	}
	pthread_mutex_unlock(&workers->lock);
}

/* Was it waked only to end? */
static bool has_to_leave(struct worker *worker)
{
	struct workers *workers = worker->workers;
	struct worker *before = NULL;

	pthread_mutex_lock(&workers->lock);
	bool leaves = worker->superfluous;
	if (leaves && !workers->over)
		before = leave_locked(worker);
	pthread_mutex_unlock(&workers->lock);
	join_worker(before);
	return leaves;
}

/* Waits until it is to wait for requests. false: it is not needed any more. */
static bool be_spare(struct worker *worker)
{
	struct workers *workers = worker->workers;
	struct worker *before = NULL;

	pthread_mutex_lock(&workers->lock);
	bool stays = !workers->over && workers->spare_count < SPARES;
	if (stays) {
		worker->next_spare = workers->spares;
		workers->spares = worker;
		workers->spare_count++;
	} else if (!workers->over) {
		before = leave_locked(worker);
	}
	pthread_mutex_unlock(&workers->lock);
	join_worker(before);
	if (!stays)
		return false;
	while (!workers->over && sem_wait(&worker->wanted))
		;
	return !workers->over && !has_to_leave(worker);
}

/* To be carried out by whoever took it: what else comes is better off waiting for that than for a thread to wake up. */
static bool is_short(const struct fuse_buf *request)
{
	const struct fuse_in_header *header = request->mem;
	const struct fuse_read_in *read = (const void *)(header + 1);

	if (request->flags & FUSE_BUF_IS_FD || request->size < sizeof(*header))
		return false;
	switch (header->opcode) {
	case FUSE_LOOKUP:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_GETATTR:
	case FUSE_READLINK:
	case FUSE_GETXATTR:
	case FUSE_OPEN:
	case FUSE_CREATE:
	case FUSE_RELEASE:
	case FUSE_OPENDIR:
	case FUSE_RELEASEDIR:
	case FUSE_UNLINK:
		return true;
	case FUSE_READ:
		return request->size >= sizeof(*header) + sizeof(*read) && read->size <= SHORT_READ;
	case FUSE_WRITE:
		return request->size <= SHORT_WRITE;
	default:
		return false;
	}
}

/* The pages that lie between these are of no use to anybody. */
static void give_back(const char *from, const char *to)
{
	const uintptr_t page = 4096;
	uintptr_t first = ((uintptr_t)from + page - 1) / page * page, end = (uintptr_t)to / page * page;

	if (first < end)
		madvise((void *)first, end - first, MADV_DONTNEED);
}

/*
 * The kernel forgets tens of thousands of names in one request, so large as else only writes are, and seldom: every thread that has ever had one would keep a
 * mebibyte for it.
 */
static void give_back_forgotten(const struct fuse_buf *request)
{
	const struct fuse_in_header *header = request->mem;

	if (!(request->flags & FUSE_BUF_IS_FD) && request->size >= LARGE_FORGET && header->opcode == FUSE_BATCH_FORGET)
		give_back(request->mem, (const char *)request->mem + request->size);
}

static void rouse_watch(struct workers *workers)
{
	if (!atomic_load(&workers->watched) && !atomic_exchange(&workers->watched, true))
		sem_post(&workers->watch_wanted);
}

static void end_session(struct workers *workers, int error)
{
	uint64_t one = 1;

	fuse_session_exit(workers->session);
	if (error)
		workers->error = error;
	/* can not fail: nobody writes so often that it were full */
	if (write(workers->over_event, &one, sizeof(one)) < 0)
		abort();
}

ENDS_ANYWHERE static int receive(struct worker *worker)
{
	struct fuse_buf *buffer = &worker->buffer;
	bool first = !buffer->mem;
	int result, before;

	/* so it is waked at the end; libfuse's loops do the same */
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	do {
		result = fuse_session_receive_buf(worker->workers->session, buffer);
	} while (result == -EINTR && !fuse_session_exited(worker->workers->session));
	pthread_setcancelstate(before, NULL);
	/* where names were kept until now the allocator makes it of their pages, and most requests need but one of 257 */
	if (first && result > 0 && !(buffer->flags & FUSE_BUF_IS_FD))
		give_back((const char *)buffer->mem + result, (const char *)buffer->mem + malloc_usable_size(buffer->mem));
	return result;
}

/* A thread's number; 0: nobody waits for the answer. */
static uint32_t sender_of(const struct fuse_buf *request)
{
	const struct fuse_in_header *header = request->mem;

	return request->flags & FUSE_BUF_IS_FD || request->size < sizeof(*header) ? 0 : header->pid;
}

/* Takes requests, as the one who waits for them, until somebody else does. false: the session has ended. */
ENDS_ANYWHERE static bool serve(struct worker *worker)
{
	struct workers *workers = worker->workers;
	struct senders senders = {.last = 0};
	struct spin spin = {.pause = 1}; /* nobody has been answered yet */
	int nobody;

	do {
		uint64_t asked = now_ns();
		if (!workers->always)
			spin_until_readable(&spin, fuse_session_fd(workers->session));
		int result = receive(worker);
		atomic_fetch_sub(&workers->readers, 1);
		if (result <= 0) {
			end_session(workers, result == -EINTR ? 0 : result);
			return false;
		}
		bool many = senders_are_many(&senders, sender_of(&worker->buffer), now_ns() - asked < QUEUED_NS);
		atomic_fetch_add(&workers->taken, 1);
		rouse_watch(workers);
		if (workers->always || many || !is_short(&worker->buffer))
			hand_over(workers);
		fuse_session_process_buf(workers->session, &worker->buffer);
		give_back_forgotten(&worker->buffer);
		nobody = 0;
	} while (atomic_compare_exchange_strong(&workers->readers, &nobody, 1));
	return true;
}

ENDS_ANYWHERE static void *work(void *arg)
{
	struct worker *worker = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (serve(worker) && be_spare(worker))
		;
	return NULL;
}

/* Until there is something to watch. */
static void rest(struct workers *workers)
{
	struct timespec until;
	int waked;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += REST_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	do {
		waked = sem_clockwait(&workers->watch_wanted, CLOCK_MONOTONIC, &until);
	} while (waked && errno == EINTR && !workers->over);
	if (!waked || workers->over)
		return;
	let_spares_go(workers);
	while (!workers->over && sem_wait(&workers->watch_wanted))
		;
}

/* Sees that no request keeps all others from being taken. */
static void *watch(void *arg)
{
	struct workers *workers = arg;
	unsigned long taken = 0, quiet = 0;

	while (!workers->over) {
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
		unsigned long before = taken;
		taken = atomic_load(&workers->taken);
		bool idle = taken == before;
		if (idle && !atomic_load(&workers->readers))
			hand_over(workers);
		quiet = idle ? quiet + 1 : 0;
		if (quiet < QUIET_TICKS || !atomic_load(&workers->readers))
			continue;
		atomic_store(&workers->watched, false);
		/* one that came just now has not seen that */
		if (atomic_load(&workers->taken) != taken && !atomic_exchange(&workers->watched, true))
			continue;
		rest(workers);
		quiet = 0;
	}
	return NULL;
}

/* Until the session ends by itself or by a signal; those are let in only while it waits, so that none is missed. */
static void wait_for_end(struct workers *workers)
{
	struct pollfd event = {.fd = workers->over_event, .events = POLLIN};
	sigset_t ending, before;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &ending, &before);
	while (!fuse_session_exited(workers->session) && ppoll(&event, 1, NULL, &before) <= 0)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void end_workers(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->over = true;
	for (struct worker *worker = workers->all; worker; worker = worker->next) {
		pthread_cancel(worker->thread);
		sem_post(&worker->wanted);
	}
	pthread_mutex_unlock(&workers->lock);
	/* nobody is added or waked any more, and nobody leaves the list */
	while (workers->all) {
		struct worker *worker = workers->all;
		workers->all = worker->next;
		join_worker(worker);
	}
	join_worker(workers->gone);
}

int workers_run(struct fuse_session *session, bool always)
{
	struct workers workers = {.session = session, .always = always, .watched = true, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t watcher;

	workers.over_event = eventfd(0, EFD_CLOEXEC);
	if (workers.over_event < 0)
		return -errno;
	sem_init(&workers.watch_wanted, 0, 0);
	int error = start_thread(&watcher, watch, &workers);
	if (!error) {
		error = hand_over(&workers);
		if (!error)
			wait_for_end(&workers);
		end_workers(&workers);
		sem_post(&workers.watch_wanted);
		pthread_join(watcher, NULL);
	}
	sem_destroy(&workers.watch_wanted);
	pthread_mutex_destroy(&workers.lock);
	close(workers.over_event);
	return error ? error : workers.error;
}
