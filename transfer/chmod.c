/*
 * chmod.c - parsing and applying of --chmod specifications.
 */
#include "config.h"
#include "transfer/chmod.h"

#include <errno.h>

enum { WHO_U = 1, WHO_G = 2, WHO_O = 4, WHO_ALL = 7 };

struct chmod_item {
	bool dirs_only, files_only;
	char op;               /* '+', '-', '='; '8' for octal */
	uint8_t who;           /* WHO_*: never 0 */
	uint8_t perms;         /* rwx as one digit */
	bool cond_x;           /* X */
	bool setid, sticky;    /* s, t */
	bool plain_who;        /* no letters were given: the umask applies */
	char copy;             /* 'u', 'g', 'o' or 0 */
	mode_t octal;
};

struct chmod_rules {
	mode_t mask;
	size_t count;
	struct chmod_item item[];
};

/* One digit spread over the classes of who. */
static mode_t spread(unsigned digit, unsigned who)
{
	return (mode_t)((who & WHO_U ? digit << 6 : 0) | (who & WHO_G ? digit << 3 : 0) | (who & WHO_O ? digit : 0));
}

static const char *parse_octal(const char *p, struct chmod_item *it)
{
	unsigned v = 0;

	while (*p >= '0' && *p <= '7') {
		v = v * 8 + (unsigned)(*p++ - '0');
		if (v > 07777)
			return NULL;
	}
	it->op = '8';
	it->octal = (mode_t)v;
	return p;
}

static const char *parse_perms(const char *p, struct chmod_item *it)
{
	if ((*p == 'u' || *p == 'g' || *p == 'o') && (!p[1] || p[1] == ',')) {
		it->copy = *p;
		return p + 1;
	}
	for (; *p && *p != ','; p++) {
		switch (*p) {
		case 'r': it->perms |= 4; break;
		case 'w': it->perms |= 2; break;
		case 'x': it->perms |= 1; break;
		case 'X': it->cond_x = true; break;
		case 's': it->setid = true; break;
		case 't': it->sticky = true; break;
		default: return NULL;
		}
	}
	return p;
}

/* Parses one item; returns the place behind it, NULL for bad text. */
static const char *parse_item(const char *p, struct chmod_item *it)
{
	*it = (struct chmod_item){ 0 };
	for (;; p++) {
		switch (*p) {
		case 'D': it->dirs_only = true; break;
		case 'F': it->files_only = true; break;
		case 'u': it->who |= WHO_U; break;
		case 'g': it->who |= WHO_G; break;
		case 'o': it->who |= WHO_O; break;
		case 'a': it->who |= WHO_ALL; break;
		case '+': case '-': case '=':
			it->op = *p++;
			p = parse_perms(p, it);
			break;
		case '0' ... '7':
			p = it->who ? NULL : parse_octal(p, it);
			break;
		default:
			return NULL;
		}
		if (!p || (it->dirs_only && it->files_only))
			return NULL;
		if (it->op)
			break;
	}
	if (!it->who) {
		it->who = WHO_ALL;
		it->plain_who = true;
	}
	return *p == ',' || !*p ? p : NULL;
}

struct chmod_rules *chmod_parse(const char *spec, mode_t mask)
{
	struct chmod_rules *r;
	size_t n = 1;

	for (const char *p = spec; *p; p++)
		n += *p == ',';
	r = calloc(1, sizeof *r + n * sizeof r->item[0]);
	if (!r)
		return NULL;
	r->mask = mask;
	for (;;) {
		spec = parse_item(spec, &r->item[r->count++]);
		if (!spec) {
			free(r);
			errno = EINVAL;
			return NULL;
		}
		if (!*spec)
			return r;
		spec++;
	}
}

void chmod_free(struct chmod_rules *r)
{
	free(r);
}

/* set-id bits that the item names. */
static mode_t setid_bits(const struct chmod_item *it)
{
	mode_t bits = 0;

	if (it->plain_who)
		return S_ISUID;
	if (it->who & WHO_U)
		bits |= S_ISUID;
	if (it->who & WHO_G)
		bits |= S_ISGID;
	return bits ? bits : S_ISUID;
}

static mode_t apply_item(const struct chmod_item *it, mode_t mode, bool any_x, mode_t mask)
{
	unsigned digit = it->perms;
	mode_t bits, clear;

	if (it->op == '8')
		return it->octal;
	if (it->cond_x && any_x)
		digit |= 1;
	if (it->copy == 'u')
		digit = mode >> 6 & 7;
	else if (it->copy == 'g')
		digit = mode >> 3 & 7;
	else if (it->copy == 'o')
		digit = mode & 7;
	bits = spread(digit, it->who);
	if (it->plain_who)
		bits &= ~mask;
	if (it->setid)
		bits |= setid_bits(it);
	if (it->sticky)
		bits |= S_ISVTX;

	switch (it->op) {
	case '+':
		return mode | bits;
	case '-':
		return mode & ~bits;
	default:
		clear = spread(7, it->who);
		if (it->setid)
			clear |= setid_bits(it);
		if (it->copy)
			clear |= (mode_t)((it->who & WHO_U ? S_ISUID : 0) | (it->who & WHO_G ? S_ISGID : 0) |
					  (it->who & WHO_O ? S_ISVTX : 0));
		return (mode & ~clear) | bits;
	}
}

mode_t chmod_apply(const struct chmod_rules *r, mode_t mode)
{
	bool is_dir = S_ISDIR(mode), any_x = is_dir || (mode & 0111);
	mode_t perms = mode & 07777;

	if (!r || S_ISLNK(mode))
		return mode;
	for (size_t i = 0; i < r->count; i++) {
		const struct chmod_item *it = &r->item[i];

		if ((it->dirs_only && !is_dir) || (it->files_only && is_dir))
			continue;
		perms = apply_item(it, perms, any_x, r->mask) & 07777;
	}
	return (mode & ~(mode_t)07777) | perms;
}
