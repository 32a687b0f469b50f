/*
 * list.c - building a filter list: from options, files, module parameters, and -C (spec 04 §2.3, §3, §4, §12).
 */
#include "config.h"
#include "base/say.h"
#include "base/text.h"
#include "filter/rules.h"

#include <errno.h>
#include <stdio.h>

static const char cvs_words[] =
	"RCS SCCS CVS CVS.adm RCSLOG cvslog.* tags TAGS .make.state .nse_depinfo *~ #* .#* ,* _$* *$ *.old *.bak *.BAK "
	"*.orig *.rej .del-* *.a *.olb *.o *.obj *.so *.exe *.Z *.elc *.ln core .svn/ .git/ .hg/ .bzr/";

static bool copy_string(struct arena *a, const char **s)
{
	if (*s)
		*s = arena_strndup(a, *s, strlen(*s));
	return *s != NULL;
}

struct filter_list *filt_new(const struct filt_config *c)
{
	struct filter_list *l = mem_zalloc(c->budget, 1, sizeof(*l));
	struct filt_build *b = mem_zalloc(c->budget, 1, sizeof(*b));
	struct arena *a = arena_new(c->budget, 4096);

	if (!l || !b || !a)
		goto none;
	b->c = *c;
	b->arena = a;
	if ((c->cwd && !copy_string(a, &b->c.cwd)) || (c->home && !copy_string(a, &b->c.home)) ||
	    (c->cvsignore && !copy_string(a, &b->c.cvsignore)))
		goto none;
	if (!b->c.cwd)
		b->c.cwd = "";
	chain_init(&b->chain);
	l->b = b;
	return l;
none:
	mem_free(c->budget, l);
	mem_free(c->budget, b);
	if (a)
		arena_free(a);
	return NULL;
}

void filt_free(struct filter_list *l)
{
	struct budget *budget;

	if (!l)
		return;
	budget = l->b->c.budget;
	mem_free(budget, l->b->merges);
	arena_free(l->b->arena);
	mem_free(budget, l->b);
	mem_free(budget, l);
}

void filt_set_delete_excluded(struct filter_list *l)
{
	l->b->c.delete_excluded = true;
}

/* ---- dir-merge rules: the first of a base name counts ---- */

static bool merge_known(const struct filter_list *l, const char *leaf)
{
	if (!l)
		return false;
	for (unsigned i = 0; i < l->b->merge_count; i++) {
		if (strcmp(merge_leaf(l->b->merges[i]), leaf) == 0)
			return true;
	}
	return false;
}

static int list_add_merge(struct parse *p, struct filt_rule *r)
{
	struct filt_build *b = p->l->b;
	void *grown;

	if (merge_known(p->l, merge_leaf(r)) || merge_known(b->c.daemon, merge_leaf(r)))
		return 0;
	grown = mem_grow(b->c.budget, b->merges, &b->merge_cap, b->merge_count + 1u, sizeof(struct filt_rule *));
	if (!grown)
		return fail(p->err, RX_MALLOC, "out of memory in filter rules");
	b->merges = grown;
	r->merge = b->merge_count;
	b->merges[b->merge_count++] = r;
	p->l->dir_merges++;
	return 1;
}

static struct parse list_parse(struct filter_list *l, struct err *err)
{
	struct filt_build *b = l->b;

	return (struct parse){
		.l = l, .arena = b->arena, .out = &b->chain, .rules = &b->rules, .cwd = b->c.cwd, .merge_dir = b->c.cwd,
		.files = b->c.files, .daemon = b->c.daemon,
		.peer_named = b->c.am_server && !b->c.daemon_list, .add_merge = list_add_merge, .err = err,
	};
}

static int done(struct filter_list *l, int r)
{
	l->head = l->b->chain.head;
	return r;
}

/* ---- files ---- */

int path_resolve(char *out, const char *base, const char *name, size_t len)
{
	size_t n = 0;
	const char *end = name + len;

	if (!len || *name != '/') {
		n = strlen(base);
		if (n > PATH_LIMIT)
			return -ENAMETOOLONG;
		memcpy(out, base, n);
	}
	while (name < end) {
		const char *e = memchr(name, '/', (size_t)(end - name));
		size_t clen;

		if (!e)
			e = end;
		clen = (size_t)(e - name);
		if (clen == 2 && name[0] == '.' && name[1] == '.') {
			while (n && out[n - 1] != '/')
				n--;
			if (n)
				n--;
		} else if (clen && !(clen == 1 && *name == '.')) {
			if (n + clen + 1 > PATH_LIMIT)
				return -ENAMETOOLONG;
			if (n)
				out[n++] = '/';
			memcpy(out + n, name, clen);
			n += clen;
		}
		name = e < end ? e + 1 : end;
	}
	out[n] = '\0';
	return 0;
}

int read_rule_file(const struct filt_files *files, const struct filter_list *daemon, const char *path,
                   struct buf *out, bool *hidden)
{
	const char *leaf = path_leaf(path);
	char dir[PATH_LIMIT + 1];
	size_t dlen = leaf > path ? (size_t)(leaf - path) - 1 : 0;
	int r;

	*hidden = daemon && filt_hides_path(daemon, path, false);
	if (*hidden || !files || !files->read_file || !*leaf)
		return -ENOENT;
	memcpy(dir, path, dlen);
	dir[dlen] = '\0';
	r = files->read_file(files->ctx, dir, leaf, out);
	return !r && out->failed ? -ENOMEM : !r && out->len > FILT_FILE_MAX ? -EFBIG : r;
}

/* Finds and reads the file of a "." rule. 1 = absent without an error. */
static int read_named_file(struct parse *p, const char *name, size_t len, char *path, struct buf *out)
{
	bool hidden, has_slash = memchr(name, '/', len) != NULL;
	int r;

	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	if (p->peer_named) {
		r = path_resolve(path, has_slash ? p->merge_dir : p->cwd, name, len);
		if (r)
			return r;
		r = read_rule_file(p->files, p->daemon, path, out, &hidden);
		return hidden ? 1 : r;
	}
	memcpy(path, name, len);
	path[len] = '\0';
	if (!p->files || !p->files->read_named)
		return -ENOENT;
	r = p->files->read_named(p->files->ctx, path, out);
	return !r && out->failed ? -ENOMEM : !r && out->len > FILT_FILE_MAX ? -EFBIG : r;
}

static void file_label(const struct parse *p, const char *path, char *label, size_t size)
{
	if (!p->from_file)
		snprintf(label, size, "%.*s", (int)size - 1, path);
	else if (p->words || p->hidden_name)
		snprintf(label, size, "a file named at %s", p->label);
	else
		snprintf(label, size, "a file named at %s line %u", p->label, p->line);
}

/* The name as it was given. */
static int open_failed(const struct parse *p, uint32_t flags, const char *name, size_t len, int r)
{
	const char *kind = flags & RF_INCLUDE ? "include" : "exclude";

	if (r == -ENOMEM)
		return fail(p->err, RX_MALLOC, "out of memory for filter rules");
	if (!p->from_file)
		return fail_errno(p->err, RX_FILEIO, -r, "failed to open %s file %.*s", kind, (int)MIN(len, (size_t)PATH_LIMIT), name);
	if (p->words || p->hidden_name)
		return fail(p->err, RX_FILEIO, "failed to open %s file <rule from %s>", kind, p->label);
	return fail(p->err, RX_FILEIO, "failed to open %s file <rule from %s line %u>", kind, p->label, p->line);
}

int parse_merge_file(struct parse *p, uint32_t flags, const char *name, size_t len)
{
	_cleanup_buf_ struct buf text = BUF_INIT(p->l->b->c.budget);
	char path[PATH_LIMIT + 1], label[600];
	struct parse sub = *p;
	int r;

	file_label(p, len <= PATH_LIMIT ? (memcpy(path, name, len), path[len] = '\0', path) : "", label, sizeof(label));
	if (p->depth >= FILT_NESTING_MAX)
		return fail(p->err, RX_FILEIO, "[%s] merge-file include depth limit (%d) exceeded at <rule from %s>", say_role(),
		            FILT_NESTING_MAX, label);
	if (++*p->rules > FILT_RULES_MAX) /* files count as well: a few that name each other could be read for ever */
		return fail(p->err, RX_MALLOC, "too many filter rules (limit %d)", FILT_RULES_MAX);
	r = read_named_file(p, name, len, path, &text);
	if (r > 0)
		return 0;
	if (r < 0)
		return open_failed(p, flags, name, len, r);
	parse_as_merge(&sub, flags);
	if (p->old_style)
		sub.old_style = true;
	sub.hidden_name = p->from_file;
	sub.from_file = true;
	sub.label = label;
	sub.dir = NULL;
	sub.depth++;
	return parse_contents(&sub, buf_str(&text), text.len);
}

/* ---- options ---- */

int filt_add_rule(struct filter_list *l, const char *text, struct err *err)
{
	struct parse p = list_parse(l, err);

	return done(l, parse_rule_text(&p, text, strlen(text)));
}

int filt_add_pattern(struct filter_list *l, const char *text, bool include, struct err *err)
{
	struct parse p = list_parse(l, err);

	p.old_style = true;
	p.inherit = include ? RF_INCLUDE : 0;
	return done(l, parse_rule_text(&p, text, strlen(text)));
}

int filt_add_from(struct filter_list *l, const char *path, bool include, struct err *err)
{
	struct parse p = list_parse(l, err);

	p.old_style = true;
	return done(l, parse_merge_file(&p, include ? RF_INCLUDE | RF_BARE : RF_BARE, path, strlen(path)));
}

int filt_add_F(struct filter_list *l, int n, struct err *err)
{
	if (n == 1)
		return filt_add_rule(l, ": /.rsync-filter", err);
	return n == 2 ? filt_add_rule(l, "- .rsync-filter", err) : 0;
}

int filt_add_cvs(struct filter_list *l, bool dir_merge, bool global, struct err *err)
{
	if (dir_merge && filt_add_rule(l, ":C", err))
		return -1;
	return global ? filt_add_rule(l, "-C", err) : 0;
}

int filt_server_cvs(struct filter_list *l, bool cvs_exclude, int proto, struct err *err)
{
	bool am_sender = l->b->c.am_sender;

	if (!cvs_exclude || (!am_sender && proto >= 29))
		return 0;
	return filt_add_cvs(l, true, am_sender, err);
}

int filt_add_params(struct filter_list *l, const struct filt_params *fp, struct err *err)
{
	const struct { const char *text; bool include, file; } old[] = {
		{ fp->include_from, true, true }, { fp->include, true, false },
		{ fp->exclude_from, false, true }, { fp->exclude, false, false },
	};

	if (fp->filter && *fp->filter) {
		struct parse p = list_parse(l, err);

		if (done(l, parse_words(&p, fp->filter)))
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(old); i++) {
		struct parse p = list_parse(l, err);

		if (!old[i].text || !*old[i].text)
			continue;
		if (old[i].file) {
			if (filt_add_from(l, old[i].text, old[i].include, err))
				return -1;
			continue;
		}
		p.old_style = true;
		p.inherit = old[i].include ? RF_INCLUDE : 0;
		if (done(l, parse_words(&p, old[i].text)))
			return -1;
	}
	return 0;
}

/* ---- -C ---- */

int cvs_expand(struct parse *outer, struct filt_rule *r)
{
	struct filt_build *b = outer->l->b;
	_cleanup_buf_ struct buf home = BUF_INIT(b->c.budget);
	bool keep = outer->arena == b->arena; /* a walker must not change the list */
	char path[PATH_LIMIT + 1];
	struct chain chain;
	struct parse p = *outer;
	uint32_t flags = r->flags & (RF_INHERITED | RF_SIDES);
	bool hidden;
	int e = -ENOENT;

	if (b->cvs_built) {
		r->sub = b->cvs;
		return 0;
	}
	b->cvs_built |= keep;
	chain_init(&chain);
	p.out = &chain;
	p.cleared = NULL;
	p.dir = NULL;
	p.from_file = p.old_style = false;
	p.bare = p.bare_clear = p.words = true;
	p.inherit = flags | (!b->c.proto || b->c.proto >= 30 ? RF_PERISH : 0);
	if (parse_words(&p, cvs_words))
		return -1;
	p.inherit = flags;
	if (b->c.home && p.peer_named) {
		if (!path_resolve(path, b->c.home + strspn(b->c.home, "/"), ".cvsignore", 10))
			e = read_rule_file(p.files, p.daemon, path, &home, &hidden);
	} else if (b->c.home && p.files && p.files->read_named &&
		   (size_t)snprintf(path, sizeof(path), "%s/.cvsignore", b->c.home) < sizeof(path)) {
		e = p.files->read_named(p.files->ctx, path, &home);
	}
	p.from_file = true;
	p.label = "~/.cvsignore";
	if (!e && !home.failed && parse_contents(&p, buf_str(&home), home.len))
		return -1;
	p.from_file = false;
	if (b->c.cvsignore && parse_words(&p, b->c.cvsignore))
		return -1;
	r->sub = chain.head;
	if (keep)
		b->cvs = chain.head;
	return 0;
}
