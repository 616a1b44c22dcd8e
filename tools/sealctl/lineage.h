/*
 * lineage - which checkpoint was made from which
 *
 * A seal lists the sealed checkpoints that its trial read: their paths, and the root digests that they had. A node is
 * therefore not a path but a content at a path: when the checkpoint at a listed path is another one now, the listed one
 * is a node of its own of which no more is known.
 */
#ifndef SEALCTL_LINEAGE_H
#define SEALCTL_LINEAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sealfs/digest.h"
#include "sealfs/seal.h"
#include "sealfs/state.h"
#include "subject.h"

enum lineage_standing {
	LINEAGE_PRESENT,    /* a checkpoint as it is now */
	LINEAGE_REPLACED,   /* listed as a parent; another content is sealed at its path now */
	LINEAGE_GONE,       /* … nothing is at its path now */
	LINEAGE_NOT_SEALED, /* … what is at its path now is in another state */
	LINEAGE_ELSEWHERE,  /* … of a copy, which has no export around it to look at */
};

struct lineage_links {
	size_t *nodes; /* indices, each once */
	size_t count, capacity;
};

struct lineage_node {
	char *where; /* the export's directory or the mount point */
	char *path;  /* the checkpoint's path below it */
	enum lineage_standing standing;
	enum state_kind now; /* what is at the path now */
	bool has_root;
	struct digest root;
	bool has_other; /* replaced: what is sealed there now */
	struct digest other;
	char *damage; /* why its state or seal cannot be believed, or NULL */

	bool has_seal; /* the members below are known */
	char *trial, *host;
	int64_t time_ns;
	uint64_t files, bytes;
	char *metric;          /* how good it is, in the words of whoever measured it; NULL: not known */
	char *manifest;        /* the first lines of its text, or NULL */
	size_t manifest_lines; /* of all of it */

	struct seal_parent *listed; /* what its seal lists */
	size_t listed_count;
	struct lineage_links parents, children; /* the same as nodes; without itself, each once */
};

struct lineage {
	struct lineage_node *nodes;
	size_t count, capacity;
	struct lineage_index *index; /* nodes by what they are */
	size_t replaced;             /* how many listed parents were replaced */
	size_t damaged;
};
void lineage_free(struct lineage *lineage);

/* ---- lineage.c: the graph, no I/O ---- */

/* Finds a node: of what is present (root NULL), or of what was listed. The index, or SIZE_MAX. */
size_t lineage_find(const struct lineage *lineage, const char *where, const char *path, const struct digest *root);
void lineage_node_free(struct lineage_node *node);
/* Takes over *node, whatever it returns. -ENOMEM; else *index. */
int lineage_add(struct lineage *lineage, struct lineage_node *node, size_t *index);
int lineage_links_add(struct lineage_links *links, size_t node);
/* Once for each pair; a node is not linked to itself. -ENOMEM. */
int lineage_link(struct lineage *lineage, size_t parent, size_t child);

/* "sealed", "open", …, "replaced since", "gone", "not sealed", "elsewhere" */
const char *lineage_state(const struct lineage_node *node);
/* The same as one word for machines: "replaced", "not-sealed". */
const char *lineage_class(const struct lineage_node *node);

/* "sha256:<hex>", cut to `digits` digits with an ellipsis when that is less than all; "" when there is none. */
#define LINEAGE_ROOT_SIZE (sizeof("sha256:…") + DIGEST_HEX_SIZE)
void lineage_root(bool known, const struct digest *root, unsigned int digits, char text[LINEAGE_ROOT_SIZE]);

/* ---- lineage_load.c ---- */

/*
 * Adds the checkpoints of `subject` and all their ancestors. `lines` of each manifest are kept. `shown` gets the
 * indices of those that were asked for. 0 or -errno; -ENOENT when a single checkpoint was named and is not there.
 */
int lineage_load(struct lineage *lineage, const struct subject *subject, size_t lines, struct lineage_links *shown);

/* ---- how it is told; none of them prints a message ---- */

/* lineage_tree.c. The ancestors of `node`, or, of all nodes of `where`, children below their parents. -ENOMEM. */
int lineage_print_ancestors(FILE *stream, const struct lineage *lineage, size_t node);
int lineage_print_forest(FILE *stream, const struct lineage *lineage, const char *where);

/* lineage_text.c */
json_t *lineage_json(const struct lineage *lineage);
/* Graphviz. -ENOMEM. */
int lineage_print_dot(FILE *stream, const struct lineage *lineage);

/* lineage_page.c. One self-contained HTML page. -ENOMEM. */
int lineage_print_page(FILE *stream, const struct lineage *lineage);
/* So many lines of each manifest are enough for it. */
#define LINEAGE_PAGE_LINES 1000

/* lineage_file.c. Replaces `file` by the page when that is complete: whoever has the old one open, or looks at it just now, never sees half of
 * the new one. -EINVAL when there is something else than a regular file. */
int lineage_write_page(const char *file, const struct lineage *lineage);

#endif
