/*
 * args.c - reading argument batches; cleaning, splitting and expanding path arguments.
 */
#include "config.h"
#include "session/args.h"

#include <stdio.h>

#include "base/text.h"
#include "filter/wildmatch.h"

#define WORD_MAX 5119
#define WORDS_MAX 15998
#define WORD_BYTES_MAX ((size_t)4 << 20)

int words_init(struct words *w, struct budget *budget)
{
	*w = (struct words){ .budget = budget, .arena = arena_new(budget, 4096) };
	return w->arena ? 0 : -1;
}

void words_free(struct words *w)
{
	mem_free(w->budget, (void *)w->v);
	arena_free(w->arena);
	*w = (struct words){ 0 };
}

int words_add(struct words *w, const char *s, size_t len)
{
	const char **v = mem_grow(w->budget, (void *)w->v, &w->cap, (size_t)w->n + 2, sizeof *v);
	char *copy = v ? arena_strndup(w->arena, s, len) : NULL;

	if (v)
		w->v = v;
	if (!copy)
		return -1;
	v[w->n++] = copy;
	v[w->n] = NULL;
	w->bytes += len;
	return 0;
}

int args_read(struct words *w, struct rd *r, bool nul)
{
	char word[WORD_MAX + 1];
	size_t len = 0;

	for (;;) {
		uint8_t c = rd_u8(r);

		if (r->failed)
			return -1;
		if (nul ? c != 0 : c != '\n' && c != '\r') {
			if (!c)
				return rd_fail(r, RX_PROTOCOL, "unexpected NUL in an argument");
			if (len == WORD_MAX)
				return rd_fail(r, RX_PROTOCOL, "over-long daemon argument");
			word[len++] = (char)c;
			continue;
		}
		if (!len)
			return 0;
		if (w->n >= WORDS_MAX || w->bytes + len > WORD_BYTES_MAX)
			return rd_fail(r, RX_PROTOCOL, "too many daemon arguments");
		if (words_add(w, word, len) < 0)
			return rd_fail(r, RX_MALLOC, "out of memory for arguments");
		len = 0;
	}
}

void args_sanitize(const char *p, int depth, bool keep_dots, char *out)
{
	char *start, *o = out;

	if (*p == '/') {
		depth = 0;
		p++;
	}
	start = o;
	while (*p) {
		size_t len;

		if (*p == '/') {
			p++;
			continue;
		}
		len = strcspn(p, "/");
		if (len == 1 && p[0] == '.' && !keep_dots) {
			p += p[1] ? 2 : 1;
			continue;
		}
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			p += p[2] ? 3 : 2;
			if (depth > 0 && o == start) {
				/* Nothing removable yet: this one stays. */
				depth--;
				o += 2;
				memcpy(o - 2, "..", 2);
				if (p[-1] == '/')
					*o++ = '/';
				start = o;
			} else if (o > start) {
				o--;
				while (o > start && o[-1] != '/')
					o--;
			}
			continue;
		}
		memcpy(o, p, len);
		o += len;
		p += len;
		if (*p == '/') {
			*o++ = '/';
			p++;
		}
	}
	if (o == out)
		*o++ = '.';
	*o = '\0';
}

void args_collapse(char *p)
{
	bool abs = *p == '/';
	char *in = p + abs, *start = p + abs, *o = start;

	while (*in) {
		size_t len;

		if (*in == '/') {
			in++;
			continue;
		}
		len = strcspn(in, "/");
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			in += in[2] ? 3 : 2;
			if (o > start) {
				o--;
				while (o > start && o[-1] != '/')
					o--;
			}
			continue;
		}
		memmove(o, in, len);
		o += len;
		in += len;
		if (*in == '/') {
			*o++ = '/';
			in++;
		}
	}
	if (o == p)
		*o++ = '.';
	*o = '\0';
}

int args_module(struct words *out, const char *arg, const char *module, bool secluded)
{
	size_t mlen = strlen(module);
	const char *p = arg, *next;
	int rc = 0;

	if (!strncmp(p, module, mlen) && (p[mlen] == '/' || !p[mlen]))
		p += mlen;
	while (rc == 0 && !secluded && (next = strchr(p, ' '))) {
		const char *q = next;

		while (q && !(!strncmp(q + 1, module, mlen) && q[mlen + 1] == '/'))
			q = strchr(q + 1, ' ');
		if (!q)
			break;
		rc = words_add(out, p, (size_t)(q - p));
		p = q + 1 + mlen;
	}
	return rc == 0 ? words_add(out, p, strlen(p)) : rc;
}

struct glob {
	struct words *out;
	struct sb *sb;
	const char *cwd;
	const struct filter_list *hidden;
	bool absolute;
	int found, depth;
};

/* The anchor-relative form of a path that is relative to the cwd or, absolute, to the anchor. */
static int under(const struct glob *g, const char *path, char *full)
{
	const char *base = g->absolute ? "" : g->cwd;
	size_t n = strlen(base), len = strlen(path);

	if (n + len + 2 > PATH_LIMIT)
		return -1;
	memcpy(full, base, n);
	if (n && len)
		full[n++] = '/';
	memcpy(full + n, path, len + 1);
	n = path_clean(full);
	if (n == 1 && full[0] == '.')
		full[0] = '\0';
	return 0;
}

static bool is_dir(struct glob *g, const char *full)
{
	struct stat st;
	char dir[PATH_LIMIT + 1];
	const char *slash = strrchr(full, '/');

	if (!*full)
		return true;
	snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - full) : 0, full);
	return sb_stat_follow(g->sb, dir, path_leaf(full), &st) == 0 && S_ISDIR(st.st_mode);
}

static int emit(struct glob *g, const char *done)
{
	char word[PATH_LIMIT + 2];

	snprintf(word, sizeof word, "%s%s", g->absolute ? "/" : "", done);
	g->found++;
	return words_add(g->out, word, strlen(word));
}

static int expand(struct glob *g, const char *done, const char *rest);

static int expand_into(struct glob *g, const char *done, const char *name, size_t len, const char *rest)
{
	char path[PATH_LIMIT + 1], full[PATH_LIMIT + 1];
	int n = snprintf(path, sizeof path, "%s%s%.*s", done, *done && done[strlen(done) - 1] != '/' ? "/" : "", (int)len, name);

	if (n < 0 || (size_t)n >= sizeof path || under(g, path, full) < 0)
		return 0;
	if (*rest) {
		if (!is_dir(g, full) || (g->hidden && filt_hides_path(g->hidden, full, true)))
			return 0;
		return expand(g, path, rest);
	}
	return emit(g, path);
}

/* done: what is expanded so far; rest: begins with the next component, or is a tail of slashes. */
static int expand(struct glob *g, const char *done, const char *rest)
{
	size_t len = strcspn(rest, "/");
	char pat[PATH_LIMIT + 1], full[PATH_LIMIT + 1];
	const char *tail = rest + len + strspn(rest + len, "/");
	struct sb_dirent ent;
	struct sb_dir *d;
	int rc = 0;

	if (!*rest || ++g->depth > 1024)
		return emit(g, done);
	if (!*tail && rest[len]) {
		/* A trailing slash stays with what it follows. */
		len = strlen(rest);
		tail = rest + len;
	}
	snprintf(pat, sizeof pat, "%.*s", (int)len, rest);
	if (!wild_has(pat)) {
		rc = expand_into(g, done, pat, len, tail);
		g->depth--;
		return rc;
	}
	if (len && pat[len - 1] == '/')
		pat[--len] = '\0';
	if (under(g, done, full) < 0 || sb_opendir(g->sb, full, ".", 0, &d, NULL) < 0) {
		g->depth--;
		return 0;
	}
	while (rc == 0 && sb_readdir(d, &ent) == 1) {
		char child[PATH_LIMIT + SB_NAME_MAX + 2];

		if (!wild_match(pat, ent.name))
			continue;
		snprintf(child, sizeof child, "%s%s%s", full, *full ? "/" : "", ent.name);
		if (g->hidden && (filt_hides_path(g->hidden, child, false) || filt_hides_path(g->hidden, child, true)))
			continue;
		if (!*tail && rest[strcspn(rest, "/")]) {
			char slashed[SB_NAME_MAX + 2];

			snprintf(slashed, sizeof slashed, "%s/", ent.name);
			rc = is_dir(g, child) ? expand_into(g, done, slashed, ent.len + 1, "") : 0;
		} else {
			rc = expand_into(g, done, ent.name, ent.len, tail);
		}
	}
	sb_closedir(d);
	g->depth--;
	return rc;
}

int args_glob(struct words *out, const char *word, struct sb *sb, const char *cwd, const struct filter_list *hidden)
{
	struct glob g = { .out = out, .sb = sb, .cwd = cwd, .hidden = hidden, .absolute = *word == '/' };

	if (wild_has(word) && strlen(word) <= PATH_LIMIT) {
		if (expand(&g, "", word + strspn(word, "/")) < 0)
			return -1;
		if (g.found)
			return 0;
	}
	return words_add(out, word, strlen(word));
}
