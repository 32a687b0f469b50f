/* cmdline.c - daemon options, by libpopt without alias files. */
#include "config.h"

#include <popt.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/cmdline.h"
#include "daemon/handshake.h"

enum { OPT_DPARAM = 1000, OPT_HELP, OPT_VERBOSE, OPT_NO_VERBOSE, OPT_DAEMON, OPT_TEXT };
/* Of options with a text the last one counts. */
enum { TEXT_CONFIG, TEXT_ADDRESS, TEXT_LOG_FILE, TEXT_LOG_FORMAT, TEXT_SOCKOPTS, TEXT_TEMP_DIR, TEXTS };

bool cmdline_is_daemon(int argc, char **argv)
{
	static const char *const words[] = { "--daemon", "--detach", "--no-detach", "--dparam", "--config", "--check-config", "--dump-config" };

	for (int i = 1; i < argc; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(words); k++) {
			size_t n = strlen(words[k]);

			if (!strncmp(argv[i], words[k], n) && (!argv[i][n] || argv[i][n] == '='))
				return true;
		}
		if (!strcmp(argv[i], "--") || !strcmp(argv[i], "."))
			break;
	}
	return false;
}

static void print_help(void)
{
	static const char text[] =
		"kedge  version " PACKAGE_VERSION "\n"
		"\n"
		"Usage: kedge --daemon [OPTION]...\n"
		"     --daemon                serve modules to rsync clients\n"
		"     --config=FILE           read FILE instead of /etc/rsyncd.conf\n"
		" -M, --dparam=NAME=VALUE     override a parameter of the global section\n"
		"     --check-config          say what the configuration means and which sandbox layers hold, and exit\n"
		"     --dump-config           print every parameter as it is understood, and exit\n"
		"     --address=ADDRESS       listen on this address\n"
		"     --port=PORT             listen on this port (default 873)\n"
		" -4, --ipv4                  listen on IPv4 only\n"
		" -6, --ipv6                  listen on IPv6 only\n"
		"     --no-detach             stay in the foreground\n"
		"     --bwlimit=RATE          cap on each session, in KiB per second\n"
		"     --log-file=FILE         log to FILE, whatever the configuration says\n"
		"     --log-file-format=FMT   log every transferred item in this format\n"
		"     --sockopts=OPTIONS      socket options instead of the configured ones\n"
		"     --protocol=NUM          announce an older protocol version\n"
		" -T, --temp-dir=DIR          directory of temporary files, unless a module or client names one\n"
		" -v, --verbose               tell more about start-up\n"
		" -h, --help                  this text\n";

	fputs(text, stdout);
}

static const char type_help[] = "(Type \"kedge --daemon --help\" for assistance with daemon mode.)\n";

/* arg is kept, or freed. */
static int add_dparam(struct daemon_opts *o, char *arg)
{
	struct err e = { 0 };
	size_t n = 0;
	const char **v;

	if (conf_check_dparam(arg, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		if (!strchr(arg, '='))
			fputs(type_help, stderr);
		free(arg);
		return -1;
	}
	while (o->dparams && o->dparams[n])
		n++;
	v = realloc(o->dparams, (n + 2) * sizeof *v);
	if (!v) {
		free(arg);
		return -1;
	}
	v[n] = arg;
	v[n + 1] = NULL;
	o->dparams = v;
	return 0;
}

int cmdline_parse(struct daemon_opts *o, int argc, char **argv)
{
	int daemon = 0, server = 0, detach = 1, port = 0, family = 0, bwlimit = 0, protocol = HS_PROTOCOL, check = 0, dump = 0;
	char *text[TEXTS] = { NULL };
	struct poptOption table[] = {
		{ "daemon", 0, POPT_ARG_NONE, &daemon, 0, NULL, NULL },
		{ "config", 0, POPT_ARG_STRING, NULL, OPT_TEXT + TEXT_CONFIG, NULL, NULL },
		{ "dparam", 'M', POPT_ARG_STRING, NULL, OPT_DPARAM, NULL, NULL },
		{ "check-config", 0, POPT_ARG_NONE, &check, 0, NULL, NULL },
		{ "dump-config", 0, POPT_ARG_NONE, &dump, 0, NULL, NULL },
		{ "address", 0, POPT_ARG_STRING, NULL, OPT_TEXT + TEXT_ADDRESS, NULL, NULL },
		{ "port", 0, POPT_ARG_INT, &port, 0, NULL, NULL },
		{ "ipv4", '4', POPT_ARG_VAL, &family, AF_INET, NULL, NULL },
		{ "ipv6", '6', POPT_ARG_VAL, &family, AF_INET6, NULL, NULL },
		{ "detach", 0, POPT_ARG_VAL, &detach, 1, NULL, NULL },
		{ "no-detach", 0, POPT_ARG_VAL, &detach, 0, NULL, NULL },
		{ "bwlimit", 0, POPT_ARG_INT, &bwlimit, 0, NULL, NULL },
		{ "log-file", 0, POPT_ARG_STRING, NULL, OPT_TEXT + TEXT_LOG_FILE, NULL, NULL },
		{ "log-file-format", 0, POPT_ARG_STRING, NULL, OPT_TEXT + TEXT_LOG_FORMAT, NULL, NULL },
		{ "sockopts", 0, POPT_ARG_STRING, NULL, OPT_TEXT + TEXT_SOCKOPTS, NULL, NULL },
		{ "protocol", 0, POPT_ARG_INT, &protocol, 0, NULL, NULL },
		{ "temp-dir", 'T', POPT_ARG_STRING, NULL, OPT_TEXT + TEXT_TEMP_DIR, NULL, NULL },
		{ "verbose", 'v', POPT_ARG_NONE, NULL, OPT_VERBOSE, NULL, NULL },
		{ "no-verbose", 0, POPT_ARG_NONE, NULL, OPT_NO_VERBOSE, NULL, NULL },
		{ "no-v", 0, POPT_ARG_NONE, NULL, OPT_NO_VERBOSE, NULL, NULL },
		{ "server", 0, POPT_ARG_NONE, &server, 0, NULL, NULL },
		{ "help", 'h', POPT_ARG_NONE, NULL, OPT_HELP, NULL, NULL },
		POPT_TABLEEND
	};
	poptContext pc = poptGetContext("kedge", argc, (const char **)argv, table, 0);
	int r = 0, opt;

	while (r == 0 && (opt = poptGetNextOpt(pc)) != -1) {
		if (opt == OPT_HELP) {
			print_help();
			r = 1;
		} else if (opt == OPT_VERBOSE) {
			o->verbose++;
		} else if (opt == OPT_NO_VERBOSE) {
			o->verbose = 0;
		} else if (opt == OPT_DPARAM) {
			r = add_dparam(o, poptGetOptArg(pc));
		} else if (opt >= OPT_TEXT) {
			free(text[opt - OPT_TEXT]);
			text[opt - OPT_TEXT] = poptGetOptArg(pc);
		} else {
			fprintf(stderr, "rsync: %s: %s (in daemon mode)\n", poptBadOption(pc, POPT_BADOPTION_NOALIAS), poptStrerror(opt));
			fputs(type_help, stderr);
			r = -1;
		}
	}
	poptFreeContext(pc);
	if (r == 0 && !daemon) {
		fputs("Daemon option(s) used without --daemon.\n", stderr);
		fputs(type_help, stderr);
		r = -1;
	}
	if (r == 0 && (protocol < HS_PROTOCOL_MIN || protocol > HS_PROTOCOL)) {
		fprintf(stderr, "--protocol must be between %d and %d.\n", HS_PROTOCOL_MIN, HS_PROTOCOL);
		r = -1;
	}
	if (text[TEXT_LOG_FILE] && !*text[TEXT_LOG_FILE]) {
		free(text[TEXT_LOG_FILE]);
		text[TEXT_LOG_FILE] = NULL;
	}
	o->config = text[TEXT_CONFIG];
	o->address = text[TEXT_ADDRESS];
	o->log_file = text[TEXT_LOG_FILE];
	o->log_format = text[TEXT_LOG_FORMAT];
	o->sockopts = text[TEXT_SOCKOPTS];
	o->temp_dir = text[TEXT_TEMP_DIR];
	o->port = port;
	o->family = family ? family : AF_UNSPEC;
	o->protocol = protocol;
	o->bwlimit = bwlimit > 0 ? (unsigned)bwlimit : 0;
	o->no_detach = !detach;
	o->server = server;
	o->check = check;
	o->dump = dump;
	return r;
}
