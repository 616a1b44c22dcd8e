/*
 * seal_verify - comparing what is there with what was sealed
 */
#include "sealfs/seal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "seal_verify.h"

struct verification {
	struct seal_content content;
	bool quick;
	uint64_t tree_base;
	void (*fault)(void *arg, const struct seal_fault *fault);
	void *arg;
	int faults;
};

static struct seal_item *add_item(struct verification *v, const char *path, const char *why)
{
	struct seal_item *item = &v->content.items[v->content.count++];

	*item = (struct seal_item){.path = path, .why = why};
	return item;
}

/* What is no entry of a manifest (a FIFO, say) is left out of a scan, but it may lie where one should be. */
static int compare_missing(struct verification *v, const struct manifest_entry *sealed)
{
	struct statx st;
	int rc = seal_place_stat(&v->content.place, sealed->path, &st);
	bool other = rc == 0 && !S_ISREG(st.stx_mode) && !S_ISDIR(st.stx_mode) && !S_ISLNK(st.stx_mode);

	add_item(v, sealed->path, other ? "type differs" : "missing");
	return 0;
}

static void compare_file(struct verification *v, const struct manifest_entry *sealed,
			 const struct manifest_entry *there)
{
	struct seal_item *item = add_item(v, sealed->path, sealed->size == there->size ? NULL : "size differs");

	item->mode_differs = there->executable != sealed->executable;
	item->tree_base = v->tree_base;
	if (!item->why && !v->quick)
		item->sealed = sealed;
	if (!item->why && !item->mode_differs && !item->sealed)
		v->content.count--;
}

static void compare_entry(struct verification *v, const struct manifest_entry *sealed,
			  const struct manifest_entry *there)
{
	if (sealed->type != there->type)
		add_item(v, sealed->path, "type differs");
	else if (sealed->type == MANIFEST_FILE)
		compare_file(v, sealed, there);
	else if (sealed->type == MANIFEST_SYMLINK && strcmp(sealed->target, there->target) != 0)
		add_item(v, sealed->path, "target differs");
}

/* The trees of a manifest's files lie one after the other. */
static void pass_tree(struct verification *v, const struct manifest_entry *sealed)
{
	struct tree_shape shape;

	if (sealed->type != MANIFEST_FILE)
		return;
	tree_shape_of(sealed->size, &shape);
	v->tree_base += shape.total;
}

/* Both lists are sorted: one pass through both. */
static void compare_lists(struct verification *v, const struct manifest *sealed, const struct manifest *there)
{
	size_t i = 0, j = 0;

	while (i < sealed->count || j < there->count) {
		int order = i == sealed->count  ? 1
			    : j == there->count ? -1
						: strcmp(sealed->entries[i].path, there->entries[j].path);

		if (order > 0) {
			add_item(v, there->entries[j++].path, "not in the manifest");
			continue;
		}
		if (order < 0)
			compare_missing(v, &sealed->entries[i]);
		else
			compare_entry(v, &sealed->entries[i], &there->entries[j++]);
		pass_tree(v, &sealed->entries[i++]);
	}
}

static void report(struct verification *v, const struct seal_fault *fault)
{
	if (v->fault)
		v->fault(v->arg, fault);
	if (v->faults < INT_MAX)
		v->faults++;
}

/* The items are sorted, since the lists were. Returns the first error of a file that could not be read. */
static int report_items(struct verification *v)
{
	int rc = 0;

	for (size_t i = 0; i < v->content.count; i++) {
		const struct seal_item *item = &v->content.items[i];

		if (item->mode_differs)
			report(v, &(struct seal_fault){.path = item->path, .why = "mode differs"});
		if (item->why)
			report(v, &(struct seal_fault){.path = item->path,
						       .why = item->why,
						       .blocks_known = item->blocks_known,
						       .first_block = item->first_block,
						       .last_block = item->last_block,
						       .error = item->error});
		if (item->error && rc == 0)
			rc = -item->error;
	}
	return rc;
}

/* The tree file beside the seal, or -errno: it is a help, no more. */
static int open_tree(const struct seal_place *place)
{
	AUTO_FREE char *folder = state_seal_dir(place->name, place->top < 0);
	AUTO_FD(dir, place->store);
	struct statx st;

	if (!folder)
		return -ENOMEM;
	dir.fd = store_open_dir(place->store, place->dir, folder);
	return dir.fd < 0 ? dir.fd : store_open_regular(place->store, dir.fd, TREE_FILE, &st);
}

static int verify_content(struct verification *v)
{
	AUTO_FD(tree, v->content.place.store);

	if (v->quick)
		return 0;
	v->content.tree = tree.fd = open_tree(&v->content.place);
	return seal_verify_content(&v->content);
}

static int verify_place(struct verification *v, const struct manifest *manifest, char *const *live)
{
	const struct seal_place *place = &v->content.place;
	struct manifest_filter filter = {.live = live};
	AUTO_MANIFEST there = {0};
	AUTO_FREE struct seal_item *items = NULL;
	int rc = manifest_scan(place->store, place->dir, place->name, &filter, &there), unreadable;

	if (rc < 0)
		return rc;
	v->content.items = items = calloc(manifest->count + there.count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	compare_lists(v, manifest, &there);
	rc = verify_content(v);
	unreadable = report_items(v);
	return rc < 0 ? rc : unreadable < 0 ? unreadable : v->faults;
}

static int verify(struct verification *v, const struct store *store, int dirfd, const char *name,
		  const struct manifest *manifest, char *const *live)
{
	AUTO_FD(top, store);
	int rc = seal_place_open(store, dirfd, name, &top, &v->content.place);

	return rc < 0 ? rc : verify_place(v, manifest, live);
}

int seal_verify(const struct store *store, int dirfd, const char *name, const struct manifest *manifest,
		char *const *live, unsigned int threads, const struct digest_progress *progress,
		void (*fault)(void *arg, const struct seal_fault *fault), void *arg)
{
	struct verification v = {.content = {.threads = threads, .progress = progress}, .fault = fault, .arg = arg};

	return verify(&v, store, dirfd, name, manifest, live);
}

int seal_verify_quick(const struct store *store, int dirfd, const char *name, const struct manifest *manifest,
		      char *const *live, void (*fault)(void *arg, const struct seal_fault *fault), void *arg)
{
	struct verification v = {.quick = true, .fault = fault, .arg = arg};

	return verify(&v, store, dirfd, name, manifest, live);
}
