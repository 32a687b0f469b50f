/*
 * err.h - the error record of an operation, and rsync's exit codes (spec 01 §14.1).
 *
 * A function that can fail returns 0 or a non-negative value on success and -1
 * (or, where its header says so, a negative errno) on failure; a failure that ends
 * the session fills the error record it was given. Only main-level code exits.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/util.h"

enum exit_code {
	RX_OK = 0,
	RX_USAGE = 1,         /* syntax or usage error */
	RX_PROTOCOL = 2,      /* protocol incompatibility */
	RX_FILESELECT = 3,     /* errors selecting input/output files, dirs */
	RX_UNSUPPORTED = 4,    /* requested action not supported */
	RX_STARTCLIENT = 5,    /* error starting client-server protocol */
	RX_SOCKETIO = 10,      /* error in socket IO */
	RX_FILEIO = 11,        /* error in file IO */
	RX_STREAMIO = 12,      /* error in rsync protocol data stream */
	RX_MESSAGEIO = 13,     /* errors with program diagnostics */
	RX_IPC = 14,           /* error in IPC code */
	RX_CRASHED = 15,       /* sibling process crashed */
	RX_TERMINATED = 16,    /* sibling process terminated abnormally */
	RX_SIGUSR1 = 19,       /* received SIGUSR1 */
	RX_SIGNAL = 20,        /* received SIGINT, SIGTERM, or SIGHUP */
	RX_WAITCHILD = 21,     /* waitpid() failed */
	RX_MALLOC = 22,        /* error allocating core memory buffers */
	RX_PARTIAL = 23,       /* some files/attrs were not transferred */
	RX_VANISHED = 24,      /* some files vanished before they could be transferred */
	RX_DEL_LIMIT = 25,     /* the --max-delete limit stopped deletions */
	RX_TIMEOUT = 30,       /* timeout in data send/receive */
};

/* The text of the "rsync error: TEXT (code N)" line; "unexplained error" for others. */
const char *exit_text(int code);

struct err {
	int code;              /* exit code; 0 while nothing failed */
	bool quiet;            /* the reason was told already (or came from the peer): print no text */
	char text[1024];       /* one line without newline; may be empty */
};

/* Records the first failure (later ones are ignored) and returns -1. e must not be NULL. */
int fail(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* As fail(), with "rsync: [ROLE] TEXT: STRERROR (ERRNO)" as text. */
int fail_errno(struct err *e, int code, int errnum, const char *fmt, ...) PRINTF(4, 5);

#endif
