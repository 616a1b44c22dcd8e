/* session.c - the conversation with the kernel */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel.h"
#include "lock_wait.h"
#include "posix_lock.h"
#include "sealfs/log.h"
#include "workers.h"

static const struct fuse_lowlevel_ops operations;

/* ---- what libfuse 3.14 does not do: the INIT message is seen and amended on its way ---- */

/* What the kernel offered; one session a process. */
static struct kernel_init_in offered;
static struct mount *serving;

static ssize_t read_request(int fd, void *buffer, size_t size, void *userdata)
{
	ssize_t count = read(fd, buffer, size);
	const struct fuse_in_header *header = buffer;

	if (count >= (ssize_t)(sizeof(*header) + 16) && header->opcode == FUSE_INIT) {
		size_t length = (size_t)count - sizeof(*header);
		memcpy(&offered, header + 1, length < sizeof(offered) ? length : sizeof(offered));
	}
	return count;
}

static void amend_init(struct kernel_init_out *out)
{
	struct mount *mount = serving;
	/* set-id bits are cleared by the export's file system, since all is done with the caller's ids: without this the kernel asks for
	 * attributes under the file's lock (which may have to wait), and for security.capability at every write */
	uint32_t kill = offered.flags & KERNEL_HANDLE_KILLPRIV_V2 ? KERNEL_HANDLE_KILLPRIV_V2 : KERNEL_HANDLE_KILLPRIV;

	out->flags |= offered.flags & (KERNEL_PARALLEL_DIROPS | kill);
	mount->protocol_minor = offered.minor;
	bool through = mount->want_passthrough && offered.flags & KERNEL_INIT_EXT && offered.flags2 & KERNEL_PASSTHROUGH2;
	if (through) {
		out->flags |= KERNEL_INIT_EXT;
		out->flags2 |= KERNEL_PASSTHROUGH2;
		out->max_stack_depth = 1;
	}
	mount->passthrough = through;
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	static atomic_bool init_done;

	/* the first answer of a session is the one to INIT */
	bool init = count == 2 && iov[1].iov_len == sizeof(struct kernel_init_out) && !atomic_exchange(&init_done, true);
	if (init)
		amend_init(iov[1].iov_base);
	ssize_t written = writev(fd, iov, count);
	if (init && written >= 0 && serving->ready)
		serving->ready(serving);
	return written;
}

static ssize_t splice_request(int fdin, off_t *offin, int fdout, off_t *offout, size_t size, unsigned int flags, void *userdata)
{
	return splice(fdin, offin, fdout, offout, size, flags);
}

static ssize_t splice_reply(int fdin, off_t *offin, int fdout, off_t *offout, size_t size, unsigned int flags, void *userdata)
{
	return splice(fdin, offin, fdout, offout, size, flags);
}

static const struct fuse_custom_io conversation = {
	.writev = write_reply,
	.read = read_request,
	.splice_receive = splice_request,
	.splice_send = splice_reply,
};

static void op_init(void *userdata, struct fuse_conn_info *connection)
{
	unsigned int wish = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_DONT_MASK | FUSE_CAP_IOCTL_DIR | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_CACHE_SYMLINKS;

	/* symlinks of sealed checkpoints only could be cached, but the flag is for all: their targets change while a trial writes */
	wish &= ~(unsigned int)FUSE_CAP_CACHE_SYMLINKS;
	connection->want |= connection->capable & wish;
	/* the kernel then keeps them by itself, for this mount */
	if (!((struct mount *)userdata)->posix_locks)
		connection->want &= ~(unsigned int)FUSE_CAP_POSIX_LOCKS;
	/* through splice the INIT request would not be seen; large reads come by it, writes are few where the kernel passes them through */
	connection->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
}

/* ---- mounting ---- */

/* Without asking the file system, which nobody serves yet. */
static void learn_number(struct mount *mount, const char *mountpoint)
{
	struct statx x;

	if (!statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x))
		mount->number = makedev(x.stx_dev_major, x.stx_dev_minor);
}

/* 0 or -errno, -EINVAL when an option is not known, which libfuse has said. */
static int make_session(struct mount *mount, const char *program, const char *options, bool debug, struct fuse_session **out)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int error = 0;

	*out = NULL;
	if (fuse_opt_add_arg(&args, program) || fuse_opt_add_arg(&args, "-o") || fuse_opt_add_arg(&args, options) ||
	    (debug && fuse_opt_add_arg(&args, "-d")))
		error = -ENOMEM;
	if (!error)
		*out = fuse_session_new(&args, &operations, sizeof(operations), mount);
	fuse_opt_free_args(&args);
	return error || *out ? error : -EINVAL;
}

int session_check(const char *program, const char *options)
{
	struct fuse_session *session;
	int error = make_session(NULL, program, options, false, &session);

	if (session)
		fuse_session_destroy(session);
	return error;
}

int session_mount(struct mount *mount, const char *program, const char *options, bool debug, const char *mountpoint)
{
	serving = mount;
	int error = make_session(mount, program, options, debug, &mount->session);
	if (!error && fuse_session_mount(mount->session, mountpoint))
		error = errno ? -errno : -EIO;
	if (error)
		return error;
	mount->device = fuse_session_fd(mount->session);
	learn_number(mount, mountpoint);
	return fuse_session_custom_io(mount->session, &conversation, mount->device);
}

/* The loops return the signal that ended them, some libfuse with a minus: that is no failure. */
static int ended_by(int result)
{
	int value = abs(result);
	return value == SIGTERM || value == SIGINT || value == SIGHUP ? 0 : result > 0 ? -result : result;
}

int session_run(struct mount *mount, bool single_threaded)
{
	int error = gate_start(mount->gate);
	if (error)
		return error;
	if (fuse_set_signal_handlers(mount->session))
		return -EINVAL;
	if (single_threaded)
		return ended_by(fuse_session_loop(mount->session));
	return ended_by(workers_run(mount->session, mount->remote));
}

void session_end(struct mount *mount)
{
	gate_abort(mount->gate);
	fuse_remove_signal_handlers(mount->session);
	/* the gate's threads first: none may answer into a descriptor that is closed, and perhaps something else by then */
	gate_stop(mount->gate);
	lock_wait_end();
	posix_lock_end();
	fuse_session_unmount(mount->session);
	handles_free_all(mount);
	nodes_destroy(&mount->nodes);
	gate_destroy(mount->gate);
	fuse_session_destroy(mount->session);
}

void session_forget(void *arg, const char *path)
{
	struct mount *mount = arg;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char above[PATH_MAX] = "";

	if (slash)
		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
	struct node *parent = node_find_path(&mount->nodes, above);
	if (!parent)
		return;
	fuse_lowlevel_notify_inval_entry(mount->session, number_of(mount, parent), name, strlen(name));
	node_put(&mount->nodes, parent);
}

static const struct fuse_lowlevel_ops operations = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write_buf = op_write_buf,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.create = op_create,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.lseek = op_lseek,
	.flock = op_flock,
	.getlk = op_getlk,
	.setlk = op_setlk,
};
