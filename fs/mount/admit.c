/* admit.c - a node meets the gate */
#include "mount.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sealfs/log.h"

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

bool path_is_live(struct mount *mount, const char *path)
{
	return manifest_name_live(gate_config(mount->gate)->live, last_component(path));
}

int name_hidden(struct mount *mount, struct node *parent, const char *name)
{
	unsigned int depth = parent->depth + 1;
	bool hidden = (parent == mount->nodes.root && !strcmp(name, ".sealfs")) || !strncmp(name, ".nfs", 4) ||
		      (depth == mount->depth && state_name_is_kept(name)) || (depth == mount->depth + 1 && !strcmp(name, ".seal"));
	return hidden ? -ENOENT : 0;
}

/* Is the directory through which the node was reached still the checkpoint's? */
static int check_content(struct mount *mount, struct node_home *home)
{
	struct stat attributes;
	struct timespec born;

	if (home->orphan)
		return -ESTALE;
	int same = gate_content_is(home->checkpoint, home->top.device, home->top.inode);
	if (same < 0) {
		const struct store *store = gate_store(mount->gate);
		/* the parent directories are above all checkpoints: a symlink put there leads to another inode, which is refused */
		int error = node_attributes(store->root, gate_checkpoint_path(home->checkpoint), &attributes, &born);
		if (error)
			return error == -ENOENT ? -ESTALE : error;
		gate_set_content(home->checkpoint, attributes.st_dev, attributes.st_ino);
		same = attributes.st_dev == home->top.device && attributes.st_ino == home->top.inode;
	}
	return same ? 0 : -ESTALE;
}

int admit(struct mount *mount, struct node *node, const char *name, const struct gate_caller *caller, enum gate_want want,
	  struct admission *admission)
{
	memset(&admission->view, 0, sizeof(admission->view));
	admission->mount = mount;
	admission->live = false;
	admission->view.answer = GATE_PLAIN;
	node_home(&mount->nodes, node, &admission->home);
	struct node_home *home = &admission->home;
	if (!home->checkpoint)
		return 0; /* above checkpoints, or unlinked and only open any more */
	bool itself = !*home->path && !name;
	admission->live = !itself && path_is_live(mount, name ? name : home->path);
	if (admission->live)
		return 0;
	/* an unlinked file of the checkpoint's that is still open is in nobody's seal; a promise has no inode to compare */
	int error = node->promise ? 0 : check_content(mount, home);
	if (!error)
		error = gate_enter(mount->gate, home->checkpoint, caller, want, home->path, NULL, NULL, &admission->view);
	/* the content may have been moved aside, or removed, while the gate decided: what was reached before is not what it decided on */
	if (!error && !node->promise)
		error = check_content(mount, home);
	return error;
}

void admission_end(struct admission *admission)
{
	if (admission->view.changing)
		gate_change_done(admission->mount->gate, admission->home.checkpoint);
	admission->view.changing = false;
	gate_sealed_put(admission->view.sealed);
	admission->view.sealed = NULL;
	node_home_put(&admission->home);
}

struct manifest_entry *sealed_entry(struct gate_sealed *sealed, const char *path)
{
	return manifest_find(&sealed->manifest, *path ? path : ".");
}

struct manifest_entry *sealed_entry_of(struct gate_sealed *sealed, const struct node *node, const char *path)
{
	struct manifest_entry *known = NULL;

	if (node->key.entry && node->key.entry <= sealed->manifest.count)
		known = &sealed->manifest.entries[node->key.entry - 1];
	return known && !strcmp(known->path, *path ? path : ".") ? known : sealed_entry(sealed, path);
}

static mode_t entry_type(const struct manifest_entry *entry)
{
	return entry->type == MANIFEST_DIR ? S_IFDIR : entry->type == MANIFEST_SYMLINK ? S_IFLNK : S_IFREG;
}

int sealed_contradicted(struct mount *mount, const struct gate_sealed *sealed, const char *path, const char *what)
{
	int error = gate_confirm_sealed(mount->gate, sealed);
	if (error)
		return error;
	log_error("'%s%s%s': %s: that is not what was sealed (EBADMSG); 'sealctl verify %s' tells more; restore it on the export, or 'sealctl rm %s'",
		  sealed->path, *path ? "/" : "", path, what, sealed->path, sealed->path);
	return -EBADMSG;
}

static const char *difference(const struct manifest_entry *entry, const struct stat *attributes)
{
	if ((attributes->st_mode & S_IFMT) != entry_type(entry))
		return "its type differs";
	if (entry->type != MANIFEST_DIR && (uint64_t)attributes->st_size != entry->size)
		return "its size differs";
	if (entry->type == MANIFEST_FILE && !(attributes->st_mode & S_IXUSR) == entry->executable)
		return "its executable bit differs";
	return NULL;
}

bool sealed_looks_like(const struct manifest_entry *entry, const struct stat *attributes)
{
	return !difference(entry, attributes);
}

int sealed_matches(struct mount *mount, const struct gate_sealed *sealed, const struct manifest_entry *entry, const struct stat *attributes)
{
	const char *what = difference(entry, attributes);
	return what ? sealed_contradicted(mount, sealed, entry->path, what) : 0;
}
