/*
 * check.c - `kedge --daemon --check-config`: what the file means, what is weak, and which layers will hold.
 */
#include "config.h"

#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/say.h"
#include "daemon/access.h"
#include "daemon/auth.h"
#include "daemon/daemon.h"
#include "daemon/ident.h"
#include "daemon/log.h"
#include "daemon/quota.h"
#include "sandbox/broker.h"
#include "sandbox/confine.h"
#include "sandbox/opfile.h"
#include "transfer/chmod.h"

static unsigned problems;

static void print_line(void *ctx, const char *text)
{
	(void)ctx;
	problems++;
	printf("! %s\n", text);
}

static void PRINTF(2, 3) warn(const struct conf_module *m, const char *fmt, ...)
{
	va_list ap;

	printf("  warning [%s]: ", m->name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void print_assignment(const struct conf_value *v, int i)
{
	const struct conf_def *d = &conf_defs[i];

	if (d->type == CT_STRING || d->type == CT_PATH)
		printf("  %s = %s", d->name, v->str);
	else if (d->type == CT_BOOL || d->type == CT_BOOL3)
		printf("  %s = %s", d->name, v->num < 0 ? "unset" : v->num ? "yes" : "no");
	else
		printf("  %s = %d", d->name, v->num);
}

static void print_value(const struct conf *c, const struct conf_value *v, int i)
{
	if (!v->set)
		return;
	print_assignment(v, i);
	if (v->line)
		printf("    (%s line %u)", c->files[v->file].path, v->line);
	putchar('\n');
}

/* Reports names on the deny list that no resolver knows (spec 09 ACC-2), and patterns that match no address. */
static void check_names(const struct conf_module *m, const char *what, const char *list, bool deny)
{
	while (*list) {
		size_t n = strcspn(list, " \t,");
		char token[256];
		struct addrinfo *ai;

		if (n && n < sizeof token) {
			memcpy(token, list, n);
			token[n] = '\0';
			if (access_is_digit_pattern(token))
				warn(m, "\"%s\": %s is a pattern for names: it matches no address", what, token);
			else if (deny && token[0] != '@' && !strpbrk(token, ":/*?[") && token[strspn(token, "0123456789.")]) {
				if (getaddrinfo(token, NULL, NULL, &ai))
					warn(m, "\"hosts deny\" names %s, which does not resolve: everybody will be denied", token);
				else
					freeaddrinfo(ai);
			}
		}
		list += n;
		list += strspn(list, " \t,");
	}
}

static bool device_mount(const struct daemon *d, const struct conf_module *m, char *why, size_t size)
{
	const struct conf_value *v = m->v;
	_cleanup_buf_ struct buf path = BUF_INIT(NULL);
	const char *where = daemon_string(&v[CP_PATH], &path);
	struct device_policy dev;
	bool makes, opens;
	int nodev;

	if (device_policy_parse(v[CP_DEVICE_NODES].str, &dev, why, size) < 0 || device_policy_none(&dev) || strchr(where, '%'))
		return false;
	makes = d->root && v[CP_READ_ONLY].num <= 0;
	opens = v[CP_DEVICE_OPEN].num > 0;
	nodev = opfile_nodev(where);
	if (!confine_kernel()->openat2 && (makes || opens))
		snprintf(why, size, "connections will be refused: device nodes need openat2 (Linux 5.6)");
	else if (nodev > 0 && opens)
		snprintf(why, size, "\"device open\" has no effect: %s is mounted nodev", where);
	else if (nodev > 0 && makes)
		snprintf(why, size, "%s is mounted nodev: device nodes are stored there, and nobody can open them", where);
	else if (nodev == 0 && makes && !opens)
		snprintf(why, size, "makes device nodes in %s, which is not mounted nodev: whoever can reach them there can open them", where);
	else
		return false;
	return true;
}

void check_mounts(const struct daemon *d)
{
	char why[300];

	for (size_t i = 0; i < d->conf->nmodules; i++)
		if (device_mount(d, d->conf->modules[i], why, sizeof why))
			log_printf("module %s: %s", d->conf->modules[i]->name, why);
}

/* Log-ins that cannot succeed, and changes of permissions that cannot be read: both end every session. */
static void check_values(struct daemon *d, const struct conf_module *m)
{
	const struct conf_value *v = m->v;
	const char *path = v[CP_SECRETS_FILE].str, *why;
	struct stat st;

	if (v[CP_AUTH_USERS].str[0] && !*path)
		warn(m, "\"auth users\" without \"secrets file\": nobody can log in");
	else if (v[CP_AUTH_USERS].str[0] && !strchr(path, '%') && !d->conf->global[CP_DAEMON_CHROOT].str[0]) {
		if (opfile_stat(path, 0, &st) < 0)
			warn(m, "nobody can log in: secrets file %s cannot be reached", path);
		else if ((why = auth_secrets_mode(&st, v[CP_STRICT_MODES].num > 0, geteuid())))
			warn(m, "nobody can log in: %s", why);
	}
	for (int i = CP_INCOMING_CHMOD; i <= CP_OUTGOING_CHMOD; i++) {
		struct chmod_rules *r;

		if (!v[i].str[0] || strchr(v[i].str, '%'))
			continue;
		r = chmod_parse(v[i].str, 022);
		if (!r) {
			problems++;
			warn(m, "Invalid \"%s\" directive: %s", conf_defs[i].name, v[i].str);
		}
		chmod_free(r);
	}
}

static void check_module(struct daemon *d, const struct conf_module *m)
{
	const struct conf_value *v = m->v;
	_cleanup_buf_ struct buf path = BUF_INIT(NULL);
	bool writable = v[CP_READ_ONLY].num <= 0;
	bool as_root = d->root && (!strcmp(v[CP_UID].str, "0") || !strcmp(v[CP_UID].str, "root"));
	struct device_policy dev;
	struct session_quota quota;
	struct identity id;
	struct stat st;
	char why[300];

	daemon_string(&v[CP_PATH], &path);
	if (!path.len)
		warn(m, "no path");
	else if (!strchr(buf_str(&path), '%') && opfile_stat(buf_str(&path), OPFILE_FREE, &st) < 0)
		warn(m, "path %s cannot be reached", buf_str(&path));
	else if (!strchr(buf_str(&path), '%') && (st.st_mode & S_IWOTH))
		warn(m, "anybody can write in %s%s", buf_str(&path), as_root && !(st.st_mode & S_ISVTX) ?
		     ": the module is refused, because it runs as root" : "");
	if (as_root && writable && !v[CP_AUTH_USERS].str[0] && !v[CP_HOSTS_ALLOW].str[0])
		warn(m, "runs as root, can be written, and anybody may connect");
	if (v[CP_USE_CHROOT].num == 0 && writable && v[CP_MUNGE_SYMLINKS].num == 0)
		warn(m, "\"use chroot\" and \"munge symlinks\" are off in a module that can be written");
	if (v[CP_INSECURE_LINKS].num > 0)
		warn(m, "\"insecure links\" is on");
	if (v[CP_AUTH_USERS].str[0] && !v[CP_AUTH_DIGEST].str[0])
		warn(m, "\"auth users\" without \"auth digest\": old clients log in with md5 or md4");
	if (!strchr(v[CP_UID].str, '%') && !strchr(v[CP_GID].str, '%') &&
	    ident_resolve(&id, v[CP_UID].str, v[CP_GID].str, d->root, why, sizeof why) < 0)
		warn(m, "connections will be refused: %s", why);
	else if (d->root && id.set)
		printf("  runs as uid %u gid %u\n", (unsigned)id.uid, (unsigned)id.gid);
	if (device_policy_parse(v[CP_DEVICE_NODES].str, &dev, why, sizeof why) < 0) {
		problems++;
		warn(m, "\"device nodes\": %s", why);
	} else if (!device_policy_none(&dev) && !d->root) {
		warn(m, "\"device nodes\" makes no nodes: the daemon does not run as root");
	}
	if (device_mount(d, m, why, sizeof why))
		warn(m, "%s", why);
	if (quota_parse(m, &quota, why, sizeof why) < 0) {
		problems++;
		warn(m, "%s", why);
	}
	check_values(d, m);
	check_names(m, "hosts allow", v[CP_HOSTS_ALLOW].str, false);
	check_names(m, "hosts deny", v[CP_HOSTS_DENY].str, true);
}

static void print_layers(struct daemon *d, const struct conf_module *m)
{
	enum confine_role role = m->v[CP_READ_ONLY].num > 0 ? CONFINE_WORKER_SEND : CONFINE_WORKER_RECV;
	_cleanup_buf_ struct buf table = BUF_INIT(NULL);
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct confine_report rep;
	struct confine_dir dir = { .fd = confine_empty_root(), .rights = CONFINE_READ };
	const char *want = m->v[CP_SANDBOX].str;
	struct identity id;
	char why[300];

	p.root_fd = dir.fd;
	p.nodev = m->v[CP_INSECURE_LINKS].num <= 0 ? CONFINE_NODEV_ROOT : CONFINE_DEV_ANY;
	p.dirs = &dir;
	p.ndirs = 1;
	if (ident_resolve(&id, m->v[CP_UID].str, m->v[CP_GID].str, d->root, why, sizeof why) == 0) {
		p.set_ids = id.set;
		p.uid = id.uid;
		p.gid = id.gid;
		p.groups = id.groups;
		p.ngroups = id.ngroups;
	}
	confine_foresee(role, &p, &rep);
	confine_report_table(&rep, &table);
	printf("  sandbox of the worker (%s):\n%s", confine_role_name(role), buf_str(&table));
	if (*want && strcasecmp(want, "require") && strcasecmp(want, "prefer"))
		warn(m, "\"sandbox\" is neither require nor prefer: every layer is required");
	for (int i = 0; i < CONFINE_NLAYERS; i++)
		if (rep.layer[i].state == CONFINE_MISSING && *want && strcasecmp(want, "prefer"))
			warn(m, "connections will be refused: every sandbox layer is required, and there is no %s",
			     confine_layer_name((enum confine_layer)i));
}

static void dump_values(const struct conf_value *v, int from)
{
	for (int i = from; i < CP_COUNT; i++) {
		print_assignment(&v[i], i);
		putchar('\n');
	}
}

static void print_fault(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", text);
}

int dump_config(struct daemon *d)
{
	log_init(true);
	say_set_sink(log_sink, NULL);
	if (daemon_load(d, print_fault, NULL) < 0) {
		fprintf(stderr, "Failed to parse config file: %s\n", d->config_path);
		return RX_USAGE;
	}
	printf("# %s as it is understood, defaults included\n", d->config_path);
	dump_values(d->conf->global, 0);
	for (size_t k = 0; k < d->conf->nmodules; k++) {
		printf("\n[%s]\n", d->conf->modules[k]->name);
		dump_values(d->conf->modules[k]->v, CP_MODULE_FIRST);
	}
	return RX_OK;
}

int check_config(struct daemon *d)
{
	struct err e = { 0 };

	log_init(true);
	say_set_sink(log_sink, NULL);
	if (daemon_load(d, print_line, NULL) < 0) {
		fprintf(stderr, "Failed to parse config file: %s\n", d->config_path);
		return RX_USAGE;
	}
	if (daemon_prepare(d, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return RX_USAGE;
	}
	printf("config file: %s (%zu files, %zu modules)\n[global]\n", d->config_path, d->conf->nfiles, d->conf->nmodules);
	for (int i = 0; i < CP_COUNT; i++)
		print_value(d->conf, &d->conf->global[i], i);
	for (size_t k = 0; k < d->conf->nmodules; k++) {
		const struct conf_module *m = d->conf->modules[k];

		printf("\n[%s]\n", m->name);
		for (int i = CP_MODULE_FIRST; i < CP_COUNT; i++)
			print_value(d->conf, &m->v[i], i);
		check_module(d, m);
		print_layers(d, m);
	}
	putchar('\n');
	fflush(stdout); /* the trial forks */
	if (daemon_prove(d, &e) < 0) {
		problems++;
		printf("! %s\n", e.text);
	} else {
		printf("sandbox trial: device nodes, whiteouts, sockets, processes and programs were refused to a confined child\n");
	}
	if (problems)
		printf("\n%u problem%s\n", problems, problems == 1 ? "" : "s");
	return problems ? RX_USAGE : RX_OK;
}
