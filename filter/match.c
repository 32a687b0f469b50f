/*
 * match.c - one name against one rule, and against a plain list (spec 04 §5).
 */
#include "config.h"
#include "filter/rules.h"
#include "filter/wildmatch.h"

static bool literal_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr("*?[\\", s[i]))
			return false;
	}
	return true;
}

void rule_compile(struct filt_rule *r)
{
	const char *p = r->pat;
	bool deep = strstr(p, "**") != NULL;

	r->slashes = 0;
	for (const char *s = p; *s; s++)
		r->slashes = (uint16_t)(r->slashes + (*s == '/'));
	if (p[strcspn(p, "*?[")])
		r->flags |= RF_WILD;
	if (p[0] == '*' && p[1] == '*')
		r->flags |= RF_DEEP_START;
	if (r->plen >= 3 && strcmp(p + r->plen - 3, "***") == 0)
		r->flags |= RF_STAR3;
	if (*p == '/')
		r->flags |= RF_ANCHORED;
	if (!deep && r->plen > 1 && *p == '*' && literal_text(p + 1, r->plen - 1u))
		r->flags |= RF_SUFFIX;

	if (!r->slashes && !deep)
		r->how = HOW_LEAF;
	else if (r->flags & (RF_ANCHORED | RF_DEEP_START))
		r->how = HOW_WHOLE;
	else
		r->how = deep ? HOW_DEEP : HOW_TAIL;
}

bool name_init(struct name *n, char *scratch, size_t cwd_len, const char *name, size_t len, bool is_dir)
{
	const char *slash;

	memset(n, 0, sizeof(*n));
	if (len && *name == '/') {
		n->slashed = true;
		name++;
		len--;
	}
	if (!len || (len == 1 && *name == '.') || len > PATH_LIMIT)
		return false;
	n->text = name;
	n->len = len;
	slash = memrchr(name, '/', len);
	n->leaf = slash ? slash + 1 : name;
	n->leaf_len = len - (size_t)(n->leaf - name);
	n->is_dir = is_dir;
	n->scratch = scratch;
	n->cwd_len = cwd_len;
	return true;
}

/* cwd "/" name "/": every variant of the name is a piece of it. */
static const char *full_name(struct name *n)
{
	if (!n->full) {
		char *p = n->scratch + n->cwd_len;

		*p++ = '/';
		memcpy(p, n->text, n->len);
		p[n->len] = '/';
		n->full = n->scratch;
	}
	return n->full;
}

static bool compare(const struct filt_rule *r, const char *pat, size_t plen, const char *text, size_t tlen)
{
	if (!(r->flags & RF_WILD))
		return plen == tlen && memcmp(pat, text, plen) == 0;
	return wild_matchn(pat, plen, text, tlen);
}

static bool leaf_matches(const struct filt_rule *r, const struct name *n)
{
	if (!(r->flags & RF_WILD))
		return r->plen == n->leaf_len && memcmp(r->pat, n->leaf, r->plen) == 0;
	if (r->flags & RF_SUFFIX)
		return n->leaf_len >= r->plen - 1u && memcmp(n->leaf + n->leaf_len - (r->plen - 1u), r->pat + 1, r->plen - 1u) == 0;
	return wild_matchn(r->pat, r->plen, n->leaf, n->leaf_len);
}

static bool tail_matches(const struct filt_rule *r, const char *text, size_t len)
{
	unsigned left = r->slashes;
	const char *p = text + len;

	while (p > text) {
		if (p[-1] == '/') {
			if (!left)
				break;
			left--;
		}
		p--;
	}
	return !left && compare(r, r->pat, r->plen, p, len - (size_t)(p - text));
}

static bool path_matches(const struct filt_rule *r, struct name *n)
{
	const char *pat = r->pat, *text = n->text;
	size_t plen = r->plen, len = n->len;
	bool prefix = (r->flags & RF_DEEP_START) && !n->slashed;

	if ((r->flags & RF_ABS) && !n->slashed && n->cwd_len && !n->xattr) {
		text = full_name(n);
		len += n->cwd_len + 1;
		prefix = false;
	}
	if (r->dir_len) {
		if (len <= r->dir_len || memcmp(text, r->dir, r->dir_len) != 0 || text[r->dir_len] != '/')
			return false;
		text += r->dir_len + 1;
		len -= r->dir_len + 1;
	}
	if (prefix) {
		text = full_name(n) + n->cwd_len;
		len++;
	}
	if ((r->flags & RF_STAR3) && n->is_dir) {
		text = full_name(n) + (n->cwd_len + 1 + n->len - len); /* the same bytes, with a slash behind */
		len++;
	}
	if (r->flags & RF_ANCHORED) {
		pat++;
		plen--;
	}
	switch (r->how) {
	case HOW_TAIL:
		return tail_matches(r, text, len);
	case HOW_DEEP:
		for (const char *end = text + len;;) {
			if (wild_matchn(pat, plen, text, (size_t)(end - text)))
				return true;
			text = memchr(text, '/', (size_t)(end - text));
			if (!text)
				return false;
			text++;
		}
	default:
		return compare(r, pat, plen, text, len);
	}
}

bool rule_fires(const struct filt_rule *r, struct name *n)
{
	bool hit;

	if ((r->flags & RF_DIR_ONLY) && !n->is_dir)
		hit = false;
	else if (r->how == HOW_LEAF)
		hit = leaf_matches(r, n);
	else
		hit = path_matches(r, n);
	return hit != !!(r->flags & RF_NEGATE);
}

enum filt_verdict chain_check(const struct filt_rule *r, struct name *n)
{
	for (; r; r = r->next) {
		enum filt_verdict v;

		if (n->as_sender ? (r->flags & RF_SIDES) == RF_RECEIVER : (r->flags & RF_IDLE) != 0)
			continue;
		if (r->flags & RF_DIR_MERGE)
			continue;
		if (r->sub) {
			v = chain_check(r->sub, n);
			if (v)
				return v;
			continue;
		}
		if ((r->flags & RF_CVS) || !!(r->flags & RF_XATTR) != n->xattr || (n->skip_perish && (r->flags & RF_PERISH)))
			continue;
		if (rule_fires(r, n))
			return r->flags & RF_INCLUDE ? FILT_INCLUDED : FILT_EXCLUDED;
	}
	return FILT_NO_MATCH;
}

static enum filt_verdict check_at(const struct filter_list *l, const char *cwd, const char *name, size_t len, bool is_dir, bool as_sender)
{
	char scratch[SCRATCH_SIZE];
	size_t cwd_len = strlen(cwd);
	struct name n;

	if (!l || !l->head || cwd_len > PATH_LIMIT || !name_init(&n, scratch, cwd_len, name, len, is_dir))
		return FILT_NO_MATCH;
	memcpy(scratch, cwd, cwd_len);
	n.as_sender = as_sender;
	return chain_check(l->head, &n);
}

enum filt_verdict filt_check_path(const struct filter_list *l, const char *path, bool is_dir)
{
	return check_at(l, "", path, strlen(path), is_dir, false);
}

bool filt_hides_path(const struct filter_list *l, const char *path, bool is_dir)
{
	if (!l || !l->name_rules)
		return false;
	while (*path == '/')
		path++;
	for (const char *p = path; (p = strchr(p, '/')); p++) {
		if (check_at(l, "", path, (size_t)(p - path), true, false) < 0)
			return true;
	}
	return filt_check_path(l, path, is_dir) < 0;
}

enum filt_verdict filt_check_as_sender(const struct filter_list *l, const char *cwd, const char *name, bool is_dir)
{
	if (!l || l->dir_merges)
		return FILT_NO_MATCH;
	return check_at(l, cwd, name, strlen(name), is_dir, true);
}
