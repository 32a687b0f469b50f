/*
 * argname.c - taking source arguments apart.
 */
#include "config.h"
#include "sender/argname.h"

#include "base/text.h"

static bool ends_in_dots(const char *arg, size_t len)
{
	if (!len || arg[len - 1] == '/')
		return true;
	if (arg[len - 1] != '.')
		return false;
	return len == 1 || arg[len - 2] == '/' || (arg[len - 2] == '.' && (len == 2 || arg[len - 3] == '/'));
}

size_t arg_parent_len(const char *name)
{
	const char *slash = strrchr(name, '/');

	return !slash ? 0 : slash == name ? 1 : (size_t)(slash - name);
}

void arg_parse_plain(const char *arg, struct arg_name *p)
{
	size_t len = strlen(arg);
	const char *slash = strrchr(arg, '/');

	p->dir[0] = '\0';
	p->parents = 0;
	p->dot_implied = p->listed = false;
	p->contents = ends_in_dots(arg, len);
	if (p->contents) {
		strcpy(p->dir, arg);
		strcpy(p->name, ".");
	} else if (slash) {
		memcpy(p->dir, arg, (size_t)(slash - arg));
		p->dir[slash - arg] = '\0';
		if (slash == arg)
			strcpy(p->dir, "/");
		strcpy(p->name, slash + 1);
	} else {
		strcpy(p->name, arg);
	}
}

int arg_parse_relative(const char *arg, struct arg_name *p)
{
	const char *split = strstr(arg, "/./");
	size_t len;

	p->dir[0] = '\0';
	p->dot_implied = p->listed = false;
	if (split) {
		memcpy(p->dir, arg, (size_t)(split - arg));
		p->dir[split - arg] = '\0';
		if (split == arg)
			strcpy(p->dir, "/");
		arg = split + 3;
		arg += strspn(arg, "/");
	} else if (*arg == '/') {
		strcpy(p->dir, "/");
	} else if (arg[0] == '.' && arg[1] == '/' && arg[2 + strspn(arg + 2, "/")]) {
		p->dot_implied = true;
	}
	strcpy(p->name, arg);
	len = strlen(arg);
	p->contents = !len || arg[len - 1] == '/' || (arg[len - 1] == '.' && (len == 1 || arg[len - 2] == '/'));
	path_clean(p->name);
	if (!strcmp(p->name, "/"))
		strcpy(p->name, "/.");
	if (path_has_dotdot(p->name))
		return -1;
	if (!strcmp(p->name, "."))
		p->dot_implied = false;
	p->parents = arg_parent_len(p->name);
	return 0;
}

void arg_clean_listed(char *name, bool keep_dots)
{
	size_t skip = strspn(name, "/");

	memmove(name, name + skip, strlen(name + skip) + 1);
	if (!path_collapse(name, keep_dots))
		strcpy(name, ".");
}
