/* mount - what the files of fs/mount share: one file system, its handles, and how a request is answered */
#ifndef SEALFS_MOUNT_H
#define SEALFS_MOUNT_H

#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "sealfs/creds.h"
#include "sealfs/gate.h"
#include "sealfs/node.h"

#define SEALED_TIMEOUT 86400.0 /* seconds that the kernel may keep names and attributes inside a sealed checkpoint */
#define DIRECTORY_TIMEOUT 1.0 /* … and attributes (never names) of all other directories, which are shown to everybody at any time */
/* … and attributes of a file that it has just made, for its own permission check of this open. Whoever else asks comes by a look-up, which ends it. */
#define CREATED_TIMEOUT 0.02
#define CREATED_NS 20000000u
#define CHECKPOINT_TIMEOUT 1.0 /* … and those of the checkpoint itself, which may be removed elsewhere */

struct mount {
	struct fuse_session *session;
	int device; /* /dev/fuse */
	uint64_t number; /* the mount's st_dev */
	struct gate *gate;
	struct nodes nodes;
	unsigned int depth;
	bool read_only;
	bool want_passthrough;
	atomic_bool passthrough; /* the kernel agreed, and no backing file was refused so far */
	bool exit_info;
	bool posix_locks; /* fcntl locks are taken on the export */
	bool remote; /* the export is a network file system: what it says may be old, and an error come as late as close */
	const char *verify;
	bool verify_blocks; /* verify=read: sealed content goes through the daemon */
	unsigned int wait_timeout;
	char *export_path;
	unsigned int protocol_minor;
	void (*ready)(struct mount *mount); /* INIT was answered */
	struct handle *handles; /* all there are; nodes.lock */
};

struct call;

/* An open file or directory. */
struct handle {
	struct handle *prev, *next; /* of the node, nodes->lock */
	struct handle *all_prev, *all_next; /* of the mount, nodes->lock */
	struct node *node;	    /* a reference */
	int fd;
	bool passthrough;
	/* sealed and small: the kernel keeps the content instead of having it passed through (io_keep_sealed); a sealed directory: it may show what it has kept */
	bool kept;
	uint64_t made_ns; /* when it made the file, 0: that had been there, or was given an attribute since; nodes->lock */
	bool keeps_locks; /* fcntl locks of it are the export's, and the kernel tells of each close */
	atomic_bool is_locked; /* … and somebody's came through it */
	atomic_int flock_fd; /* what flock() is done on, once somebody has; or -1 */
	struct gate_write_handle writing;
	/* a sealed file whose blocks are checked as they are read, or that is kept; its checkpoint is `sealed` */
	struct tree_reader *reader;
	size_t index;
	/* directories */
	pthread_mutex_t lock; /* position of fd; making flock_fd */
	struct gate_sealed *sealed; /* listed by its manifest */
	char *sealed_path;
	/* how many sealed names the listing has given so far, as long as it is read from its beginning on without a leap */
	size_t expected, listed;
	off_t listed_to; /* where the next part must begin; -1: it leapt */
	/* control calls */
	char *reply;
	size_t reply_size;
	struct trial *run; /* a wrapper's sign of life */
	struct call *ending; /* the end of its run, which a signal broke off */
};

static inline struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct node *node_of(struct mount *mount, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? mount->nodes.root : (struct node *)(uintptr_t)ino;
}

static inline fuse_ino_t number_of(struct mount *mount, const struct node *node)
{
	return node == mount->nodes.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static inline struct gate_caller caller_of(fuse_req_t req)
{
	const struct fuse_ctx *context = fuse_req_ctx(req);
	return (struct gate_caller){.tid = context->pid, .uid = context->uid, .gid = context->gid};
}

/* Until the scope ends the thread acts on the export as the one who asks. */
#define AS_CALLER(req) CREDS_SCOPE(fuse_req_ctx(req)->uid, fuse_req_ctx(req)->gid, fuse_req_ctx(req)->pid)

/* ---- admit.c: a node meets the gate ---- */

/* A change that was admitted, or a look; always closed by admission_end(). */
struct admission {
	struct mount *mount;
	struct node_home home;
	struct gate_view view;
	bool live; /* a live file: neither gated nor sealed */
};
/* `name` is what is about to be made, changed or looked up in directory `node`, or NULL: the node itself. */
int admit(struct mount *mount, struct node *node, const char *name, const struct gate_caller *caller, enum gate_want want,
	  struct admission *admission);
void admission_end(struct admission *admission);
/* Nothing admitted as yet; admission_end() does nothing. (The path, which is large, stays as it is.) */
static inline void admission_none(struct mount *mount, struct admission *admission)
{
	memset(&admission->view, 0, sizeof(admission->view));
	admission->mount = mount;
	admission->live = false;
	admission->home.checkpoint = NULL;
	admission->home.path[0] = '\0';
}

/* Is a file of that name, inside a checkpoint, a live one? */
bool path_is_live(struct mount *mount, const char *path);

/* Names that are never shown and never made: 0 or -ENOENT. */
int name_hidden(struct mount *mount, struct node *parent, const char *name);

/* The manifest entry of a path below the checkpoint ("" for itself); NULL if it is not sealed. */
struct manifest_entry *sealed_entry(struct gate_sealed *sealed, const char *path);
/* The same of a node, whose place in the manifest is mostly known. */
struct manifest_entry *sealed_entry_of(struct gate_sealed *sealed, const struct node *node, const char *path);
/* `path` of the checkpoint contradicts its seal, as far as is known. -EBADMSG, logged with `what`; or -ESTALE: it is not sealed so any more, and the path must be
 * walked again. */
int sealed_contradicted(struct mount *mount, const struct gate_sealed *sealed, const char *path, const char *what);
/* Does what stands there look like that entry (type, size, executable bit)? 0 or as above. */
/* Does it look like that? Says nothing. */
bool sealed_looks_like(const struct manifest_entry *entry, const struct stat *attributes);
int sealed_matches(struct mount *mount, const struct gate_sealed *sealed, const struct manifest_entry *entry, const struct stat *attributes);

/* ---- spot.c ---- */

/* One end of a change: a name in a directory, admitted by the gate. */
struct spot {
	struct mount *mount;
	struct node *parent;
	const char *name;
	bool above;			    /* above checkpoints: plain */
	bool top;			    /* the name is a checkpoint's own */
	struct gate_checkpoint *checkpoint; /* top: a reference */
	struct gate_view view;		    /* top */
	struct admission admission;	    /* inside */
};
/* `top` is what is wanted when the name is a checkpoint's own, `inside` when it is in one. 0 or -errno; spot_end() is due in any case. */
int spot_begin(struct spot *spot, struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller,
	       enum gate_want top, enum gate_want inside);
/* Not every name at that depth is a checkpoint: symlinks, FIFOs, sockets and devices are plain, wherever nothing is sealed, open or reserved. */
int spot_begin_plain(struct spot *spot, struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller);
enum gate_answer spot_answer(const struct spot *spot);
void spot_end(struct spot *spot);

/* ---- lookup.c ---- */
/* Makes the answer for parent/name as the caller may see it. 0 or -errno; *param.ino 0: a name that is known not to exist. */
int look_up(struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller, struct fuse_entry_param *entry);
/* The entry for a name that was just made by the caller; `fd` is open on it, or -1. */
int entry_made(struct mount *mount, struct node *parent, const char *name, int fd, struct fuse_entry_param *entry);

/* ---- attributes.c ---- */
/* What a promise is shown with. */
void promise_attributes(const struct node *node, struct stat *out);
/* Attributes of a node, by its name or by a file that is open on it. */
int node_stat(struct mount *mount, struct node *node, struct stat *out);

/* ---- mappings.c ---- */
/* As gate_options.mapped; `arg` is the mount. */
pid_t mappings_find(void *arg, struct gate_checkpoint *checkpoint, pid_t only);

/* ---- park.c ---- */

/* A request that may have to wait. Allocated; belongs to whoever holds it until it is answered. */
struct parked {
	struct waiter waiter;
	struct mount *mount;
	fuse_req_t req;
	struct node *node;	   /* a reference, or NULL */
	struct gate_checkpoint *checkpoint; /* likewise */
	/* called when the wait is over, from any thread, as the caller; result 0: look again. It answers and frees. */
	void (*resume)(struct parked *parked, int result);
	/* for its use */
	struct fuse_file_info fi;
	struct handle *handle;
	struct gate_sealed *sealed;
	size_t index;
	void *data;
};
struct parked *parked_new(fuse_req_t req, struct node *node, void (*resume)(struct parked *parked, int result));
void parked_free(struct parked *parked);
/* From here the request may be interrupted; to be called before the gate is given parked->waiter. */
void parked_arm(struct parked *parked);
bool parked_interrupted(const void *key);

/*
 * Passes the gate to read `node` (GATE_READ or GATE_STAT), for requests that hold no lock of the kernel's. 0: pass, with *admission filled; 1: the request was parked and must not be
 * touched any more: it ends with ESTALE (walk again) or an error; -errno. `may_wait` false: -EAGAIN instead.
 */
int admit_reader(fuse_req_t req, struct node *node, enum gate_want want, bool may_wait, struct admission *admission);

/* ---- open.c ---- */
/* Opens the node's own file, never another that took its name meanwhile: that is -ESTALE, and the kernel walks the path again. A descriptor, and its attributes; or -errno; -EINTR. */
int open_node(fuse_req_t req, struct node *node, int flags, struct stat *attributes);
/* Opens the file of that name for the request, or makes it. -ESTALE: something that is no file has come under the name since it was looked up. */
int open_or_make(struct node *parent, const char *name, int flags, mode_t mode);

/* ---- io.c ---- */
struct handle *handle_new(struct mount *mount, struct node *node, int fd);
/* Closes everything; the handle is gone. */
void handle_free(struct mount *mount, struct handle *handle);
/* Of a session that is over: what processes still had open. */
void handles_free_all(struct mount *mount);
/*
 * Bytes of a sealed file that the kernel reads by way of the daemon, once, and keeps: a request more at first than to pass it through takes, and at each further
 * open two ioctls less. That pays from the second open on for 4 KiB, from about the sixth for 8; and what is kept lies in memory twice.
 */
#define IO_KEPT_SIZE 8192
/* Before io_attach(), of a sealed file that was found good while it had these attributes: decides whether it is small enough for that. May the kernel keep what it
 * has of the content? */
bool io_keep_sealed(struct mount *mount, struct handle *handle, struct gate_sealed *sealed, size_t index, const struct stat *attributes);
/* Decides how the kernel reads and writes; fills flags and backing id. */
void io_attach(struct mount *mount, struct handle *handle, bool keep_cache, uint32_t *open_flags, int32_t *backing_id);
void io_detach(struct mount *mount, struct handle *handle);
/* Is it open so that the kernel reads it by itself? */
bool io_is_passed_through(struct mount *mount, struct node *node);
void reply_open(fuse_req_t req, struct mount *mount, struct handle *handle, uint32_t open_flags, int32_t backing_id);
void reply_create(fuse_req_t req, struct mount *mount, const struct fuse_entry_param *entry, struct handle *handle, uint32_t open_flags,
		  int32_t backing_id);

/* Says in the log that descriptors ran out, and what to do: once a minute. */
void tell_no_descriptors(int error);

static inline void reply_status(fuse_req_t req, int error)
{
	error = error < 0 ? -error : error;
	if (error == EMFILE || error == ENFILE)
		tell_no_descriptors(error);
	fuse_reply_err(req, error);
}

/* ---- the operations, by file ---- */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned int flags);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *buf, off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
	      size_t in_size, size_t out_size);

/* ---- control.c ---- */
void control_release(struct mount *mount, struct handle *handle);

/* ---- session.c ---- */
/* The kernel drops what it knows of a checkpoint. */
void session_forget(void *arg, const char *path);

#endif
