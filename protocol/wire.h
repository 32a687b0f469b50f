/*
 * wire.h - the buffered reader and writer that every codec uses, and the scalar
 * encodings of spec 01 §1.
 *
 * A reader hands out bytes from a buffer and asks its source for more when it is
 * empty; a reader over memory has no source and fails at the end. Failure is sticky:
 * after it every read gives zeros, `failed` is set and the error record says why, so
 * a decoder reads straight on and tests once per record. A number that was read after
 * a failure is 0; loops over a count must test `failed`.
 *
 * A writer collects bytes in a buffer and hands it to its drain when it is full.
 * Failure is sticky as well. Neither is shared by threads.
 */
#ifndef PROTOCOL_WIRE_H
#define PROTOCOL_WIRE_H

#include "base/err.h"
#include "base/util.h"

struct rd {
	const uint8_t *p, *end;             /* unread bytes at hand */
	int (*fill)(struct rd *r);          /* called when p == end: makes p < end and returns 0, or fails; NULL: no more */
	void *ctx;
	struct err *err;                    /* first failure; never NULL */
	uint64_t filled;                    /* bytes that fill has made available so far */
	bool failed;
};

/* A reader over len bytes of memory; reading past them fails with RX_STREAMIO. */
void rd_init_mem(struct rd *r, const void *data, size_t len, struct err *err);

/* Marks the reader failed with an error (the first one is kept); returns -1. */
int rd_fail(struct rd *r, int code, const char *fmt, ...) PRINTF(3, 4);

/* Makes at least one byte available; -1 (and failed) if there is none. */
int rd_more(struct rd *r);

/* Bytes at hand without asking the source; 0 is possible. */
static inline size_t rd_avail(const struct rd *r) { return (size_t)(r->end - r->p); }

/* For measuring: the difference of two positions is the number of bytes consumed between them. */
static inline uint64_t rd_pos(const struct rd *r) { return r->filled - rd_avail(r); }

/* Copies n bytes; zero-fills dst after a failure. */
void rd_bytes(struct rd *r, void *dst, size_t n);

/* Zero-copy: a slice of 1..max bytes that stays valid until the next call on r.
   Returns its length, 0 on failure. Frame borders limit it; call again for the rest. */
size_t rd_slice(struct rd *r, const uint8_t **slice, size_t max);

/* Discards n bytes. */
void rd_skip(struct rd *r, uint64_t n);

uint8_t rd_u8_slow(struct rd *r);

static inline uint8_t rd_u8(struct rd *r)
{
	return LIKELY(r->p < r->end) ? *r->p++ : rd_u8_slow(r);
}

uint16_t rd_le16(struct rd *r);
uint32_t rd_le32_slow(struct rd *r);

static inline uint32_t rd_le32(struct rd *r)
{
	if (LIKELY(rd_avail(r) >= 4)) {
		r->p += 4;
		return get_le32(r->p - 4);
	}
	return rd_le32_slow(r);
}

static inline int32_t rd_int(struct rd *r) { return (int32_t)rd_le32(r); }

int64_t rd_longint(struct rd *r);                       /* §1.2 */
int32_t rd_varint(struct rd *r);                        /* §1.3; over-long: RX_STREAMIO */
int64_t rd_varlong(struct rd *r, unsigned min_bytes);   /* §1.4 */

/* §1.5: the form that the protocol version uses. */
static inline int32_t rd_varint30(struct rd *r, int proto) { return proto >= 30 ? rd_varint(r) : rd_int(r); }
static inline int64_t rd_varlong30(struct rd *r, int proto, unsigned min_bytes)
{
	return proto >= 30 ? rd_varlong(r, min_bytes) : rd_longint(r);
}

/* §1.6: reads a vstring into dst (size bytes with the NUL) and returns its length; a longer
   one fails with RX_PROTOCOL "over-long vstring received (L > N)". */
size_t rd_vstring(struct rd *r, char *dst, size_t size);

struct wr {
	uint8_t *p, *end;                   /* free space */
	/* Makes at least need bytes free (need <= WR_ROOM) by sending or growing; fails otherwise. */
	int (*drain)(struct wr *w, size_t need);
	/* Sends or stores a large block in order, without copying where it can; NULL: wr_bytes copies. */
	int (*big)(struct wr *w, const void *data, size_t len);
	void *ctx;
	struct err *err;                    /* never NULL */
	bool failed;
};

/* The most that one wr_room() may ask for. */
#define WR_ROOM 32768

/* Marks the writer failed; returns -1. */
int wr_fail(struct wr *w, int code, const char *fmt, ...) PRINTF(3, 4);

/* Pointer to n <= WR_ROOM bytes of space to fill in place, NULL on failure; then wr_commit(w, used <= n). */
uint8_t *wr_room(struct wr *w, size_t n);
static inline void wr_commit(struct wr *w, size_t used) { w->p += used; }

void wr_bytes(struct wr *w, const void *src, size_t n);

static inline void wr_u8(struct wr *w, uint8_t v)
{
	if (UNLIKELY(w->p == w->end) && !wr_room(w, 1))
		return;
	*w->p++ = v;
}

void wr_le16(struct wr *w, uint16_t v);

static inline void wr_le32(struct wr *w, uint32_t v)
{
	if (UNLIKELY(w->end - w->p < 4) && !wr_room(w, 4))
		return;
	put_le32(w->p, v);
	w->p += 4;
}

static inline void wr_int(struct wr *w, int32_t v) { wr_le32(w, (uint32_t)v); }
void wr_longint(struct wr *w, int64_t v);
void wr_varint(struct wr *w, int32_t v);

/* Bytes that wr_varint writes. */
static inline size_t wr_varint_len(int32_t v)
{
	uint32_t x = (uint32_t)v;

	return x < 0x80 ? 1 : x < 0x4000 ? 2 : x < 0x200000 ? 3 : x < 0x10000000 ? 4 : 5;
}

void wr_varlong(struct wr *w, int64_t v, unsigned min_bytes);

static inline void wr_varint30(struct wr *w, int proto, int32_t v)
{
	if (proto >= 30)
		wr_varint(w, v);
	else
		wr_int(w, v);
}

static inline void wr_varlong30(struct wr *w, int proto, int64_t v, unsigned min_bytes)
{
	if (proto >= 30)
		wr_varlong(w, v, min_bytes);
	else
		wr_longint(w, v);
}

/* len <= 32767. */
void wr_vstring(struct wr *w, const char *s, size_t len);

/* A writer into growing memory, for tests and for records that are sent later. */
struct wr_mem {
	struct wr w;
	uint8_t *base;
	size_t cap;
	struct budget *budget;
};

void wr_mem_init(struct wr_mem *m, struct budget *budget, struct err *err);
void wr_mem_free(struct wr_mem *m);
static inline size_t wr_mem_len(const struct wr_mem *m) { return m->base ? (size_t)(m->w.p - m->base) : 0; }
static inline void wr_mem_clear(struct wr_mem *m) { if (m->base) m->w.p = m->base; }

/* ---- file index encoding, spec 03 §3 ---- */

enum {
	NDX_DONE = -1,
	NDX_FLIST_EOF = -2,
	NDX_DEL_STATS = -3,
	NDX_FLIST_OFFSET = -101,            /* sub-list of directory d: NDX_FLIST_OFFSET - d */
};

/* State of one direction; lives as long as the connection. */
struct ndx_state { uint32_t pos, neg; };
#define NDX_STATE_INIT { UINT32_MAX, 1 }

int32_t rd_ndx(struct rd *r, struct ndx_state *s, int proto);
void wr_ndx(struct wr *w, struct ndx_state *s, int proto, int32_t ndx);

#endif
