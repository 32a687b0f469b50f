/*
 * conf.c - from text to struct conf: sections, inheritance, directives, values (spec 06 §1.3-1.10),
 * and the question whether the files have changed since.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <syslog.h>
#include <time.h>

#include "daemon/conf_lex.h"
#include "daemon/conf.h"
#include "sandbox/fs.h"
#include "sandbox/opfile.h"

struct loader {
	struct conf *c;
	const struct conf_source *src;
	const char *const *dparams;
	conf_report *report;
	void *report_ctx;
	struct conf_value def[CP_COUNT];        /* true globals and the current defaults */
	struct conf_value *outer[CONF_DEPTH_MAX]; /* saved defaults of the including files */
	size_t nouter;
	struct conf_module *cur;                /* NULL: global context */
	size_t cap_modules, cap_files;
	bool seen_header, seen_module;
	unsigned depth;
	const char *path;                       /* of the file being read, for messages */
	uint16_t file;
	unsigned line;
	bool failed;                            /* out of memory */
	bool overflow;                          /* a value grew too long, which was told */
};

static void PRINTF(2, 3) tell(struct loader *l, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof text && l->path)
		snprintf(text + n, sizeof text - (size_t)n, " (%s line %u)", l->path, l->line);
	l->report(l->report_ctx, text);
}

static const char *keep(struct loader *l, const char *s, size_t len)
{
	char *p = arena_strndup(l->c->arena, s, len);

	if (!p)
		l->failed = true;
	return p ? p : "";
}

/* Variables in a value that is needed now. */
static int expand(struct loader *l, struct buf *out, const char *text)
{
	if (conf_expand(out, text, NULL) == 0)
		return 0;
	l->failed |= out->failed;
	if (!out->failed) {
		tell(l, "Overflowed buf in expand_vars() trying to expand: %s", text);
		l->overflow = true;
	}
	return -1;
}

/* ---- files ---- */

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void file_key(struct conf_file *f, const struct stat *st, int err)
{
	f->err = err;
	if (err)
		return;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->size = st->st_size;
	f->mtime_ns = nanoseconds(st->st_mtim);
	f->ctime_ns = nanoseconds(st->st_ctim);
}

static int add_file(struct conf *c, size_t *cap, const char *path, const struct stat *st, int err)
{
	struct conf_file *v;
	struct timespec now;

	if (c->nfiles >= CONF_FILES_MAX)
		return -1;
	v = mem_grow(&c->budget, c->files, cap, c->nfiles + 1, sizeof *v);
	if (!v)
		return -1;
	c->files = v;
	v += c->nfiles;
	*v = (struct conf_file){ .path = arena_strndup(c->arena, path, strlen(path)) };
	if (!v->path)
		return -1;
	file_key(v, st, err);
	clock_gettime(CLOCK_REALTIME, &now);
	if (!err && nanoseconds(now) - v->ctime_ns < 100000000)
		c->racy = true;
	return (int)c->nfiles++;
}

int conf_watch(struct conf *c, const char *path, const struct stat *st, int err)
{
	size_t cap = c->nfiles;

	return add_file(c, &cap, path, st, err) < 0 ? -1 : 0;
}

bool conf_changed(const struct conf *c, const struct conf_source *src)
{
	if (c->racy)
		return true;
	for (size_t i = 0; i < c->nfiles; i++) {
		const struct conf_file *f = &c->files[i];
		struct conf_file now = { .path = f->path };
		struct stat st;
		int r = src->stat(src->ctx, f->path, &st);

		file_key(&now, &st, -r);
		if (now.err != f->err || now.dev != f->dev || now.ino != f->ino || now.size != f->size ||
		    now.mtime_ns != f->mtime_ns || now.ctime_ns != f->ctime_ns)
			return true;
	}
	return false;
}

static int file_stat(void *ctx, const char *path, struct stat *st)
{
	(void)ctx;
	return opfile_stat(path, 0, st);
}

static int file_read(void *ctx, const char *path, struct buf *out, struct stat *st)
{
	int r;

	(void)ctx;
	r = opfile_read_all(path, CONF_FILE_MAX, OPFILE_REGULAR, out, st);
	return r < 0 ? r : 0;
}

static int file_list(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg, struct stat *st)
{
	_cleanup_anchor_ struct anchor *a = NULL;
	_cleanup_sb_ struct sb *sb = NULL;
	struct sb_dir *d;
	struct sb_dirent e;
	int r = anchor_open_trusted(&a, path);

	(void)ctx;
	if (r < 0)
		return r;
	sb = sb_new(a, 4);
	if (!sb)
		return -ENOMEM;
	r = sb_opendir(sb, "", ".", 0, &d, st);
	if (r < 0)
		return r;
	while ((r = sb_readdir(d, &e)) > 0)
		each(arg, e.name);
	sb_closedir(d);
	return r;
}

const struct conf_source conf_from_files = { NULL, file_stat, file_read, file_list };

/* ---- values ---- */

int conf_expand(struct buf *out, const char *text, const struct conf_var *vars)
{
	size_t base = strlen(text), start = out->len;

	while (*text) {
		const char *pct = strchr(text, '%'), *end, *value = NULL;
		char name[256];
		size_t n;

		if (!pct) {
			buf_adds(out, text);
			break;
		}
		buf_add(out, text, (size_t)(pct - text));
		text = pct + 1;
		end = *text >= 'A' && *text <= 'Z' ? strchr(text, '%') : NULL;
		n = end ? (size_t)(end - text) : 0;
		if (end && n < sizeof name) {
			bool shadowed = false;

			memcpy(name, text, n);
			name[n] = '\0';
			for (const struct conf_var *v = vars; v && v->name; v++)
				if (!strcmp(v->name, name)) {
					value = v->value;
					shadowed = true;
					break;
				}
			if (!shadowed)
				value = getenv(name);
		}
		if (!value) {
			buf_addc(out, '%');
			continue;
		}
		buf_adds(out, value);
		text = end + 1;
		if (out->len - start > base + CONF_EXPAND_MAX)
			return -1;
	}
	return out->failed ? -1 : 0;
}

static bool parse_bool(const char *s, bool tri, int *out)
{
	static const struct { const char *word; int value; } words[] = {
		{ "yes", 1 }, { "true", 1 }, { "1", 1 }, { "no", 0 }, { "false", 0 }, { "0", 0 },
		{ "unset", -1 }, { "-1", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if ((tri || words[i].value >= 0) && conf_same_name(words[i].word, s)) {
			*out = words[i].value;
			return true;
		}
	return false;
}

static int parse_int(const char *s)
{
	long v = strtol(s, NULL, 10);

	return v > INT_MAX ? INT_MAX : v < INT_MIN ? INT_MIN : (int)v;
}

static void parse_facility(const char *s, int *out)
{
	static const struct { const char *name; int value; } names[] = {
		{ "auth", LOG_AUTH }, { "authpriv", LOG_AUTHPRIV }, { "cron", LOG_CRON }, { "daemon", LOG_DAEMON },
		{ "ftp", LOG_FTP }, { "kern", LOG_KERN }, { "lpr", LOG_LPR }, { "mail", LOG_MAIL }, { "news", LOG_NEWS },
		{ "security", LOG_AUTH }, { "syslog", LOG_SYSLOG }, { "user", LOG_USER }, { "uucp", LOG_UUCP },
		{ "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 }, { "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 },
		{ "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 }, { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
	};
	int n;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(names[i].name, s)) {
			*out = names[i].value;
			return;
		}
	n = parse_int(s);
	if (n > 0 && n <= (LOG_NFACILITIES << 3) && !(n & ~LOG_FACMASK))
		*out = n;
}

/* Sets one value from text; a malformed one leaves what was there. */
static void set_value(struct loader *l, struct conf_value *v, enum conf_param p, const char *text)
{
	const struct conf_def *d = &conf_defs[p];
	_cleanup_buf_ struct buf b = BUF_INIT(&l->c->budget);
	size_t len = strlen(text);
	int num = v->num;

	switch (d->type) {
	case CT_PATH:
		while (len > 1 && text[len - 1] == '/')
			len--;
		/* fall through */
	case CT_STRING:
		v->str = keep(l, text, len);
		break;
	case CT_BOOL:
	case CT_BOOL3:
	case CT_INT:
	case CT_FACILITY:
		if (expand(l, &b, text) < 0)
			return;
		if (d->type == CT_INT)
			num = parse_int(buf_str(&b));
		else if (d->type == CT_FACILITY)
			parse_facility(buf_str(&b), &num);
		else if (!parse_bool(buf_str(&b), d->type == CT_BOOL3, &num)) {
			tell(l, "Badly formed boolean in configuration file: \"%s\".", buf_str(&b));
			return;
		}
		v->num = num;
		break;
	}
	v->set = true;
	v->line = l->line;
	v->file = l->file;
}

/* ---- sections ---- */

/* --dparam counts as the end of the initial global part, and so reaches the defaults of every open file. */
static void apply_dparams(struct loader *l)
{
	const char *path = l->path;

	if (l->seen_module)
		return;
	l->seen_module = true;
	for (const char *const *d = l->dparams; d && *d; d++) {
		const char *eq = strchr(*d, '='), *value = eq + 1;
		_cleanup_buf_ struct buf name = BUF_INIT(&l->c->budget);
		enum conf_param p;

		buf_add(&name, *d, (size_t)(eq - *d));
		l->failed |= name.failed;
		p = conf_find_param(buf_str(&name));
		if (p == CP_UNKNOWN)
			continue;
		while (lex_space(*value))
			value++;
		l->path = NULL;
		set_value(l, &l->def[p], p, value);
		for (size_t i = 0; i < l->nouter; i++)
			set_value(l, &l->outer[i][p], p, value);
		l->path = path;
	}
}

static int open_module(struct loader *l, const char *name)
{
	struct conf *c = l->c;
	struct conf_module *m, **v;

	if (strchr(name, '/')) {
		tell(l, "Warning: invalid section name in configuration file: %s", name);
		return -1;
	}
	for (size_t i = 0; i < c->nmodules; i++) {
		m = c->modules[i];
		if (!conf_same_name(m->name, name))
			continue;
		if (strcmp(m->name, name)) {
			tell(l, "section [%s] differs from [%s] only in letter case or blanks: one would change the other",
			     name, m->name);
			return -1;
		}
		l->cur = m;
		return 0;
	}
	apply_dparams(l);
	m = arena_alloc(c->arena, sizeof *m, 8);
	v = mem_grow(&c->budget, c->modules, &l->cap_modules, c->nmodules + 1, sizeof *v);
	if (v)
		c->modules = v;
	if (!m || !v) {
		l->failed = true;
		return -1;
	}
	m->name = keep(l, name, strlen(name));
	m->line = l->line;
	m->file = l->file;
	memcpy(m->v, l->def, sizeof m->v);
	c->modules[c->nmodules++] = m;
	l->cur = m;
	return 0;
}

static int section(struct loader *l, const char *name)
{
	if (!l->seen_header) {
		l->seen_header = true;
		if (!conf_same_name(name, "global"))
			apply_dparams(l);
		memcpy(l->c->start, l->def, sizeof l->def);
	}
	if (!name[0]) {
		tell(l, "Empty section name in config file.");
		return -1;
	}
	if (conf_same_name(name, "global")) {
		l->cur = NULL;
		return 0;
	}
	return open_module(l, name);
}

static int param(struct loader *l, const char *name, const char *value)
{
	enum conf_param p;

	if (!name[0]) {
		tell(l, "Invalid parameter name in config file.");
		return -1;
	}
	p = name[0] == '-' ? CP_UNKNOWN : conf_find_param(name);
	if (p == CP_UNKNOWN) {
		if (name[0] != '-')
			tell(l, "Unknown Parameter encountered: \"%s\"", name);
		tell(l, "IGNORING unknown parameter \"%s\"", name);
		return 0;
	}
	if (p < CP_MODULE_FIRST && l->cur) {
		tell(l, "Global parameter %s found in module section!", name);
		return 0;
	}
	set_value(l, l->cur ? &l->cur->v[p] : &l->def[p], p, value);
	return 0;
}

/* ---- files and directives ---- */

static int parse_file(struct loader *l, const char *path);

/* Number of the file or directory that takes part, or -1. */
static int take_part(struct loader *l, const char *path, const struct stat *st)
{
	int n = add_file(l->c, &l->cap_files, path, st, 0);

	if (n < 0 && l->c->nfiles >= CONF_FILES_MAX)
		tell(l, "more than %d config files", CONF_FILES_MAX);
	else if (n < 0)
		l->failed = true;
	return n;
}

struct names {
	struct loader *l;
	const char *suffix;
	char **v;
	size_t n, cap;
};

static void take_name(void *arg, const char *name)
{
	struct names *ns = arg;
	size_t len = strlen(name), sl = strlen(ns->suffix);
	char **v;

	if (len < sl || strcmp(name + len - sl, ns->suffix) || ns->n >= CONF_FILES_MAX)
		return;
	v = mem_grow(&ns->l->c->budget, ns->v, &ns->cap, ns->n + 1, sizeof *v);
	if (!v) {
		ns->l->failed = true;
		return;
	}
	ns->v = v;
	v[ns->n] = arena_strndup(ns->l->c->arena, name, len);
	if (v[ns->n])
		ns->n++;
	else
		ns->l->failed = true;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One file of a directive; include: in a scope of its own, after which the context is global. */
static int include_file(struct loader *l, const char *path, bool include)
{
	struct conf_value *saved;
	int r;

	if (!include)
		return parse_file(l, path);
	saved = mem_alloc(&l->c->budget, CP_COUNT, sizeof *saved);
	if (!saved) {
		l->failed = true;
		return -1;
	}
	memcpy(saved, l->def, sizeof l->def);
	l->outer[l->nouter++] = saved;
	l->cur = NULL;
	r = parse_file(l, path);
	l->nouter--;
	memcpy(l->def, saved, sizeof l->def);
	l->cur = NULL;
	mem_free(&l->c->budget, saved);
	return r;
}

static int include_dir(struct loader *l, const char *dir, bool include)
{
	struct names ns = { .l = l, .suffix = include ? ".conf" : ".inc" };
	struct stat st = { 0 };
	int r = l->src->list(l->src->ctx, dir, take_name, &ns, &st);

	if (r < 0)
		tell(l, "unable to open config dir \"%s\": %s (%d)", dir, strerror(-r), -r);
	else if (take_part(l, dir, &st) < 0)
		r = -1;
	if (r == 0 && ns.n)
		qsort(ns.v, ns.n, sizeof *ns.v, by_bytes);
	for (size_t i = 0; r == 0 && i < ns.n; i++) {
		_cleanup_buf_ struct buf path = BUF_INIT(&l->c->budget);

		buf_addf(&path, "%s/%s", dir, ns.v[i]);
		r = include_file(l, buf_str(&path), include);
	}
	mem_free(&l->c->budget, ns.v);
	if (include)
		l->cur = NULL;
	return r < 0 ? -1 : 0;
}

static int directive(struct loader *l, const char *word, const char *path)
{
	bool include = !strcasecmp(word, "&include");
	struct stat st = { 0 };
	int r;

	if (!include && strcasecmp(word, "&merge")) {
		tell(l, "Unknown directive: %s.", word);
		return -1;
	}
	if (!path[0]) {
		tell(l, "Ignoring badly formed line in config file: %s", word);
		return 0;
	}
	r = l->src->stat(l->src->ctx, path, &st);
	if (r < 0) {
		tell(l, "unable to stat config file \"%s\": %s (%d)", path, strerror(-r), -r);
		return -1;
	}
	if (S_ISDIR(st.st_mode))
		return include_dir(l, path, include);
	if (!S_ISREG(st.st_mode)) {
		tell(l, "config file \"%s\" is neither a file nor a directory", path);
		return -1;
	}
	return include_file(l, path, include);
}

static int item(struct loader *l, enum lex_kind kind, const char *name, const char *value)
{
	switch (kind) {
	case LEX_SECTION:
		return section(l, name);
	case LEX_PARAM:
		return param(l, name, value);
	case LEX_DIRECTIVE:
		return directive(l, name, value);
	case LEX_BAD_LINE:
		tell(l, "Ignoring badly formed line in config file: %s", name);
		return 0;
	case LEX_EOF_IN_LINE:
		tell(l, "Unexpected end-of-file at: %s", name);
		return 0;
	case LEX_BAD_SECTION:
		tell(l, "Badly formed line in config file: %s", name);
		return -1;
	case LEX_EOF_IN_SECTION:
		tell(l, "Unexpected EOF in the config file: %s", name);
		return -1;
	case LEX_END:
		break;
	}
	return 0;
}

static int parse_text(struct loader *l, const char *text, size_t len)
{
	_cleanup_buf_ struct buf name = BUF_INIT(&l->c->budget), value = BUF_INIT(&l->c->budget);
	const char *path = l->path;
	uint16_t file = l->file;
	struct lex lx;

	if (!lex_init(&lx, text, len)) {
		tell(l, "NUL byte in config file");
		return -1;
	}
	for (;;) {
		enum lex_kind kind = lex_next(&lx, &name, &value, &l->line);

		l->failed |= name.failed || value.failed;
		if (l->failed || l->overflow)
			return -1;
		if (kind == LEX_END)
			return 0;
		l->path = path;
		l->file = file;
		if (item(l, kind, buf_str(&name), buf_str(&value)) < 0)
			return -1;
		l->path = path;
		l->file = file;
	}
}

static int parse_file(struct loader *l, const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT(&l->c->budget);
	const char *outer_path = l->path;
	struct stat st = { 0 };
	int r, file;

	if (l->depth >= CONF_DEPTH_MAX) {
		tell(l, "config files are nested more than %d deep", CONF_DEPTH_MAX);
		return -1;
	}
	r = l->src->read(l->src->ctx, path, &text, &st);
	if (r < 0) {
		tell(l, "unable to open config file \"%s\": %s (%d)", path, strerror(-r), -r);
		return -1;
	}
	if (l->src == &conf_from_files && (st.st_mode & (S_IWOTH | S_IFMT)) == (S_IWOTH | S_IFREG)) {
		tell(l, "config file \"%s\" can be written by anybody: refused", path);
		return -1;
	}
	file = take_part(l, path, &st);
	if (file < 0)
		return -1;
	l->depth++;
	l->path = l->c->files[file].path;
	l->file = (uint16_t)file;
	r = parse_text(l, buf_str(&text), text.len);
	l->depth--;
	l->path = outer_path;
	return r;
}

/* `name = X` replaces the section's name for clients (06 §3.3); variables hold in both. */
static int finish(struct loader *l)
{
	struct conf *c = l->c;

	if (!l->seen_header)
		memcpy(c->start, l->def, sizeof l->def);
	apply_dparams(l);
	if (!l->seen_header)
		memcpy(c->start, l->def, sizeof l->def);
	memcpy(c->global, l->def, sizeof l->def);
	l->path = NULL;
	/* What the daemon itself uses must not turn into nothing: a chroot, a list of hosts. */
	for (int i = 0; i < CP_COUNT; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(&c->budget);
		bool used = i < CP_MODULE_FIRST || i == CP_LOG_FILE || i == CP_SYSLOG_TAG;

		if (used && (expand(l, &b, c->global[i].str) < 0 || expand(l, &b, c->start[i].str) < 0))
			return -1;
	}
	c->any_reverse = c->global[CP_REVERSE_LOOKUP].num > 0;
	for (size_t i = 0; i < c->nmodules; i++) {
		struct conf_module *m = c->modules[i];

		_cleanup_buf_ struct buf b = BUF_INIT(&c->budget);

		if (expand(l, &b, m->v[CP_NAME].str[0] ? m->v[CP_NAME].str : m->name) < 0)
			return -1;
		m->name = keep(l, buf_str(&b), b.len);
		if (m->v[CP_REVERSE_LOOKUP].num > 0)
			c->any_reverse = true;
	}
	return l->failed || l->overflow ? -1 : 0;
}

int conf_load(struct conf **out, const struct conf_source *src, const char *path, const char *const *dparams,
	      conf_report *report, void *ctx)
{
	struct conf *c = calloc(1, sizeof *c);
	struct loader l = { .c = c, .src = src, .dparams = dparams, .report = report, .report_ctx = ctx };
	int r = -1;

	*out = NULL;
	if (!c)
		return -1;
	budget_init(&c->budget, 256u << 20, 64u << 20);
	c->arena = arena_new(&c->budget, 16384);
	if (c->arena) {
		for (int i = 0; i < CP_COUNT; i++)
			l.def[i] = (struct conf_value){ .str = conf_defs[i].str, .num = conf_defs[i].num };
		r = parse_file(&l, path);
		if (r == 0)
			r = finish(&l);
	}
	if (l.failed || !c->arena)
		tell(&l, "out of memory");
	if (!c->arena) {
		conf_free(c);
		return -1;
	}
	if (r < 0) {
		memcpy(c->global, l.def, sizeof l.def);
		c->nmodules = 0;
	}
	*out = c;
	return r;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	mem_free(&c->budget, c->modules);
	mem_free(&c->budget, c->files);
	if (c->arena)
		arena_free(c->arena);
	free(c);
}

int conf_check_dparam(const char *arg, struct err *e)
{
	const char *eq = strchr(arg, '=');
	char name[128];

	if (!eq)
		return fail(e, RX_USAGE, "--dparam value is missing an '=': %s", arg);
	snprintf(name, sizeof name, "%.*s", (int)MIN((ptrdiff_t)120, eq - arg), arg);
	if (conf_find_param(name) == CP_UNKNOWN)
		return fail(e, RX_USAGE, "Unknown parameter \"%s\"", name);
	return 0;
}

const struct conf_module *conf_find_module(const struct conf *c, const char *name)
{
	for (size_t i = c->nmodules; i-- > 0;)
		if (!strcmp(c->modules[i]->name, name))
			return c->modules[i];
	return NULL;
}
