/*
 * restricted.c - see restricted.h.
 */
#include "config.h"
#include "daemon/restricted.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/text.h"
#include "session/keyrules.h"
#include "session/shellwords.h"

#define COMMAND "SSH_ORIGINAL_COMMAND"

static const char help[] =
	"usage: kedge --restrict [-ro | -wo] [-munge] [-absolute] [-no-del] [-no-overwrite] DIR\n"
	"\n"
	"A forced command for an ssh key: serves the rsync that " COMMAND " asks for,\n"
	"within DIR.\n"
	"\n"
	" -ro            allow only reading from DIR (implies -no-del)\n"
	" -wo            allow only writing to DIR\n"
	" -munge         store symbolic links in a form that cannot be followed\n"
	" -absolute      arguments may begin with DIR as it is on this host\n"
	" -no-del        refuse options that delete, --delete* and --remove*\n"
	" -no-overwrite  leave files alone that exist (--ignore-existing)\n"
	" -no-lock       always so: there is no lock to avoid\n"
	" -help, -h      this text\n";

bool restricted_asked(int argc, char **argv)
{
	return argc > 0 && (!strcmp(path_leaf(argv[0]), "rrsync") || (argc > 1 && !strcmp(argv[1], "--restrict")));
}

static PRINTF(1, 2) int wrong(const char *fmt, ...)
{
	va_list ap;

	fputs("rsync: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nrsync error: %s (code %d) at server [server=%s]\n", exit_text(RX_USAGE), RX_USAGE, PACKAGE_VERSION);
	return RX_USAGE;
}

/* The administrator's part, in authorized_keys. 0, or the exit code; *help_asked. */
static int parse(struct keyrules *key, int argc, char **argv, bool *help_asked)
{
	bool no_lock = false;
	const struct { const char *name; bool *flag; } options[] = {
		{ "-ro", &key->read_only }, { "-wo", &key->write_only }, { "-munge", &key->munge }, { "-absolute", &key->absolute },
		{ "-no-del", &key->no_delete }, { "-no-lock", &no_lock }, { "-no-overwrite", &key->no_overwrite },
		{ "-help", help_asked }, { "-h", help_asked },
	};

	for (int i = argc > 1 && !strcmp(argv[1], "--restrict") ? 2 : 1; i < argc; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(options) && strcmp(options[k].name, argv[i]) != 0)
			k++;
		if (k < ARRAY_SIZE(options))
			*options[k].flag = true;
		else if (argv[i][0] == '-' || key->dir)
			return wrong("unrecognized arguments: %s", argv[i]);
		else
			key->dir = argv[i];
	}
	if (*help_asked)
		return 0;
	if (key->read_only && key->write_only)
		return wrong("argument -wo: not allowed with argument -ro");
	if (!key->dir || !*key->dir)
		return wrong("the following arguments are required: DIR");
	key->no_delete |= key->read_only;
	return 0;
}

/* The client's part. The words outlive the environment that the line is in. */
static int read_command(struct shellwords *w)
{
	const char *line = getenv(COMMAND), *mistake;

	if (!line || !*line)
		return wrong("Not invoked via sshd");
	mistake = shellwords_split(w, line, NULL);
	if (mistake)
		return wrong("%s: %s", COMMAND, mistake);
	if (!w->text.n || (strcmp(w->text.v[0], "rsync") != 0 && strcmp(w->text.v[0], PACKAGE) != 0))
		return wrong("%s does not run rsync", COMMAND);
	if (w->text.n < 2 || strcmp(w->text.v[1], "--server") != 0)
		return wrong("--server option is not the first arg");
	return 0;
}

int restricted_main(int argc, char **argv, const struct server_logger *logger)
{
	struct shellwords w = { 0 };
	struct keyrules key = { 0 };
	bool help_asked = false;
	int code = parse(&key, argc, argv, &help_asked);

	if (help_asked && !code)
		return fputs(help, stdout) < 0 ? RX_FILEIO : RX_OK;
	if (!code)
		code = read_command(&w);
	if (!code) {
		clearenv();
		key.patterns = w.pattern;
		key.npatterns = w.text.n;
		code = session_main_server(w.text.n, (char **)(uintptr_t)w.text.v, logger, &key);
	}
	shellwords_free(&w);
	return code;
}
