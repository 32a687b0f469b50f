/*
 * main.c - the program: which of its lives the command line asks for.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "base/say.h"
#include "daemon/about.h"
#include "daemon/activation.h"
#include "daemon/cmdline.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/restricted.h"
#include "daemon/sockopts.h"
#include "sandbox/spawn.h"
#include "session/session.h"

/* The parser's messages wait until the log that the file names is open. */
static void keep_message(void *ctx, const char *text)
{
	buf_addf(ctx, "%s\n", text);
}

static void tell_messages(const struct daemon *d, struct buf *messages)
{
	for (char *line, *text = messages->data; text && (line = strsep(&text, "\n"));)
		if (*line)
			log_line(d->opt.server ? SAY_LOG : SAY_WARNING, line);
	buf_free(messages);
}

static bool stdin_is_socket(void)
{
	int type;
	socklen_t len = sizeof type;

	return getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

static void find_config(struct daemon *d)
{
	d->config_path = d->opt.config;
	if (!d->config_path)
		d->config_path = d->opt.server && geteuid() != 0 ? "rsyncd.conf" : "/etc/rsyncd.conf";
}

static int usage_error(const char *role)
{
	fprintf(stderr, "rsync error: %s (code %d) at " PACKAGE "(0) [%s=" PACKAGE_VERSION "]\n", exit_text(RX_USAGE), RX_USAGE, role);
	return RX_USAGE;
}

/* Standard error of an inetd start is, as a rule, the client's socket; behind a remote shell it leads to the client. */
static int parse_failed(struct daemon *d, bool inetd, struct buf *messages)
{
	if (d->conf)
		daemon_open_log(d);
	tell_messages(d, messages);
	log_exit(RX_USAGE, "Receiver");
	if (!inetd && !d->opt.server)
		fprintf(stderr, "Failed to parse config file: %s\n", d->config_path);
	return d->opt.server ? usage_error("Receiver") : RX_USAGE;
}

/* One connection on fd 0, the way inetd starts us; or on a socket that a service manager handed over. */
static int serve_inetd(struct daemon *d, int fd)
{
	int conn = fd == 0 ? dup(0) : fd;

	if (conn < 0 || proc_null_stdio(false) < 0)
		return RX_SOCKETIO;
	log_to_stderr(false);
	sockopts_preset(conn);
	return monitor_serve(d, conn, conn, NULL);
}

static int daemon_main(int argc, char **argv)
{
	static struct daemon d;
	_cleanup_buf_ struct buf messages = BUF_INIT(NULL);
	struct err e = { 0 };
	bool inetd;
	int r, handed;

	r = cmdline_parse(&d.opt, argc, argv);
	if (r)
		return r > 0 ? RX_OK : usage_error("client");
	find_config(&d);
	if (d.opt.dump)
		return dump_config(&d);
	if (d.opt.check)
		return check_config(&d);
	inetd = !d.opt.server && stdin_is_socket();
	handed = d.opt.server ? -1 : activation_connection();
	proc_ignore_signals();
	proc_null_stdio(true);
	log_init(!inetd);
	say_set_sink(log_sink, NULL);
	say_set_role("Receiver");
	if (daemon_load(&d, keep_message, &messages) < 0)
		return parse_failed(&d, inetd || handed >= 0, &messages);
	daemon_open_log(&d);
	tell_messages(&d, &messages);
	if (daemon_prepare(&d, &e) < 0) {
		say(SAY_ERROR, "%s", e.text);
		return e.code;
	}
	if (d.opt.server)
		return monitor_serve(&d, 0, 1, NULL);
	if (inetd || handed >= 0)
		return serve_inetd(&d, handed >= 0 ? handed : 0);
	if (daemon_prove(&d, &e) < 0) {
		say(SAY_ERROR, "%s", e.text);
		return e.code;
	}
	check_mounts(&d);
	return listener_run(&d);
}

static const struct server_logger logger = { .open = log_open_file, .fd = log_fd, .line = log_session, .event = log_session_event };

int main(int argc, char **argv)
{
	proc_title_init(argc, argv);
	if (restricted_asked(argc, argv))
		return restricted_main(argc, argv, &logger);
	if (cmdline_is_daemon(argc, argv))
		return daemon_main(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "--server"))
		return session_main_server(argc, argv, &logger, NULL);
	if (about_answer(argc, argv))
		return RX_OK;
	if (argc > 1)
		fprintf(stderr, "rsync: %s: not supported: this program is a daemon and a server\n", argv[1]);
	else
		fputs("kedge: nothing to do: this program is a daemon and a server (kedge --help)\n", stderr);
	return usage_error("client");
}
