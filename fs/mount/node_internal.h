/*
 * node_internal - what the parts of the node module share
 *
 *     node.c       nodes: found, made, forgotten
 *     node_name.c  their names
 *     node_path.c  their places and paths
 */
#ifndef SEALFS_NODE_INTERNAL_H
#define SEALFS_NODE_INTERNAL_H

#include "sealfs/node.h"

/*
 * One name of a node: a row of the table by (parent, name). A file that is sealed gets another node; who looked it up before that may open the one that he got
 * only now, and in between either may be looked up: so both keep the name, the last one looked up in the table, the other in its `twin`.
 */
struct node_name {
	UT_hash_handle hh;
	struct node *node, *parent; /* a reference on the parent */
	struct node_name *twin;	    /* rows of the same name that are not in the table: nodes of the same file */
	struct node_name *next;	    /* of the node */
	const char *name;	    /* within key */
	unsigned int key_size;
	char key[]; /* the parent's address, then the name without its NUL, then a NUL that is not part of the key */
};

/*
 * All below: under nodes->lock, where the name ends in _locked. What nobody refers to any more is unlinked and chained in *garbage, for
 * node_free_garbage(), which must run without the lock.
 */
struct node_name *node_find_name_locked(struct nodes *nodes, const struct node *parent, const char *name);
void node_remove_name_locked(struct nodes *nodes, struct node_name *name, struct node **garbage);
/* Another node that had the name loses it. 0 or -ENOMEM. */
int node_add_name_locked(struct nodes *nodes, struct node *node, struct node *parent, const char *text, struct node **garbage);
/* The node's checkpoint is another one now. */
void node_rescope_locked(struct nodes *nodes, struct node *node);
/* If nobody refers to the node. */
void node_retire_locked(struct nodes *nodes, struct node *node, struct node **garbage);
void node_put_locked(struct nodes *nodes, struct node *node, struct node **garbage);
void node_free_garbage(struct nodes *nodes, struct node *garbage);
/* A node below `parent` gets its depth and, if `path` is a checkpoint's, the checkpoint (NULL when memory is out). */
void node_attach_checkpoint_locked(struct nodes *nodes, struct node *node, struct node *parent, const char *path);

#endif
