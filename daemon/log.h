/*
 * log.h - the daemon's log: a file or syslog (spec 06 §14).
 *
 * A process has one current destination. For a file it is a descriptor that confined processes inherit; every
 * record is one write(2) of at most 4 KiB. Confined processes cannot reach syslog: they get a relay that
 * hands their lines to the monitor.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "base/event.h"
#include "base/say.h"
#include "base/util.h"

#define LOG_RECORD_MAX 4096     /* bytes of a record, all included */
#define LOG_MESSAGE_MAX 2047    /* bytes of a message before escaping */
#define LOG_OBJECT_MAX 65536    /* bytes of a JSON object; as short as a message where it goes to syslog */
#define LOG_SESSION_MAX (64u << 20) /* bytes one process may write (spec 09 §11.1 row 41) */

struct log_dest {
	int fd;                         /* -1: syslog */
	char tag[256];
	int facility;
	bool json;
	void (*relay)(void *ctx, enum say_kind kind, const char *text); /* instead of both, when not NULL */
	void *relay_ctx;
};

/* Makes syslog the destination, with standard error as a second one when verbose is set (start-up, remote shell). */
void log_init(bool to_stderr);

/* Opens the file (append; mode 0644 under umask | 022) or falls back to syslog, saying so. path "": syslog.
   Keeps the old destination's descriptor open for the caller to close: returns it, or -1. */
int log_open(const char *path, const char *tag, int facility);
/* For --log-file of a remote-shell server: the same without syslog. 0, or a negative errno. */
int log_open_file(const char *path);
/* `log form`: one JSON object a line instead of text. */
void log_set_form(const char *form);
void log_set_relay(void (*relay)(void *ctx, enum say_kind kind, const char *text), void *ctx);
void log_to_stderr(bool on);
int log_fd(void);
/* What a line sent straight to the syslog socket begins with: "<PRI>TAG[PID]: ". */
void log_prefix(char *out, size_t size);

/* One line. kind decides the syslog severity. */
void log_line(enum say_kind kind, const char *text);
void log_printf(const char *fmt, ...) PRINTF(1, 2);
/* An event: its text, where the log is for people (NULL or "": nothing there), its fields where it is for programs. */
void log_event(const char *event, const struct event_field *f, size_t n, const char *text);
#define LOG_EVENT(event, text, ...) log_event(event, (const struct event_field[]){ __VA_ARGS__ }, \
	sizeof((const struct event_field[]){ __VA_ARGS__ }) / sizeof(struct event_field), text)
/* A line that another process of ours has formatted, for syslog. */
void log_relayed(enum say_kind kind, const char *text);
/* "rsync: [ROLE] …" and "rsync error: TEXT (code N) at …" of a process's end. */
void log_exit(int code, const char *role);

/* For say_set_sink(): everything said goes to the log. */
void log_sink(void *ctx, enum say_kind kind, const char *text, size_t len);
/* For session_start.log and session_start.event. */
void log_session(void *ctx, enum say_kind kind, const char *text);
void log_session_event(void *ctx, const char *event, const struct event_field *f, size_t n, const char *text);

/* Appends a record of the log file to out, which is empty: at most LOG_RECORD_MAX bytes, LF included. */
void log_format_record(struct buf *out, time_t now, pid_t pid, const char *text, size_t len);

#endif
