/*
 * wire.c - buffered reader and writer, scalar encodings, index encoding.
 */
#include "config.h"
#include "protocol/wire.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void rd_init_mem(struct rd *r, const void *data, size_t len, struct err *err)
{
	*r = (struct rd){ .p = data, .end = (const uint8_t *)data + len, .err = err };
}

int rd_fail(struct rd *r, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->failed = true;
	r->p = r->end;
	return fail(r->err, code, "%s", text);
}

int rd_more(struct rd *r)
{
	if (r->p < r->end)
		return 0;
	if (r->failed)
		return -1;
	if (!r->fill)
		return rd_fail(r, RX_STREAMIO, "unexpected end of data");
	if (r->fill(r) < 0) {
		r->failed = true;
		r->p = r->end;
		return -1;
	}
	r->filled += rd_avail(r);
	return 0;
}

void rd_bytes(struct rd *r, void *dst, size_t n)
{
	uint8_t *d = dst;

	while (n) {
		size_t k;

		if (rd_more(r) < 0) {
			memset(d, 0, n);
			return;
		}
		k = MIN(n, rd_avail(r));
		memcpy(d, r->p, k);
		r->p += k;
		d += k;
		n -= k;
	}
}

size_t rd_slice(struct rd *r, const uint8_t **slice, size_t max)
{
	size_t n;

	if (!max || rd_more(r) < 0)
		return 0;
	n = MIN(max, rd_avail(r));
	*slice = r->p;
	r->p += n;
	return n;
}

void rd_skip(struct rd *r, uint64_t n)
{
	while (n) {
		size_t k;

		if (rd_more(r) < 0)
			return;
		k = (size_t)MIN(n, (uint64_t)rd_avail(r));
		r->p += k;
		n -= k;
	}
}

uint8_t rd_u8_slow(struct rd *r)
{
	return rd_more(r) < 0 ? 0 : *r->p++;
}

uint16_t rd_le16(struct rd *r)
{
	uint8_t b[2];

	rd_bytes(r, b, 2);
	return get_le16(b);
}

uint32_t rd_le32_slow(struct rd *r)
{
	uint8_t b[4];

	rd_bytes(r, b, 4);
	return get_le32(b);
}

int64_t rd_longint(struct rd *r)
{
	uint8_t b[8];
	int32_t v = rd_int(r);

	if (v != -1)
		return v;
	rd_bytes(r, b, 8);
	return (int64_t)get_le64(b);
}

/* How many bytes follow a lead byte beyond the minimum: its run of leading ones. */
static unsigned extra_bytes(uint8_t lead)
{
	if (lead >= 0xfc)
		return 6;
	return lead < 0x80 ? 0 : (unsigned)__builtin_clz((uint32_t)(uint8_t)~lead) - 24;
}

int32_t rd_varint(struct rd *r)
{
	uint8_t b[8] = { 0 }, lead = rd_u8(r);
	unsigned extra = extra_bytes(lead);

	if (!extra)
		return lead;
	if (extra > 4) {
		rd_fail(r, RX_STREAMIO, "Overflow in read_varint()");
		return 0;
	}
	rd_bytes(r, b, extra);
	if (extra < 4)
		b[extra] = (uint8_t)(lead & ((1u << (8 - extra)) - 1));
	return (int32_t)get_le32(b);
}

int64_t rd_varlong(struct rd *r, unsigned min_bytes)
{
	uint8_t b[16] = { 0 }, head[8];
	unsigned extra;

	rd_bytes(r, head, min_bytes);
	extra = extra_bytes(head[0]);
	if (min_bytes + extra > 9) {
		rd_fail(r, RX_STREAMIO, "Overflow in read_varlong()");
		return 0;
	}
	memcpy(b, head + 1, min_bytes - 1);
	rd_bytes(r, b + min_bytes - 1, extra);
	b[min_bytes - 1 + extra] = (uint8_t)(extra ? head[0] & ((1u << (8 - extra)) - 1) : head[0]);
	return (int64_t)get_le64(b);
}

size_t rd_vstring(struct rd *r, char *dst, size_t size)
{
	size_t len = rd_u8(r);

	if (len & 0x80)
		len = (len & 0x7f) << 8 | rd_u8(r);
	if (len >= size) {
		rd_fail(r, RX_PROTOCOL, "over-long vstring received (%zu > %zu)", len, size - 1);
		len = 0;
	}
	rd_bytes(r, dst, len);
	if (r->failed)
		len = 0;
	dst[len] = '\0';
	return len;
}

int wr_fail(struct wr *w, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	w->failed = true;
	w->end = w->p;
	return fail(w->err, code, "%s", text);
}

uint8_t *wr_room(struct wr *w, size_t n)
{
	if (LIKELY((size_t)(w->end - w->p) >= n))
		return w->p;
	if (w->failed)
		return NULL;
	if (!w->drain || w->drain(w, n) < 0) {
		w->failed = true;
		w->end = w->p;
		return NULL;
	}
	return w->p;
}

void wr_bytes(struct wr *w, const void *src, size_t n)
{
	const uint8_t *s = src;

	if (w->big && n >= WR_ROOM) {
		if (!w->failed && w->big(w, s, n) < 0) {
			w->failed = true;
			w->end = w->p;
		}
		return;
	}
	while (n) {
		size_t k = MIN(n, (size_t)WR_ROOM);
		uint8_t *d = wr_room(w, k);

		if (!d)
			return;
		memcpy(d, s, k);
		w->p += k;
		s += k;
		n -= k;
	}
}

void wr_le16(struct wr *w, uint16_t v)
{
	uint8_t *d = wr_room(w, 2);

	if (d) {
		put_le16(d, v);
		w->p += 2;
	}
}

void wr_longint(struct wr *w, int64_t v)
{
	uint8_t b[8];

	if (v >= 0 && v <= INT32_MAX) {
		wr_int(w, (int32_t)v);
		return;
	}
	wr_int(w, -1);
	put_le64(b, (uint64_t)v);
	wr_bytes(w, b, 8);
}

/* Number of significant little-endian bytes of x, at least min. */
static unsigned significant(uint64_t x, unsigned min)
{
	unsigned n = x ? (71 - (unsigned)__builtin_clzll(x)) / 8 : 1;

	return MAX(n, min);
}

void wr_varint(struct wr *w, int32_t v)
{
	wr_varlong(w, (int64_t)(uint32_t)v, 1);
}

void wr_varlong(struct wr *w, int64_t v, unsigned min_bytes)
{
	uint64_t x = (uint64_t)v;
	unsigned n = significant(x, min_bytes), k = n - min_bytes;
	uint8_t b[8], *d = wr_room(w, 9);

	if (!d)
		return;
	put_le64(b, x);
	if (b[n - 1] < 1u << (7 - k)) {
		*d++ = (uint8_t)(b[n - 1] | (uint8_t)(0xff << (8 - k)));
		memcpy(d, b, n - 1);
		w->p += n;
	} else {
		*d++ = (uint8_t)(0xff << (7 - k));
		memcpy(d, b, n);
		w->p += n + 1;
	}
}

void wr_vstring(struct wr *w, const char *s, size_t len)
{
	if (len > 0x7f)
		wr_u8(w, (uint8_t)(0x80 | len >> 8));
	wr_u8(w, (uint8_t)len);
	wr_bytes(w, s, len);
}

static int mem_drain(struct wr *w, size_t need)
{
	struct wr_mem *m = w->ctx;
	size_t len = wr_mem_len(m), cap = m->cap;
	uint8_t *p = mem_grow(m->budget, m->base, &cap, len + need, 1);

	if (!p)
		return wr_fail(w, RX_MALLOC, "out of memory in a record of %zu bytes", len + need);
	m->base = p;
	m->cap = cap;
	w->p = p + len;
	w->end = p + cap;
	return 0;
}

void wr_mem_init(struct wr_mem *m, struct budget *budget, struct err *err)
{
	*m = (struct wr_mem){ .w = { .drain = mem_drain, .err = err }, .budget = budget };
	m->w.ctx = m;
}

void wr_mem_free(struct wr_mem *m)
{
	mem_free(m->budget, m->base);
	m->base = NULL;
	m->w.p = m->w.end = NULL;
	m->cap = 0;
}

int32_t rd_ndx(struct rd *r, struct ndx_state *s, int proto)
{
	uint32_t *state = &s->pos, n;
	uint8_t b;

	if (proto < 30)
		return rd_int(r);
	b = rd_u8(r);
	if (!b)
		return NDX_DONE;
	if (b == 0xff) {
		state = &s->neg;
		b = rd_u8(r);
	}
	if (b == 0xfe) {
		uint8_t x = rd_u8(r), y = rd_u8(r);

		if (x & 0x80) {
			uint8_t z = rd_u8(r), v = rd_u8(r);
			n = (uint32_t)(x & 0x7f) << 24 | (uint32_t)v << 16 | (uint32_t)z << 8 | y;
		} else {
			n = *state + ((uint32_t)x << 8 | y);
		}
	} else {
		n = *state + b;
	}
	if (r->failed)
		return NDX_DONE;
	if (n > INT32_MAX) {
		rd_fail(r, RX_PROTOCOL, "Invalid file index: %u", n);
		return NDX_DONE;
	}
	*state = n;
	return state == &s->pos ? (int32_t)n : -(int32_t)n;
}

void wr_ndx(struct wr *w, struct ndx_state *s, int proto, int32_t ndx)
{
	uint32_t *state = &s->pos, n = (uint32_t)ndx, d;

	if (proto < 30) {
		wr_int(w, ndx);
		return;
	}
	if (ndx == NDX_DONE) {
		wr_u8(w, 0);
		return;
	}
	if (ndx < 0) {
		wr_u8(w, 0xff);
		state = &s->neg;
		n = (uint32_t)-ndx;
	}
	d = n - *state;
	*state = n;
	if (d >= 1 && d <= 253) {
		wr_u8(w, (uint8_t)d);
	} else if (d <= 32767) {
		wr_u8(w, 0xfe);
		wr_u8(w, (uint8_t)(d >> 8));
		wr_u8(w, (uint8_t)d);
	} else {
		wr_u8(w, 0xfe);
		wr_u8(w, (uint8_t)(n >> 24 | 0x80));
		wr_u8(w, (uint8_t)n);
		wr_u8(w, (uint8_t)(n >> 8));
		wr_u8(w, (uint8_t)(n >> 16));
	}
}
