/*
 * options.c - the option table and its interpretation.
 */
#include "config.h"
#include "session/options.h"

#include <popt.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/say.h"
#include "session/args.h"
#include "session/optpriv.h"
#include "session/optvals.h"
#include "transfer/chmod.h"

int options_init(struct options *p, struct xfer_opts *o, struct budget *budget, bool daemon)
{
	*p = (struct options){ .o = o, .daemon = daemon, .budget = budget };
	p->arena = arena_new_growing(budget, 512);
	p->refused = mem_zalloc(budget, (size_t)option_row_count, 1);
	if (!p->arena || !p->refused) {
		options_free(p);
		return -1;
	}
	*o = (struct xfer_opts){
		.am_server = true, .am_daemon = daemon, .implied_dirs = true, .max_size = -1, .min_size = -1, .max_delete = -1,
		.compress_level = COMP_LEVEL_DEFAULT, .max_alloc = (int64_t)1 << 30, .open_noatime = -1, .super = -1, .ecaps = "",
	};
	o->info[INFO_NONREG] = 1;
	/* RSYNC_MAX_ALLOC is the host's own setting; an option overrides it. */
	if (getenv("RSYNC_MAX_ALLOC")) {
		int64_t v = options_size(getenv("RSYNC_MAX_ALLOC"), 'b', 1 << 20, INT64_MAX);

		if (v > 0)
			o->max_alloc = v;
	}
	return 0;
}

void options_free(struct options *p)
{
	mem_free(p->budget, p->refused);
	mem_free(p->budget, p->rules);
	mem_free(p->budget, (void *)p->paths);
	arena_free(p->arena);
	*p = (struct options){ 0 };
}

int opt_mistake(struct options *p, int code, const char *fmt, ...)
{
	va_list ap;

	if (!p->exit_code) {
		p->exit_code = code;
		va_start(ap, fmt);
		vsnprintf(p->error, sizeof p->error, fmt, ap);
		va_end(ap);
	}
	return -1;
}

const char *opt_keep(struct options *p, const char *s)
{
	const char *k = arena_strndup(p->arena, s, strlen(s));

	if (!k)
		opt_mistake(p, RX_MALLOC, "out of memory for options");
	return k ? k : "";
}

static int add_rule(struct options *p, int kind, const char *text)
{
	struct option_rule *r = mem_grow(p->budget, p->rules, &p->rules_cap, p->nrules + 1, sizeof *r);

	if (!r)
		return opt_mistake(p, RX_MALLOC, "out of memory for options");
	p->rules = r;
	r[p->nrules++] = (struct option_rule){ kind, opt_keep(p, text) };
	return 0;
}

static int size_value(struct options *p, const char *name, const char *arg, char unit, int64_t min, int64_t max, int64_t *out)
{
	int64_t v = options_size(arg, unit, min, max);

	if (v == -2)
		return opt_mistake(p, usage_code(p), "--%s=%s is too large%s", name, arg, max == BLOCK_SIZE_MAX ? " (max: 128.00K)" : "");
	if (v == -3)
		return opt_mistake(p, usage_code(p), "--%s=%s is too small (min: %s or 0 for unlimited)", name, arg, min == 512 ? "512" : "1.00M");
	if (v < 0)
		return opt_mistake(p, usage_code(p), "--%s=%s is invalid", name, arg);
	*out = v;
	return 0;
}

static int alt_dest(struct options *p, enum alt_dest kind, const char *arg)
{
	static const char *const names[] = { "", "compare-dest", "copy-dest", "link-dest" };
	struct xfer_opts *o = p->o;

	if (o->alt_dest && o->alt_dest != kind)
		return opt_mistake(p, usage_code(p), "ERROR: the --%s option conflicts with the --%s option", names[kind], names[o->alt_dest]);
	if (o->alt_count == ALT_DEST_MAX)
		return opt_mistake(p, usage_code(p), "ERROR: at most %d --%s args may be specified", ALT_DEST_MAX, names[kind]);
	o->alt_dest = kind;
	o->alt_dirs[o->alt_count++] = opt_keep(p, arg);
	return 0;
}

static int delete_when(struct options *p, enum delete_when when)
{
	struct xfer_opts *o = p->o;

	o->delete_mode = true;
	if (o->delete_when != DELETE_NONE && o->delete_when != when)
		p->delete_whens++;
	o->delete_when = when;
	return 0;
}

/* "--usermap" or "--groupmap": once, and not beside --chown. */
static int id_map(struct options *p, const char *name, const char *arg, const char **map, bool by_chown, bool *on)
{
	if (by_chown)
		return opt_mistake(p, usage_code(p), "%s conflicts with prior --chown.", name);
	if (*map)
		return opt_mistake(p, usage_code(p), "You can only specify %s once.", name);
	*map = opt_keep(p, arg);
	*on = true;
	return 0;
}

static int chown_half(struct options *p, const char *kind, const char *to, size_t len, const char **map, bool *by_chown, bool *on)
{
	if (!len)
		return 0;
	if (*by_chown)
		return opt_mistake(p, usage_code(p), "You can only specify a %s-affecting --chown once.", kind);
	if (*map)
		return opt_mistake(p, usage_code(p), "--chown conflicts with prior --%smap.", kind);
	*map = optval_map_all(p->arena, to, len);
	if (!*map)
		return opt_mistake(p, RX_MALLOC, "out of memory for options");
	*by_chown = *on = true;
	return 0;
}

static int chown_maps(struct options *p, const char *arg)
{
	struct xfer_opts *o = p->o;
	size_t len = strcspn(arg, ":");
	const char *group = arg + len + (arg[len] == ':');

	return chown_half(p, "user", arg, len, &o->usermap, &p->chown_user, &o->owner) ||
	       chown_half(p, "group", group, strlen(group), &o->groupmap, &p->chown_group, &o->group) ? -1 : 0;
}

/* Several --chmod options are one list. */
static int add_chmod(struct options *p, const char *arg)
{
	struct chmod_rules *rules = chmod_parse(arg, 022);
	_cleanup_buf_ struct buf all = BUF_INIT(p->budget);

	if (!rules)
		return opt_mistake(p, usage_code(p), "Invalid argument passed to --chmod (%s)", arg);
	chmod_free(rules);
	if (p->o->chmod)
		buf_addf(&all, "%s,", p->o->chmod);
	buf_adds(&all, arg);
	p->o->chmod = opt_keep(p, buf_str(&all));
	return 0;
}

static int stop_after(struct options *p, const char *arg)
{
	char *end;
	long v = strtol(arg, &end, 10);

	if (end == arg || *end || v <= 0 || v > INT_MAX)
		return opt_mistake(p, usage_code(p), "invalid --stop-after value: %s", arg);
	p->o->stop_at = (int64_t)time(NULL) + (int64_t)v * 60;
	return 0;
}

static int stop_at(struct options *p, const char *arg)
{
	int rc = optval_stop_at(arg, time(NULL), &p->o->stop_at);

	if (rc == -2)
		return opt_mistake(p, usage_code(p), "--stop-at time is not in the future: %s", arg);
	return rc < 0 ? opt_mistake(p, usage_code(p), "invalid --stop-at format: %s", arg) : 0;
}

static int unknown_name(struct options *p, const char *kind, const char *name, size_t len)
{
	p->bare_error = !p->exit_code || p->bare_error;
	return opt_mistake(p, RX_UNSUPPORTED, "unknown %s name: %.*s", kind, (int)MIN(len, (size_t)256), name);
}

static int checksum_choice(struct options *p, const char *arg)
{
	const char *comma = strchr(arg, ',');
	size_t len = comma ? (size_t)(comma - arg) : strlen(arg);

	if (!strcasecmp(arg, "auto") || !strcasecmp(arg, "auto,auto")) {
		p->o->checksum_choice = NULL;
		return 0;
	}
	if (csum_parse(arg, len) == CSUM_INVALID && strncasecmp(arg, "auto", MAX(len, (size_t)4)))
		return unknown_name(p, "checksum", arg, len);
	if (comma && csum_parse(comma + 1, strlen(comma + 1)) == CSUM_INVALID && strcasecmp(comma + 1, "auto"))
		return unknown_name(p, "checksum", comma + 1, strlen(comma + 1));
	p->o->checksum_choice = opt_keep(p, arg);
	return 0;
}

static int compress_choice(struct options *p, const char *arg)
{
	struct xfer_opts *o = p->o;

	o->compress = true;
	if (!strcasecmp(arg, "auto")) {
		o->compress_choice = NULL;
		return 0;
	}
	if (comp_parse(arg, strlen(arg)) == COMP_INVALID)
		return unknown_name(p, "compress", arg, strlen(arg));
	o->compress_choice = opt_keep(p, arg);
	o->compress = comp_parse(arg, strlen(arg)) != COMP_NONE;
	return 0;
}

static int stderr_mode(struct options *p, const char *arg)
{
	size_t n = strlen(arg);
	struct xfer_opts *o = p->o;

	if (!n || (strncmp(arg, "errors", n) && strncmp(arg, "all", n) && strncmp(arg, "client", n)))
		return opt_mistake(p, usage_code(p), "--stderr mode \"%s\" is not one of errors, all, or client", arg);
	o->msgs_to_stderr = arg[0] == 'a';
	o->stderr_client = arg[0] == 'c';
	return 0;
}

/* Refusing any part of what -a stands for refuses it. */
static int set_archive(struct options *p, const struct row *r)
{
	struct xfer_opts *o = p->o;

	for (const char *part = "rdlptgoD"; *part; part++)
		if (opt_refused(p, (char[]){ *part, '\0' }))
			return opt_refusal(p, r);
	o->recurse = o->links = o->perms = o->times = o->group = o->owner = o->devices = o->specials = true;
	return 0;
}

static void log_format(struct options *p, const char *arg)
{
	struct xfer_opts *o = p->o;

	o->out_format = true;
	if (strstr(arg, "%i"))
		o->out_itemize = true;
	if (strstr(arg, "%I"))
		o->out_itemize_all = true;
	if (strstr(arg, "%o"))
		o->out_operation = true;
}

static int plain_special(struct options *p, enum special sp)
{
	struct xfer_opts *o = p->o;

	switch (sp) {
	case SP_SERVER: p->server = true; break;
	case SP_SENDER: o->am_sender = true; break;
	case SP_D: o->devices = o->specials = true; break;
	case SP_NO_D: o->devices = o->specials = false; break;
	case SP_ONE_FS: o->one_fs_skip = o->one_fs; o->one_fs = true; break;
	case SP_NO_ONE_FS: o->one_fs = o->one_fs_skip = false; break;
	case SP_RELATIVE: o->relative = true; p->not_relative = false; break;
	case SP_NO_RELATIVE: o->relative = false; p->not_relative = true; break;
	case SP_PARTIAL_PROGRESS: o->partial = p->progress = true; break;
	case SP_OLD_ARGS: p->old_args = true; break;
	case SP_NO_OLD_ARGS: p->old_args = false; break;
	case SP_RECURSE: o->recurse = p->recurse_given = true; break;
	case SP_NO_RECURSE: o->recurse = p->recurse_given = false; break;
	case SP_OLD_DIRS: o->recurse = p->recurse_given = true; return add_rule(p, RULE_FILTER, "- /*/*");
	case SP_F: return add_rule(p, RULE_F, "");
	case SP_APPEND: o->append++; break;
	case SP_APPEND_VERIFY: o->append = 2; break;
	case SP_NO_APPEND: o->append = 0; break;
	case SP_COMPRESS:
		if (o->compress && !o->compress_choice)
			o->compress_choice = "zlibx";
		o->compress = true;
		break;
	case SP_NO_COMPRESS: o->compress = false; o->compress_choice = NULL; break;
	case SP_OLD_COMPRESS: o->compress = true; o->compress_choice = "zlib"; break;
	case SP_NEW_COMPRESS: o->compress = true; o->compress_choice = "zlibx"; break;
	case SP_NO_BWLIMIT: o->bwlimit = 0; break;
	case SP_NO_TIMEOUT: o->timeout = 0; break;
	case SP_DEL: o->delete_mode = true; break;
	case SP_DEL_BEFORE: return delete_when(p, DELETE_BEFORE);
	case SP_DEL_DURING: return delete_when(p, DELETE_DURING);
	case SP_DEL_DELAY: return delete_when(p, DELETE_DELAY);
	case SP_DEL_AFTER: return delete_when(p, DELETE_AFTER);
	case SP_DEL_EXCLUDED: o->delete_mode = o->delete_excluded = true; break;
	case SP_VERBOSE: o->verbose += o->verbose < 99; break;
	case SP_NO_VERBOSE: o->verbose = 0; break;
	case SP_MSGS2STDERR: o->msgs_to_stderr = true; o->stderr_client = false; break;
	case SP_NO_MSGS2STDERR: o->msgs_to_stderr = false; o->stderr_client = true; break;
	case SP_ITEMIZE: o->out_itemize_all = o->out_itemize; o->out_itemize = o->out_format = true; break;
	case SP_SECLUDED: p->secluded = true; break;
	case SP_NO_SECLUDED: p->secluded = false; break;
	case SP_OPEN_NOATIME: o->open_noatime = 1; break;
	case SP_NO_OPEN_NOATIME: o->open_noatime = 0; break;
	case SP_ATIMES:
		if (++o->atimes > 1)
			o->open_noatime = 1;
		break;
	/* A daemon's client may not choose where ids are stored: it gets what --super means (05 §8.3). */
	case SP_FAKE_SUPER:
		o->super = p->daemon ? 1 : 2;
		break;
	case SP_STATS: o->stats = true; break;
	case SP_NO_ICONV: o->iconv = NULL; break;
	default: break;
	}
	return 0;
}

/* Who started us says it, once: words of the peer that come behind it cannot move or lift it. A daemon's module is its
   own root (05 §8.3). "/" confines to nothing. */
static int confine_root(struct options *p, const char *arg)
{
	struct xfer_opts *o = p->o;

	if (p->daemon)
		return 0;
	if (*arg != '/')
		return opt_mistake(p, RX_USAGE, "--confine-root must be an absolute path");
	if (p->second_batch && !o->confine_root)
		return opt_mistake(p, RX_USAGE, "--confine-root must be given before secluded arguments");
	if (o->confine_root && strcmp(o->confine_root, arg) != 0)
		return opt_mistake(p, RX_USAGE, "You can only specify --confine-root once.");
	if (arg[strspn(arg, "/")])
		o->confine_root = opt_keep(p, arg);
	return 0;
}

static int string_special(struct options *p, enum special sp, const char *arg)
{
	struct xfer_opts *o = p->o;
	int64_t v;

	switch (sp) {
	case SP_FILES_FROM: o->files_from = opt_keep(p, arg); return 0;
	case SP_FILTER: return add_rule(p, RULE_FILTER, arg);
	case SP_EXCLUDE: return add_rule(p, RULE_EXCLUDE, arg);
	case SP_INCLUDE: return add_rule(p, RULE_INCLUDE, arg);
	case SP_EXCLUDE_FROM: return add_rule(p, RULE_EXCLUDE_FROM, arg);
	case SP_INCLUDE_FROM: return add_rule(p, RULE_INCLUDE_FROM, arg);
	case SP_MAX_SIZE: return size_value(p, "max-size", arg, 'b', 0, INT64_MAX, &o->max_size);
	case SP_MIN_SIZE: return size_value(p, "min-size", arg, 'b', 0, INT64_MAX, &o->min_size);
	case SP_BLOCK_SIZE:
		if (size_value(p, "block-size", arg, 'b', 0, BLOCK_SIZE_MAX, &v) < 0)
			return -1;
		o->block_size = (int32_t)v;
		return 0;
	case SP_BWLIMIT:
		if (size_value(p, "bwlimit", arg, 'K', 512, INT64_MAX, &v) < 0)
			return -1;
		o->bwlimit = (unsigned)MIN((v + 512) / 1024, (int64_t)INT32_MAX);
		return 0;
	case SP_MAX_ALLOC:
		if (size_value(p, "max-alloc", arg, 'b', 1 << 20, INT64_MAX, &o->max_alloc) < 0)
			return -1;
		return o->max_alloc ? 0 : opt_mistake(p, usage_code(p), "max-alloc must be greater than zero");
	case SP_CHECKSUM_CHOICE: return checksum_choice(p, arg);
	case SP_COMPRESS_CHOICE: return compress_choice(p, arg);
	case SP_COMPARE_DEST: return alt_dest(p, ALT_COMPARE, arg);
	case SP_COPY_DEST: return alt_dest(p, ALT_COPY, arg);
	case SP_LINK_DEST: return alt_dest(p, ALT_LINK, arg);
	case SP_PARTIAL_DIR:
		o->partial_dir = *arg && strcmp(arg, ".") ? opt_keep(p, arg) : NULL;
		o->partial = true;
		return 0;
	case SP_BACKUP_DIR:
		o->backup_dir = *arg && strcmp(arg, ".") ? opt_keep(p, arg) : NULL;
		o->backup = p->backup_dir_given = true;
		return 0;
	case SP_TEMP_DIR: o->temp_dir = opt_keep(p, arg); return 0;
	case SP_SUFFIX: o->suffix = opt_keep(p, arg); return 0;
	case SP_SKIP_COMPRESS: o->skip_compress = opt_keep(p, arg); return 0;
	case SP_USERMAP: return id_map(p, "--usermap", arg, &o->usermap, p->chown_user, &o->owner);
	case SP_GROUPMAP: return id_map(p, "--groupmap", arg, &o->groupmap, p->chown_group, &o->group);
	case SP_CHOWN: return chown_maps(p, arg);
	case SP_CHMOD: return add_chmod(p, arg);
	case SP_INFO: optval_info(o, arg); return 0;
	case SP_STDERR: return stderr_mode(p, arg);
	case SP_LOG_FORMAT: log_format(p, arg); return 0;
	case SP_ONLY_WRITE_BATCH: o->only_write_batch = true; return 0;
	case SP_WRITE_BATCH: p->write_batch = true; return 0;
	case SP_READ_BATCH: p->read_batch = true; return 0;
	case SP_STOP_AFTER: return stop_after(p, arg);
	case SP_STOP_AT: return stop_at(p, arg);
	case SP_REMOTE_OPTION: /* means something to a client only */
		return *arg == '-' ? 0 : opt_mistake(p, usage_code(p), "Remote option must start with a dash: %s", arg);
	case SP_ECAPS: o->ecaps = opt_keep(p, arg); return 0;
	case SP_COPY_AS: /* a module's worker has no power to change its ids */
		o->copy_as = opt_keep(p, arg);
		return p->daemon ? opt_mistake(p, RX_UNSUPPORTED, "The server does not support --copy-as") : 0;
	case SP_CONFINE_ROOT: return confine_root(p, arg);
	case SP_ICONV: /* LOCAL,REMOTE: the second is ours */
		o->iconv = opt_keep(p, strchr(arg, ',') ? strchr(arg, ',') + 1 : arg);
		return 0;
	default: return 0;
	}
}

static int int_special(struct options *p, enum special sp, int v)
{
	struct xfer_opts *o = p->o;

	switch (sp) {
	case SP_CHECKSUM_SEED: o->checksum_seed = v; break;
	case SP_MODIFY_WINDOW: o->modify_window = v; break;
	case SP_COMPRESS_LEVEL: o->compress_level = v; o->compress = true; break;
	case SP_COMPRESS_THREADS: o->compress_threads = v < 0 ? 0 : MIN(v, 8); break;
	case SP_TIMEOUT: o->timeout = v > 0 ? (unsigned)v : 0; break;
	case SP_MAX_DELETE: o->max_delete = MAX(v, 0); break;
	default: break;
	}
	return 0;
}

static int apply(struct options *p, const struct row *r, const char *arg, int ival)
{
	void *field = (char *)p->o + r->off;

	switch ((enum kind)r->kind) {
	case SET: *(bool *)field = r->value != 0; return 0;
	case SETI: *(int *)field = r->value; return 0;
	case COUNT: *(int *)field += *(int *)field < 99; return 0;
	case STR: *(const char **)field = opt_keep(p, arg); return 0;
	case INT: *(int *)field = ival; return 0;
	case CALL: return r->value == SP_ARCHIVE ? set_archive(p, r) : plain_special(p, (enum special)r->value);
	case CALLS: return string_special(p, (enum special)r->value, arg);
	case CALLI: return int_special(p, (enum special)r->value, ival);
	case IGNORE: case IGNORES: case IGNOREI: return 0;
	case HACK:
		return p->daemon ? opt_mistake(p, RX_UNSUPPORTED, "Attempt to hack rsync thwarted!")
				 : opt_mistake(p, RX_USAGE, "Daemon option(s) used without --daemon.\n"
					       "(Type \"rsync --daemon --help\" for assistance with daemon mode.)");
	case LACKS:
		return p->daemon ? opt_refusal(p, r)
			: opt_mistake(p, usage_code(p), r->letter ? "The server does not support --%s (-%c)" : "The server does not support --%s",
				      r->name, r->letter);
	}
	return 0;
}

static int add_path(struct options *p, const char *word)
{
	const char **v = mem_grow(p->budget, (void *)p->paths, &p->paths_cap, (size_t)p->npaths + 1, sizeof *v);

	if (!v)
		return opt_mistake(p, RX_MALLOC, "out of memory for arguments");
	p->paths = v;
	v[p->npaths++] = opt_keep(p, word);
	return 0;
}

/* A daemon tells of a mistake after the set-up: what shapes that, and what was asked for, is looked for behind the mistake too. */
static bool goes_on(const struct options *p)
{
	return p->daemon && p->exit_code != RX_MALLOC;
}

static bool shapes_setup(const struct row *r)
{
	static const uint8_t calls[] = { SP_SERVER, SP_SENDER, SP_SECLUDED, SP_NO_SECLUDED, SP_COMPRESS, SP_NO_COMPRESS, SP_OLD_COMPRESS,
		SP_NEW_COMPRESS, SP_ECAPS, SP_CHECKSUM_CHOICE, SP_COMPRESS_CHOICE, SP_COMPRESS_LEVEL, SP_ICONV, SP_FILES_FROM };

	if (r->kind == CALL || r->kind == CALLS || r->kind == CALLI)
		for (size_t i = 0; i < sizeof calls; i++)
			if (r->value == calls[i])
				return true;
	return false;
}

static int one_option(struct options *p, int i, const char *arg, int ival)
{
	const struct row *r = &option_rows[i];

	if (p->refused[i])
		opt_refusal(p, r);
	/* The role that is refused is not taken. */
	if (p->exit_code && (!shapes_setup(r) || (p->refused[i] && r->value == SP_SENDER)))
		return -1;
	return apply(p, r, arg, ival);
}

static int run_popt(struct options *p, poptContext pc, int words, const int *ival)
{
	int rc, bad = 0;

	while ((rc = poptGetNextOpt(pc)) != -1) {
		char *arg = rc > 0 ? poptGetOptArg(pc) : NULL;

		if (rc > 0)
			one_option(p, rc - 1, arg ? arg : "", *ival);
		else
			opt_mistake(p, usage_code(p), "on remote machine: %s: %s", poptBadOption(pc, POPT_BADOPTION_NOALIAS), poptStrerror(rc));
		free(arg);
		if (p->exit_code && (!goes_on(p) || (rc < 0 && ++bad > words)))
			return -1;
	}
	return 0;
}

int options_parse(struct options *p, const char *const *words, int count, bool first_batch)
{
	struct poptOption *table;
	static int ival;
	const char **argv;
	poptContext pc;
	const char *rest;
	int n = 0, rc;

	p->second_batch = !first_batch;
	table = mem_zalloc(p->budget, (size_t)option_row_count + 1, sizeof *table);
	argv = mem_alloc(p->budget, (size_t)count + 2, sizeof *argv);
	if (!table || !argv) {
		mem_free(p->budget, table);
		mem_free(p->budget, (void *)argv);
		return opt_mistake(p, RX_MALLOC, "out of memory for arguments");
	}
	for (int i = 0; i < option_row_count; i++) {
		const struct row *r = &option_rows[i];
		bool str = r->kind == STR || r->kind == CALLS || r->kind == IGNORES || (r->kind == HACK && r->off);
		bool num = r->kind == INT || r->kind == CALLI || r->kind == IGNOREI;

		table[i] = (struct poptOption){ .longName = r->name, .shortName = r->letter, .val = i + 1,
			.argInfo = str ? POPT_ARG_STRING : num ? POPT_ARG_INT : POPT_ARG_NONE, .arg = num ? &ival : NULL };
	}
	argv[n++] = "kedge";
	for (int i = 0; i < count; i++)
		argv[n++] = opt_keep(p, words[i]);
	argv[n] = NULL;
	/* Words up to the first "." were quoted for a shell by the client. */
	for (int i = 1; i < n && p->daemon && first_batch && goes_on(p); i++) {
		args_unescape((char *)(uintptr_t)argv[i]);
		if (!strcmp(argv[i], "."))
			break;
	}
	pc = poptGetContext("kedge", n, argv, table, POPT_CONTEXT_POSIXMEHARDER);
	rc = !pc ? opt_mistake(p, RX_MALLOC, "out of memory for arguments") : p->exit_code && !goes_on(p) ? -1 : run_popt(p, pc, n, &ival);
	/* In secluded mode what is left of the first batch is debris of old clients (05 §3.3). */
	if (rc == 0 && !(p->secluded && first_batch)) {
		rest = poptGetArg(pc);
		p->no_words = !rest;
		if (rest && strcmp(rest, "."))
			rc = add_path(p, rest);
		while (rc == 0 && (rest = poptGetArg(pc)))
			rc = add_path(p, rest);
	}
	poptFreeContext(pc);
	mem_free(p->budget, table);
	mem_free(p->budget, (void *)argv);
	return p->exit_code ? -1 : rc;
}

