/* login.c - module selection, host check and log-in, judged by the monitor (spec 06 §6.1 steps 8-11, §7, §9). */
#include "config.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/auth.h"
#include "daemon/connection.h"
#include "daemon/log.h"
#include "sandbox/opfile.h"

void verdict_error(struct gate_verdict *v, const char *fmt, ...)
{
	size_t n = (size_t)snprintf(v->text, sizeof v->text, "@ERROR: ");
	va_list ap;

	v->action = GATE_CLOSE;
	va_start(ap, fmt);
	vsnprintf(v->text + n, sizeof v->text - n - 1, fmt, ap);
	va_end(ap);
	strcat(v->text, "\n");
}

/* The host check of 06 §7; sets the name that logs and messages show. With a PROXY header both addresses are
   judged, and deny wins (spec 09 ACC-1). */
static bool host_allowed(struct connection *c)
{
	struct access_request rq = {
		.peer = &c->peer, .forward = conn_num(c, CP_FORWARD_LOOKUP) > 0, .resolver = &resolver_system,
	};
	const char *allow, *deny;
	bool ok;

	if (conn_num(c, CP_REVERSE_LOOKUP) > 0)
		snprintf(c->host, sizeof c->host, "%s", conn_real_host(c));
	c->vars[VAR_HOST_NAME].value = c->host;
	c->vars[VAR_HOST_ADDR].value = c->peer.text;
	rq.host = c->host;
	allow = conn_string(c, CP_HOSTS_ALLOW);
	deny = conn_string(c, CP_HOSTS_DENY);
	ok = access_allowed(&rq, allow, deny);
	if (rq.matched[0] && !strcmp(c->host, "UNDETERMINED"))
		snprintf(c->host, sizeof c->host, "%s", rq.matched);
	return ok;
}

static void auth_failed(struct connection *c, struct gate_verdict *v)
{
	conn_penalty(c, 1);
	verdict_error(v, "auth failed on module %s", c->m->name);
}

/* Asks for a log-in. False: the verdict refuses. */
static bool challenge(struct connection *c, struct gate_verdict *v)
{
	const char *floor = conn_string(c, CP_AUTH_DIGEST);

	if (c->digest == HS_DIGEST_NONE) {
		verdict_error(v, "your client does not support one of our daemon-auth checksums: " HS_DIGEST_ORDER);
		c->exit_code = RX_UNSUPPORTED;
		return false;
	}
	switch (auth_floor(floor, c->digest)) {
	case FLOOR_OK:
		break;
	case FLOOR_WEAKER:
		conn_event(c, "auth", "failed", NULL, c->m->name, "auth failed on module %s from %s (%s): negotiated auth digest %s is weaker than the required "
			   "'auth digest = %s'", c->m->name, c->host, c->peer.text, hs_digest_name(c->digest), floor);
		auth_failed(c, v);
		return false;
	case FLOOR_UNKNOWN:
		conn_event(c, "auth", "failed", NULL, c->m->name, "auth failed on module %s from %s (%s): the configured 'auth digest = %s' is not a supported "
			   "digest on this build", c->m->name, c->host, c->peer.text, floor);
		auth_failed(c, v);
		return false;
	}
	if (auth_challenge(c->digest, c->challenge) < 0) {
		log_printf("no random bytes for a challenge");
		auth_failed(c, v);
		return false;
	}
	v->action = GATE_CHALLENGE;
	snprintf(v->text, sizeof v->text, "@RSYNCD: AUTHREQD %s\n", c->challenge);
	return true;
}

/* The peer may use the module: on to entering it. */
static void granted(struct connection *c, struct gate_verdict *v)
{
	c->vars[VAR_USER_NAME].value = c->user;
	if (c->row)
		atomic_store(&c->row->known, 1);
	if (module_enter(c, v) < 0)
		return;
	v->action = GATE_HAND_OFF;
	c->handed_off = true;
}

void login_select(struct connection *c, const struct gate_select *q, struct gate_verdict *v)
{
	const char *users;

	if (q->protocol < HS_PROTOCOL_MIN || q->protocol > HS_PROTOCOL) {
		conn_event(c, "handshake", "failed", NULL, q->module, "protocol %d offered by %s (%s)", q->protocol, c->host, c->peer.text);
		verdict_error(v, "protocol version mismatch: this server speaks %d to %d, your client %d", HS_PROTOCOL_MIN, HS_PROTOCOL,
			      q->protocol);
		return;
	}
	c->protocol = q->protocol;
	c->digest = q->digest;
	if (q->digest < HS_DIGEST_NONE || q->digest > HS_MD4_OLD)
		c->digest = HS_DIGEST_NONE;
	c->early_len = MIN((size_t)q->early_len, sizeof c->early);
	memcpy(c->early, q->early, c->early_len);
	c->m = conf_find_module(c->d->conf, q->module);
	if (!c->m) {
		conn_event(c, "unknown-module", "denied", NULL, q->module, "unknown module '%s' tried from %s (%s)", q->module, c->host, c->peer.text);
		verdict_error(v, "Unknown module '%s'", q->module);
		return;
	}
	c->vars[VAR_MODULE_NAME].value = c->m->name;
	if (!host_allowed(c)) {
		conn_event(c, "access", "denied", NULL, c->m->name, "rsync denied on module %s from %s (%s)", c->m->name, c->host, c->peer.text);
		if (conn_num(c, CP_LIST) > 0)
			verdict_error(v, "access denied to %s from %s (%s)", c->m->name, c->host, c->peer.text);
		else
			verdict_error(v, "Unknown module '%s'", c->m->name);
		return;
	}
	if (!c->rsh)
		conn_event(c, "access", "allowed", NULL, c->m->name, "rsync allowed access on module %s from %s (%s)", c->m->name,
			   c->host, c->peer.text);
	conn_arm(c, conn_num(c, CP_TIMEOUT));
	c->read_only = conn_num(c, CP_READ_ONLY) > 0;
	users = conn_string(c, CP_AUTH_USERS);
	if (*users)
		challenge(c, v);
	else
		granted(c, v);
}

/* NULL on success, else the reason for the log. */
static const char *check_answer(struct connection *c, const struct gate_answer *a)
{
	struct auth_rule rule;
	_cleanup_buf_ struct buf secrets = BUF_INIT(NULL);
	const char *path, *why;
	struct stat st;
	int r;

	auth_match_rules(conn_string(c, CP_AUTH_USERS), a->user, &groups_system, &rule);
	switch (rule.verdict) {
	case AUTH_NO_RULE:
		return "no matching rule";
	case AUTH_DENIED:
		return "denied by rule";
	case AUTH_BAD_RULE:
		return "the matching rule of \"auth users\" has an unknown suffix";
	case AUTH_PASS:
		break;
	}
	path = conn_string(c, CP_SECRETS_FILE);
	if (!*path)
		return "no secrets file";
	r = opfile_read_all(path, AUTH_SECRETS_MAX, OPFILE_REGULAR, &secrets, &st);
	if (r < 0) {
		log_printf("failed to open secrets file %s: %s", path, strerror(-r));
		return "no secrets file";
	}
	why = auth_secrets_mode(&st, conn_num(c, CP_STRICT_MODES) > 0, geteuid());
	if (why) {
		log_printf("%s", why);
		why = "ignoring secrets file";
	} else {
		why = auth_check_secrets(buf_str(&secrets), secrets.len, a->user, rule.group, c->digest, c->challenge, a->response);
	}
	if (secrets.data)
		OPENSSL_cleanse(secrets.data, secrets.len);
	if (!why && rule.access != AUTH_AS_MODULE)
		c->read_only = rule.access == AUTH_READ_ONLY;
	return why;
}

void login_answer(struct connection *c, const struct gate_answer *a, struct gate_verdict *v)
{
	const char *why;

	if (a->malformed) {
		conn_event(c, "auth", "failed", NULL, c->m->name, "auth failed on module %s from %s (%s): invalid challenge response",
			   c->m->name, c->host, c->peer.text);
		auth_failed(c, v);
		return;
	}
	why = check_answer(c, a);
	OPENSSL_cleanse(c->challenge, sizeof c->challenge);
	if (why) {
		conn_event(c, "auth", "failed", a->user, c->m->name, "auth failed on module %s from %s (%s) for %s: %s", c->m->name,
			   c->host, c->peer.text, a->user, why);
		auth_failed(c, v);
		return;
	}
	snprintf(c->user, sizeof c->user, "%s", a->user);
	/* Worth no line for people: the request's line names the user. */
	LOG_EVENT("auth", NULL, EVENT_FIELD_TEXT("host", c->host), EVENT_FIELD_TEXT("addr", c->peer.text),
		  EVENT_FIELD_TEXT("module", c->m->name), EVENT_FIELD_TEXT("user", c->user), EVENT_FIELD_TEXT("verdict", "ok"));
	granted(c, v);
}
