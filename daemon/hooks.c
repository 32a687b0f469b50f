/* hooks.c - early exec and post-xfer exec, run by the monitor with the daemon's identity. */
#include "config.h"

#include <stdio.h>

#include "daemon/hooks.h"
#include "daemon/log.h"
#include "sandbox/spawn.h"

static bool risky(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("'\"`$\\;&|<>()*?[]#!~{}", *s))
			return true;
	return false;
}

/* Follows the shell's quoting over literal text: 0 bare, '\'' or '"' inside quotes. */
static char scan_quotes(char state, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' && state != '\'')
			i++;
		else if (state == 0 && (s[i] == '\'' || s[i] == '"'))
			state = s[i];
		else if (state == s[i] && state)
			state = 0;
	}
	return state;
}

static const char *find_var(const struct conf_var *vars, const char *name, size_t n)
{
	char copy[256];

	for (const struct conf_var *v = vars; v && v->name; v++)
		if (strlen(v->name) == n && !memcmp(v->name, name, n))
			return v->value;
	if (n >= sizeof copy)
		return NULL;
	memcpy(copy, name, n);
	copy[n] = '\0';
	return getenv(copy);
}

int hook_expand(struct buf *out, const char *text, const struct conf_var *vars, char bad[64])
{
	size_t base = strlen(text);
	char quote = 0;

	bad[0] = '\0';
	while (*text) {
		const char *pct = strchr(text, '%'), *end, *value = NULL;
		size_t lit = pct ? (size_t)(pct - text) : strlen(text), n = 0;

		buf_add(out, text, lit);
		quote = scan_quotes(quote, text, lit);
		if (!pct)
			break;
		text = pct + 1;
		end = *text >= 'A' && *text <= 'Z' ? strchr(text, '%') : NULL;
		if (end) {
			n = (size_t)(end - text);
			value = find_var(vars, text, n);
		}
		if (!value) {
			buf_addc(out, '%');
			continue;
		}
		if (!strncmp(text, "RSYNC_", 6)) {
			if (risky(value)) {
				snprintf(bad, 64, "%.*s", (int)n, text);
				return -1;
			}
			buf_addf(out, quote == '\'' ? "%s" : "'%s'", value);
		} else {
			buf_adds(out, value);
		}
		text = end + 1;
		if (out->len > base + CONF_EXPAND_MAX)
			return -1;
	}
	return out->failed ? -1 : 0;
}

/* ---- environment ---- */

#define ENV_MAX 12

struct hook_env {
	struct buf text[ENV_MAX];
	const char *v[ENV_MAX + 1];
	size_t n;
};

static void env_add(struct hook_env *e, const char *name, const char *value)
{
	buf_addf(&e->text[e->n], "%s=%s", name, value ? value : "");
	e->v[e->n] = buf_str(&e->text[e->n]);
	e->v[++e->n] = NULL;
}

static void env_fill(struct hook_env *e, const struct connection *c)
{
	for (int i = 0; i < VAR_COUNT; i++)
		if (i != VAR_PID)
			env_add(e, c->vars[i].name, c->vars[i].value);
	env_add(e, "RSYNC_PID", c->pid_text);
}

static void env_free(struct hook_env *e)
{
	for (size_t i = 0; i < e->n; i++)
		buf_free(&e->text[i]);
}

static int command(struct connection *c, enum conf_param p, struct buf *out)
{
	char bad[64];

	buf_clear(out);
	if (hook_expand(out, c->m->v[p].str, c->vars, bad) == 0)
		return 0;
	if (bad[0])
		log_printf("refusing to run shell hook: %%%s%% holds a shell metacharacter", bad);
	else
		log_printf("the value of \"%s\" is too long", conf_defs[p].name);
	return -1;
}

static int hook_ms(const struct connection *c)
{
	int s = conn_num(c, CP_HOOK_TIMEOUT);

	return s > 0 && s < 86400 ? s * 1000 : 0;
}

int hooks_early(struct connection *c, struct gate_verdict *v)
{
	struct buf *cmd = &c->text[CP_EARLY_EXEC];
	struct hook_env env = { 0 };
	struct hook h = { .input = HOOK_IN_BYTES, .bytes = c->early, .nbytes = c->early_len, .timeout_ms = hook_ms(c) };
	struct hook_result res = { 0 };
	struct err e = { 0 };
	int r;

	if (!c->m->v[CP_EARLY_EXEC].str[0] || hook_disabled())
		return 0;
	if (command(c, CP_EARLY_EXEC, cmd) < 0) {
		c->exit_code = RX_UNSUPPORTED;
		c->silent = true;
		return -1;
	}
	env_fill(&env, c);
	env_add(&env, "RSYNC_REQUEST", "(NONE)");
	h.command = buf_str(cmd);
	h.env = env.v;
	r = hook_run(&h, &res, &e);
	env_free(&env);
	if (r < 0) {
		log_printf("%s", e.text);
		verdict_error(v, "early exec preparation failed");
		return -1;
	}
	r = res.status;
	if (res.timed_out)
		log_printf("early exec of module %s took more than %d s: killed", c->m->name, hook_ms(c) / 1000);
	hook_result_free(&res);
	if (r == 0)
		return 0;
	log_printf("early exec of module %s returned failure (%d)", c->m->name, r);
	verdict_error(v, "early exec failed");
	return -1;
}

int hooks_prepare_post(struct connection *c, struct gate_verdict *v)
{
	(void)v;
	if (!c->m->v[CP_POST_XFER_EXEC].str[0] || hook_disabled())
		return 0;
	if (command(c, CP_POST_XFER_EXEC, &c->text[CP_POST_XFER_EXEC]) < 0) {
		c->exit_code = RX_UNSUPPORTED;
		c->silent = true;
		return -1;
	}
	return 0;
}

void hooks_post(struct connection *c, int status)
{
	struct buf *cmd = &c->text[CP_POST_XFER_EXEC];
	struct hook_env env = { 0 };
	struct hook h = { .input = HOOK_IN_INHERIT, .timeout_ms = hook_ms(c) };
	struct hook_result res = { 0 };
	struct err e = { 0 };
	char number[32];

	if (!cmd->len)
		return;
	env_fill(&env, c);
	snprintf(number, sizeof number, "%d", proc_exit_code(status));
	env_add(&env, "RSYNC_EXIT_STATUS", number);
	snprintf(number, sizeof number, "%d", status);
	env_add(&env, "RSYNC_RAW_STATUS", number);
	h.command = buf_str(cmd);
	h.env = env.v;
	if (hook_run(&h, &res, &e) < 0)
		log_printf("post-xfer exec: %s", e.text);
	hook_result_free(&res);
	env_free(&env);
	buf_clear(cmd);
}
