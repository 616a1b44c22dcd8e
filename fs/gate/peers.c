/* peers.c - the other mounts of the export on this machine are asked what a trial opened through them */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sealfs/escape.h"
#include "sealfs/log.h"

/*
 * Each mount has a datagram socket with a name in the kernel's abstract name space (of its network namespace), "sealfs/<device>:<inode of the
 * export>/<token>", which vanishes with the process. A question is "parents <nonce>\n<trial>"; an answer is "<nonce> <part> of <parts>\n" and lines
 * "<64 hex> <escaped path>\n". Asked is once a seal, and for a moment only: a mount that does not answer costs some of the
 * lineage, never the seal. Answers count only when they come from root or from the user who seals.
 */
#define PREFIX "sealfs/"
#define QUESTION "parents "
#define PATIENCE_MS 300
#define DATAGRAM_SIZE 60000
#define NONCE_SIZE (STORE_TOKEN_SIZE - 1)

struct gate_peers {
	int fd;
	char prefix[64]; /* of the names of all mounts of this export */
	char name[64 + STORE_TOKEN_SIZE];
};

static socklen_t make_address(const char *name, struct sockaddr_un *out)
{
	size_t size = strlen(name);

	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	memcpy(out->sun_path + 1, name, size);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size);
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on))) {
		close(fd);
		return -1;
	}
	return fd;
}

struct gate_peers *gate_peers_create_(int export)
{
	struct gate_peers *peers = calloc(1, sizeof(*peers));
	char token[STORE_TOKEN_SIZE];
	struct sockaddr_un address;
	struct stat root;

	if (!peers)
		return NULL;
	peers->fd = fstat(export, &root) ? -1 : open_socket();
	if (peers->fd >= 0) {
		store_token(token);
		snprintf(peers->prefix, sizeof(peers->prefix), PREFIX "%llx:%llx/", (unsigned long long)root.st_dev,
			 (unsigned long long)root.st_ino);
		snprintf(peers->name, sizeof(peers->name), "%s%s", peers->prefix, token);
		socklen_t size = make_address(peers->name, &address);
		if (bind(peers->fd, (struct sockaddr *)&address, size)) {
			close(peers->fd);
			peers->fd = -1;
		}
	}
	return peers;
}

void gate_peers_destroy_(struct gate_peers *peers)
{
	if (!peers)
		return;
	if (peers->fd >= 0)
		close(peers->fd);
	free(peers);
}

int gate_peers_fd_(const struct gate_peers *peers)
{
	return peers->fd;
}

/* One datagram with its sender; 0 when there is none. The buffer holds DATAGRAM_SIZE + 1 bytes and is closed by a NUL. */
static size_t receive(int fd, char *buffer, uid_t *uid, struct sockaddr_un *from, socklen_t *from_size)
{
	union {
		char space[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec part = {buffer, DATAGRAM_SIZE};
	struct msghdr message = {.msg_name = from,
				 .msg_namelen = sizeof(*from),
				 .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};
	struct ucred sender = {.uid = (uid_t)-1};

	ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size <= 0)
		return 0;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
		memcpy(&sender, CMSG_DATA(header), sizeof(sender));
	buffer[size] = '\0';
	*uid = sender.uid;
	*from_size = message.msg_namelen;
	return (size_t)size;
}

/* ---- answering ---- */

static void send_part(const struct gate_peers *peers, const struct sockaddr_un *to, socklen_t to_size, const char *nonce, unsigned int part,
		      unsigned int parts, const char *lines, size_t size)
{
	char head[100];
	struct iovec pieces[] = {{head, 0}, {(void *)(uintptr_t)lines, size}};
	struct msghdr message = {.msg_name = (void *)(uintptr_t)to, .msg_namelen = to_size, .msg_iov = pieces, .msg_iovlen = 2};

	pieces[0].iov_len = (size_t)snprintf(head, sizeof(head), "%.*s %u of %u\n", (int)NONCE_SIZE, nonce, part, parts);
	if (sendmsg(peers->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* who asked has gone, or does not listen: he does without */
}

/* The lines, cut at line ends into what fits a datagram. */
static void send_lines(const struct gate_peers *peers, const struct sockaddr_un *to, socklen_t to_size, const char *nonce, const char *text)
{
	const size_t most = DATAGRAM_SIZE - 200;
	unsigned int parts = 0;

	for (int sending = 0; sending < 2; sending++) {
		const char *at = text;
		unsigned int part = 0;
		do {
			size_t size = strlen(at);
			if (size > most) {
				size = most;
				while (size > 0 && at[size - 1] != '\n')
					size--;
			}
			part++;
			if (sending)
				send_part(peers, to, to_size, nonce, part, parts, at, size);
			if (!size)
				break;
			at += size;
		} while (*at);
		parts = part;
	}
}

static char *format_parents(const struct seal_parent *parents, size_t count)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		char hex[DIGEST_HEX_SIZE], *path = escape_text(parents[i].path);
		digest_to_hex(&parents[i].root, hex);
		if (path)
			fprintf(stream, "%s %s\n", hex, path);
		free(path);
	}
	fclose(stream);
	return text;
}

static void answer(struct gate *gate, const char *question, const struct sockaddr_un *to, socklen_t to_size)
{
	const char *nonce = question + strlen(QUESTION);
	struct seal_parent *parents = NULL;
	size_t count = 0;

	if (strncmp(question, QUESTION, strlen(QUESTION)) || strlen(nonce) < NONCE_SIZE + 1 || nonce[NONCE_SIZE] != '\n')
		return;
	gate_parents_of_(gate->parents, nonce + NONCE_SIZE + 1, &parents, &count);
	char *text = format_parents(parents, count);
	if (text)
		send_lines(gate->peers, to, to_size, nonce, text);
	free(text);
	gate_parents_free_(parents, count);
}

void gate_peers_dispatch_(struct gate *gate)
{
	struct sockaddr_un from;
	socklen_t from_size;
	uid_t uid;

	char *buffer = malloc(DATAGRAM_SIZE + 1);
	while (buffer && receive(gate->peers->fd, buffer, &uid, &from, &from_size))
		answer(gate, buffer, &from, from_size);
	free(buffer);
}

/* ---- asking ---- */

struct question {
	const struct gate_peers *peers;
	int fd;
	char nonce[STORE_TOKEN_SIZE];
	uid_t uid; /* whose answers count, besides root's */
	unsigned int expected, mounts;
	struct seal_parent *parents;
	size_t count;
	int error;
};

static void ask_one(struct question *question, const char *name, const char *trial)
{
	struct sockaddr_un address;
	char head[sizeof(QUESTION) + NONCE_SIZE + 1];
	struct iovec pieces[] = {{head, 0}, {(void *)(uintptr_t)trial, strlen(trial)}};
	struct msghdr message = {.msg_name = &address, .msg_iov = pieces, .msg_iovlen = 2};

	pieces[0].iov_len = (size_t)snprintf(head, sizeof(head), QUESTION "%s\n", question->nonce);
	message.msg_namelen = make_address(name, &address);
	if (sendmsg(question->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		question->expected = ++question->mounts;
}

/* Every other mount's socket, by the kernel's list of them. */
static void ask_all(struct question *question, const char *trial)
{
	FILE *list = fopen("/proc/self/net/unix", "re");
	char line[512];

	while (list && fgets(line, sizeof(line), list)) {
		char *name = strstr(line, "@" PREFIX);
		if (!name++ || strlen(name) >= sizeof(question->peers->name))
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (!strncmp(name, question->peers->prefix, strlen(question->peers->prefix)) && strcmp(name, question->peers->name))
			ask_one(question, name, trial);
	}
	if (list)
		fclose(list);
}

static bool is_known(const struct question *question, const char *path, const struct digest *root)
{
	for (size_t i = 0; i < question->count; i++)
		if (!strcmp(question->parents[i].path, path) && digest_equal(&question->parents[i].root, root))
			return true;
	return false;
}

static void take_line(struct question *question, const char *line)
{
	struct seal_parent *larger;
	struct digest root;
	char *path = NULL;
	size_t size;

	if (strlen(line) < DIGEST_HEX_SIZE || line[DIGEST_HEX_SIZE - 1] != ' ' || digest_from_hex(line, &root) ||
	    escape_decode(line + DIGEST_HEX_SIZE, strlen(line + DIGEST_HEX_SIZE), &path, &size))
		return;
	if (!*path || strlen(path) != size || is_known(question, path, &root)) {
		free(path);
		return;
	}
	larger = reallocarray(question->parents, question->count + 1, sizeof(*larger));
	if (!larger) {
		free(path);
		question->error = -ENOMEM;
		return;
	}
	question->parents = larger;
	larger[question->count++] = (struct seal_parent){.path = path, .root = root};
}

static void take_answer(struct question *question, char *text, uid_t uid)
{
	unsigned int part, parts;
	char *line, *rest = text;

	line = strsep(&rest, "\n");
	if ((uid != 0 && uid != question->uid) || !rest || strncmp(line, question->nonce, NONCE_SIZE) ||
	    sscanf(line + NONCE_SIZE, " %u of %u", &part, &parts) != 2)
		return;
	/* the first part of a mount tells how many more come */
	if (part == 1)
		question->expected += parts - 1;
	question->expected -= question->expected > 0;
	while ((line = strsep(&rest, "\n")))
		take_line(question, line);
}

static void collect(struct question *question)
{
	uint64_t deadline = waiters_now_ns() + PATIENCE_MS * 1000000u;
	struct pollfd polled = {.fd = question->fd, .events = POLLIN};
	char *buffer = malloc(DATAGRAM_SIZE + 1);
	struct sockaddr_un from;
	socklen_t from_size;
	uid_t uid;

	while (buffer && question->expected && !question->error) {
		uint64_t now = waiters_now_ns();
		if (now >= deadline || poll(&polled, 1, (int)((deadline - now) / 1000000u) + 1) <= 0)
			break;
		while (receive(question->fd, buffer, &uid, &from, &from_size))
			take_answer(question, buffer, uid);
	}
	free(buffer);
}

int gate_peers_add_parents_(struct gate *gate, const char *path, const char *trial, uid_t uid, struct seal_parent **parents, size_t *count)
{
	struct question question = {.peers = gate->peers, .uid = uid, .parents = *parents, .count = *count};
	struct sockaddr_un any = {.sun_family = AF_UNIX};

	if (gate->peers->fd < 0)
		return 0;
	question.fd = open_socket();
	if (question.fd < 0)
		return 0;
	/* with a name of its own, so that it can be answered */
	if (!bind(question.fd, (struct sockaddr *)&any, sizeof(any.sun_family))) {
		store_token(question.nonce);
		ask_all(&question, trial);
		collect(&question);
	}
	if (question.expected)
		log_warning("'%s': another mount of this export does not say what trial '%s' opened through it: that will not be among the parents in the seal",
			    path, trial);
	close(question.fd);
	*parents = question.parents;
	*count = question.count;
	gate_parents_sort_(*parents, *count);
	return question.error;
}
