/*
 * optcheck.c - what is decided over the whole set of options: refusals, conflicts, derived values.
 */
#include "config.h"
#include "session/optpriv.h"

#include <stdio.h>

#include "base/say.h"
#include "base/text.h"
#include "filter/filter.h"
#include "filter/wildmatch.h"
#include "session/args.h"
#include "session/keyrules.h"
#include "session/optvals.h"
#include "session/setup.h"

static bool same_action(const struct row *a, const struct row *b)
{
	return a->kind == b->kind && a->off == b->off && a->value == b->value && a->kind != LACKS &&
	       a->kind != IGNORE && a->kind != IGNORES && a->kind != IGNOREI && a->kind != HACK;
}

/* Options that only their exact name or letter can refuse (06 §3.9 step 1). */
static bool wild_protected(const struct row *r)
{
	static const char *const names[] = { "server", "sender", "rsh", "dry-run", "secluded-args", "protect-args", "from0", "iconv",
		"no-iconv", "checksum-seed", "log-format", "out-format", "copy-devices", "write-devices" };

	for (size_t i = 0; r->name && i < ARRAY_SIZE(names); i++)
		if (!strcmp(r->name, names[i]))
			return true;
	return false;
}

static bool refuse_one(struct options *p, const char *item, bool yes)
{
	bool wild = strpbrk(item, "*?[") != NULL, hit = false;
	char letter[2] = "";

	if (!strcmp(item, "a") || !strcmp(item, "archive")) {
		item = "[ardlptgoD]";
		wild = true;
	}
	for (int i = 0; i < option_row_count; i++) {
		const struct row *r = &option_rows[i];

		letter[0] = r->letter;
		if (wild ? wild_protected(r) || !((r->name && wild_match(item, r->name)) || (r->letter && wild_match(item, letter)))
			 : !((r->name && !strcmp(item, r->name)) || (r->letter && !strcmp(item, letter))))
			continue;
		hit = true;
		p->refused[i] = yes;
		for (int k = 0; k < option_row_count && !wild; k++)
			if (same_action(r, &option_rows[k]))
				p->refused[k] = yes;
	}
	return hit;
}

/* One item of the list; false if it matched nothing. A name too long for any option matches nothing. */
static bool refuse_item(struct options *p, const char *item, size_t len)
{
	char *text = arena_strndup(p->arena, item, len);

	if (!text) {
		opt_mistake(p, RX_MALLOC, "out of memory for options");
		return true;
	}
	if (refuse_one(p, text + (*text == '!'), *text != '!'))
		return true;
	say(SAY_LOG, "No match for refuse-options string \"%s\"", text);
	return false;
}

void options_refuse(struct options *p, const char *list, bool have_charset)
{
	static const char *const always[] = { "log-file*", "insecure-links" };

	refuse_one(p, "copy-devices", true);
	refuse_one(p, "write-devices", true);
	while (*list) {
		size_t len = strcspn(list, " ");

		if (len)
			refuse_item(p, list, len);
		list += len + (list[len] == ' ');
	}
	if (!have_charset)
		refuse_one(p, "iconv", true);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		refuse_one(p, always[i], true);
}

void options_refuse_devices(struct options *p)
{
	refuse_one(p, "copy-devices", true);
	refuse_one(p, "write-devices", true);
}

int opt_refusal(struct options *p, const struct row *r)
{
	if (p->key)
		return opt_mistake(p, RX_USAGE, "option %s%.*s has been disabled on this server.", r->letter ? "-" : "--",
				   r->letter ? 1 : (int)strlen(r->name), r->letter ? &r->letter : r->name);
	if (!r->name)
		return opt_mistake(p, RX_UNSUPPORTED, "The server is configured to refuse -%c", r->letter);
	if (r->letter)
		return opt_mistake(p, RX_UNSUPPORTED, "The server is configured to refuse --%s (-%c)", r->name, r->letter);
	return opt_mistake(p, RX_UNSUPPORTED, "The server is configured to refuse --%s", r->name);
}

const struct row *opt_refused(const struct options *p, const char *name)
{
	for (int i = 0; i < option_row_count; i++) {
		const struct row *r = &option_rows[i];

		if (p->refused[i] && ((r->name && !strcmp(r->name, name)) || (r->letter && name[0] == r->letter && !name[1])))
			return r;
	}
	return NULL;
}

bool options_refuses(const struct options *p, const char *name)
{
	return opt_refused(p, name) != NULL;
}

/* Refuses as the named option when that one is refused. */
static int consequence(struct options *p, const char *name)
{
	const struct row *r = opt_refused(p, name);

	return r ? opt_refusal(p, r) : 0;
}

/* What would lead out of --confine-root: links, the log, devices that stand for more than themselves. */
static int finish_confined(struct options *p)
{
	const struct xfer_opts *o = p->o;
	const char *name = o->insecure_links ? "insecure-links" : o->log_file ? "log-file" : o->copy_devices ? "copy-devices" :
			   o->write_devices ? "write-devices" : NULL;

	return name ? opt_mistake(p, usage_code(p), "--%s cannot be combined with --confine-root", name) : 0;
}

static int finish_conflicts(struct options *p)
{
	struct xfer_opts *o = p->o;
	int code = usage_code(p);

	if (p->secluded && p->old_args)
		return opt_mistake(p, code, "--secluded-args conflicts with --old-args.");
	if (p->write_batch && p->read_batch)
		return opt_mistake(p, code, "--write-batch and --read-batch can not be used together");
	if (p->delete_whens)
		return opt_mistake(p, code, "You may not combine multiple --delete-WHEN options.");
	if (o->delete_mode && !o->recurse && !o->dirs)
		return opt_mistake(p, code, "--delete does not work without --recursive (-r) or --dirs (-d).");
	if (o->append && o->whole_file)
		return opt_mistake(p, code, "--append cannot be used with --whole-file");
	if (o->inplace && (o->partial_dir || o->delay_updates))
		return opt_mistake(p, code, "--%s cannot be used with --%s", o->append ? "append" : "inplace", o->delay_updates ? "delay-updates" : "partial-dir");
	if (o->suffix && strchr(o->suffix, '/'))
		return opt_mistake(p, code, "--suffix cannot contain slashes: %s", o->suffix);
	if (!o->suffix)
		o->suffix = p->backup_dir_given ? "" : "~";
	if (!*o->suffix && !o->backup_dir && !o->am_sender)
		return opt_mistake(p, code, "--suffix cannot be empty %s", p->backup_dir_given ?
				   "when --backup-dir is the same as the dest dir" : "without a --backup-dir");
	if (o->backup && !o->backup_dir)
		o->omit_dir_times = true;
	if (o->temp_dir && strlen(o->temp_dir) >= 4086)
		return opt_mistake(p, code, "the --temp-dir path is WAY too long.");
	if (o->backup_dir && strlen(o->backup_dir) >= 4086)
		return opt_mistake(p, code, "the --backup-dir path is WAY too long.");
	if (o->files_from && strcmp(o->files_from, "-") && strchr(o->files_from, ':') &&
	    (!strchr(o->files_from, '/') || strchr(o->files_from, ':') < strchr(o->files_from, '/')))
		return opt_mistake(p, code, "The --files-from sent to the server cannot specify a host.");
	if (o->confine_root && finish_confined(p) < 0)
		return -1;
	if (o->files_from && p->npaths > 1)
		return opt_mistake(p, code, "--files-from takes one base directory only");
	return 0;
}

static int finish_refusals(struct options *p)
{
	struct xfer_opts *o = p->o;
	int rc = 0;

	if (o->delete_mode || o->delete_missing_args || (o->am_sender && o->remove_source))
		rc |= consequence(p, "delete");
	/* Plain --delete takes the other time when one of the two is refused. */
	if (o->delete_mode && o->delete_when == DELETE_NONE && !rc) {
		bool before = opt_refused(p, "delete-before"), during = opt_refused(p, "delete-during");

		if (before && during)
			return consequence(p, "delete-before");
		if (before || during)
			o->delete_when = before ? DELETE_DURING : DELETE_BEFORE;
	}
	if (!rc && o->compress)
		rc = consequence(p, "compress");
	if (!rc && o->inplace)
		rc = consequence(p, "inplace");
	if (!rc && (o->inplace || (o->partial && !o->partial_dir)))
		rc = consequence(p, "partial");
	if (!rc && p->progress)
		rc = consequence(p, "progress");
	if (!rc && !o->iconv)
		rc = consequence(p, "no-iconv");
	return rc;
}

/* What the host's own lists leave out may not be asked for by name either. */
static int finish_choices(struct options *p)
{
	const struct xfer_opts *o = p->o;
	const char *sum = o->checksum_choice, *comp = o->compress_choice;
	bool bad_sum = sum && !setup_checksum_allowed(getenv("RSYNC_CHECKSUM_LIST"), sum);

	if (!bad_sum && (!comp || setup_compress_allowed(getenv("RSYNC_COMPRESS_LIST"), comp)))
		return 0;
	p->bare_error = true;
	return opt_mistake(p, RX_UNSUPPORTED, "Your --%s-choice value (%.256s) was refused by the server.", bad_sum ? "checksum" : "compress",
			   bad_sum ? sum : comp);
}

static void say_ignored(const struct options *p)
{
	if (p->write_batch || p->read_batch)
		say(SAY_WARNING, "ignoring --%s-batch option sent to server", p->write_batch ? "write" : "read");
}

int options_finish(struct options *p)
{
	struct xfer_opts *o = p->o;
	int rc;

	if (p->exit_code)
		return -1;
	optval_verbosity(o);
	if (o->files_from) {
		if (!p->not_relative)
			o->relative = true;
		if (!p->recurse_given)
			o->recurse = false;
		if (!o->recurse)
			o->dirs = MAX(o->dirs, 1);
	}
	if (o->recurse || (o->list_only && !o->dirs))
		o->dirs = MAX(o->dirs, 1);
	if (!o->relative)
		o->implied_dirs = false;
	if (o->append || o->write_devices)
		o->inplace = true;
	if (o->delay_updates && !o->partial_dir)
		o->partial_dir = ".~tmp~";
	if (o->partial_dir)
		o->partial = true;
	if (o->acls)
		o->perms = true;
	if (o->super == 2 && o->xattrs > 1)
		return opt_mistake(p, usage_code(p), "--fake-super conflicts with -XX");
	if (o->am_sender)
		o->keep_dirlinks = false;
	else
		o->copy_links = o->copy_dirlinks = false;
	if (o->no_whole_file)
		o->whole_file = false;
	rc = finish_choices(p);
	if (rc == 0)
		rc = finish_conflicts(p);
	if (rc == 0)
		rc = p->key ? keyrules_apply(p) : finish_refusals(p);
	if (rc == 0)
		say_ignored(p);
	return rc < 0 ? -1 : 0;
}

int options_check_version(struct options *p, int version)
{
	const struct xfer_opts *o = p->o;
	static const char *const alt[] = { "", "--compare-dest", "--copy-dest", "--link-dest" };
	char what[64] = "";
	int need = 29;

	if (version < 30 && (o->acls || o->xattrs)) {
		strcpy(what, o->acls ? "--acls" : "--xattrs");
		need = 30;
	} else if (version < 29) {
		if (o->fuzzy)
			strcpy(what, "--fuzzy");
		else if (o->alt_count && o->inplace)
			snprintf(what, sizeof what, "%s with --inplace", alt[o->alt_dest]);
		else if (o->alt_count > 1)
			snprintf(what, sizeof what, "Using more than one %s option", alt[o->alt_dest]);
		else if (o->prune_empty_dirs)
			strcpy(what, "--prune-empty-dirs");
	}
	if (!*what)
		return 0;
	p->bare_error = true;
	return opt_mistake(p, RX_PROTOCOL, "%s requires protocol %d or higher (negotiated %d).", what, need, version);
}

/* ---- paths in option values of a daemon's client ---- */

/* The value as it will be used, and as a path from the module root for the rules. */
static int confine(struct options *p, const struct filter_list *hidden, bool sanitize, const char **value, bool is_dir)
{
	const char *v = *value;
	size_t len = strlen(v);
	char *clean = arena_alloc(p->arena, len + 3, 1), *path;

	if (!clean)
		return opt_mistake(p, RX_MALLOC, "out of memory for options");
	if (sanitize && *v) {
		*clean = '/';
		args_sanitize(v, 0, false, clean + (*v == '/'));
		if (*v == '/' && !strcmp(clean, "/."))
			clean[1] = '\0';
		*value = clean;
	}
	if (!hidden)
		return 0;
	path = arena_alloc(p->arena, len + 3, 1);
	if (!path)
		return opt_mistake(p, RX_MALLOC, "out of memory for options");
	args_sanitize(v, 0, false, path);
	path_clean(path);
	if (!*v || (strcmp(path, ".") != 0 && filt_hides_path(hidden, path, is_dir)))
		return opt_mistake(p, RX_UNSUPPORTED, "Your options have been rejected by the server.");
	return 0;
}

int options_confine_paths(struct options *p, const struct filter_list *hidden, bool sanitize)
{
	struct xfer_opts *o = p->o;
	int rc = 0;

	if (hidden && !hidden->name_rules)
		hidden = NULL;
	if (o->temp_dir && !o->am_sender)
		rc = confine(p, hidden, sanitize, &o->temp_dir, true);
	if (!rc && o->backup_dir && !o->am_sender)
		rc = confine(p, hidden, sanitize, &o->backup_dir, true);
	if (!rc && o->files_from && strcmp(o->files_from, "-"))
		rc = confine(p, hidden, sanitize, &o->files_from, false);
	for (size_t i = 0; i < p->nrules && !rc; i++)
		if (p->rules[i].kind == RULE_EXCLUDE_FROM || p->rules[i].kind == RULE_INCLUDE_FROM)
			rc = confine(p, hidden, sanitize, &p->rules[i].text, false);
	return rc;
}
