/*
 * fuzz_wildmatch.c - pattern NUL text: the matcher against a plain recursive one where that is affordable.
 */
#include "config.h"
#include "filter/safelink.h"
#include "filter/wildmatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stars only, no classes: written as the definition reads. */
static bool slow(const char *p, const char *pe, const char *t, const char *te)
{
	if (p == pe)
		return t == te;
	if (*p == '*') {
		bool deep = false;

		for (p++; p < pe && *p == '*'; p++)
			deep = true;
		for (;; t++) {
			if (slow(p, pe, t, te))
				return true;
			if (t == te || (*t == '/' && !deep))
				return false;
		}
	}
	return t < te && (*p == '?' ? *t != '/' : *p == *t) && slow(p + 1, pe, t + 1, te);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *pat = (const char *)data, *sep = size ? memchr(data, 0, size) : NULL;
	size_t plen = sep ? (size_t)(sep - pat) : size, tlen = sep ? size - plen - 1 : 0;
	const char *text = sep ? sep + 1 : pat + size;
	bool hit = wild_matchn(pat, plen, text, tlen);

	if (plen <= 12 && tlen <= 16 && !memchr(pat, '[', plen) && !memchr(pat, '\\', plen) &&
	    slow(pat, pat + plen, text, text + tlen) != hit)
		abort();
	if (sep && !memchr(text, 0, tlen)) {
		char *a = strndup(pat, plen), *b = strndup(text, tlen);

		if (a && b) {
			if (wild_match(a, b) != hit)
				abort();
			(void)wild_match_fold(a, b);
			(void)symlink_is_unsafe(a, b);
		}
		free(a);
		free(b);
	}
	return 0;
}
