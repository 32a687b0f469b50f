/* daemon.c - loading the configuration and preparing what every connection uses. */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <strings.h>
#include <syslog.h>

#include "daemon/auth.h"
#include "daemon/daemon.h"
#include "daemon/handshake.h"
#include "daemon/ident.h"
#include "daemon/log.h"
#include "daemon/resolve.h"
#include "delta/checksum.h"
#include "sandbox/broker.h"
#include "sandbox/confine.h"
#include "sandbox/opfile.h"

#define MOTD_MAX (256u << 10)

const char *daemon_string(const struct conf_value *v, struct buf *out)
{
	buf_clear(out);
	if (conf_expand(out, v->str, NULL) < 0)
		buf_clear(out);
	return buf_str(out);
}

/* A line that clients would take for ours. */
static bool motd_misleads(const char *text)
{
	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, "@ERROR", 6) || !strncmp(p, "@RSYNCD: ", 9))
			return true;
		if (!*p)
			break;
	}
	return false;
}

static void build_hello(struct daemon *d, struct conf *c, struct buf *hello, conf_report *report, void *ctx)
{
	_cleanup_buf_ struct buf path = BUF_INIT(NULL), root = BUF_INIT(NULL), motd = BUF_INIT(NULL), full = BUF_INIT(NULL);
	_cleanup_buf_ struct buf text = BUF_INIT(NULL);
	char line[128];
	struct stat st = { 0 };
	int r;

	buf_add(hello, line, hs_greeting_line(line, sizeof line, d->opt.protocol));
	if (!*daemon_string(&c->global[CP_MOTD_FILE], &path))
		return;
	buf_addf(&full, "%s%s%s", daemon_string(&c->global[CP_DAEMON_CHROOT], &root), root.len ? "/" : "", buf_str(&path));
	r = opfile_read_all(buf_str(&full), MOTD_MAX, OPFILE_REGULAR, &motd, &st);
	conf_watch(c, buf_str(&full), &st, r < 0 ? -r : 0);
	if (r < 0) {
		buf_addf(&text, "unable to open motd file %s: %s", buf_str(&full), strerror(-r));
		report(ctx, buf_str(&text));
	} else if (motd_misleads(buf_str(&motd))) {
		buf_addf(&text, "a line of the motd file %s begins like a line of the protocol: clients will misread it", buf_str(&full));
		report(ctx, buf_str(&text));
	}
	if (r >= 0)
		buf_add(hello, buf_str(&motd), motd.len);
	buf_addc(hello, '\n');
}

static void build_listing(const struct conf *c, struct buf *out, conf_report *report, void *ctx)
{
	_cleanup_buf_ struct buf comment = BUF_INIT(NULL);

	for (size_t i = 0; i < c->nmodules; i++) {
		const struct conf_module *m = c->modules[i];

		if (m->v[CP_LIST].num <= 0)
			continue;
		if (m->v[CP_COMMENT].str[0] && conf_expand(&comment, m->v[CP_COMMENT].str, NULL) < 0) {
			buf_clear(&comment);
			buf_addf(&comment, "the comment of module %s is too long once its variables are inserted", m->name);
			report(ctx, buf_str(&comment));
			buf_clear(&comment);
		}
		buf_addf(out, "%-15s\t%s\n", m->name, buf_str(&comment));
		buf_clear(&comment);
	}
}

int daemon_load(struct daemon *d, conf_report *report, void *ctx)
{
	struct buf hello = BUF_INIT(NULL), listing = BUF_INIT(NULL);
	struct conf *c;

	if (conf_load(&c, &conf_from_files, d->config_path, d->opt.dparams, report, ctx) < 0) {
		if (d->conf)
			conf_free(c);
		else
			d->conf = c;
		return -1;
	}
	build_hello(d, c, &hello, report, ctx);
	build_listing(c, &listing, report, ctx);
	if (hello.failed || listing.failed) {
		buf_free(&hello);
		buf_free(&listing);
		conf_free(c);
		report(ctx, "out of memory");
		return -1;
	}
	conf_free(d->conf);
	buf_free(&d->hello);
	buf_free(&d->listing);
	d->conf = c;
	d->hello = hello;
	d->listing = listing;
	return 0;
}

/* The user of the processes that read from peers before the log-in. */
static int resolve_gate_user(struct daemon *d, struct err *e)
{
	_cleanup_buf_ struct buf name = BUF_INIT(NULL);
	const char *user = daemon_string(&d->conf->global[CP_GATE_USER], &name);
	const struct passwd *pw;
	uid_t uid;

	if (!d->root)
		return 0;
	if (!*user || !ident_user(user, &uid))
		return fail(e, RX_USAGE, "\"gate user\" names nobody that exists: %s", user);
	if (!uid)
		return fail(e, RX_USAGE, "\"gate user\" must not be the super-user");
	pw = getpwuid(uid);
	d->gate_uid = uid;
	d->gate_gid = pw && pw->pw_gid ? pw->pw_gid : (gid_t)uid;
	return 0;
}

static void report_to_log(void *ctx, const char *text)
{
	(void)ctx;
	log_line(SAY_WARNING, text);
}

static int prepare_sandbox(struct daemon *d, struct err *e)
{
	const char *text = d->conf->global[CP_SANDBOX].str;
	enum confine_policy policy = !strcasecmp(text, "require") ? CONFINE_REQUIRE :
		!strcasecmp(text, "prefer") ? CONFINE_PREFER : CONFINE_DEFAULT;

	if (*text && policy == CONFINE_DEFAULT)
		log_printf("unknown value \"%s\" of \"sandbox\": the default holds", text);
	return confine_prepare(true, policy, e);
}

void daemon_reload(struct daemon *d)
{
	struct err e = { 0 };

	if (daemon_load(d, report_to_log, NULL) < 0) {
		log_printf("Failed to parse config file: %s; the one read before stays in force", d->config_path);
		return;
	}
	if (prepare_sandbox(d, &e) < 0 || resolve_gate_user(d, &e) < 0)
		log_printf("%s", e.text);
	daemon_open_log(d);
}

void daemon_reload_if_changed(struct daemon *d)
{
	if (conf_changed(d->conf, &conf_from_files))
		daemon_reload(d);
}

void daemon_check_log(struct daemon *d)
{
	_cleanup_buf_ struct buf path = BUF_INIT(NULL);
	const char *file = d->opt.log_file ? d->opt.log_file : daemon_string(&d->conf->global[CP_LOG_FILE], &path);
	struct stat held, named;

	if (!*file)
		return;
	if (log_fd() < 0 || fstat(log_fd(), &held) < 0 || opfile_stat(file, 0, &named) < 0 || held.st_ino != named.st_ino ||
	    held.st_dev != named.st_dev)
		daemon_open_log(d);
}

void daemon_open_log(struct daemon *d)
{
	const struct conf_value *v = d->conf->global;
	_cleanup_buf_ struct buf path = BUF_INIT(NULL), tag = BUF_INIT(NULL);
	const char *file = d->opt.log_file ? d->opt.log_file : daemon_string(&v[CP_LOG_FILE], &path);
	int old = log_open(file, daemon_string(&v[CP_SYSLOG_TAG], &tag), v[CP_SYSLOG_FACILITY].num);

	log_set_form(v[CP_LOG_FORM].str);
	if (old >= 0)
		close(old);
}

static void log_missing_layers(const struct confine_params *p)
{
	_cleanup_buf_ struct buf b = BUF_INIT(NULL);
	struct confine_report rep;

	confine_foresee(CONFINE_WORKER_RECV, p, &rep);
	confine_report_missing(&rep, &b);
	if (b.len)
		log_printf("sandbox: not to be had here:%s", buf_str(&b));
}

int daemon_prove(struct daemon *d, struct err *e)
{
	struct confine_params p = CONFINE_PARAMS_INIT;
	/* A directory that nothing can be made in: what the filter lets through shows as ENOENT. */
	struct confine_dir dir = { .fd = confine_empty_root(), .rights = CONFINE_WRITE };

	p.root_fd = dir.fd;
	p.dirs = &dir;
	p.ndirs = 1;
	p.set_ids = d->root;
	p.uid = d->gate_uid;
	p.gid = d->gate_gid;
	p.nodev = CONFINE_NODEV_ROOT;
	log_missing_layers(&p);
	p.nodev = CONFINE_DEV_ANY; /* no mount of a directory that is gone */
	return confine_self_test(CONFINE_WORKER_RECV, &p, e);
}

int daemon_prepare(struct daemon *d, struct err *e)
{
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct confine_report rep;

	d->root = geteuid() == 0;
	if (!getcwd(d->cwd, sizeof d->cwd))
		strcpy(d->cwd, "/");
	if (auth_init(e) < 0 || csum_global_init(e) < 0)
		return -1;
	/* Lets the name service load what it needs, for all processes to come. */
	(void)getpwnam("nobody");
	(void)getgrnam("nogroup");
	resolve_warm_up(d->conf->any_reverse);
	if (prepare_sandbox(d, e) < 0 || resolve_gate_user(d, e) < 0)
		return -1;
	p.root_fd = confine_empty_root();
	confine_foresee(CONFINE_WORKER_SEND, &p, &rep);
	d->can_chroot = d->root && rep.layer[CONFINE_L_ROOT].state == CONFINE_HELD;
	return 0;
}
