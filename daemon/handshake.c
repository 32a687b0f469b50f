/* handshake.c - lines of the daemon handshake. */
#include "config.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/handshake.h"

enum hs_feed hs_line_feed(struct hs_line *l, const char *data, size_t n, size_t *used)
{
	for (size_t i = 0; i < n; i++) {
		char c = data[i];

		if (c == '\n') {
			*used = i + 1;
			l->text[l->len] = '\0';
			return HS_DONE;
		}
		if (c == '\r')
			continue;
		if (c == '\0' || l->len >= l->max) {
			*used = i;
			return HS_BAD;
		}
		l->text[l->len++] = c;
	}
	*used = n;
	return HS_MORE;
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* A decimal number of at most 9 digits; NULL if there is none. */
static const char *number(const char *s, int *out)
{
	int v = 0, digits = 0;

	for (; *s >= '0' && *s <= '9'; s++) {
		if (++digits > 9)
			return NULL;
		v = v * 10 + (*s - '0');
	}
	*out = v;
	return digits ? s : NULL;
}

static unsigned count_words(const char *s)
{
	unsigned n = 0;

	for (;;) {
		s += strspn(s, " \t");
		if (!*s)
			return n;
		n++;
		s += strcspn(s, " \t");
	}
}

enum hs_greeting_fault hs_parse_greeting(const char *line, struct hs_greeting *g)
{
	const char *p = line, *list;
	bool has_sub = false;

	*g = (struct hs_greeting){ 0 };
	if (strncmp(p, "@RSYNCD:", 8))
		return HS_STARTUP_ERROR;
	p += 8;
	while (is_blank(*p))
		p++;
	p = number(p, &g->version);
	if (!p || g->version <= 0)
		return HS_STARTUP_ERROR;
	if (*p == '.')
		has_sub = number(p + 1, &g->sub) != NULL;
	if (!has_sub) {
		g->sub = 0;
		if (g->version >= 30)
			return HS_NO_SUBPROTOCOL;
	}
	list = strlen(line) > 9 ? strchr(line + 9, ' ') : NULL;
	if (list) {
		g->has_list = true;
		size_t n = MIN(strlen(list + 1), sizeof g->list - 1);

		memcpy(g->list, list + 1, n);
		g->list[n] = '\0';
		if (count_words(list + 1) > HS_DIGEST_NAMES)
			return HS_TOO_MANY_DIGESTS;
	} else if (g->version >= 32) {
		return HS_NO_DIGESTS;
	}
	return HS_OK;
}

int hs_negotiate(int ours, const struct hs_greeting *t)
{
	if (ours >= t->version)
		return t->version - (t->sub != 0);
	return ours;
}

size_t hs_greeting_line(char *out, size_t size, int protocol)
{
	int n = snprintf(out, size, "@RSYNCD: %d.0 " HS_DIGEST_ORDER "\n", protocol);

	return n < 0 ? 0 : MIN((size_t)n, size - 1);
}

enum hs_request hs_parse_request(const char *line, bool had_early, unsigned *early)
{
	static const char early_word[] = "#early_input=";

	if (!*line || !strcmp(line, "#list"))
		return HS_REQ_LIST;
	if (*line != '#')
		return HS_REQ_MODULE;
	if (!had_early && !strncmp(line, early_word, sizeof early_word - 1)) {
		int n;

		if (!number(line + sizeof early_word - 1, &n) || n < 1 || n > HS_EARLY_MAX)
			return HS_REQ_BAD_EARLY;
		*early = (unsigned)n;
		return HS_REQ_EARLY;
	}
	return HS_REQ_UNKNOWN_COMMAND;
}

static const struct { const char *name; unsigned len; } digests[] = {
	[HS_SHA512] = { "sha512", 64 }, [HS_SHA256] = { "sha256", 32 }, [HS_SHA1] = { "sha1", 20 },
	[HS_MD5] = { "md5", 16 }, [HS_MD4] = { "md4", 16 }, [HS_MD4_OLD] = { "md4", 16 },
};

const char *hs_digest_name(enum hs_digest d)
{
	return d < 0 ? "none" : digests[d].name;
}

unsigned hs_digest_len(enum hs_digest d)
{
	return d < 0 ? 0 : digests[d].len;
}

enum hs_digest hs_digest_parse(const char *name, size_t len)
{
	for (enum hs_digest d = HS_SHA512; d <= HS_MD4; d++)
		if (strlen(digests[d].name) == len && !strncasecmp(digests[d].name, name, len))
			return d;
	return HS_DIGEST_NONE;
}

enum hs_digest hs_choose_digest(const struct hs_greeting *g, int protocol)
{
	enum hs_digest best = HS_DIGEST_NONE;
	const char *s = g->list;

	if (!g->has_list)
		return protocol >= 30 ? HS_MD5 : HS_MD4_OLD;
	for (;;) {
		size_t n;
		enum hs_digest d;

		s += strspn(s, " ");
		n = strcspn(s, " ");
		if (!n)
			return best;
		d = hs_digest_parse(s, n);
		if (d != HS_DIGEST_NONE && (best == HS_DIGEST_NONE || d < best))
			best = d;
		s += n;
	}
}

bool hs_split_answer(const char *line, size_t *user_len, const char **response)
{
	const char *sp = strchr(line, ' ');

	if (!sp)
		return false;
	*user_len = (size_t)(sp - line);
	*response = sp + 1;
	return true;
}
