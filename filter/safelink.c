/*
 * safelink.c - the "unsafe symlink" test.
 */
#include "config.h"
#include "filter/safelink.h"

/* Next component of *p, which is moved behind it and its slashes; false at the end. last: nothing follows. */
static bool component(const char **p, const char **start, size_t *len, bool *last)
{
	while (**p == '/')
		(*p)++;
	if (!**p)
		return false;
	*start = *p;
	*len = strcspn(*p, "/");
	*p += *len;
	*last = !**p;
	return true;
}

static bool is_dotdot(const char *s, size_t len) { return len == 2 && s[0] == '.' && s[1] == '.'; }
static bool is_dot(const char *s, size_t len) { return len == 1 && s[0] == '.'; }

bool symlink_is_unsafe(const char *target, const char *name)
{
	size_t tlen = strlen(target), len;
	const char *p, *s;
	int64_t depth = 0;
	bool last;

	if (!*target || *target == '/')
		return true;
	for (p = target; p[0] == '.' && p[1] == '.' && p[2] == '/'; ) {
		p += 3;
		while (*p == '/')
			p++;
	}
	if (strstr(p, "/../"))
		return true;
	if (tlen > 3 && strcmp(target + tlen - 3, "/..") == 0)
		return true;

	for (p = name; component(&p, &s, &len, &last); ) {
		if (is_dotdot(s, len))
			depth = 0;
		else if (!last && !is_dot(s, len))
			depth++;
	}
	for (p = target; component(&p, &s, &len, &last); ) {
		if (is_dotdot(s, len)) {
			if (--depth < 0)
				return true;
		} else if (!last && !is_dot(s, len)) {
			depth++;
		}
	}
	return depth < 0;
}
