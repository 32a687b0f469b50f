/*
 * chmod.c - the --chmod language (spec 08 §14.6).
 */
#include "config.h"
#include "receiver/attrs.h"

/* One item: [D|F] [ugoa...] op perms, or [D|F] octal. */
struct chmod_item {
	bool dirs, files, octal;
	char op;                       /* + - = */
	char copy;                     /* u g o: bits copied from that class; 0: none */
	mode_t who;                    /* rwx bits of the classes named; 0: none named */
	mode_t bits;                   /* rwx of one class, 0-7, or the octal mode */
	bool x_if, setid, sticky;
	bool who_u, who_g, who_a;
};

static bool add_who(struct chmod_item *it, char c)
{
	switch (c) {
	case 'u': it->who |= 0700; it->who_u = true; return true;
	case 'g': it->who |= 0070; it->who_g = true; return true;
	case 'o': it->who |= 0007; return true;
	case 'a': it->who |= 0777; it->who_a = it->who_u = it->who_g = true; return true;
	case 'D': it->dirs = true; return !it->files;
	case 'F': it->files = true; return !it->dirs;
	default: return false;
	}
}

static bool add_perm(struct chmod_item *it, char c, bool only)
{
	if (it->copy)
		return false;
	switch (c) {
	case 'r': it->bits |= 4; return true;
	case 'w': it->bits |= 2; return true;
	case 'x': it->bits |= 1; return true;
	case 'X': it->x_if = true; return true;
	case 's': it->setid = true; return true;
	case 't': it->sticky = true; return true;
	case 'u': case 'g': case 'o':
		it->copy = c;
		return only;
	default: return false;
	}
}

static int parse_octal(struct chmod_item *it, const char **p)
{
	if (it->who)
		return -1;
	it->octal = true;
	for (; **p && **p != ','; (*p)++) {
		if (**p < '0' || **p > '7')
			return -1;
		it->bits = it->bits * 8 + (mode_t)(**p - '0');
		if (it->bits > PERM_BITS)
			return -1;
	}
	return 0;
}

/* Reads the item at *p and moves to its end (',' or NUL). */
static int parse_item(struct chmod_item *it, const char **p)
{
	bool only = true;

	*it = (struct chmod_item){ 0 };
	for (; **p && !strchr("+-=,", **p); (*p)++) {
		if (**p >= '0' && **p <= '9')
			return parse_octal(it, p);
		if (!add_who(it, **p))
			return -1;
	}
	if (!**p || **p == ',')
		return -1;
	it->op = *(*p)++;
	for (; **p && **p != ','; (*p)++, only = false)
		if (!add_perm(it, **p, only))
			return -1;
	return 0;
}

int chmod_check(const char *spec)
{
	struct chmod_item it;

	for (;;) {
		if (parse_item(&it, &spec) < 0)
			return -1;
		if (!*spec)
			return 0;
		spec++;
	}
}

static mode_t apply_item(const struct chmod_item *it, mode_t mode, mode_t umask_bits)
{
	bool is_dir = S_ISDIR(mode);
	mode_t who = it->who ? it->who : 0777, bits = it->bits, add, clear, special = 0;

	if ((it->dirs && !is_dir) || (it->files && is_dir))
		return mode;
	if (it->octal)
		return (mode & ~(mode_t)PERM_BITS) | it->bits;
	if (it->copy)
		bits = mode >> (it->copy == 'u' ? 6 : it->copy == 'g' ? 3 : 0) & 7;
	if (it->x_if && (is_dir || (mode & 0111)))
		bits |= 1;
	add = (bits << 6 | bits << 3 | bits) & who;
	if (!it->who)
		add &= ~umask_bits;
	if (it->setid) {
		if (it->who_u || !it->who_g)
			special |= S_ISUID;
		if (it->who_g)
			special |= S_ISGID;
	}
	if (it->sticky)
		special |= S_ISVTX;
	switch (it->op) {
	case '+':
		return mode | add | special;
	case '-':
		return mode & ~(add | special);
	default:
		clear = it->who ? who : who & ~umask_bits;
		if (it->copy || it->setid) {
			if (it->who_u || (it->setid && !it->who_g))
				clear |= S_ISUID;
			if (it->who_g)
				clear |= S_ISGID;
		}
		if (it->sticky || (it->copy && (!it->who || (it->who & 7))))
			clear |= S_ISVTX;
		return (mode & ~clear) | add | special;
	}
}

mode_t chmod_apply(const char *spec, mode_t mode, mode_t umask_bits)
{
	mode_t all = mode;
	struct chmod_item it;

	if (S_ISLNK(mode))
		return mode;
	for (;;) {
		if (parse_item(&it, &spec) < 0)
			return mode;
		all = apply_item(&it, all, umask_bits);
		if (!*spec)
			return all;
		spec++;
	}
}
