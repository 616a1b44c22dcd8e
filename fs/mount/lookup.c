/* lookup.c - names, as the caller may see them */
#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sealfs/intent.h"
#include "sealfs/log.h"

static void fill_entry(struct mount *mount, struct node *node, const struct stat *attributes, double timeout, struct fuse_entry_param *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->ino = number_of(mount, node);
	entry->generation = node->generation;
	entry->attr = *attributes;
	entry->attr_timeout = timeout;
	entry->entry_timeout = timeout;
	if (!timeout && !node->promise && S_ISDIR(node->type))
		entry->attr_timeout = DIRECTORY_TIMEOUT;
}

static int make_promise(struct mount *mount, struct node *parent, const char *name, mode_t type, struct fuse_entry_param *entry)
{
	struct node *node;
	struct stat attributes;

	int error = node_promise(&mount->nodes, parent, name, type, &node);
	if (error)
		return error;
	promise_attributes(node, &attributes);
	fill_entry(mount, node, &attributes, 0, entry);
	return 0;
}

/* Attributes of parent/name, with the parent's descriptor opened anew once if the server does not know it any more. */
static int attributes_of(struct mount *mount, struct node *parent, const char *name, struct stat *out, struct timespec *born)
{
	int error = node_attributes(parent->directory, name, out, born);
	if (error == -ESTALE && !node_reopen(&mount->nodes, parent))
		error = node_attributes(parent->directory, name, out, born);
	return error;
}

/*
 * The same, asked of the file server: an NFS client answers from what it saw, or missed, up to a minute ago. For whatever is about to be refused, or believed to be
 * missing, because of such an answer.
 */
static int attributes_anew(struct mount *mount, struct node *parent, const char *name, struct stat *out, struct timespec *born)
{
	const struct store *store = gate_store(mount->gate);
	struct statx ignored;

	if (store_statx(store, parent->directory, name, &ignored) == -ESTALE)
		node_reopen(&mount->nodes, parent);
	return attributes_of(mount, parent, name, out, born);
}

/* `sealed_as` is the place in the manifest, from 1, of what is sealed; else 0. */
static int real_entry(struct mount *mount, struct node *parent, const char *name, const struct stat *attributes, const struct timespec *born,
		      uint64_t sealed_as, double timeout, struct fuse_entry_param *entry)
{
	struct node *node;
	int error = node_look_up(&mount->nodes, parent, name, attributes, born, sealed_as, &node);
	if (!error)
		fill_entry(mount, node, attributes, timeout, entry);
	return error;
}

int entry_made(struct mount *mount, struct node *parent, const char *name, int fd, struct fuse_entry_param *entry)
{
	struct stat attributes;
	struct timespec born;

	int error = fd < 0 ? attributes_of(mount, parent, name, &attributes, &born) : node_attributes(fd, "", &attributes, &born);
	if (!error)
		error = real_entry(mount, parent, name, &attributes, &born, 0, 0, entry);
	struct gate_checkpoint *checkpoint = error ? NULL : node_checkpoint(&mount->nodes, node_of(mount, entry->ino));
	if (checkpoint)
		gate_set_content(checkpoint, attributes.st_dev, attributes.st_ino);
	gate_checkpoint_put(checkpoint);
	return error;
}

/* A name that is known not to exist, and never will. */
static int absent_for_good(struct fuse_entry_param *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->entry_timeout = SEALED_TIMEOUT;
	return 0;
}

/* ---- by the answer of the gate ---- */

static int look_up_sealed(struct mount *mount, struct node *parent, const char *name, struct gate_sealed *sealed, const char *path, double timeout,
			  struct fuse_entry_param *entry)
{
	const struct manifest_entry *expected = sealed_entry(sealed, path);
	struct stat attributes;
	struct timespec born;

	/* the top of a checkpoint that is a directory has no line of its own */
	bool top = !*path && !expected;
	if (!expected && !top)
		return absent_for_good(entry);
	int error = attributes_of(mount, parent, name, &attributes, &born);
	if (error == -ENOENT || (!error && !(top ? S_ISDIR(attributes.st_mode) : sealed_looks_like(expected, &attributes))))
		error = attributes_anew(mount, parent, name, &attributes, &born);
	if (error == -ENOENT)
		return sealed_contradicted(mount, sealed, path, "it is missing on the export");
	if (!error && expected)
		error = sealed_matches(mount, sealed, expected, &attributes);
	if (!error && top && !S_ISDIR(attributes.st_mode))
		error = sealed_contradicted(mount, sealed, path, "it is no directory any more");
	uint64_t sealed_as = expected ? (uint64_t)(expected - sealed->manifest.entries) + 1 : 0;
	return error ? error : real_entry(mount, parent, name, &attributes, &born, sealed_as, timeout, entry);
}

/* Of something that is not sealed: what is there, or a promise of type `promised` (0: none). `writer`: the caller, if it is his trial's to write; what he is about to
 * make he need not be told of, but another machine of his trial may have made it. */
static int look_up_unsealed(struct mount *mount, struct node *parent, const char *name, mode_t promised, const struct gate_caller *writer,
			    struct fuse_entry_param *entry)
{
	struct stat attributes;
	struct timespec born;

	int error = attributes_of(mount, parent, name, &attributes, &born);
	if (error == -ENOENT && !promised && mount->remote && !(writer && intent_of(writer->tid) == INTENT_CREATE))
		error = attributes_anew(mount, parent, name, &attributes, &born);
	if (error == -ENOENT && promised)
		return make_promise(mount, parent, name, promised, entry);
	return error ? error : real_entry(mount, parent, name, &attributes, &born, 0, 0, entry);
}

/* What a failed generation left is then an ordinary place to begin in. */
static bool is_empty_directory(struct node *parent, const char *name)
{
	int fd = openat(parent->directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	bool empty = directory != NULL;

	if (fd >= 0 && !directory)
		close(fd);
	for (struct dirent *entry; empty && (entry = readdir(directory));)
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	if (directory)
		closedir(directory);
	return empty;
}

/* The same for the checkpoint's own name: a directory that can be walked through, and whose stat fails once it has failed. */
static mode_t promised_top(const struct gate_view *view, const struct gate_caller *caller)
{
	if (view->answer != GATE_WAIT || (view->anybody && intent_of(caller->tid) == INTENT_CREATE))
		return 0;
	return S_IFDIR;
}

static int look_up_as_it_is(struct mount *mount, struct node *parent, const char *name, struct gate_checkpoint *checkpoint,
			    const struct gate_caller *caller, struct fuse_entry_param *entry)
{
	struct gate_view view = {.sealed = NULL};

	int error = gate_enter(mount->gate, checkpoint, caller, GATE_LOOK, "", NULL, NULL, &view);
	if (!error && view.answer == GATE_SEALED)
		error = look_up_sealed(mount, parent, name, view.sealed, "", CHECKPOINT_TIMEOUT, entry);
	else if (!error && view.may_restart && !is_empty_directory(parent, name))
		error = -ENOENT; /* the trial that may try again begins from nothing: a bare mkdir works for it */
	else if (!error)
		error = look_up_unsealed(mount, parent, name, promised_top(&view, caller), view.answer == GATE_WRITER ? caller : NULL, entry);
	if (!error && entry->ino && !node_of(mount, entry->ino)->promise)
		gate_set_content(checkpoint, entry->attr.st_dev, entry->attr.st_ino);
	gate_sealed_put(view.sealed);
	return error;
}

static int look_up_checkpoint(struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller,
			      struct fuse_entry_param *entry)
{
	char path[PATH_MAX];

	int error = node_path(&mount->nodes, parent, name, path);
	if (error)
		return error;
	struct gate_checkpoint *checkpoint = gate_checkpoint_get(mount->gate, path);
	if (!checkpoint)
		return -ENOMEM;
	error = look_up_as_it_is(mount, parent, name, checkpoint, caller, entry);
	if (error == -ESTALE) /* what was known of its state was old */
		error = look_up_as_it_is(mount, parent, name, checkpoint, caller, entry);
	gate_checkpoint_put(checkpoint);
	return error;
}

/*
 * What a name that is missing, and may come to be, is shown as; 0: as missing.
 *
 * Who is about to create it must be told that the name is free: he becomes the writer, or gets EBUSY. Where the intent can not be told, a name that a failed
 * generation never made is shown as a file: opening that to read fails with EOWNERDEAD, and opening it to write begins a new generation.
 */
static mode_t promised_type(const struct gate_view *view, const struct gate_caller *caller)
{
	if (view->answer != GATE_WAIT)
		return 0;
	enum intent intent = intent_of(caller->tid);
	if (intent == INTENT_CREATE)
		return 0;
	return intent == INTENT_UNKNOWN && view->state == STATE_FAILED ? S_IFREG : S_IFDIR;
}

static int look_up_sealed_inside(struct mount *mount, struct node *parent, const char *name, const struct admission *admission,
				 struct fuse_entry_param *entry)
{
	const char *below = admission->home.path;
	char path[NODE_PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "", name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return look_up_sealed(mount, parent, name, admission->view.sealed, path, SEALED_TIMEOUT, entry);
}

static int look_up_inside(struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller,
			  struct fuse_entry_param *entry)
{
	struct admission admission;

	int error = admit(mount, parent, name, caller, GATE_LOOK, &admission);
	if (!error && admission.live)
		error = look_up_unsealed(mount, parent, name, 0, NULL, entry);
	else if (!error && admission.view.answer == GATE_SEALED)
		error = look_up_sealed_inside(mount, parent, name, &admission, entry);
	else if (!error)
		error = look_up_unsealed(mount, parent, name, promised_type(&admission.view, caller),
					 admission.view.answer == GATE_WRITER ? caller : NULL, entry);
	admission_end(&admission);
	return error;
}

/* Below a promise there are only promises; one that has come true must be walked to anew. */
static int look_up_promised(struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller,
			    struct fuse_entry_param *entry)
{
	struct admission admission;

	int error = admit(mount, parent, name, caller, GATE_LOOK, &admission);
	if (!error)
		error = admission.view.answer == GATE_WAIT ? make_promise(mount, parent, name, S_IFDIR, entry) : -ESTALE;
	admission_end(&admission);
	return error;
}

int look_up(struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller, struct fuse_entry_param *entry)
{
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	int error = name_hidden(mount, parent, name);
	if (error)
		return error;
	if (parent->promise)
		return look_up_promised(mount, parent, name, caller, entry);
	if (parent->depth + 1 < mount->depth)
		return look_up_unsealed(mount, parent, name, 0, NULL, entry);
	if (parent->depth + 1 == mount->depth)
		return look_up_checkpoint(mount, parent, name, caller, entry);
	return look_up_inside(mount, parent, name, caller, entry);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = mount_of(req);
	struct gate_caller caller = caller_of(req);
	struct fuse_entry_param entry;
	int error;

	{
		AS_CALLER(req);
		error = look_up(mount, node_of(mount, parent), name, &caller, &entry);
	}
	if (error)
		reply_status(req, error);
	else
		fuse_reply_entry(req, &entry);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct mount *mount = mount_of(req);

	if (ino != FUSE_ROOT_ID)
		node_forget(&mount->nodes, node_of(mount, ino), count);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *mount = mount_of(req);

	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			node_forget(&mount->nodes, node_of(mount, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}
