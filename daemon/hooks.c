/* hooks.c - the operator's programs, run by the monitor with the daemon's identity. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "daemon/hooks.h"
#include "daemon/log.h"
#include "sandbox/spawn.h"

#define PRE_XFER_OUTPUT 5119    /* bytes of its output that the client is shown */
#define CONVERTER_LINE 1023     /* bytes of a request or an answer */
#define CONVERTER_GRACE_MS 2000 /* for it to end after the end of its input */

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

/* Strings "NAME=VALUE", each with its NUL, and the vector of them. */
struct hook_env {
	struct buf text;
	size_t n;
	const char **v;
};

static void env_add(struct hook_env *e, const char *name, const char *value)
{
	buf_addf(&e->text, "%s=%s", name, value ? value : "");
	buf_addc(&e->text, '\0');
	e->n++;
}

static void env_fill(struct hook_env *e, const struct connection *c)
{
	for (int i = 0; i < VAR_COUNT; i++)
		if (i != VAR_PID)
			env_add(e, c->vars[i].name, c->vars[i].value);
	env_add(e, "RSYNC_PID", c->pid_text);
}

/* What hooks that know the request get as well. */
static void env_request(struct hook_env *e, const struct connection *c)
{
	env_add(e, "RSYNC_REQUEST", c->request);
	buf_add(&e->text, c->args.data, c->args.len);
	e->n += c->nargs;
}

/* NULL without memory. */
static const char *const *env_vector(struct hook_env *e)
{
	const char *p = buf_str(&e->text);

	e->v = e->text.failed ? NULL : calloc(e->n + 1, sizeof *e->v);
	for (size_t i = 0; e->v && i < e->n; i++) {
		e->v[i] = p;
		p += strlen(p) + 1;
	}
	return (const char *const *)e->v;
}

static void env_free(struct hook_env *e)
{
	buf_free(&e->text);
	free((void *)e->v);
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
	h.env = env_vector(&env);
	r = h.env ? hook_run(&h, &res, &e) : fail(&e, RX_MALLOC, "out of memory");
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

int hooks_prepare(struct connection *c)
{
	static const enum conf_param later[] = { CP_PRE_XFER_EXEC, CP_NAME_CONVERTER, CP_POST_XFER_EXEC };

	for (size_t i = 0; i < ARRAY_SIZE(later); i++) {
		if (!c->m->v[later[i]].str[0] || hook_disabled())
			continue;
		if (command(c, later[i], &c->text[later[i]]) < 0) {
			c->exit_code = RX_UNSUPPORTED;
			c->silent = true;
			return -1;
		}
	}
	return 0;
}

void hooks_take_arg(struct connection *c, const char *text)
{
	char name[32];

	if (c->args.len + strlen(text) + sizeof name > HOOK_ARGS_MAX) {
		c->args_cut = true;
		return;
	}
	snprintf(name, sizeof name, "RSYNC_ARG%u=", c->nargs++);
	buf_adds(&c->args, name);
	buf_add(&c->args, text, strlen(text) + 1);
}

/* The message of 06 §10.3: our line, and what the command printed. */
static void refusal_text(const struct hook_result *res, char *out, size_t size)
{
	int raw = WIFSIGNALED(res->status) ? 256 : res->status;
	size_t n = (size_t)snprintf(out, size, "pre-xfer exec returned failure (%d)%s\n", raw, res->outlen ? ":" : "");

	for (size_t i = 0; i < res->outlen && n + 2 < size; i++)
		if (res->out[i] && !(res->out[i] == '\r' && i + 1 < res->outlen && res->out[i + 1] == '\n'))
			out[n++] = res->out[i];
	out[n] = '\0';
}

bool hooks_pre(struct connection *c, char *text, size_t size)
{
	struct hook_env env = { 0 };
	struct hook h = { .command = buf_str(&c->text[CP_PRE_XFER_EXEC]), .input = HOOK_IN_EMPTY, .capture = PRE_XFER_OUTPUT,
			  .timeout_ms = hook_ms(c) };
	struct hook_result res = { .status = 255 << 8 };
	struct err e = { 0 };

	if (!*h.command)
		return true;
	env_fill(&env, c);
	env_request(&env, c);
	h.env = env_vector(&env);
	if (c->args_cut || !h.env)
		log_printf("pre-xfer exec of module %s: too many arguments", c->m->name);
	else if (hook_run(&h, &res, &e) < 0)
		log_printf("pre-xfer exec: %s", e.text);
	if (res.timed_out)
		log_printf("pre-xfer exec of module %s took more than %d s: killed", c->m->name, hook_ms(c) / 1000);
	env_free(&env);
	if (res.status)
		refusal_text(&res, text, size);
	hook_result_free(&res);
	return res.status == 0;
}

/* ---- name converter (06 §11) ---- */

void hooks_start_converter(struct connection *c)
{
	struct hook_env env = { 0 };
	struct hook h = { .command = buf_str(&c->text[CP_NAME_CONVERTER]) };
	struct err e = { 0 };

	if (!*h.command)
		return;
	env_fill(&env, c);
	env_request(&env, c);
	h.env = env_vector(&env);
	if (c->args_cut || !h.env || hook_start(&h, &c->converter, &c->to_converter, &c->from_converter, &e) < 0) {
		log_printf("name converter of module %s: %s", c->m->name, e.text[0] ? e.text : "too many arguments");
		c->converter = -1;
	}
	env_free(&env);
}

void hooks_stop_converter(struct connection *c)
{
	int status;

	if (c->converter <= 0)
		return;
	close(c->to_converter);
	close(c->from_converter);
	if (proc_wait(c->converter, CONVERTER_GRACE_MS, &status) != 1)
		proc_kill_wait(c->converter, SIGKILL);
	c->converter = 0;
}

/* Reads one line, CR dropped. 0; 1 at the end of the stream; -1 when it takes too long or is too long. */
static int read_answer(struct connection *c, char *out, size_t size)
{
	int64_t end = clock_ms() + (hook_ms(c) ? hook_ms(c) : INT32_MAX);
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = c->from_converter, .events = POLLIN };
		int64_t left = end - clock_ms();
		char ch;
		ssize_t r;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -1;
		r = read(c->from_converter, &ch, 1);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return 1;
		if (ch == '\n')
			break;
		if (ch == '\r')
			continue;
		if (n + 1 >= size)
			return -1;
		out[n++] = ch;
	}
	out[n] = '\0';
	return 0;
}

int hooks_convert(struct connection *c, const char *what, const char *key, char *out, size_t size)
{
	char line[CONVERTER_LINE + 1];
	int n = snprintf(line, sizeof line, "%s %s\n", what, key), r;
	ssize_t w = -1;

	out[0] = '\0';
	if (c->converter > 0 && n < (int)sizeof line)
		do
			w = write(c->to_converter, line, (size_t)n);
		while (w < 0 && errno == EINTR);
	r = w == n ? read_answer(c, out, size) : -1;
	if (r < 0) {
		log_printf("Connection to name-converter failed.");
		c->converter_failed = true;
		return -EPIPE;
	}
	return out[0] && r == 0 ? 0 : -ENOENT;
}

/* ---- post-xfer exec ---- */

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
	h.env = env_vector(&env);
	if (!h.env || hook_run(&h, &res, &e) < 0)
		log_printf("post-xfer exec: %s", e.text);
	hook_result_free(&res);
	env_free(&env);
	buf_clear(cmd);
}
