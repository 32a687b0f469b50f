/*
 * session.h - one transfer from the arguments to the goodbye, on a server.
 *
 * Two ways in: session_run_daemon() in a worker that the daemon has confined, after
 * "@RSYNCD: OK" was sent; session_main_server() for `kedge --server …` behind a remote
 * shell. Both return the process's exit code.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/say.h"
#include "base/event.h"
#include "transfer/xfer.h"

/* What one session may use up, in bytes (spec 09 §11.4). */
struct session_quota {
	size_t memory;                 /* everything that the peer can make grow */
	size_t args;                   /* words of the argument list */
	size_t xattr;                  /* value of one extended attribute */
	size_t block_table;            /* table of a peer's block sums */
};

/* Effective values of the module, copied from the configuration (spec 06 §3). */
struct session_policy {
	const char *module;
	bool read_only, write_only;
	int timeout;                   /* seconds; <= 0: not set */
	bool sanitize;                 /* spec 06 §12.1: "sanitise arguments" */
	bool munge_symlinks;
	bool insecure_links;           /* symlinks are followed wherever they lead */
	bool ids_are_numeric;          /* `numeric ids` in effect (§3.6) */
	bool fake_super, ignore_errors, ignore_nonreadable;
	int open_noatime;              /* -1 unset, 0, 1 */
	bool dont_compress_all;        /* `dont compress = *` */
	int max_verbosity;
	unsigned bwlimit;              /* KiB/s cap of the daemon's command line; 0 = none */
	struct session_quota quota;
	const char *refuse_options;    /* never NULL */
	const char *incoming_chmod, *outgoing_chmod, *temp_dir;   /* NULL or "": none */
	struct filter_list *filter;    /* NULL without rules */
	bool super_allowed;            /* the worker's identity is the super-user */
	bool device_make, device_open; /* the broker makes nodes; opens them for --copy-devices and --write-devices */
	const char *log_format;        /* of items; NULL: none are logged; "": deletions only */
	bool log_json;
	const char *module_path;       /* RSYNC_MODULE_PATH */
};

#define PRE_XFER_TEXT 5400              /* message of a refusal: at most 5119 bytes of output and a line of ours */

/* What the client asks for. */
struct session_request {
	bool sending;
	unsigned device_ops;           /* BROKER_MAY_*: what is wanted of the broker */
	const char *text;              /* RSYNC_REQUEST */
	const char *const *args;       /* RSYNC_ARG0…: "rsyncd", the options, ".", the paths after cleaning and globbing */
	size_t nargs;
};

struct session_start {
	int in_fd, out_fd;
	int proto;                     /* agreed by the greetings */
	const void *unread;            /* bytes that were read ahead by the gate; may be NULL */
	size_t unread_len;
	int handshake_seconds;         /* deadline of argument phase and set-up; 0 = none (remote-shell daemon) */
	struct session_policy policy;
	const char *user;              /* "" if anonymous */
	const char *host, *addr;       /* for log lines */
	struct anchor *root;           /* module root */
	const struct id_service *ids;
	struct broker *broker;  /* NULL: no devices */
	struct charset *charset;       /* of the module's names (`charset`); NULL: --iconv is refused */
	/* Lines and events for the daemon's log, from any thread; NULL for none. */
	void (*log)(void *ctx, enum say_kind kind, const char *text);
	event_sink *event;
	void *log_ctx;
	/* Tells the monitor the direction and the arguments once they are known; may be NULL. 0: go on. 1: the module's
	   pre-xfer exec refuses, and message (PRE_XFER_TEXT bytes) says what the client is told. -1: stop. */
	int (*on_request)(void *ctx, const struct session_request *rq, char *message);
	void *on_request_ctx;
};

int session_run_daemon(const struct session_start *st);

/* The log that --log-file asks for. open: 0 or a negative errno; line and event as in session_start. */
struct server_logger {
	int (*open)(const char *path);
	int (*fd)(void);               /* of the open file, to be kept; -1: none */
	void (*line)(void *ctx, enum say_kind kind, const char *text);
	event_sink *event;
};

/* key: the rules of a restricted key (keyrules.h); NULL: the command line is the invoking user's own. */
struct keyrules;
int session_main_server(int argc, char **argv, const struct server_logger *logger, const struct keyrules *key);

#endif
