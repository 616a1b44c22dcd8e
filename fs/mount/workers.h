/*
 * workers - the threads that take requests from the kernel and carry them out
 *
 * One thread at a time waits for the next request. It carries out a short one by itself and then waits again: handing the wait on to another thread costs a wake-up
 * on each request, more than most of them do, and the next request then runs on a processor that knows nothing of the last one. Somebody else takes the wait over
 *
 *     before a request that is long by its kind, or any at all if `always` (on a network file system each can hold its thread),
 *     while several threads send requests faster than they are carried out (senders.h),
 *     as soon as a request has held its thread for a tick of the watch's clock, whatever the reason.
 *
 * It stays awake for the next request where that comes soon (spin.h), but not if `always`.
 *
 * So no request waits behind another for more than two ticks, as long as there are threads. The watch ticks only while requests come.
 */
#ifndef SEALFS_WORKERS_H
#define SEALFS_WORKERS_H

#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

/* Serves until the session has ended (unmounted, or fuse_session_exit() was called by a signal's handler, which runs in the calling thread). 0, -errno, or the signal's number as from
 * fuse_session_loop(). */
int workers_run(struct fuse_session *session, bool always);

#endif
