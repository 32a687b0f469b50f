/*
 * access.h - who may connect: `hosts allow`, `hosts deny`, `proxy protocol hosts` (spec 06 §7, §8.1),
 * and the addresses and names of peers.
 *
 * What cannot be evaluated counts as a match on a deny list and as no match on an allow list.
 */
#ifndef DAEMON_ACCESS_H
#define DAEMON_ACCESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/util.h"

#define HOST_NAME_MAX_LEN 99    /* longer names count as UNKNOWN */

struct peer {
	uint8_t family;         /* 4 or 6; an IPv4-mapped address is 4 */
	uint8_t addr[16];       /* network order */
	uint32_t scope;         /* IPv6 only; 0 = none */
	char text[64];          /* numeric, "ADDR" of logs and messages */
};

/* The peer of a sockaddr; anything but IPv4 and IPv6 gives 0.0.0.0. */
void peer_from_sockaddr(struct peer *p, const struct sockaddr_storage *sa);
void peer_from_bytes(struct peer *p, int family, const uint8_t *addr, uint32_t scope);
/* A numeric literal, IPv6 with an optional %scope. False if it is none. */
bool peer_from_text(struct peer *p, const char *text);
bool peer_is_loopback(const struct peer *p);

/* ---- names ---- */

enum name_match { NAME_IS_NOT, NAME_IS, NAME_UNRESOLVABLE };

struct resolver {
	void *ctx;
	/* Does one of the name's addresses (both families) equal the peer's? */
	enum name_match (*forward)(void *ctx, const char *name, const struct peer *p);
	bool (*netgroup)(void *ctx, const char *group, const char *host);
};

extern const struct resolver resolver_system;

/* The reverse name of the peer, confirmed by a forward lookup, or "UNKNOWN" (the reason is logged). */
void resolve_reverse(const struct peer *p, char host[HOST_NAME_MAX_LEN + 1]);

/* ---- lists ---- */

struct access_request {
	const struct peer *peer;
	const char *host;               /* reverse name, "UNKNOWN" or "UNDETERMINED" */
	bool forward;                   /* `forward lookup` */
	const struct resolver *resolver;
	char matched[HOST_NAME_MAX_LEN + 1]; /* out: the token that matched by forward lookup, or "" */
};

/* True if the list matches. deny: it is a deny list. */
bool access_list_match(struct access_request *rq, const char *list, bool deny);

/* Is it a pattern of digits and dots, which looks as if it were for addresses? */
bool access_is_digit_pattern(const char *token);

/* The decision of 06 §7.1; empty lists are absent. */
bool access_allowed(struct access_request *rq, const char *allow, const char *deny);

#endif
