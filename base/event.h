/*
 * event.h - something worth a line in the log, in words and as fields, so that one call serves a log for people
 * and a log for programs (JSON).
 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include "base/buf.h"

enum event_kind {
	EVENT_TEXT,             /* text of ours or of a peer */
	EVENT_NAME,             /* a file name: any bytes */
	EVENT_INT,
};

struct event_field {
	const char *key;        /* a literal */
	enum event_kind kind;
	const char *text;       /* NULL: the field is left out */
	int64_t num;
};

#define EVENT_FIELD_TEXT(k, t) { .key = (k), .kind = EVENT_TEXT, .text = (t) }
#define EVENT_FIELD_NAME(k, t) { .key = (k), .kind = EVENT_NAME, .text = (t) }
#define EVENT_FIELD_INT(k, n) { .key = (k), .kind = EVENT_INT, .num = (n) }

/* Takes an event: its name, its fields, and the same in words (NULL or "": worth no line in words). Thread-safe. */
typedef void event_sink(void *ctx, const char *event, const struct event_field *f, size_t n, const char *text);

/* Appends text as a JSON string in printable ASCII, so that nothing on the way has to know about encodings, and without
   a backslash that a log's own escapes could be taken for. Bytes that are no UTF-8 become U+FFFD: false if there were any. */
bool json_string(struct buf *b, const char *text, size_t len);

/* Appends ,"key":value for each field. A name that is no UTF-8 gets a second field, key_hex, with its exact bytes. */
void json_fields(struct buf *b, const struct event_field *f, size_t n);

/* Names at most this long are always kept; longer ones are cut by json_event() where the object must be short. */
#define EVENT_NAME_KEPT 100

/* Appends a whole object: time (UTC), pid, event, the fields. If it would be longer than max bytes, names are cut and
   "cut":true says so. */
void json_event(struct buf *b, const char *event, const struct event_field *f, size_t n, size_t max);

#endif
