/*
 * proxy.h - the PROXY protocol header in front of a connection (spec 06 §8, 01 §3.2): a pure parser.
 */
#ifndef DAEMON_PROXY_H
#define DAEMON_PROXY_H

#include "base/util.h"

#define PROXY_MAX (16 + 216)

struct proxy_addr {
	uint8_t family;         /* 0: the header names nobody, the socket's address stays; 4 or 6 */
	uint8_t addr[16];       /* network order; an IPv4-mapped IPv6 address is given as IPv4 */
};

/* How many more bytes must be read, exactly, after the len bytes in buf: 0 when the header is complete,
   -1 when it is malformed. */
int proxy_need(const uint8_t *buf, size_t len);

/* Parses a complete header. False if malformed. */
bool proxy_parse(const uint8_t *buf, size_t len, struct proxy_addr *out);

#endif
