#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <fuse3/fuse_opt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealfs/liveness.h"
#include "sealfs/log.h"

#define TIMEOUT_MAX 1000000000u /* seconds */

enum { KEY_PASS, KEY_IGNORE };

#define OPTION(template, member, value) {template, offsetof(struct options, member), value}
static const struct fuse_opt templates[] = {
	OPTION("-f", foreground, 1),
	OPTION("-d", debug, 1),
	OPTION("debug", debug, 1),
	OPTION("-s", single_threaded, 1),
	OPTION("-h", help, 1),
	OPTION("--help", help, 1),
	OPTION("-V", version, 1),
	OPTION("--version", version, 1),
	OPTION("ro", read_only, 1),
	OPTION("rw", read_only, 0),
	OPTION("allow_other", allow_other, 1),
	OPTION("verify=%s", verify, 0),
	OPTION("prefetch=%s", prefetch, 0),
	OPTION("passthrough=%s", passthrough, 0),
	OPTION("hints=%s", hints_text, 0),
	OPTION("key=%s", key, 0),
	OPTION("trust=%s", trust, 0),
	OPTION("require_signature", require_signature, 1),
	OPTION("locks=%s", locks, 0),
	OPTION("posix_locks=%s", posix_locks, 0),
	OPTION("heartbeat=%s", heartbeat_text, 0),
	OPTION("trial_env=%s", trial_env, 0),
	OPTION("wait_timeout=%s", wait_timeout_text, 0),
	/* of mount(8) and fstab(5): not for the kernel */
	FUSE_OPT_KEY("_netdev", KEY_IGNORE),
	FUSE_OPT_KEY("nofail", KEY_IGNORE),
	FUSE_OPT_KEY("noauto", KEY_IGNORE),
	FUSE_OPT_KEY("auto", KEY_IGNORE),
	FUSE_OPT_KEY("user", KEY_IGNORE),
	FUSE_OPT_KEY("nouser", KEY_IGNORE),
	FUSE_OPT_KEY("users", KEY_IGNORE),
	FUSE_OPT_KEY("defaults", KEY_IGNORE),
	FUSE_OPT_KEY("x-", KEY_IGNORE),
	/* these are always so */
	FUSE_OPT_KEY("default_permissions", KEY_IGNORE),
	FUSE_OPT_KEY("nosuid", KEY_IGNORE),
	FUSE_OPT_KEY("nodev", KEY_IGNORE),
	FUSE_OPT_KEY("suid", KEY_IGNORE),
	FUSE_OPT_KEY("dev", KEY_IGNORE),
	FUSE_OPT_END,
};

static int take(void *data, const char *arg, int key, struct fuse_args *out)
{
	struct options *options = data;

	if (key == KEY_IGNORE)
		return 0;
	if (key == FUSE_OPT_KEY_OPT) {
		if (*arg == '-') {
			log_error("unknown option '%s'; 'sealfs -h' lists them", arg);
			return -1;
		}
		return fuse_opt_add_opt_escaped(&options->rest, arg);
	}
	char **place = !options->export_path ? &options->export_path : !options->mountpoint ? &options->mountpoint : NULL;
	if (!place) {
		log_error("'%s' is one argument too many; usage: sealfs [options] EXPORT MOUNTPOINT", arg);
		return -1;
	}
	*place = strdup(arg);
	return *place ? 0 : -1;
}

/* `values` is a NULL-terminated list. */
static bool one_of(const char *name, const char *value, const char *const *values)
{
	char list[100] = "";

	for (const char *const *allowed = values; *allowed; allowed++) {
		if (!strcmp(value, *allowed))
			return true;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s'%s'", allowed == values ? "" : " or ", *allowed);
	}
	log_error("option '%s=%s': it must be %s", name, value, list);
	return false;
}
#define ONE_OF(name, value, ...) one_of(name, value, (const char *const[]){__VA_ARGS__, NULL})

/* `text` NULL: not given, and *out stays. */
static bool parse_seconds(const char *name, const char *text, unsigned int least, unsigned int most, unsigned int *out)
{
	char *end;

	if (!text)
		return true;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	*out = (unsigned int)value;
	if (isdigit((unsigned char)*text) && !*end && !errno && value >= least && value <= most)
		return true;
	log_error("option '%s=%s': it must be a number of seconds from %u to %u", name, text, least, most);
	return false;
}

static bool parse_hints(struct options *options)
{
	const char *text = options->hints_text ? options->hints_text : "on";

	if (!hints_option_parse(text, &options->hints))
		return true;
	log_error("option 'hints=%s': it must be 'on', 'off', ADDRESS, ADDRESS:PORT or :PORT; an IPv6 address in brackets", text);
	return false;
}

static bool parse_times(struct options *options)
{
	return parse_seconds("wait_timeout", options->wait_timeout_text, 0, TIMEOUT_MAX, &options->wait_timeout) &&
	       parse_seconds("heartbeat", options->heartbeat_text, 1, LIVENESS_HEARTBEAT_MAX, &options->heartbeat);
}

int options_parse(int argc, char **argv, struct options *options)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);

	memset(options, 0, sizeof(*options));
	if (fuse_opt_parse(&args, options, templates, take)) {
		fuse_opt_free_args(&args);
		return -1;
	}
	fuse_opt_free_args(&args);
	if (!options->verify)
		options->verify = strdup("open");
	if (!options->passthrough)
		options->passthrough = strdup("auto");
	if (!options->prefetch)
		options->prefetch = strdup("on");
	if (!options->locks)
		options->locks = strdup("auto");
	if (!options->posix_locks)
		options->posix_locks = strdup("mount");
	if (!options->verify || !options->prefetch || !options->passthrough || !options->locks || !options->posix_locks)
		return -1;
	if (options->help || options->version)
		return 0;
	if (!options->export_path || !options->mountpoint) {
		log_error("%s is missing; usage: sealfs [options] EXPORT MOUNTPOINT", options->export_path ? "the mount point" : "the export");
		return -1;
	}
	if (options->require_signature && !options->trust) {
		log_error("option 'require_signature': whose? 'trust=DIRECTORY' names the directory with their public keys");
		return -1;
	}
	bool good = ONE_OF("verify", options->verify, "open", "read", "off") && ONE_OF("prefetch", options->prefetch, "on", "off") &&
		    ONE_OF("passthrough", options->passthrough, "auto", "off") && ONE_OF("locks", options->locks, "auto", "on", "off") &&
		    ONE_OF("posix_locks", options->posix_locks, "mount", "export") && parse_times(options) && parse_hints(options);
	return good ? 0 : -1;
}

void options_free(struct options *options)
{
	free(options->export_path);
	free(options->mountpoint);
	free(options->wait_timeout_text);
	free(options->verify);
	free(options->prefetch);
	free(options->locks);
	free(options->posix_locks);
	free(options->heartbeat_text);
	free(options->passthrough);
	free(options->hints_text);
	free(options->key);
	free(options->trust);
	free(options->trial_env);
	free(options->rest);
}

void options_print_help(void)
{
	puts("usage: sealfs [options] EXPORT MOUNTPOINT\n"
	     "\n"
	     "Mounts EXPORT so that readers of a checkpoint wait until the trial that writes it seals it.\n"
	     "\n"
	     "    -f                   stay in the foreground, log to stderr\n"
	     "    -d                   as -f, and print every request\n"
	     "    -s                   serve with one thread\n"
	     "    -h, --help           print this and end\n"
	     "    -V, --version        print the version and end\n"
	     "    -o OPTION[,OPTION…]  options:\n"
	     "\n"
	     "    verify=open|read|off check a sealed file's content before its first open is answered (open),\n"
	     "                         block by block as it is read (read), or not at all (off)\n"
	     "    prefetch=on|off      with verify=open: when a file of a checkpoint is opened, check the others ahead\n"
	     "    key=FILE             sign what is sealed with the private key in FILE\n"
	     "    trust=DIRECTORY      check signatures against the public keys in DIRECTORY\n"
	     "    require_signature    refuse what none of them has signed (EKEYREJECTED)\n"
	     "    wait_timeout=SECONDS end a wait with ETIMEDOUT after so long (0: never)\n"
	     "    locks=auto|on|off    believe the export's locks to tell which writer lives: where they do (auto), always, never\n"
	     "    posix_locks=mount|export\n"
	     "                         fcntl locks hold among the processes of this mount, or as on the export\n"
	     "    heartbeat=SECONDS    how often a mount shows that it lives where locks do not tell (5)\n"
	     "    hints=on|off|ADDRESS[:PORT]|:PORT\n"
	     "                         let mounts on other machines tell of a seal by a UDP datagram (on), and\n"
	     "                         where they are to send it; without, the export is asked every second\n"
	     "    passthrough=auto|off let the kernel read and write the export's files itself (auto)\n"
	     "    trial_env=A:B        variables that name a trial (as the export's config says)\n"
	     "    allow_other          let other users in; as root, act with their ids\n"
	     "    ro                   read only\n"
	     "    debug                as -d\n"
	     "\n"
	     "Options of mount(8) for FUSE are accepted too. See sealfs(8).");
}
