/*
 * xattr_wire.h - extended attributes in the file list and in items (spec 02 §16): the
 * table of lists of a connection, the abbreviation of lists by number and of long values
 * by digest, and the exchange of the values that are wanted.
 *
 * An entry holds the index of its list (fext.xattr); an empty list is index -1 in an
 * entry. Which attributes are sent, kept or renamed is the caller's affair.
 *
 * A receiver may have two threads: the one that reads lists and replies owns the table; the
 * one that was handed complete lists writes requests. An attribute that is XA_ABBREV belongs
 * to the latter, one that is XA_WANTED to the former; state is stored last, with release order.
 */
#ifndef PROTOCOL_XATTR_WIRE_H
#define PROTOCOL_XATTR_WIRE_H

#include "protocol/flist.h"
#include "protocol/item.h"

#define XATTR_FULL_MAX       32         /* longer values travel as digests in the list */
#define XATTR_DIGEST_LEN     16         /* plain MD5 */
#define XATTR_WIRE_COUNT_MAX 65536
#define XATTR_WIRE_NAME_MAX  4096       /* with the NUL */
#define XATTR_WIRE_VALUE_MAX ((size_t)128 << 20)
#define XATTR_WIRE_LIST_MAX ((size_t)512 << 20)

enum xattr_state {
	XA_FULL,                       /* value is there */
	XA_ABBREV,                     /* only the digest is known; len is that of the real value */
	XA_WANTED,                     /* asked for; if it still is when it is needed, it did not come */
	XA_GONE,                       /* the sender could not read it again (it sent an empty value): do not store */
};

struct xattr {
	const char *name;              /* wire name, NUL-terminated */
	uint32_t name_len;             /* without the NUL */
	uint32_t num;                  /* 1 … count, wire order */
	size_t len;                    /* of the value */
	_Atomic uint8_t state;         /* enum xattr_state */
	bool drop;                     /* receiver: for its owner, e.g. filtered out */
	uint8_t digest[XATTR_DIGEST_LEN];   /* where the value was abbreviated in the list */
	const uint8_t *value;          /* XA_FULL: len bytes */
	void *user;                    /* receiver: for its owner, e.g. the name to store it under */
};

struct xattr_list {
	uint32_t count;
	struct xattr *v;
};

/* Limits of spec 02 §16.4 and 09 §11.1 row 27, for what is received; 0 in a field means the stock limit (65 536,
   4 096, 128 MiB, 512 MiB), and no field can be larger. */
struct xattr_limits {
	uint32_t count, name;          /* name: including the NUL */
	size_t value, list;
};

struct xattr_table;

struct xattr_table *xattr_table_new(struct budget *budget, const struct xattr_limits *limits);
void xattr_table_free(struct xattr_table *t);

/* The list of an index of an entry, NULL for -1. Valid as long as the table. */
struct xattr_list *xattr_get(const struct xattr_table *t, int32_t index);

/* ---- in the file list ---- */

/* Receiving: sets x->xattr. The name of e is for messages. */
void xattr_read(struct xattr_table *t, struct rd *r, const struct fent *e, struct fext *x);

/* Sending: finds or makes the index of a list. name, name_len, len of each, and value, or digest where len is more than
   XATTR_FULL_MAX, are used, in the order in which they are sent; all is copied. -1 when over budget. */
int32_t xattr_add(struct xattr_table *t, const struct xattr *v, uint32_t count);
size_t xattr_write(struct xattr_table *t, struct wr *w, const struct fent *e);

/* ---- in items: see item_has_xattrs ---- */

/* True if an item has an xattr block: flags of the item, -X, dry run, and CF_AVOID_XATTR_OPTIM (spec 02 §16.5). */
bool item_has_xattrs(const struct item *it, int proto, bool xattrs, bool dry_run, bool avoid_optim);

/* Receiver: writes the request for what is XA_ABBREV and not drop in the entry's list, for which want (may be NULL:
   all) says true, and marks it XA_WANTED; want may instead give it a local value by xattr_set (allocated with
   xattr_room). index -1: an empty request. */
void xattr_write_request(struct xattr_table *t, struct wr *w, int32_t index,
			 bool (*want)(void *ctx, struct xattr *a), void *ctx);

/* Receiver: reads the reply of the sender and makes the values XA_FULL. */
void xattr_read_reply(struct xattr_table *t, struct rd *r, int32_t index, const char *name);

/* Sender: reads a request and marks what is wanted in the list (XA_WANTED); at most once per item. */
void xattr_read_request(struct xattr_table *t, struct rd *r, int32_t index, const char *name);

/* Sender: writes the reply for what is XA_WANTED and makes it XA_ABBREV again. load reads the value afresh:
   0, or -1 after saying so, and then an empty value is sent; *value must stay valid until the next call.
   *len is at most XATTR_WIRE_VALUE_MAX. */
void xattr_write_reply(struct xattr_table *t, struct wr *w, int32_t index,
		       int (*load)(void *ctx, const struct xattr *a, const uint8_t **value, size_t *len), void *ctx);

/* Gives an attribute its value and makes it XA_FULL. */
void xattr_set(struct xattr *a, const uint8_t *value, size_t len);

/* Memory for a value that lives as long as the table; NULL over budget. Any thread may call it. */
uint8_t *xattr_room(struct xattr_table *t, size_t len);

#endif
