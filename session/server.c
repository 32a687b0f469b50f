/*
 * server.c - `kedge --server`: the remote program of a remote shell (spec 01 §6).
 *
 * The invoking user's own authority applies: the anchor is "/" as that user sees it, relative
 * arguments start in the current directory.
 */
#include "config.h"
#include <stdio.h>
#include <sys/stat.h>

#include "base/say.h"
#include "base/text.h"
#include "sandbox/spawn.h"
#include "session/args.h"
#include "session/ids.h"
#include "session/run.h"
#include "session/serverlog.h"
#include "session/setup.h"

#define OUR_VERSION 32

/* The pre-release rule of spec 01 §6.2: a client that says V.S may lower what we offer. */
static int offered_version(const char *ecaps)
{
	char *end;
	long v = strtol(ecaps, &end, 10), sub;

	if (end == ecaps || *end != '.')
		return OUR_VERSION;
	sub = strtol(end + 1, NULL, 10);
	if (v <= 0 || sub <= 0 || v > OUR_VERSION)
		return OUR_VERSION;
	return v < OUR_VERSION ? (int)v - 1 : OUR_VERSION - 1;
}

static int exchange_versions(struct session *s)
{
	struct conn *c = &s->conn;
	int ours = offered_version(s->o.ecaps), theirs;

	wr_int(&c->out, ours);
	if (conn_flush(c) < 0)
		return -1;
	theirs = rd_int(&c->in);
	if (c->in.failed)
		return -1;
	if (theirs < 20 || theirs > 40)
		return rd_fail(&c->in, RX_PROTOCOL, "protocol version mismatch -- is your shell clean?\n"
			       "(see the rsync manpage for an explanation)");
	s->p.version = MIN(ours, theirs);
	if (s->p.version < 27)
		return rd_fail(&c->in, RX_PROTOCOL, "--protocol must be at least 27 on the Server.");
	return 0;
}

static int usage(const struct options *p)
{
	fprintf(stderr, "%s%s\n", options_prefix(p), p->error);
	fprintf(stderr, "rsync error: %s (code %d) at server [server=%s]\n", exit_text(p->exit_code), p->exit_code, PACKAGE_VERSION);
	return p->exit_code;
}

/* --iconv may load code, so before anything is read. */
static int open_charset(struct session *s)
{
	if (!s->o.iconv || s->x.charset || charset_open(&s->x.charset, s->o.iconv) == 0)
		return 0;
	return rd_fail(&s->conn.in, RX_UNSUPPORTED, "iconv_open(\"UTF-8\", \"%s\") failed", s->o.iconv);
}

/* The second batch of -s: read as NUL-terminated words before anything else; its first word stands for argv[0]. */
static int secluded_batch(struct session *s, struct options *p, struct words *w)
{
	if (args_read(w, &s->conn.in, true) < 0)
		return -1;
	if (s->x.charset && args_from_utf8(w, s->x.charset) < 0)
		return rd_fail(&s->conn.in, RX_MALLOC, "out of memory for arguments");
	if (options_parse(p, w->v + 1, MAX(w->n - 1, 0), false) < 0)
		return rd_fail(&s->conn.in, p->exit_code, "%s%s", options_prefix(p), p->error);
	return 0;
}

static int server_paths(struct session *s, struct options *p, struct words *w, const char *cwd)
{
	struct sb *sb = NULL;
	int rc = 0;

	if (p->secluded)
		sb = sb_new(s->x.root, 0);
	for (int i = 0; i < p->npaths && rc == 0; i++)
		rc = sb ? args_glob(w, p->paths[i], sb, cwd, NULL) : words_add(w, p->paths[i], strlen(p->paths[i]));
	sb_free(sb);
	if (rc < 0)
		return rd_fail(&s->conn.in, RX_MALLOC, "out of memory for arguments");
	s->x.args = w->v;
	s->x.arg_count = w->n;
	return 0;
}

static int run(struct session *s, struct options *p, struct words *batch, struct words *paths, const char *cwd,
	       const struct server_logger *logger)
{
	static struct itemlog items;
	int rc;

	if (p->secluded && p->old_args)
		options_finish(p);
	else if (open_charset(s) < 0 || (p->secluded && secluded_batch(s, p, batch) < 0) || open_charset(s) < 0)
		return -1;
	if (options_finish(p) < 0)
		return rd_fail(&s->conn.in, p->exit_code, "%s%s", options_prefix(p), p->error);
	rc = anchor_open(&s->x.root, "/", TRUST_ALL, LINKS_FREE, 0);
	if (rc < 0)
		return rd_fail(&s->conn.in, RX_FILEIO, "cannot open the root directory: %s", strerror(-rc));
	if (session_check_files(s, p) < 0 || serverlog_start(s, logger, &items) < 0)
		return -1;
	say_set_role(s->o.am_sender ? "sender" : "Receiver");
	if (s->o.iconv)
		session_charset(s, p, s->x.charset);
	s->route.only_stderr = s->o.msgs_to_stderr;
	s->route.quiet = s->o.quiet;
	if (exchange_versions(s) < 0)
		return -1;
	s->route.proto = s->p.version;
	if (options_check_version(p, s->p.version) < 0)
		return rd_fail(&s->conn.in, p->exit_code, "%s%s", options_prefix(p), p->error);
	if (server_paths(s, p, paths, cwd) < 0 ||
	    setup_protocol(&s->conn, &s->o, s->p.version, false, &s->p) < 0)
		return -1;
	s->conn.timeout = s->o.timeout;
	s->conn.bwlimit = s->o.bwlimit * 1024u;
	s->budget.single = (size_t)s->o.max_alloc;
	if (s->o.copy_as && proc_copy_as(s->o.copy_as, &s->in_err) < 0)
		return -1;
	s->o.super_allowed = geteuid() == 0;
	if (session_filters(s, p) < 0)
		return -1;
	return session_role(s);
}

int session_main_server(int argc, char **argv, const struct server_logger *logger)
{
	static struct session s;
	struct options p;
	struct words batch = { 0 }, paths = { 0 };
	char cwd[PATH_LIMIT + 1];
	int code;

	if (csum_global_init(&s.in_err) < 0 || session_init(&s, 0, 1) < 0) {
		fprintf(stderr, "%s\n", s.in_err.text);
		return s.in_err.code;
	}
	/* What a remote-shell user may use up is that user's business, within --max-alloc. */
	s.budget.total = 0;
	s.route.to_stderr = true;
	route_install(&s.route);
	say_set_role("server");
	if (options_init(&p, &s.o, &s.budget, false) < 0 || words_init(&batch, &s.budget) < 0 || words_init(&paths, &s.budget) < 0)
		return RX_MALLOC;
	if (options_parse(&p, (const char *const *)argv + 1, argc - 1, true) < 0)
		return usage(&p);
	if (!getcwd(cwd, sizeof cwd))
		strcpy(cwd, "/");
	s.x.umask = umask(0);
	umask(s.x.umask);
	s.x.cwd = cwd + 1;
	s.x.ids = &ids_of_system;
	code = session_end(&s, run(&s, &p, &batch, &paths, cwd + 1, logger));
	anchor_unref(s.x.root);
	charset_close(s.x.charset);
	words_free(&batch);
	words_free(&paths);
	options_free(&p);
	return code;
}
