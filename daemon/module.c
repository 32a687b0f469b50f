/*
 * module.c - from "access granted" to a module ready to be served: slot, ids, root, rules, log
 * (spec 06 §6.1 steps 10 and 13-18, §12).
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/charset.h"
#include "base/say.h"
#include "daemon/connection.h"
#include "daemon/hooks.h"
#include "daemon/log.h"
#include "daemon/quota.h"
#include "sandbox/fs.h"
#include "sandbox/opfile.h"

#define MUNGE_DIR "/rsyncd-munged"

/* ---- max connections ---- */

static int take_slot(struct connection *c, struct gate_verdict *v)
{
	int n = conn_num(c, CP_MAX_CONNECTIONS);
	const char *path;

	if (n == 0)
		return 0;
	path = conn_string(c, CP_LOCK_FILE);
	c->lock_fd = lockfile_open(path);
	if (c->lock_fd < 0) {
		say_errno(SAY_LOG, -c->lock_fd, "failed to open lock file %s", path);
		verdict_error(v, "failed to open lock file");
		return -1;
	}
	if (n > 0 && lockfile_take(c->lock_fd, n) >= 0)
		return 0;
	log_printf("max connections (%d) reached", n);
	verdict_error(v, "max connections (%d) reached -- try again later", n);
	return -1;
}

/* ---- path ---- */

/* Joins the base and path, and collapses "//", "." and "..". */
static void normalise(struct buf *out, const char *base, const char *path)
{
	_cleanup_buf_ struct buf joined = BUF_INIT(NULL);

	buf_addf(&joined, "%s%s%s", *path == '/' ? "" : base, *path == '/' ? "" : "/", path);
	buf_clear(out);
	buf_addc(out, '/');
	for (const char *s = buf_str(&joined); *s;) {
		size_t n;

		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (n == 2 && s[0] == '.' && s[1] == '.') {
			while (out->len > 1 && out->data[out->len - 1] != '/')
				out->len--;
			if (out->len > 1)
				out->len--;
			out->data[out->len] = '\0';
		} else if (n && !(n == 1 && s[0] == '.')) {
			if (out->len > 1)
				buf_addc(out, '/');
			buf_add(out, s, n);
		}
		s += n;
	}
}

/* Does the module run in a chroot, as far as the meaning of paths goes? -1: it should and cannot. */
static int decide_chroot(struct connection *c, const char *path)
{
	int use = conn_num(c, CP_USE_CHROOT);

	if (use == 0)
		return 0;
	if (use < 0 && !strstr(path, "/./")) {
		if (c->d->can_chroot)
			return 1;
		log_printf("chroot test failed: Operation not permitted. Switching 'use chroot' from unset to false.");
		return 0;
	}
	if (c->d->can_chroot)
		return 1;
	return -1;
}

struct place {
	struct buf outer, inner;        /* inner: below outer, "" if the module root is outer itself */
};

static void free_place(struct place *p)
{
	buf_free(&p->outer);
	buf_free(&p->inner);
}

static int find_path(struct connection *c, struct place *pl, struct gate_verdict *v)
{
	const char *path = conn_string(c, CP_PATH), *dot = strstr(path, "/./");
	_cleanup_buf_ struct buf outer = BUF_INIT(NULL);
	int chrooted;

	if (!*path) {
		log_printf("No path specified for module %s", c->m->name);
		verdict_error(v, "no path setting.");
		return -1;
	}
	normalise(&c->path, c->d->cwd, path);
	chrooted = decide_chroot(c, path);
	c->chrooted = chrooted;
	if (chrooted && dot) {
		buf_add(&outer, path, (size_t)(dot - path));
		normalise(&pl->outer, c->d->cwd, outer.len ? buf_str(&outer) : "/");
		normalise(&pl->inner, "", dot + 3);
		memmove(pl->inner.data, pl->inner.data + 1, pl->inner.len--);
	} else {
		buf_adds(&pl->outer, buf_str(&c->path));
	}
	if (chrooted < 0) {
		say_errno(SAY_LOG, EPERM, "chroot(\"%s\") failed", buf_str(&pl->outer));
		verdict_error(v, "chroot failed");
		return -1;
	}
	c->sanitize = chrooted ? pl->inner.len > 0 : c->path.len > 1;
	c->munge = conn_num(c, CP_MUNGE_SYMLINKS) >= 0 ? conn_num(c, CP_MUNGE_SYMLINKS) > 0 : !chrooted || pl->inner.len > 0;
	c->vars[VAR_MODULE_PATH].value = buf_str(&c->path);
	return 0;
}

/* A real directory of the prefix's name would make munged links point somewhere (06 §12.4). */
static int check_munging(struct connection *c, const struct place *pl, struct gate_verdict *v)
{
	_cleanup_buf_ struct buf dir = BUF_INIT(NULL);
	struct stat st;

	if (!c->munge)
		return 0;
	buf_addf(&dir, "%s" MUNGE_DIR, c->chrooted && pl->outer.len > 1 ? buf_str(&pl->outer) : "");
	if (opfile_stat(buf_str(&dir), OPFILE_FREE, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	log_printf("Symlink munging is unsafe when a " MUNGE_DIR " directory exists.");
	verdict_error(v, "daemon security issue -- contact admin");
	c->exit_code = RX_UNSUPPORTED;
	return -1;
}

static int open_root(struct connection *c, const struct place *pl, struct gate_verdict *v)
{
	bool loose = conn_num(c, CP_INSECURE_LINKS) > 0;
	enum trust trust = loose ? TRUST_ALL : TRUST_OWNER;
	enum links links = loose ? LINKS_FREE : LINKS_REFUSE;
	unsigned flags = c->read_only ? ANCHOR_READ_ONLY : 0;
	_cleanup_anchor_ struct anchor *outer = NULL;
	struct stat st;
	int r;

	if (pl->inner.len) {
		r = anchor_open(&outer, buf_str(&pl->outer), trust, links, flags);
		if (r == 0) {
			r = anchor_sub(&c->root, outer, buf_str(&pl->inner), loose ? LINKS_IN_ROOT : LINKS_REFUSE, links, flags);
			if (r < 0)
				goto no_chdir;
		}
	} else {
		r = anchor_open(&c->root, buf_str(&pl->outer), trust, links, flags);
		if (r < 0 && !c->chrooted)
			goto no_chdir;
	}
	if (r < 0) {
		say_errno(SAY_LOG, -r, "chroot(\"%s\") failed", buf_str(&pl->outer));
		verdict_error(v, "chroot failed");
		return -1;
	}
	if (loose) {
		r = anchor_open(&c->outer, c->chrooted ? buf_str(&pl->outer) : "/", TRUST_ALL, LINKS_FREE, flags);
		if (r < 0)
			goto no_chdir;
	}
	/* CFG-6: what anybody may rearrange is no root for the super-user. */
	if (c->id.set && c->id.uid == 0 && fstat(anchor_fd(c->root), &st) == 0 && (st.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH) {
		log_printf("module %s runs as root in a directory that anybody can write: %s", c->m->name, buf_str(&c->path));
		verdict_error(v, "daemon security issue -- contact admin");
		return -1;
	}
	return 0;
no_chdir:
	say_errno(SAY_LOG, -r, "chdir %s%s failed", pl->inner.len ? "/" : "", buf_str(pl->inner.len ? &pl->inner : &c->path));
	verdict_error(v, "chdir failed");
	return -1;
}

/* ---- the module's filter rules ---- */

static int read_named(void *ctx, const char *path, struct buf *out)
{
	struct connection *c = ctx;
	int r = opfile_read_all(path, FILT_FILE_MAX, OPFILE_REGULAR | (conn_num(c, CP_INSECURE_LINKS) > 0 ? OPFILE_FREE : 0),
				out, NULL);

	return r < 0 ? r : 0;
}

static int load_filter(struct connection *c)
{
	static struct filt_files files = { .read_named = read_named };
	struct filt_config fc = { .files = &files, .daemon_list = true, .am_server = true };
	struct filt_params p = {
		.filter = conn_string(c, CP_FILTER), .include_from = conn_string(c, CP_INCLUDE_FROM),
		.include = conn_string(c, CP_INCLUDE), .exclude_from = conn_string(c, CP_EXCLUDE_FROM),
		.exclude = conn_string(c, CP_EXCLUDE),
	};
	struct err e = { 0 };

	if (!*p.filter && !*p.include_from && !*p.include && !*p.exclude_from && !*p.exclude)
		return 0;
	files.ctx = c;
	c->filter = filt_new(&fc);
	if (!c->filter) {
		log_printf("out of memory for filter rules");
		c->exit_code = RX_MALLOC;
	} else if (filt_add_params(c->filter, &p, &e) < 0) {
		log_printf("%s", e.text);
		c->exit_code = e.code;
		log_exit(e.code, "Receiver");
	} else {
		return 0;
	}
	c->silent = true;
	return -1;
}

/* ---- the rest ---- */

/* Here, because the worker can load nothing any more. */
static int load_charset(struct connection *c)
{
	const char *name = conn_string(c, CP_CHARSET);

	if (!*name || charset_open(&c->charset, name) == 0)
		return 0;
	log_printf("iconv_open(\"UTF-8\", \"%s\") failed", name);
	c->exit_code = RX_UNSUPPORTED;
	log_exit(c->exit_code, "Receiver");
	c->silent = true;
	return -1;
}

static int find_ids(struct connection *c, struct gate_verdict *v)
{
	char why[300];

	if (ident_resolve(&c->id, conn_string(c, CP_UID), conn_string(c, CP_GID), c->d->root, why, sizeof why) == 0)
		return 0;
	log_printf("%c%s", *why == 'i' ? 'I' : *why, why + 1);
	verdict_error(v, "%s", why);
	return -1;
}

static int find_devices(struct connection *c, struct gate_verdict *v)
{
	char why[200];

	if (device_policy_parse(conn_string(c, CP_DEVICE_NODES), &c->devices, why, sizeof why) < 0) {
		log_printf("module %s: \"device nodes\": %s", c->m->name, why);
		verdict_error(v, "daemon security issue -- contact admin");
		return -1;
	}
	/* CFG-3, CFG-7: not together with these. */
	if (!device_policy_none(&c->devices) && (conn_num(c, CP_INSECURE_LINKS) > 0 || c->path.len == 1)) {
		log_printf("module %s: no device nodes with \"insecure links\" or with path = /", c->m->name);
		c->devices = (struct device_policy){ 0 };
	}
	return 0;
}

static int find_quota(struct connection *c, struct gate_verdict *v)
{
	char why[200];

	if (quota_parse(c->m, &c->quota, why, sizeof why) == 0)
		return 0;
	log_printf("module %s: %s", c->m->name, why);
	verdict_error(v, "daemon security issue -- contact admin");
	return -1;
}

static void switch_log(struct connection *c)
{
	const struct conf_value *m = c->m->v, *g = c->d->conf->global;
	int old;

	log_set_form(conn_string(c, CP_LOG_FORM));
	if (m[CP_SYSLOG_FACILITY].num == g[CP_SYSLOG_FACILITY].num && m[CP_SYSLOG_TAG].str == g[CP_SYSLOG_TAG].str &&
	    (c->d->opt.log_file || m[CP_LOG_FILE].str == g[CP_LOG_FILE].str))
		return;
	old = log_open(c->d->opt.log_file ? c->d->opt.log_file : conn_string(c, CP_LOG_FILE), conn_string(c, CP_SYSLOG_TAG),
		       m[CP_SYSLOG_FACILITY].num);
	if (old >= 0)
		close(old);
}

static int enter(struct connection *c, struct place *pl, struct gate_verdict *v)
{
	if (take_slot(c, v) < 0 || find_ids(c, v) < 0 || find_path(c, pl, v) < 0 || find_devices(c, v) < 0 || find_quota(c, v) < 0 || load_filter(c) < 0 ||
	    load_charset(c) < 0)
		return -1;
	switch_log(c);
	if (conn_num(c, CP_INSECURE_LINKS) > 0)
		log_printf("module %s allows insecure links", c->m->name);
	if (hooks_prepare(c) < 0 || hooks_early(c, v) < 0)
		return -1;
	c->vars[VAR_PID].value = c->pid_text;
	if (open_root(c, pl, v) < 0 || check_munging(c, pl, v) < 0)
		return -1;
	return 0;
}

int module_enter(struct connection *c, struct gate_verdict *v)
{
	struct place pl = { 0 };
	int r = enter(c, &pl, v);

	free_place(&pl);
	if (r < 0 && c->silent) {
		v->action = GATE_CLOSE;
		v->text[0] = '\0';
	}
	c->worker_status = 255 << 8;
	return r;
}

void module_leave(struct connection *c)
{
	if (c->broker.pid > 0)
		broker_stop(&c->broker);
	hooks_stop_converter(c);
	if (c->m)
		hooks_post(c, c->worker_status);
	/* The slot, and all memory, go with the process: giving it back one by one would only touch it once more. */
}
