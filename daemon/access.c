/* access.c - host lists. */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#include "base/say.h"
#include "daemon/access.h"
#include "filter/wildmatch.h"

void peer_from_bytes(struct peer *p, int family, const uint8_t *addr, uint32_t scope)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*p = (struct peer){ 0 };
	if (family == 6 && !memcmp(addr, mapped, sizeof mapped)) {
		family = 4;
		addr += 12;
	}
	if (family == 6) {
		p->family = 6;
		memcpy(p->addr, addr, 16);
		inet_ntop(AF_INET6, addr, p->text, sizeof p->text);
		if (scope) {
			char name[IF_NAMESIZE] = "";
			size_t n = strlen(p->text);

			p->scope = scope;
			if (if_indextoname(scope, name))
				snprintf(p->text + n, sizeof p->text - n, "%%%s", name);
			else
				snprintf(p->text + n, sizeof p->text - n, "%%%u", scope);
		}
		return;
	}
	p->family = 4;
	if (family == 4)
		memcpy(p->addr, addr, 4);
	inet_ntop(AF_INET, p->addr, p->text, sizeof p->text);
}

void peer_from_sockaddr(struct peer *p, const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		peer_from_bytes(p, 4, (const uint8_t *)&in->sin_addr, 0);
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		peer_from_bytes(p, 6, in6->sin6_addr.s6_addr, in6->sin6_scope_id);
	} else {
		peer_from_bytes(p, 0, NULL, 0);
	}
}

static bool parse_scope(const char *s, uint32_t *scope)
{
	char *end;
	unsigned long v;

	*scope = if_nametoindex(s);
	if (*scope)
		return true;
	if (!isdigit((unsigned char)*s))
		return false;
	v = strtoul(s, &end, 10);
	*scope = (uint32_t)v;
	return !*end && v <= UINT32_MAX;
}

static bool parse_v6(const char *text, uint8_t addr[16], uint32_t *scope)
{
	char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE], *pct;

	*scope = 0;
	if (strlen(text) >= sizeof copy)
		return false;
	strcpy(copy, text);
	pct = strchr(copy, '%');
	if (pct)
		*pct++ = '\0';
	return inet_pton(AF_INET6, copy, addr) == 1 && (!pct || parse_scope(pct, scope));
}

bool peer_from_text(struct peer *p, const char *text)
{
	uint8_t addr[16];
	uint32_t scope = 0;

	if (inet_pton(AF_INET, text, addr) == 1)
		peer_from_bytes(p, 4, addr, 0);
	else if (parse_v6(text, addr, &scope))
		peer_from_bytes(p, 6, addr, scope);
	else
		return false;
	return true;
}

bool peer_is_loopback(const struct peer *p)
{
	static const uint8_t one[16] = { [15] = 1 };

	return p->family == 4 ? p->addr[0] == 127 : !memcmp(p->addr, one, 16);
}

/* ---- the address rule ---- */

static bool same_bits(const uint8_t *a, const uint8_t *b, const uint8_t *mask, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((a[i] ^ b[i]) & mask[i])
			return false;
	return true;
}

/* "24", or a mask written as an address. False if it is neither. */
static bool parse_mask(const char *s, int family, uint8_t mask[16])
{
	unsigned bits = 0, max = family == 4 ? 32 : 128;

	if (inet_pton(family == 4 ? AF_INET : AF_INET6, s, mask) == 1)
		return true;
	if (!*s || strlen(s) > 4)
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return false;
		bits = bits * 10 + (unsigned)(*s - '0');
	}
	if (bits > max)
		return false;
	memset(mask, 0, 16);
	for (unsigned i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return true;
}

static bool address_rule(const struct access_request *rq, const char *token, bool deny)
{
	const struct peer *p = rq->peer;
	char copy[256], *slash;
	uint8_t addr[16], mask[16];
	uint32_t scope = 0;
	int family;

	if (strlen(token) >= sizeof copy)
		return false;
	strcpy(copy, token);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = '\0';
	if (strchr(copy, ':'))
		family = 6;
	else if (copy[strspn(copy, "0123456789.")] == '\0')
		family = 4;
	else
		return false;
	if (family == 4 ? !inet_aton(copy, (struct in_addr *)addr) : !parse_v6(copy, addr, &scope)) {
		say(SAY_LOG, "error matching address %s: not a numeric address", token);
		return deny;
	}
	memset(mask, 0xff, sizeof mask);
	if (slash && !parse_mask(slash, family, mask)) {
		say(SAY_LOG, "malformed mask in %s", token);
		return deny;
	}
	if (p->family != family || (scope && scope != p->scope))
		return false;
	return same_bits(p->addr, addr, mask, family == 4 ? 4 : 16);
}

/* ---- the name rule ---- */

bool access_is_digit_pattern(const char *token)
{
	return strpbrk(token, "*?[") && strpbrk(token, "0123456789") && token[strspn(token, "0123456789.*?[]-^!")] == '\0';
}

static bool name_rule(struct access_request *rq, const char *token, bool deny, bool *final)
{
	*final = false;
	if (token[0] == '@' && token[1]) {
		*final = true;
		return rq->resolver->netgroup(rq->resolver->ctx, token + 1, rq->host);
	}
	/* Meant for addresses, and a name such as 10.0.0.5.example must not pass for one. */
	if (access_is_digit_pattern(token) && !deny)
		return false;
	if (wild_match_fold(token, rq->host))
		return true;
	if (!rq->forward || token[strspn(token, "0123456789.")] == '\0' || strpbrk(token, ":/*?["))
		return false;
	switch (rq->resolver->forward(rq->resolver->ctx, token, rq->peer)) {
	case NAME_IS:
		snprintf(rq->matched, sizeof rq->matched, "%.*s", HOST_NAME_MAX_LEN, token);
		return true;
	case NAME_UNRESOLVABLE:
		if (deny)
			say(SAY_LOG, "cannot resolve %s on the deny list: counts as a match", token);
		return deny;
	case NAME_IS_NOT:
		break;
	}
	return false;
}

bool access_list_match(struct access_request *rq, const char *list, bool deny)
{
	while (*list) {
		size_t n = strcspn(list, " \t,");
		char token[1025];
		bool final;

		if (n >= sizeof token) {
			say(SAY_LOG, "host pattern of %zu bytes is too long", n);
			if (deny)
				return true;
		} else if (n) {
			for (size_t i = 0; i < n; i++)
				token[i] = list[i] >= 'A' && list[i] <= 'Z' ? (char)(list[i] + 32) : list[i];
			token[n] = '\0';
			if (name_rule(rq, token, deny, &final))
				return true;
			if (!final && address_rule(rq, token, deny))
				return true;
		}
		list += n;
		list += strspn(list, " \t,");
	}
	return false;
}

bool access_allowed(struct access_request *rq, const char *allow, const char *deny)
{
	rq->matched[0] = '\0';
	if (*allow) {
		if (access_list_match(rq, allow, false))
			return true;
		if (!*deny)
			return false;
	}
	return !*deny || !access_list_match(rq, deny, true);
}
