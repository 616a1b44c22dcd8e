/* hints_place.c - which address is announced, and the socket there */
#include "hints.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sealfs/log.h"

#define BUFFER_BYTES (1 << 20) /* asked of the kernel for each direction */

static int parse_port(const char *text, uint16_t *port)
{
	char *end;

	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || !value || value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

static int parse_address(const char *text, size_t size, struct sockaddr_storage *out)
{
	bool v6 = size > 2 && text[0] == '[' && text[size - 1] == ']';
	char ip[INET6_ADDRSTRLEN];

	snprintf(ip, sizeof(ip), "%.*s", (int)(v6 ? size - 2 : size), v6 ? text + 1 : text);
	memset(out, 0, sizeof(*out));
	out->ss_family = v6 ? AF_INET6 : AF_INET;
	void *to = v6 ? (void *)&((struct sockaddr_in6 *)out)->sin6_addr : (void *)&((struct sockaddr_in *)out)->sin_addr;
	return inet_pton(out->ss_family, ip, to) == 1 ? 0 : -EINVAL;
}

int hints_option_parse(const char *text, struct hints_option *out)
{
	const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');

	*out = (struct hints_option){.on = strcmp(text, "off") != 0};
	if (!out->on || !strcmp(text, "on"))
		return 0;
	if (colon && bracket && bracket > colon)
		colon = NULL;
	size_t size = colon ? (size_t)(colon - text) : strlen(text);
	int error = colon ? parse_port(colon + 1, &out->port) : 0;
	if (!error && (size || !colon))
		error = parse_address(text, size, &out->address);
	return error;
}

/* The value of addr= among the options of a mount: its server. */
static bool server_in(const char *options, char *server, size_t size)
{
	for (const char *at = options; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		if (strncmp(at, "addr=", 5))
			continue;
		snprintf(server, size, "%.*s", (int)strcspn(at + 5, ",\n"), at + 5);
		return true;
	}
	return false;
}

/* The server of the file system that `directory` lies in, as the mount table has it. */
static bool find_server(int directory, char *server, size_t size)
{
	struct stat root;
	char *line = NULL, device[32];
	size_t capacity = 0;
	bool found = false;

	FILE *table = fstat(directory, &root) ? NULL : fopen("/proc/self/mountinfo", "re");
	if (!table)
		return false;
	snprintf(device, sizeof(device), "%u:%u", major(root.st_dev), minor(root.st_dev));
	while (!found && getline(&line, &capacity, table) > 0) {
		char place[32];
		/* "… - type source options" ends the line */
		const char *tail = strstr(line, " - ");
		const char *options = tail ? strrchr(tail, ' ') : NULL;
		if (options && sscanf(line, "%*d %*d %31s", place) == 1 && !strcmp(place, device))
			found = server_in(options + 1, server, size);
	}
	free(line);
	fclose(table);
	return found;
}

/* From which of this machine's addresses `server` is reached. Sends nothing. */
static bool local_address(const char *server, struct sockaddr_storage *out)
{
	struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM}, *found = NULL;
	socklen_t size = sizeof(*out);
	bool known = false;

	if (getaddrinfo(server, "2049", &wanted, &found))
		return false;
	int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, found->ai_addr, found->ai_addrlen))
		known = !getsockname(fd, (struct sockaddr *)out, &size);
	if (fd >= 0)
		close(fd);
	freeaddrinfo(found);
	return known;
}

/* The one to be announced, without a port. */
static void choose_address(const struct hints_option *option, int export, bool remote, struct sockaddr_storage *out)
{
	char server[128];

	*out = option->address;
	if (out->ss_family)
		return;
	/* file systems that do not tell their server: the way to the world is likely the way to it (192.0.2.1 is an example's, RFC 5737) */
	if (remote && local_address(find_server(export, server, sizeof(server)) ? server : "192.0.2.1", out))
		return;
	memset(out, 0, sizeof(*out));
	out->ss_family = AF_INET;
	((struct sockaddr_in *)out)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void set_port(struct sockaddr_storage *address, in_port_t port)
{
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = port;
	else
		((struct sockaddr_in *)address)->sin_port = port;
}

static in_port_t port_of(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port : ((const struct sockaddr_in *)address)->sin_port;
}

static int open_at(const struct sockaddr_storage *address)
{
	int size = BUFFER_BYTES, off = 0;
	int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* as large as the kernel lets them be: many may ask, and be told, at once */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (address->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (!bind(fd, (const struct sockaddr *)address, hint_address_size(address)))
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

/* On all addresses, so that it also reaches those on another network: of both families if there is IPv6. */
static int open_anywhere(uint16_t port)
{
	struct sockaddr_storage any = {.ss_family = AF_INET6};

	set_port(&any, htons(port));
	int fd = open_at(&any);
	if (fd >= 0 || fd == -EADDRINUSE)
		return fd;
	memset(&any, 0, sizeof(any));
	any.ss_family = AF_INET;
	set_port(&any, htons(port));
	return open_at(&any);
}

int gate_hints_open_(const struct hints_option *option, int export, bool remote, struct sockaddr_storage *announced)
{
	struct sockaddr_storage bound = {.ss_family = 0};
	socklen_t size = sizeof(bound);

	choose_address(option, export, remote, announced);
	set_port(announced, htons(option->port));
	/* an address that was named, or the loopback: only there */
	int fd = remote && !option->address.ss_family ? open_anywhere(option->port) : open_at(announced);
	if (fd >= 0 && !getsockname(fd, (struct sockaddr *)&bound, &size)) {
		set_port(announced, port_of(&bound));
		return fd;
	}
	if (fd >= 0)
		close(fd);
	log_warning("hints: can not listen at the address and port of the option 'hints=': %s; other mounts can not be told when something is sealed here, and look for themselves every second",
		    strerror(fd < 0 ? -fd : errno));
	memset(announced, 0, sizeof(*announced));
	/* to ask others, any port will do */
	return open_anywhere(0);
}
