/* main.c - sealfs(8) */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"
#include "places.h"
#include "sealfs/log.h"
#include "session.h"

#define MEMORY_KEPT (1280 << 10) /* bytes: a buffer for hashing is smaller, and need not be had anew each time */

#define EXIT_USAGE 2
#define NFS_MAGIC 0x6969
#define FUSE_MAGIC 0x65735546
#define SMB2_MAGIC 0xfe534d42
#define CEPH_MAGIC 0x00c36400
#define LUSTRE_MAGIC 0x0bd00bd0

static struct mount mount;

/* ---- the export's config ---- */

static int init_config(const struct store *store, const char *export_path, struct config *config)
{
	int error = config_default(config);
	if (!error)
		error = config_init_export(store, config);
	if (!error)
		log_notice("'%s' had no .sealfs/config: initialised with the defaults (depth %u); 'sealctl init' sets others on a new export",
			   export_path, config->depth);
	/* another machine was first: what it wrote counts */
	if (error == -EEXIST) {
		config_free(config);
		error = config_load(store, config, NULL);
	}
	return error;
}

static int get_config(const struct store *store, const char *export_path, const struct options *options, struct config *config)
{
	char *why = NULL;

	int error = config_load(store, config, &why);
	if (error == -ENOENT)
		error = options->read_only ? config_default(config) : init_config(store, export_path, config);
	if (error == -EACCES || error == -EPERM)
		log_error("can not mount: '%s/.sealfs/config' can not be made or read: %s; whoever owns the directory runs 'sealctl init %s' once, and lets all who mount it enter it",
			  export_path, strerror(-error), export_path);
	else if (error == -EPROTO)
		log_error("can not mount: '%s/.sealfs/config': %s; install a newer sealfs", export_path, why ? why : "made by a newer version");
	else if (error)
		log_error("can not mount: '%s/.sealfs/config': %s", export_path, why ? why : strerror(-error));
	free(why);
	if (error)
		return -1;
	if (!options->read_only && (error = config_make_folders(store))) {
		log_error("can not mount: '%s/.sealfs' lacks its folders (state, failed, mounts), and they can not be made: %s", export_path,
			  strerror(-error));
		return -1;
	}
	if (options->trial_env && config_set_trial_env(config, options->trial_env)) {
		log_error("option 'trial_env=%s': names of variables, separated by ':'", options->trial_env);
		return -1;
	}
	return 0;
}

/* ---- keys ---- */

static void report_trust(void *arg, const char *sentence)
{
	log_warning("%s", sentence);
}

/* Read before the process goes to the background and another working directory. */
static int get_keys(const struct options *options, struct gate_options *out)
{
	struct signing_key *key = NULL;
	char path[PATH_MAX], *why = NULL;
	int error = 0;

	if (options->key)
		error = key_private_load(options->key, &key, &why);
	out->key = key;
	out->require_signature = options->require_signature;
	if (!error && options->trust) {
		error = realpath(options->trust, path) ? trust_open(path, report_trust, NULL, &out->trust, &why) : -errno;
		if (error && !why && asprintf(&why, "the trust directory '%s': %s%s", options->trust, strerror(-error),
					      error == -ENOENT ? "; make it, and copy the public keys that count (*.pub) into it" : "") < 0)
			why = NULL;
	}
	if (error)
		log_error("can not mount: %s", why ? why : strerror(-error));
	free(why);
	return error;
}

/* ---- signs of life ---- */

static int get_liveness(const struct options *options, const char *export_path, struct gate_options *out)
{
	enum liveness_locks locks = !strcmp(options->locks, "on")    ? LIVENESS_LOCKS_ON
				    : !strcmp(options->locks, "off") ? LIVENESS_LOCKS_OFF
								     : LIVENESS_LOCKS_AUTO;

	int error = liveness_detect(&out->store, locks, options->heartbeat, &out->liveness);
	out->store.no_locks = !out->liveness.leases;
	if (error)
		log_error("can not mount '%s' with -o locks=on: %s; mount with -o locks=auto", export_path, out->liveness.why);
	else if (!out->liveness.leases && locks == LIVENESS_LOCKS_AUTO)
		log_notice("'%s': %s: heartbeats every %u s tell that this mount lives", export_path, out->liveness.why, out->liveness.heartbeat);
	return error;
}

/* ---- going to the background ---- */

static int ready_pipe = -1;

static void tell_ready(struct mount *served)
{
	char ok = 0;

	log_notice("'%s' is mounted (depth %u, content %s, verify=%s)", served->export_path, served->depth,
		   served->passthrough ? "passed through by the kernel" : "through the daemon", served->verify);
	if (ready_pipe < 0)
		return;
	log_to_syslog();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	if (write(ready_pipe, &ok, 1) < 0)
		log_error("the process that started this one has gone");
	close(ready_pipe);
	ready_pipe = -1;
}

/* The parent returns once the child answered INIT, or with the child's failure. */
static int go_to_background(void)
{
	int ends[2];
	char ok;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid_t child = fork();
	if (child < 0)
		return -errno;
	if (child > 0) {
		close(ends[1]);
		ssize_t count;
		do {
			count = read(ends[0], &ok, 1);
		} while (count < 0 && errno == EINTR);
		int status = 0;
		if (count == 1)
			_exit(0);
		/* the child has said why */
		bool told = waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0;
		_exit(told ? WEXITSTATUS(status) : 1);
	}
	close(ends[0]);
	ready_pipe = ends[1];
	setsid();
	return chdir("/") ? -errno : 0;
}

/* ---- serving ---- */

/* Each directory that the kernel knows costs a descriptor. Root may have as many as the kernel gives a process. */
static void raise_limits(void)
{
	struct rlimit limit;
	unsigned long most = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	FILE *file = fopen("/proc/sys/fs/nr_open", "re");
	if (file && fscanf(file, "%lu", &most) == 1 && most > limit.rlim_max) {
		struct rlimit more = {.rlim_cur = most, .rlim_max = most};
		if (!setrlimit(RLIMIT_NOFILE, &more))
			limit = more;
	}
	if (file)
		fclose(file);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* On these an error can come as late as close. */
static bool is_network(int fd)
{
	static const unsigned long network[] = {NFS_MAGIC, FUSE_MAGIC, SMB2_MAGIC, CEPH_MAGIC, LUSTRE_MAGIC};
	struct statfs info;

	if (fstatfs(fd, &info))
		return true;
	for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++)
		if ((unsigned long)info.f_type == network[i])
			return true;
	return false;
}

static void warn_of_request_timeouts(void)
{
	static const char *const names[] = {"/proc/sys/fs/fuse/default_request_timeout", "/proc/sys/fs/fuse/max_request_timeout"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[32] = "";
		int fd = open(names[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) > 0 && atol(text) > 0)
			log_warning("%s is %ld: the kernel aborts the whole mount when a reader waits longer; set it to 0", names[i], atol(text));
		close(fd);
	}
}

static char *session_options(const struct options *options, const char *export_path)
{
	char *text = NULL;
	char name[PATH_MAX + 16];

	snprintf(name, sizeof(name), "fsname=%s", export_path);
	int error = fuse_opt_add_opt_escaped(&text, name) || fuse_opt_add_opt(&text, "subtype=sealfs,default_permissions,nosuid,nodev");
	if (!error && options->allow_other)
		error = fuse_opt_add_opt(&text, "allow_other");
	if (!error && options->read_only)
		error = fuse_opt_add_opt(&text, "ro");
	if (!error && options->rest)
		error = fuse_opt_add_opt(&text, options->rest);
	return error ? NULL : text;
}

/* Before anything is made in the export: who mistyped a word has not decided yet how it is to be. */
static int check_options(const struct options *options, const char *export_path, const char *mountpoint)
{
	char *text = session_options(options, export_path);
	int error = text ? session_check("sealfs", text) : -ENOMEM;

	free(text);
	if (error == -EINVAL)
		log_error("can not mount '%s' on '%s': an option is not known; 'sealfs -h' lists them", export_path, mountpoint);
	else if (error)
		log_error("can not mount '%s' on '%s': %s", export_path, mountpoint, strerror(-error));
	return error == -EINVAL ? 2 : error ? 1 : 0;
}

static int set_up(struct options *options, struct gate_options *gate_options, char *export_path)
{
	mount.posix_locks = !strcmp(options->posix_locks, "export");
	mount.want_passthrough = geteuid() == 0 && !strcmp(options->passthrough, "auto");
	mount.depth = gate_options->config.depth;
	mount.read_only = options->read_only;
	mount.remote = is_network(gate_options->store.root);
	mount.verify = options->verify;
	mount.verify_blocks = !strcmp(options->verify, "read");
	mount.wait_timeout = options->wait_timeout;
	mount.export_path = export_path;
	mount.exit_info = trials_exit_info_works();
	mount.ready = tell_ready;
	gate_options->export_path = export_path;
	gate_options->wait_timeout = options->wait_timeout;
	gate_options->verify = !strcmp(options->verify, "open") ? GATE_VERIFY_OPEN : !strcmp(options->verify, "read") ? GATE_VERIFY_READ : GATE_VERIFY_OFF;
	gate_options->prefetch = !strcmp(options->prefetch, "on");
	gate_options->read_only = options->read_only;
	gate_options->remote = mount.remote;
	gate_options->hints = options->hints;
	gate_options->forget = session_forget;
	/* only there a mapping does not keep the file open */
	gate_options->mapped = mount.want_passthrough ? mappings_find : NULL;
	gate_options->arg = &mount;
	mount.gate = gate_create(gate_options);
	if (!mount.gate)
		return -ENOMEM;
	return nodes_init(&mount.nodes, mount.gate, gate_options->store.root, mount.depth);
}

static int serve(struct options *options, struct gate_options *gate_options, char *export_path, const char *mountpoint)
{
	char *text = session_options(options, export_path);

	raise_limits();
	signal(SIGIO, SIG_IGN); /* somebody opens a file on which we have a lease for a moment (mappings.c) */
	umask(0);
	if (geteuid() == 0 && options->allow_other)
		creds_enable();
	if (options->debug)
		log_set_level(LOG_LEVEL_DEBUG);
	warn_of_request_timeouts();
	int error = text ? set_up(options, gate_options, export_path) : -ENOMEM;
	if (!error && !mount.exit_info)
		log_notice("this kernel does not tell how other processes end: start trials with 'sealctl run', or they are abandoned at their end");
	if (!error)
		error = session_mount(&mount, "sealfs", text, options->debug, mountpoint);
	free(text);
	if (error) {
		log_error("can not mount '%s' on '%s': %s; 'sealctl doctor %s' looks for the cause", export_path, mountpoint, strerror(-error),
			  export_path);
		return 1;
	}
	error = session_run(&mount, options->single_threaded);
	session_end(&mount);
	if (error)
		log_error("'%s': the session ended: %s", export_path, strerror(-error));
	return error ? 1 : 0;
}

static int mount_export(struct options *options)
{
	char export_path[PATH_MAX], mountpoint[PATH_MAX];
	struct gate_options gate_options = {.wait_timeout = 0};

	if (places_check(options, export_path, mountpoint))
		return 1;
	int refused = check_options(options, export_path, mountpoint);
	if (refused)
		return refused;
	int error = store_open(&gate_options.store, export_path);
	if (error) {
		log_error("can not mount: the export '%s': %s", export_path, strerror(-error));
		return 1;
	}
	if (get_keys(options, &gate_options) || get_config(&gate_options.store, export_path, options, &gate_options.config) ||
	    get_liveness(options, export_path, &gate_options))
		return 1;
	if (!options->foreground && !options->debug && (error = go_to_background())) {
		log_error("can not go to the background: %s", strerror(-error));
		return 1;
	}
	int status = serve(options, &gate_options, export_path, mountpoint);
	config_free(&gate_options.config);
	key_free((struct signing_key *)gate_options.key);
	trust_close(gate_options.trust);
	store_close(&gate_options.store);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	int status = 0;

	if (store_guard_standard())
		return EXIT_FAILURE;
	/* the end of what a thread's allocations have taken is kept up to a size that grows, to tens of megabytes, when something large is freed: unless it is fixed */
	mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT);
	mallopt(M_MMAP_THRESHOLD, MEMORY_KEPT);
	if (options_parse(argc, argv, &options)) {
		options_free(&options);
		return EXIT_USAGE;
	}
	if (options.help)
		options_print_help();
	else if (options.version)
		printf("sealfs %s (libfuse %s)\n", SEALFS_VERSION, fuse_pkgversion());
	else
		status = mount_export(&options);
	options_free(&options);
	return status;
}
