/*
 * glob.c - wildcard expansion of path arguments.
 */
#include "config.h"
#include "session/glob.h"

#include "base/text.h"
#include "filter/wildmatch.h"

struct glob {
	const struct glob_tree *tree;
	const char *cwd;
	const struct filter_list *hidden;
	int (*found)(void *arg, const char *path);
	void *arg;
	int count, names, depth;
	size_t len;                     /* of path */
	char path[PATH_LIMIT + 1];      /* what is expanded so far, as it will be given out */
	char full[2 * PATH_LIMIT + 2];
};

/* One directory being matched. */
struct level {
	struct glob *g;
	const char *pat, *rest;         /* rest: behind the component and its slashes */
	size_t plen;
	bool slash;                     /* something or a slash follows */
};

/* The path so far, relative to the anchor. */
static const char *full_path(struct glob *g)
{
	char *p = g->full;

	if (*g->path != '/') {
		p = stpcpy(p, g->cwd);
		*p++ = '/';
	}
	strcpy(p, g->path);
	path_clean(g->full);
	p = g->full + (*g->full == '/');
	return strcmp(p, ".") ? p : "";
}

static bool append(struct glob *g, const char *s, size_t len)
{
	if (g->len + len > PATH_LIMIT)
		return false;
	memcpy(g->path + g->len, s, len);
	g->len += len;
	g->path[g->len] = '\0';
	return true;
}

static int emit(struct glob *g)
{
	g->count++;
	return g->found(g->arg, g->path) < 0 ? -1 : 0;
}

/* A directory that may be entered. */
static bool passable(struct glob *g)
{
	const char *full = full_path(g);

	return (!*full || g->tree->is_dir(g->tree->ctx, full)) && !filt_hides_path(g->hidden, full, true);
}

static int expand(struct glob *g, const char *rest);

static int each_name(void *arg, const char *name)
{
	struct level *lv = arg;
	struct glob *g = lv->g;
	size_t at = g->len, nlen = strlen(name);
	int rc = 0;

	if (++g->names > GLOB_NAMES_MAX)
		return -2;
	if (!wild_matchn(lv->pat, lv->plen, name, nlen))
		return 0;
	if (append(g, name, nlen)) {
		if (lv->slash) {
			if (passable(g) && append(g, "/", 1))
				rc = expand(g, lv->rest);
		} else {
			const char *full = full_path(g);

			if (!g->hidden || !filt_hides_path(g->hidden, full, g->tree->is_dir(g->tree->ctx, full)))
				rc = emit(g);
		}
	}
	g->len = at;
	g->path[at] = '\0';
	return rc;
}

/* rest begins with a component, or is empty behind a trailing slash. Leaves g->path as it was. */
static int expand(struct glob *g, const char *rest)
{
	size_t at = g->len;
	int rc = 0;

	for (;;) {
		size_t len = strcspn(rest, "/");
		const char *next = rest + len + strspn(rest + len, "/");
		bool slash = rest[len] == '/';
		char dir[sizeof(g->full)];

		if (!len) {
			rc = emit(g);
			break;
		}
		if (strcspn(rest, "*?[") < len) {
			struct level lv = { g, rest, next, len, slash };

			if (g->depth < GLOB_DEPTH_MAX) {
				g->depth++;
				strcpy(dir, full_path(g));
				rc = g->tree->list(g->tree->ctx, dir, each_name, &lv);
				g->depth--;
			}
			break;
		}
		if (!append(g, rest, len))
			break;
		if (!slash) {
			rc = emit(g);
			break;
		}
		if (!passable(g) || !append(g, "/", 1))
			break;
		rest = next;
	}
	g->len = at;
	g->path[at] = '\0';
	return rc;
}

static OWN_FRAME int expand_word(const struct glob_tree *tree, const char *word, const char *cwd, const struct filter_list *hidden,
				 int (*found)(void *arg, const char *path), void *arg)
{
	struct glob g = { .tree = tree, .cwd = cwd, .hidden = hidden && hidden->name_rules ? hidden : NULL, .found = found, .arg = arg };
	int rc;

	if (*word == '/')
		append(&g, "/", 1);
	rc = expand(&g, word + strspn(word, "/"));
	return rc < 0 ? rc : g.count;
}

int glob_expand(const struct glob_tree *tree, const char *word, const char *cwd, const struct filter_list *hidden,
                int (*found)(void *arg, const char *path), void *arg)
{
	if (!wild_has(word) || strlen(word) > PATH_LIMIT || strlen(cwd) > PATH_LIMIT)
		return 0;
	return expand_word(tree, word, cwd, hidden, found, arg);
}
