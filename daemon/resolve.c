/*
 * resolve.c - names of addresses and addresses of names, through the system's resolver.
 *
 * resolve_warm_up() bounds the resolver's patience and lets a first lookup load what it needs, so
 * that connection processes inherit it.
 */
#include "config.h"

#include <netdb.h>
#include <stdio.h>
#include <strings.h>

#include "base/say.h"
#include "daemon/access.h"
#include "daemon/resolve.h"

static socklen_t to_sockaddr(const struct peer *p, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof *ss);
	if (p->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, p->addr, 4);
		return sizeof *in;
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, p->addr, 16);
	in6->sin6_scope_id = p->scope;
	return sizeof *in6;
}

/* 0 or a getaddrinfo error; *found: one of the addresses is the peer's. */
static int look_up(const char *name, int family, const struct peer *p, bool *found)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM }, *list;
	int r = getaddrinfo(name, NULL, &hints, &list);

	*found = false;
	if (r)
		return r;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		struct sockaddr_storage ss = { 0 };
		struct peer q;

		memcpy(&ss, a->ai_addr, MIN((size_t)a->ai_addrlen, sizeof ss));
		peer_from_sockaddr(&q, &ss);
		if (q.family == p->family && !memcmp(q.addr, p->addr, sizeof q.addr))
			*found = true;
	}
	freeaddrinfo(list);
	return 0;
}

static enum name_match forward(void *ctx, const char *name, const struct peer *p)
{
	bool found;

	(void)ctx;
	if (look_up(name, AF_UNSPEC, p, &found))
		return NAME_UNRESOLVABLE;
	return found ? NAME_IS : NAME_IS_NOT;
}

static bool netgroup(void *ctx, const char *group, const char *host)
{
	(void)ctx;
	return innetgr(group, host, NULL, NULL) == 1;
}

const struct resolver resolver_system = { NULL, forward, netgroup };

/* Only what can stand in a host name goes into logs, environments and patterns. */
static bool plain_name(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

void resolve_reverse(const struct peer *p, char host[HOST_NAME_MAX_LEN + 1])
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(p, &ss);
	char name[NI_MAXHOST];
	bool found;
	int r = getnameinfo((struct sockaddr *)&ss, len, name, sizeof name, NULL, 0, NI_NAMEREQD);

	strcpy(host, "UNKNOWN");
	if (r) {
		say(SAY_LOG, "name lookup failed for %s: %s", p->text, gai_strerror(r));
		return;
	}
	if (strlen(name) > HOST_NAME_MAX_LEN || !plain_name(name)) {
		say(SAY_LOG, "name lookup failed for %s: the name is not usable", p->text);
		return;
	}
	r = look_up(name, p->family == 4 ? AF_INET : AF_INET6, p, &found);
	if (r)
		say(SAY_LOG, "forward name lookup for %s failed: %s", name, gai_strerror(r));
	else if (!found)
		say(SAY_LOG, "%s is not a known address for \"%s\": spoofed address?", p->text, name);
	else
		strcpy(host, name);
}

void resolve_warm_up(bool names)
{
	struct peer p;
	bool found;

	/* Two tries of two seconds on each server: within the five seconds a lookup may take (spec 09 ACC-2). */
	setenv("RES_OPTIONS", "timeout:2 attempts:1", 0);
	if (!names)
		return;
	peer_from_bytes(&p, 4, (const uint8_t *)"\x7f\0\0\1", 0);
	look_up("localhost", AF_INET, &p, &found);
}
