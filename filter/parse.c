/*
 * parse.c - rule text to rules (spec 04 §2, §3).
 *
 * Text that came out of a file never appears in a message, only where it is from (§3.6).
 */
#include "config.h"
#include "base/say.h"
#include "base/text.h"
#include "filter/rules.h"

#include <stdio.h>

#define PATTERN_MAX 4096
#define ENTRY_MAX 5119

struct text { const char *s; size_t len; };

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* What a message may show of the rule. */
static const char *shown(const struct parse *p, struct text t, char *out, size_t size)
{
	if (!p->from_file)
		snprintf(out, size, "%.*s", (int)t.len, t.s);
	else if (p->words || p->hidden_name)
		snprintf(out, size, "<rule from %s>", p->label);
	else
		snprintf(out, size, "<rule from %s line %u>", p->label, p->line);
	return out;
}

static int bad_rule(struct parse *p, const char *what, struct text t)
{
	char buf[900];

	return fail(p->err, RX_USAGE, "%s: %s", what, shown(p, t, buf, sizeof(buf)));
}

static int bad_modifier(struct parse *p, struct text t, size_t pos)
{
	char buf[900];

	if (p->from_file)
		return fail(p->err, RX_USAGE, "invalid modifier in filter rule: %s", shown(p, t, buf, sizeof(buf)));
	return fail(p->err, RX_USAGE, "invalid modifier '%c' at position %zu in filter rule: %s", t.s[pos], pos,
	            shown(p, t, buf, sizeof(buf)));
}

static void say_overlong(struct parse *p, struct text t)
{
	char buf[1200];

	say(SAY_ERROR, "discarding over-long filter: %s", shown(p, t, buf, sizeof(buf)));
}

/* ---- storing ---- */

static char *join(struct arena *a, const char *s, size_t len, const char *tail)
{
	size_t tlen = strlen(tail);
	char *out = arena_alloc(a, len + tlen + 1, 1);

	if (out) {
		memcpy(out, s, len);
		memcpy(out + len, tail, tlen + 1);
	}
	return out;
}

static int no_memory(struct parse *p)
{
	return fail(p->err, RX_MALLOC, "out of memory in filter rules");
}

static struct filt_rule *new_rule(struct parse *p, uint32_t flags, const char *pat, size_t len, const char *tail)
{
	struct filt_rule *r = arena_alloc(p->arena, sizeof(*r), 8);
	char *copy = join(p->arena, pat, len, tail);

	if (!r || !copy) {
		no_memory(p);
		return NULL;
	}
	memset(r, 0, sizeof(*r));
	r->flags = flags;
	r->pat = copy;
	r->plen = (uint16_t)(len + strlen(tail));
	return r;
}

static int store(struct parse *p, struct filt_rule *r)
{
	const struct filt_build *b = p->l->b;
	bool plain = !(r->flags & RF_DIR_MERGE);

	if (++*p->rules > FILT_RULES_MAX)
		return fail(p->err, RX_MALLOC, "too many filter rules (limit %d)", FILT_RULES_MAX);
	if (b->c.delete_excluded && plain && !(r->flags & RF_SIDES))
		r->flags |= RF_SENDER | RF_DEL_EXCL;
	if ((r->flags & RF_SIDES) == (b->c.am_sender ? RF_RECEIVER : RF_SENDER))
		r->flags |= RF_IDLE;
	rule_compile(r);
	if (!plain) {
		int n = p->add_merge(p, r);

		if (n <= 0)
			return n;
	} else if (r->flags & RF_CVS) {
		if (cvs_expand(p, r))
			return -1;
	}
	*p->out->tail = r;
	p->out->tail = &r->next;
	if (p->arena == b->arena) {
		p->l->name_rules += !(r->flags & (RF_XATTR | RF_IDLE));
		p->l->xattr_rules += !!(r->flags & RF_XATTR);
	} else if (r->flags & RF_XATTR) {
		*p->xattr_seen = true;
	}
	return 0;
}

/* A pattern anchored in a per-directory file is kept apart from its directory: the latter is compared literally. */
static void anchor_here(struct parse *p, struct filt_rule *r)
{
	if (p->dir && *r->pat == '/' && !(r->flags & (RF_ABS | RF_DIR_MERGE))) {
		r->flags |= RF_ABS;
		r->dir = p->dir;
		r->dir_len = strlen(p->dir);
	}
}

static int add_pattern(struct parse *p, uint32_t flags, struct text t)
{
	const char *tail = "";
	struct filt_rule *r;

	if (t.len >= PATTERN_MAX) {
		say_overlong(p, t);
		return 0;
	}
	if (t.len > 1 && t.s[t.len - 1] == '/') {
		t.len--;
		flags |= RF_DIR_ONLY;
	}
	if (p->l->b->c.daemon_list) {
		if ((flags & RF_SIDES) == RF_SENDER)
			return 0;
		flags &= ~(uint32_t)RF_SIDES;
	}
	if (p->l->b->c.daemon_list && p->arena == p->l->b->arena && !(flags & (RF_XATTR | RF_DIR_MERGE))) {
		if ((flags & (RF_DIR_ONLY | RF_INCLUDE)) == RF_DIR_ONLY) {
			flags &= ~(uint32_t)RF_DIR_ONLY;
			tail = "/***";
		}
		if (*tail || memchr(t.s, '/', t.len))
			flags |= RF_ABS;
	}
	r = new_rule(p, flags, t.s, t.len, tail);
	if (!r)
		return -1;
	anchor_here(p, r);
	return store(p, r);
}

static void clear_rules(struct parse *p)
{
	chain_init(p->out);
	if (p->cleared)
		*p->cleared = true;
	if (p->out == &p->l->b->chain)
		p->l->name_rules = 0;
}

/* ---- merge rules ---- */

const char *merge_leaf(const struct filt_rule *r)
{
	return path_leaf(r->pat);
}

static int add_merge_rule(struct parse *p, uint32_t flags, struct text t)
{
	if (flags & RF_SELF) {
		size_t len = t.len - (t.len > 1 && t.s[t.len - 1] == '/');
		const char *slash = memrchr(t.s, '/', len);
		size_t skip = slash ? (size_t)(slash + 1 - t.s) : 0;

		if (len > skip && add_pattern(p, 0, (struct text){ t.s + skip, len - skip }))
			return -1;
	}
	if (flags & RF_DIR_MERGE)
		return add_pattern(p, flags & ~(uint32_t)RF_SELF, t);
	return parse_merge_file(p, flags, t.s, t.len);
}

void parse_as_merge(struct parse *p, uint32_t flags)
{
	p->inherit = flags & (RF_INHERITED | RF_SIDES);
	p->old_style = false;
	p->bare = flags & RF_BARE;
	p->bare_clear = flags & RF_CVS;
	p->words = flags & RF_WORDS;
	if (!p->bare)
		p->inherit &= ~(uint32_t)RF_INCLUDE;
}

/* ---- the grammar ---- */

/* Recognises the rule's name; returns its length, 0 if there is none. */
static size_t rule_name(struct text t, char *kind)
{
	static const struct { const char *name; char kind; } names[] = {
		{ "exclude", '-' }, { "include", '+' }, { "merge", '.' }, { "dir-merge", ':' }, { "hide", 'H' },
		{ "show", 'S' }, { "protect", 'P' }, { "risk", 'R' }, { "clear", '!' },
	};

	if (t.len && strchr("-+.:HSPR!", *t.s)) {
		*kind = *t.s;
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i].name);

		if (t.len >= n && memcmp(t.s, names[i].name, n) == 0 &&
		    (t.len == n || is_blank(t.s[n]) || t.s[n] == '_' || t.s[n] == ',')) {
			*kind = names[i].kind;
			return n;
		}
	}
	return 0;
}

static uint32_t kind_flags(char kind)
{
	switch (kind) {
	case '+': return RF_INCLUDE;
	case '.': return RF_MERGE;
	case ':': return RF_DIR_MERGE;
	case 'H': return RF_SENDER;
	case 'S': return RF_SENDER | RF_INCLUDE;
	case 'P': return RF_RECEIVER;
	case 'R': return RF_RECEIVER | RF_INCLUDE;
	case '!': return RF_CLEAR;
	default: return 0;
	}
}

/* Applies one modifier; false if it is not allowed here. */
static bool modifier(uint32_t *flags, char c, bool sided)
{
	bool merge = *flags & (RF_MERGE | RF_DIR_MERGE);

	switch (c) {
	case '/': *flags |= RF_ABS; return true;
	case 'p': *flags |= RF_PERISH; return true;
	case 'x': *flags |= RF_XATTR; return true;
	case '!': *flags |= RF_NEGATE; return !merge;
	case 's': *flags |= RF_SENDER; return !sided;
	case 'r': *flags |= RF_RECEIVER; return !sided;
	case 'e': *flags |= RF_SELF; return merge;
	case 'n': *flags |= RF_NO_INHERIT; return merge;
	case 'w': *flags |= RF_WORDS; return merge;
	case '+':
	case '-':
		if (!merge || (*flags & RF_BARE))
			return false;
		*flags |= RF_BARE | (c == '+' ? (uint32_t)RF_INCLUDE : 0);
		return true;
	case 'C':
		if (sided || (*flags & (RF_BARE | RF_CVS)))
			return false;
		*flags |= RF_CVS | (merge ? RF_BARE | RF_WORDS | RF_NO_INHERIT : 0);
		return true;
	default:
		return false;
	}
}

/* Sides and defaults that come from the merge rule; -1 on a conflict. */
static int inherit(struct parse *p, uint32_t *flags, struct text whole)
{
	if ((p->inherit & RF_SIDES) && (*flags & RF_SIDES))
		return bad_rule(p, "specified-side merge file contains specified-side filter", whole);
	*flags |= p->inherit & (RF_ABS | RF_DIR_ONLY | RF_PERISH | RF_SIDES);
	if (!(*flags & (RF_MERGE | RF_DIR_MERGE)))
		*flags |= p->inherit & RF_NEGATE;
	return 0;
}

/* One new-style rule at the start of t; *used is how much of it was the rule (all of it unless split at words). */
static int new_style(struct parse *p, struct text t, size_t *used)
{
	char kind = 0;
	size_t i = rule_name(t, &kind), end = t.len;
	uint32_t flags = kind_flags(kind);
	bool sided = kind && strchr("HSPR", kind);
	struct text whole = t, pat;

	*used = t.len;
	if (!i)
		return bad_rule(p, "Unknown filter rule", t);
	if (i < t.len && t.s[i] == ',')
		i++;
	if (kind == '!') {
		if (i < t.len && !(p->words && is_blank(t.s[i])))
			return bad_rule(p, "'!' rule has trailing characters", t);
		*used = i;
		clear_rules(p);
		return 0;
	}
	for (; i < t.len && t.s[i] != ' ' && t.s[i] != '_' && !(p->words && is_blank(t.s[i])); i++) {
		if (!modifier(&flags, t.s[i], sided))
			return bad_modifier(p, whole, i);
	}
	if (i < t.len)
		i++;
	if (p->words) {
		for (end = i; end < t.len && !is_blank(t.s[end]); end++)
			;
		*used = end;
	}
	pat = (struct text){ t.s + i, end - i };
	if (!pat.len) {
		if ((flags & RF_CVS) && (flags & (RF_MERGE | RF_DIR_MERGE)))
			pat = (struct text){ ".cvsignore", 10 };
		else if (!(flags & RF_CVS))
			return bad_rule(p, "unexpected end of filter rule", whole);
	}
	if (inherit(p, &flags, whole))
		return -1;
	if (flags & (RF_MERGE | RF_DIR_MERGE))
		return add_merge_rule(p, flags, pat);
	if (flags & RF_CVS)
		pat.len = 0;
	return add_pattern(p, flags, pat);
}

/* An old-style or bare pattern that ends where t ends. */
static int old_style(struct parse *p, struct text t)
{
	uint32_t flags = p->inherit & (RF_INHERITED | RF_SIDES);

	if ((p->old_style || p->bare_clear) && t.len == 1 && *t.s == '!') {
		clear_rules(p);
		return 0;
	}
	if (p->old_style && t.len >= 2 && (t.s[0] == '-' || t.s[0] == '+') && t.s[1] == ' ') {
		flags = (flags & ~(uint32_t)RF_INCLUDE) | (t.s[0] == '+' ? (uint32_t)RF_INCLUDE : 0);
		t.s += 2;
		t.len -= 2;
	}
	return t.len ? add_pattern(p, flags, t) : 0;
}

int parse_rule_text(struct parse *p, const char *s, size_t len)
{
	struct text t = { s, len };
	size_t used;

	if (!len)
		return 0;
	return p->old_style || p->bare ? old_style(p, t) : new_style(p, t, &used);
}

int parse_words(struct parse *p, const char *s)
{
	p->words = true;
	for (;;) {
		size_t used = 0;

		while (is_blank(*s))
			s++;
		if (!*s)
			return 0;
		if (!p->old_style && !p->bare) {
			if (new_style(p, (struct text){ s, strlen(s) }, &used))
				return -1;
		} else {
			if (p->old_style && (s[0] == '-' || s[0] == '+') && s[1] == ' ')
				used = 2;
			while (s[used] && !is_blank(s[used]))
				used++;
			if (old_style(p, (struct text){ s, used }))
				return -1;
		}
		s += used;
	}
}

int parse_contents(struct parse *p, const char *s, size_t len)
{
	const char *end = s + len;
	bool nul_only = p->l->b->c.from0;

	p->line = 0;
	while (s < end) {
		const char *e = s;
		struct text t;

		if (nul_only && !p->words) {
			e = memchr(s, '\0', (size_t)(end - s));
			if (!e)
				e = end;
		} else {
			while (e < end && *e != '\n' && *e != '\r' && !(nul_only && !*e) && !(p->words && is_blank(*e)))
				e++;
		}
		p->line++;
		t = (struct text){ s, (size_t)(e - s) };
		s = e < end ? e + 1 : end;
		if (!nul_only && e < end && *e == '\r' && s < end && *s == '\n')
			s++;
		if (!t.len || (!p->words && (*t.s == '#' || *t.s == ';')))
			continue;
		if (t.len > ENTRY_MAX) {
			say_overlong(p, t);
			continue;
		}
		t.len = strnlen(t.s, t.len);
		if (parse_rule_text(p, t.s, t.len))
			return -1;
	}
	return 0;
}
