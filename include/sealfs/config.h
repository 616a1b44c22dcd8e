/*
 * config - .sealfs/config, what all machines must agree on about an export
 *
 * "key = value" lines, '#' starts a comment line; unknown keys are an error that names the line:
 *
 *     version = 1
 *     depth = 1
 *     live = events.out.tfevents.*      (any number of such lines)
 *     trial_env = SEALFS_TRIAL NNI_TRIAL_JOB_ID
 */
#ifndef SEALFS_CONFIG_H
#define SEALFS_CONFIG_H

#include "sealfs/store.h"

#define CONFIG_VERSION 1
#define CONFIG_DEPTH_MAX 16
#define CONFIG_SIZE_LIMIT 65536

struct config {
	unsigned int version;
	unsigned int depth;
	char **live;	  /* NULL-terminated, never NULL itself */
	char **trial_env; /* NULL-terminated list of variable names, never NULL itself */
};

/* The defaults: depth 1, no live globs, SEALFS_TRIAL and NNI_TRIAL_JOB_ID. -ENOMEM. */
int config_default(struct config *config);
void config_free(struct config *config);
int config_add_live(struct config *config, const char *glob);
/* Replaces trial_env by the names in `names`, separated by ':', ',' or blanks. -EINVAL when one is not a variable's name. */
int config_set_trial_env(struct config *config, const char *names);

/* No I/O. -EPROTO for a newer version (out->version says which), -EBADMSG for all else; *why then is an allocated
 * sentence with the line's number (free it), or NULL. */
int config_parse(const char *text, size_t size, struct config *out, char **why);
int config_format(const struct config *config, char **text, size_t *size);

/* Reads .sealfs/config. -ENOENT when the export has none; -EPROTO, -EBADMSG, -EFBIG with *why as above. */
int config_load(const struct store *store, struct config *out, char **why);

/*
 * Makes .sealfs with its folders and the config file. -EEXIST when there is a config already (whoever was first wins).
 * .sealfs is 0755; state, failed and mounts in it are 1777 like /tmp.
 */
int config_init_export(const struct store *store, const struct config *config);

/* Makes those folders where they are missing: a config that was copied or written by hand comes without them. */
int config_make_folders(const struct store *store);

#endif
