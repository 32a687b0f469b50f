/*
 * args.c - reading argument batches; cleaning, splitting and expanding path arguments.
 */
#include "config.h"
#include "session/args.h"

#include <stdio.h>

#include "base/text.h"
#include "session/glob.h"

#define WORD_MAX 5119
#define WORDS_MAX 15998
#define WORD_BYTES_MAX ((size_t)4 << 20)

int words_init(struct words *w, struct budget *budget)
{
	*w = (struct words){ .budget = budget, .arena = arena_new_growing(budget, 256), .max_bytes = WORD_BYTES_MAX, .max_words = WORDS_MAX };
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
		if (w->n >= w->max_words || w->bytes + len > w->max_bytes)
			return rd_fail(r, RX_PROTOCOL, "too many daemon arguments");
		if (words_add(w, word, len) < 0)
			return rd_fail(r, RX_MALLOC, "out of memory for arguments");
		len = 0;
	}
}

int args_from_utf8(struct words *w, struct charset *cs)
{
	for (int i = 0; i < w->n; i++) {
		size_t len = strlen(w->v[i]), room = 4 * len + 32;
		char *s = arena_alloc(w->arena, room + 1, 1);

		if (!s)
			return -1;
		charset_text(cs, CHARSET_FROM_UTF8, w->v[i], len, s, room);
		w->v[i] = s;
	}
	return 0;
}

void args_unescape(char *s)
{
	char *d = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		*d++ = *s;
	}
	*d = '\0';
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

	if (!path_collapse(p + abs, true) && !abs)
		strcpy(p, ".");
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

/* ---- the tree as glob.h wants to see it ---- */

static int list_dir(void *ctx, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	struct sb_dirent ent;
	struct sb_dir *d;
	int rc = 0;

	if (sb_opendir(ctx, dir, ".", 0, &d, NULL) < 0)
		return 0;
	while (rc == 0 && sb_readdir(d, &ent) == 1)
		rc = each(arg, ent.name);
	sb_closedir(d);
	return rc;
}

static bool is_dir(void *ctx, const char *path)
{
	char dir[PATH_LIMIT + 1];
	const char *leaf = path_leaf(path);
	size_t n = leaf > path ? (size_t)(leaf - path) - 1 : 0;
	struct stat st;

	if (n > PATH_LIMIT)
		return false;
	memcpy(dir, path, n);
	dir[n] = '\0';
	return sb_stat_follow(ctx, dir, leaf, &st) == 0 && S_ISDIR(st.st_mode);
}

static int add_found(void *arg, const char *path)
{
	return words_add(arg, path, strlen(path));
}

int args_glob_or(struct words *out, const char *pattern, const char *plain, struct sb *sb, const char *cwd,
		 const struct filter_list *hidden)
{
	const struct glob_tree tree = { sb, list_dir, is_dir };
	int n = glob_expand(&tree, pattern, cwd, hidden, add_found, out);

	if (n < 0)
		return -1;
	return n > 0 ? 0 : words_add(out, plain, strlen(plain));
}

int args_glob(struct words *out, const char *word, struct sb *sb, const char *cwd, const struct filter_list *hidden)
{
	return args_glob_or(out, word, word, sb, cwd, hidden);
}
