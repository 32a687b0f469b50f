/*
 * inroot.c - see inroot.h.
 */
#include "config.h"
#include "session/inroot.h"

#include <stdio.h>
#include <stdlib.h>

#include "session/keyrules.h"
#include "session/optpriv.h"

/* Whether some ".." steps above where the path begins. */
static bool climbs(const char *path)
{
	int depth = 0;

	for (const char *s = path; *s && depth >= 0;) {
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			depth--;
		else if (n && !(n == 1 && *s == '.'))
			depth++;
		s += n + strspn(s + n, "/");
	}
	return depth < 0;
}

static const char *below_host_root(const char *arg, const char *host_root)
{
	const char *s = arg + strspn(arg, "/");
	size_t n = host_root ? strlen(host_root) : 0;

	if (!n || s == arg || strncmp(s, host_root, n) != 0 || (s[n] && s[n] != '/'))
		return arg;
	return s[n] ? s + n : "/";
}

/* A copy of the argument as a path within the root; NULL with p's error. */
static char *within(struct words *out, struct options *p, const char *arg, const char *host_root)
{
	const char *s = below_host_root(arg, host_root);
	char *copy;

	if (climbs(s)) {
		opt_mistake(p, RX_USAGE, "do not use .. in arg (anchor the path at the root of your restricted dir)");
		return NULL;
	}
	/* An empty one becomes ".". */
	copy = arena_alloc(out->arena, strlen(s) + 2, 1);
	if (!copy) {
		opt_mistake(p, RX_MALLOC, "out of memory for arguments");
		return NULL;
	}
	strcpy(copy, s);
	args_collapse(copy);
	return copy;
}

/* The pattern of path argument i, or NULL. */
static const char *pattern_of(const struct options *p, int i)
{
	int at = p->key ? p->key->npatterns - p->npaths + i : -1;

	return p->secluded ? p->paths[i] : at >= 0 ? p->key->patterns[at] : NULL;
}

int inroot_paths(struct words *out, struct options *p, struct anchor *root, const char *host_root)
{
	_cleanup_sb_ struct sb *sb = sb_new(root, 0);
	int rc = 0;

	if (!sb)
		return opt_mistake(p, RX_MALLOC, "out of memory for arguments");
	for (int i = 0; i < p->npaths && rc == 0; i++) {
		const char *plain = within(out, p, p->paths[i], host_root), *pattern = pattern_of(p, i);

		if (pattern)
			pattern = within(out, p, pattern, host_root);
		if (p->exit_code)
			return -1;
		rc = pattern ? args_glob_or(out, pattern, plain, sb, "", NULL) : words_add(out, plain, strlen(plain));
	}
	return rc < 0 ? opt_mistake(p, RX_MALLOC, "out of memory for arguments") : 0;
}

static int handed(struct options *p, const struct anchor *root, const char **path)
{
	static const char dir[] = "/proc/self/fd/";
	char below[PATH_LIMIT + 1], text[2 * PATH_LIMIT + 2];
	const char *number;
	size_t digits;

	if (!*path || strncmp(*path, dir, sizeof dir - 1) != 0)
		return 0;
	number = *path + sizeof dir - 1;
	digits = strspn(number, "0123456789");
	if (!digits || digits > 6 || (number[digits] && number[digits] != '/') || anchor_find(root, atoi(number), below) < 0)
		return 0;
	snprintf(text, sizeof text, "/%s%s", below, number + digits);
	*path = opt_keep(p, text);
	return *path ? 0 : opt_mistake(p, RX_MALLOC, "out of memory for arguments");
}

int inroot_handed(struct options *p, const struct anchor *root)
{
	struct xfer_opts *o = p->o;
	const char **named[] = { &o->backup_dir, &o->temp_dir, &o->partial_dir, &o->files_from };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(named) && rc == 0; i++)
		rc = handed(p, root, named[i]);
	for (int i = 0; i < o->alt_count && rc == 0; i++)
		rc = handed(p, root, &o->alt_dirs[i]);
	for (int i = 0; i < p->npaths && rc == 0; i++)
		rc = handed(p, root, &p->paths[i]);
	return rc;
}
