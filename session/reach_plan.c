/*
 * reach_plan.c - which paths a server's arguments name. No file is touched here.
 */
#include "config.h"
#include "session/reach.h"

#include <errno.h>

#include "base/text.h"
#include "sender/argname.h"

int reach_plan_init(struct reach_plan *pl, struct budget *budget)
{
	*pl = (struct reach_plan){ .budget = budget, .arena = arena_new(budget, 1024) };
	return pl->arena ? 0 : -1;
}

void reach_plan_free(struct reach_plan *pl)
{
	mem_free(pl->budget, pl->item);
	if (pl->arena)
		arena_free(pl->arena);
	*pl = (struct reach_plan){ 0 };
}

int reach_plan_add(struct reach_plan *pl, enum reach_kind kind, const char *path)
{
	struct reach_item *v = mem_grow(pl->budget, pl->item, &pl->cap, pl->n + 1, sizeof *v);

	if (!v)
		return -1;
	pl->item = v;
	v[pl->n] = (struct reach_item){ kind, arena_strndup(pl->arena, path, strlen(path)) };
	return v[pl->n++].path ? 0 : -1;
}

int reach_join(const char *base, const char *arg, char *out)
{
	size_t n = *arg == '/' ? 0 : strlen(base), len;

	arg += strspn(arg, "/");
	len = strlen(arg);
	if (n + 1 + len > PATH_LIMIT)
		return -ENAMETOOLONG;
	memcpy(out, base, n);
	if (n)
		out[n++] = '/';
	memcpy(out + n, arg, len + 1);
	path_clean(out);
	if (!strcmp(out, "."))
		*out = '\0';
	return 0;
}

static int add_joined(struct reach_plan *pl, enum reach_kind kind, const char *cwd, const char *path)
{
	char full[PATH_LIMIT + 1];

	return reach_join(cwd, path, full) < 0 ? 0 : reach_plan_add(pl, kind, full);
}

static int add_source(struct reach_plan *pl, const char *arg, bool relative, const char *cwd)
{
	char item[PATH_LIMIT + 1], base[PATH_LIMIT + 1];
	struct arg_name n;

	if (strlen(arg) > PATH_LIMIT)
		return 0;
	if (!relative)
		arg_parse_plain(arg, &n);
	else if (arg_parse_relative(arg, &n) < 0)
		return 0;
	/* A --relative name may begin with a slash of its own; it is relative to dir all the same. */
	if (reach_join(cwd, n.dir, base) < 0 || reach_join(base, n.name + strspn(n.name, "/"), item) < 0)
		return 0;
	return reach_plan_add(pl, REACH_SOURCE, item);
}

static unsigned plan_flags(const struct xfer_opts *o)
{
	unsigned flags = 0;

	if (((o->owner || o->group || o->acls) && !o->numeric_ids) || o->usermap || o->groupmap)
		flags |= REACH_NAMES;
	if (o->xattrs)
		flags |= REACH_XATTRS;
	if (o->insecure_links)
		flags |= REACH_INSECURE | REACH_ANYWHERE;
	if (o->am_sender) {
		flags |= REACH_SENDER | REACH_RULES;
		if (o->remove_source)
			flags |= REACH_REMOVE;
		if (o->copy_links || o->copy_dirlinks || o->copy_unsafe_links || o->files_from)
			flags |= REACH_ANYWHERE;
		if (o->copy_devices)
			flags |= REACH_OPEN_DEVICES;
		if (o->open_noatime > 0)
			flags |= REACH_NOATIME;
		return flags;
	}
	if (o->mkpath)
		flags |= REACH_MKPATH;
	if (o->delete_mode || o->prune_empty_dirs)
		flags |= REACH_RULES;
	if (o->devices && !o->drop_devices)
		flags |= REACH_DEVICES;
	if (o->write_devices)
		flags |= REACH_OPEN_DEVICES;
	return flags;
}

static int plan_sender(struct reach_plan *pl, const struct xfer_opts *o, const char *const *args, int nargs, const char *cwd)
{
	for (int i = 0; i < nargs; i++)
		if (add_source(pl, args[i], o->relative, cwd) < 0)
			return -1;
	return nargs ? 0 : add_source(pl, ".", false, cwd);
}

/* A dry run to a new destination stays where it is, and looks from there. */
static int add_side(struct reach_plan *pl, enum reach_kind kind, const char *path, bool dry, const char *cwd)
{
	char full[PATH_LIMIT + 2] = "/";

	if (reach_plan_add(pl, kind, path) < 0)
		return -1;
	return *path == '/' || !dry || reach_join(cwd, path, full + 1) < 0 ? 0 : reach_plan_add(pl, REACH_ALT, full);
}

static int plan_receiver(struct reach_plan *pl, const struct xfer_opts *o, const char *const *args, int nargs, const char *cwd)
{
	/* Sides are found relative to the destination, which therefore comes first. */
	if (add_joined(pl, REACH_DEST, cwd, nargs > 0 && *args[0] ? args[0] : ".") < 0)
		return -1;
	for (int i = 0; i < o->alt_count; i++)
		if (reach_plan_add(pl, o->alt_dest == ALT_LINK ? REACH_ALT_LINK : REACH_ALT, o->alt_dirs[i]) < 0)
			return -1;
	if (o->temp_dir && add_side(pl, REACH_TEMP, o->temp_dir, o->dry_run, cwd) < 0)
		return -1;
	if (o->partial_dir && *o->partial_dir == '/' && reach_plan_add(pl, REACH_PARTIAL, o->partial_dir) < 0)
		return -1;
	return o->backup && o->backup_dir ? add_side(pl, REACH_BACKUP, o->backup_dir, o->dry_run, cwd) : 0;
}

/* The file that a merge rule of the command line names, or NULL: ". FILE", "merge FILE", with modifiers. */
static const char *merged_file(const char *rule)
{
	const char *p = rule;

	if (*p == '.')
		p++;
	else if (!strncmp(p, "merge", 5))
		p += 5;
	else
		return NULL;
	p += strcspn(p, " _");
	return *p ? p + 1 : NULL;
}

static int plan_files(struct reach_plan *pl, const struct options *p, const char *cwd)
{
	const char *home = getenv("HOME");

	if (p->o->files_from && strcmp(p->o->files_from, "-") && add_joined(pl, REACH_FILE, cwd, p->o->files_from) < 0)
		return -1;
	for (size_t i = 0; i < p->nrules; i++) {
		const char *file = p->rules[i].kind == RULE_FILTER ? merged_file(p->rules[i].text) :
			p->rules[i].kind == RULE_EXCLUDE_FROM || p->rules[i].kind == RULE_INCLUDE_FROM ? p->rules[i].text : NULL;

		if (file && add_joined(pl, REACH_FILE, cwd, file) < 0)
			return -1;
	}
	if (!p->o->cvs_exclude || !home)
		return 0;
	return add_joined(pl, REACH_FILE, home + strspn(home, "/"), ".cvsignore");
}

int reach_plan_make(struct reach_plan *pl, const struct options *p, const char *const *args, int nargs, const char *cwd)
{
	const struct xfer_opts *o = p->o;

	pl->flags |= plan_flags(o);
	if (o->copy_as && reach_plan_add(pl, REACH_USER, o->copy_as) < 0)
		return -1;
	/* Whatever else is named lies beneath the root. */
	if (o->confine_root)
		return 0;
	if (o->log_file && reach_plan_add(pl, REACH_LOG, o->log_file) < 0)
		return -1;
	if (plan_files(pl, p, cwd) < 0)
		return -1;
	return o->am_sender ? plan_sender(pl, o, args, nargs, cwd) : plan_receiver(pl, o, args, nargs, cwd);
}
