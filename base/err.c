/*
 * err.c - error records and the texts of the exit codes.
 */
#include "config.h"
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/say.h"

const char *exit_text(int code)
{
	switch (code) {
	case RX_USAGE: return "syntax or usage error";
	case RX_PROTOCOL: return "protocol incompatibility";
	case RX_FILESELECT: return "errors selecting input/output files, dirs";
	case RX_UNSUPPORTED: return "requested action not supported";
	case RX_STARTCLIENT: return "error starting client-server protocol";
	case RX_SOCKETIO: return "error in socket IO";
	case RX_FILEIO: return "error in file IO";
	case RX_STREAMIO: return "error in rsync protocol data stream";
	case RX_MESSAGEIO: return "errors with program diagnostics";
	case RX_IPC: return "error in IPC code";
	case RX_CRASHED: return "sibling process crashed";
	case RX_TERMINATED: return "sibling process terminated abnormally";
	case RX_SIGUSR1: return "received SIGUSR1";
	case RX_SIGNAL: return "received SIGINT, SIGTERM, or SIGHUP";
	case RX_WAITCHILD: return "waitpid() failed";
	case RX_MALLOC: return "error allocating core memory buffers";
	case RX_PARTIAL: return "some files/attrs were not transferred (see previous errors)";
	case RX_VANISHED: return "some files vanished before they could be transferred";
	case RX_DEL_LIMIT: return "the --max-delete limit stopped deletions";
	case RX_TIMEOUT: return "timeout in data send/receive";
	default: return "unexplained error";
	}
}

PRINTF(3, 0)
static void vrecord(struct err *e, int code, const char *fmt, va_list ap)
{
	e->code = code;
	vsnprintf(e->text, sizeof e->text, fmt, ap);
}

int fail(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e->code)
		return -1;
	va_start(ap, fmt);
	vrecord(e, code, fmt, ap);
	va_end(ap);
	return -1;
}

int fail_errno(struct err *e, int code, int errnum, const char *fmt, ...)
{
	va_list ap;
	char what[768];

	if (e->code)
		return -1;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return fail(e, code, "rsync: [%s] %s: %s (%d)", say_role(), what, strerror(errnum), errnum);
}
