/*
 * wildmatch.c - rsync's wildcard matcher.
 *
 * The usual case is a greedy scan with one retry point for the last "*" and one for the last "**"
 * (a later star makes an earlier retry point useless: whatever it could give, the later one can).
 * Its steps are counted; a pattern made to be slow is finished by following the set of all
 * reachable positions, which takes pattern x text steps at most.
 */
#include "config.h"
#include "filter/wildmatch.h"

#include <ctype.h>

/* Longest text the matcher takes; names, with a directory in front, are shorter. */
#define TEXT_MAX_LEN 16383

static bool in_named_class(const char *name, size_t len, int c, bool *known)
{
	static const struct { const char *name; int (*is)(int); } classes[] = {
		{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl },
		{ "digit", isdigit }, { "graph", isgraph }, { "lower", islower }, { "print", isprint },
		{ "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
	};

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		if (strlen(classes[i].name) == len && memcmp(classes[i].name, name, len) == 0) {
			*known = true;
			return classes[i].is(c) != 0;
		}
	}
	*known = false;
	return false;
}

/* p is behind "[". Returns 1/0 and *next behind the "]"; -1 if the class is not closed or names an unknown class. */
static int match_class(const char *p, const char *pe, unsigned char c, const char **next)
{
	bool negate = false, hit = false, first = true;
	int prev = -1; /* member that may start a range */

	if (p < pe && (*p == '!' || *p == '^')) {
		negate = true;
		p++;
	}
	for (;; first = false) {
		unsigned char m;

		if (p >= pe)
			return -1;
		m = (unsigned char)*p++;
		if (m == ']' && !first)
			break;
		if (m == '[' && p < pe && *p == ':') {
			const char *name = p + 1;
			const char *close = name < pe ? memchr(name, ']', (size_t)(pe - name)) : NULL;

			if (close && close > name && close[-1] == ':') {
				bool known;

				hit |= in_named_class(name, (size_t)(close - 1 - name), c, &known);
				if (!known)
					return -1;
				p = close + 1;
				prev = -1;
				continue;
			}
		}
		if (m == '-' && prev >= 0 && p < pe && *p != ']') {
			unsigned char hi = (unsigned char)*p++;

			if (hi == '\\') {
				if (p >= pe)
					return -1;
				hi = (unsigned char)*p++;
			}
			hit |= c >= prev && c <= hi;
			prev = -1;
			continue;
		}
		if (m == '\\') {
			if (p >= pe)
				return -1;
			m = (unsigned char)*p++;
		}
		hit |= c == m;
		prev = m;
	}
	*next = p;
	return c == '/' ? 0 : hit != negate;
}

/* One element other than a star against one byte: 1/0 and *next, or -1 for what can never match. */
static int match_one(const char *p, const char *pe, unsigned char c, bool fold, const char **next)
{
	unsigned char m = (unsigned char)*p++;
	int r;

	switch (m) {
	case '?':
		*next = p;
		return c != '/';
	case '[':
		r = match_class(p, pe, c, next);
		if (fold && r == 0 && isalpha(c))
			r = match_class(p, pe, (unsigned char)(islower(c) ? toupper(c) : tolower(c)), next);
		return r;
	case '\\':
		if (p >= pe)
			return -1;
		m = (unsigned char)*p++;
		break;
	default:
		break;
	}
	*next = p;
	return m == c || (fold && tolower(m) == tolower(c));
}

static bool match_set(const char *p, const char *pe, const char *text, size_t tlen, bool fold)
{
	uint8_t a[TEXT_MAX_LEN + 2], b[TEXT_MAX_LEN + 2];
	uint8_t *cur = a, *nxt = b, *swap;

	memset(cur, 0, tlen + 1);
	cur[0] = 1;
	while (p < pe) {
		const char *next = p;
		bool any = false;

		if (*p == '*') {
			bool deep = false, on = false;

			for (p++; p < pe && *p == '*'; p++)
				deep = true;
			for (size_t i = 0; i <= tlen; i++) {
				on |= cur[i];
				cur[i] = on;
				if (i < tlen && text[i] == '/' && !deep)
					on = false;
			}
			continue;
		}
		nxt[0] = 0;
		for (size_t i = 0; i < tlen; i++) {
			int r = cur[i] ? match_one(p, pe, (unsigned char)text[i], fold, &next) : 0;

			if (r < 0)
				return false;
			nxt[i + 1] = (uint8_t)r;
			any |= r;
		}
		if (!any)
			return false;
		p = next;
		swap = cur, cur = nxt, nxt = swap;
	}
	return cur[tlen];
}

static bool match(const char *pat, size_t plen, const char *text, size_t tlen, bool fold)
{
	const char *p = pat, *pe = pat + plen, *t = text, *te = text + tlen;
	const char *star = NULL, *star_t = NULL, *deep = NULL, *deep_t = NULL;
	ptrdiff_t steps;

	if (tlen > TEXT_MAX_LEN || plen > TEXT_MAX_LEN)
		return false;
	steps = (ptrdiff_t)(256 + 16 * (plen + tlen));
	for (;;) {
		const char *next;

		if (UNLIKELY(steps-- <= 0))
			return match_set(pat, pe, text, tlen, fold);
		if (p < pe && *p == '*') {
			if (p + 1 < pe && p[1] == '*') {
				while (p < pe && *p == '*')
					p++;
				if (p == pe)
					return true;
				deep = p;
				deep_t = t;
				star = NULL;
			} else {
				if (++p == pe && !deep)
					return !memchr(t, '/', (size_t)(te - t));
				star = p;
				star_t = t;
			}
			continue;
		}
		if (p < pe && t < te) {
			int r = match_one(p, pe, (unsigned char)*t, fold, &next);

			if (r < 0)
				return false;
			if (*p == '[')
				steps -= next - p;
			if (r) {
				p = next;
				t++;
				continue;
			}
		} else if (p == pe && t == te) {
			return true;
		} else if (p < pe) {
			star = NULL; /* the text ran out: a longer star leaves even less */
		}
		if (star && star_t < te && *star_t != '/') {
			t = ++star_t;
			p = star;
		} else if (deep && deep_t < te) {
			t = ++deep_t;
			p = deep;
			star = NULL;
		} else {
			return false;
		}
	}
}

bool wild_matchn(const char *pat, size_t plen, const char *text, size_t tlen)
{
	return match(pat, plen, text, tlen, false);
}

bool wild_match(const char *pat, const char *text)
{
	return match(pat, strlen(pat), text, strlen(text), false);
}

bool wild_match_fold(const char *pat, const char *text)
{
	return match(pat, strlen(pat), text, strlen(text), true);
}
