/*
 * hints - where this mount listens for datagrams (hint.h)
 */
#ifndef SEALFS_HINTS_H
#define SEALFS_HINTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* The mount option hints=on|off|ADDRESS|ADDRESS:PORT|:PORT, an IPv6 address in brackets. */
struct hints_option {
	bool on;
	struct sockaddr_storage address; /* ss_family 0: the one from which the file server is reached */
	uint16_t port;			 /* 0: any */
};

/* -EINVAL when it is none of these. Asks no name server. */
int hints_option_parse(const char *text, struct hints_option *out);

#endif
