/*
 * state_internal - what the parts of the state module share
 *
 *     state.c         reading
 *     state_path.c    names and folders
 *     state_change.c  reserve, claim, end
 *     state_join.c    further mounts of the trial that writes
 *     state_aside.c   moving content out of the way
 *     state_remove.c  removing a checkpoint
 */
#ifndef SEAL_STATE_INTERNAL_H
#define SEAL_STATE_INTERNAL_H

#include "internal.h"
#include "sealfs/state.h"

#define STATE_RECORD_NAME_SIZE 32
#define STATE_DOOR_NAME_SIZE (sizeof("aside.") + STORE_TOKEN_SIZE)
#define AUTO_STATE __attribute__((cleanup(state_free))) struct state

/* "3.claim" */
void state_record_name(char name[STATE_RECORD_NAME_SIZE], unsigned int generation, enum record_kind kind);

/* Reads one record. -EBADMSG or -EPROTO with *why when it is there and is not what its name says. */
int state_read_record(const struct store *store, int dir, const char *path, unsigned int generation,
		      enum record_kind kind, struct record *out, const char **why);

/*
 * A transition is bound to the folder whose records it was decided upon: a checkpoint that is removed and claimed anew
 * has another folder, with the same generations once more. So the folder is opened first (made, if `create`), its state
 * read, and all records are linked into that very folder: into one that has been deleted no record can be linked, and
 * one that was moved to be deleted holds those that forbid it. *dir is negative when there is none.
 */
int state_look(const struct store *store, const char *path, bool create, struct held_fd *dir, struct state *out);
int state_read_in(const struct store *store, const char *path, int dir, struct state *out);
/* A second look: -EEXIST when the generation has ended, which counts whichever was first; 1 when the folder is not that
 * of `path` any more, and so what is in it void; else 0. */
int state_confirm(const struct store *store, const char *path, int dir, unsigned int generation);
/* As state_end(), in the folder `dir`. */
int state_end_in(const struct store *store, const char *path, int dir, struct record *record, struct record *out);

/* Links "failed: <reason>" by this process's user, in the folder `dir`. 0 also when it has ended already. */
int state_fail_in(const struct store *store, const char *path, int dir, unsigned int generation, const char *trial,
		  const char *reason, const uint64_t *when);

/* The path's last component. */
const char *state_last(const char *path);

/* 1 when the descriptor `dir` is still the folder that `path` leads to. */
int state_dir_is_current(const struct store *store, const char *path, int dir);

/* 1 when something is at the checkpoint's path that is not an empty directory. */
int state_has_content(const struct store *store, const char *path);

/* The door of a failed generation (state_aside.c). */
int state_door_make(const struct store *store, int dir, const char end_token[STORE_TOKEN_SIZE]);
void state_door_drop(const struct store *store, int dir, const char end_token[STORE_TOKEN_SIZE]);
int state_door_close(const struct store *store, const char *path, int dir, const char end_token[STORE_TOKEN_SIZE],
		     const char token[STORE_TOKEN_SIZE]);

/* The exit of a state folder (state_aside.c). state_exit_make() opens it; state_exit_close(): 0 closed, 1 the folder
 * has gone through it. */
int state_exit_make(const struct store *store, const char end_token[STORE_TOKEN_SIZE]);
int state_exit_close(const struct store *store, const char end_token[STORE_TOKEN_SIZE]);

/*
 * Passes a generation through claim and end (end->generation; `end` is complete but for checkpoint): what lies at the
 * path gets a door by that. It is claimed by nobody's trial, so that nobody takes it for his. -EEXIST when another one
 * was faster.
 */
int state_spend(const struct store *store, const char *path, int dir, struct record *end);

#endif
