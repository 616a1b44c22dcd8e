/* spot.c - a name where something is about to change, admitted by the gate */
#include "mount.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

void spot_end(struct spot *spot)
{
	if (spot->top && spot->view.changing)
		gate_change_done(spot->mount->gate, spot->checkpoint);
	gate_sealed_put(spot->view.sealed);
	spot->view.sealed = NULL;
	gate_checkpoint_put(spot->checkpoint);
	spot->checkpoint = NULL;
	if (spot->admission.mount)
		admission_end(&spot->admission);
}

enum gate_answer spot_answer(const struct spot *spot)
{
	return spot->top ? spot->view.answer : spot->above ? GATE_PLAIN : spot->admission.view.answer;
}

static int spot_top(struct spot *spot, const struct gate_caller *caller, enum gate_want want)
{
	char path[PATH_MAX];

	int error = node_path(&spot->mount->nodes, spot->parent, spot->name, path);
	if (error)
		return error;
	spot->checkpoint = gate_checkpoint_get(spot->mount->gate, path);
	if (!spot->checkpoint)
		return -ENOMEM;
	return gate_enter(spot->mount->gate, spot->checkpoint, caller, want, "", NULL, NULL, &spot->view);
}

int spot_begin(struct spot *spot, struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller,
	       enum gate_want top, enum gate_want inside)
{
	memset(spot, 0, sizeof(*spot));
	spot->mount = mount;
	spot->parent = parent;
	spot->name = name;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (name_hidden(mount, parent, name))
		return -EPERM;
	if (parent->promise)
		return -EBUSY;
	spot->above = parent->depth + 1 < mount->depth;
	spot->top = parent->depth + 1 == mount->depth;
	if (spot->above)
		return 0;
	if (spot->top)
		return spot_top(spot, caller, top);
	int error = admit(mount, parent, name, caller, inside, &spot->admission);
	return error;
}

int spot_begin_plain(struct spot *spot, struct mount *mount, struct node *parent, const char *name, const struct gate_caller *caller)
{
	int error = spot_begin(spot, mount, parent, name, caller, GATE_LOOK, GATE_CREATE);
	if (error || !spot->top || spot->view.answer == GATE_PLAIN)
		return error;
	return spot->view.answer == GATE_SEALED ? -EROFS : -EBUSY;
}
