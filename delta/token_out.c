/*
 * token_out.c - token stream writers. Run coding and packets are common to the codecs; plain is apart.
 */
#include "config.h"
#include "delta/token_out.h"

#include <lz4.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include "protocol/wire.h"

#define ZBUF_SIZE (4 * TOKEN_MAXDATA)  /* deflate output at hand before packets are cut */
#define TRAILER 4u                     /* 00 00 ff ff of a sync flush, never sent */

enum { FLAG_END = 0, FLAG_LONG = 0x20, FLAG_RUN_LONG = 0x21, FLAG_DATA = 0x40, FLAG_REL = 0x80, FLAG_RUN_REL = 0xc0 };

struct token_out {
	enum comp comp;
	int proto;
	struct budget *budget;
	struct wr *w;

	bool have_run;         /* blocks first … last wait to be written */
	uint32_t first, last, cur;
	bool dirty;            /* literals were given since the last flush */

	z_stream z;
	bool z_open;
	uint8_t *buf;          /* deflate output (ZBUF_SIZE), or lz4 input (TOKEN_MAXDATA) */
	size_t len;            /* bytes in buf */
	void *lz4;
	ZSTD_CCtx *zstd;
};

static int broken(struct token_out *t, struct err *e, const char *what)
{
	return fail(e, RX_STREAMIO, "%s compression failed: %s", comp_name(t->comp), what);
}

static int sent(const struct token_out *t)
{
	return t->w->failed ? -1 : 0;
}

/* ---- framing ---- */

static void put_packet(struct token_out *t, const uint8_t *data, size_t len)
{
	wr_u8(t->w, (uint8_t)(FLAG_DATA | len >> 8));
	wr_u8(t->w, (uint8_t)len);
	wr_bytes(t->w, data, len);
}

static void put_run(struct token_out *t)
{
	uint32_t more = t->last - t->first;
	int64_t d = (int64_t)t->first - t->cur;

	if (!t->have_run)
		return;
	if (d >= 0 && d <= 63) {
		wr_u8(t->w, (uint8_t)((more ? FLAG_RUN_REL : FLAG_REL) | d));
	} else {
		wr_u8(t->w, more ? FLAG_RUN_LONG : FLAG_LONG);
		wr_le32(t->w, t->first);
	}
	if (more)
		wr_le16(t->w, (uint16_t)more);
	t->cur = t->last;
	t->have_run = false;
}

/* ---- zlib, zlibx ---- */

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
	return mem_alloc(ctx, n, size);
}

static void z_free(void *ctx, void *p)
{
	mem_free(ctx, p);
}

/* Sends what is in buf but for the last keep bytes. */
static void z_send(struct token_out *t, size_t keep)
{
	size_t off = 0;

	while (t->len - off > keep) {
		size_t n = MIN(t->len - off - keep, (size_t)TOKEN_MAXDATA);

		/* While more is to come only full packets are worth their header. */
		if (keep && n < TOKEN_MAXDATA && off)
			break;
		put_packet(t, t->buf + off, n);
		off += n;
	}
	memmove(t->buf, t->buf + off, t->len - off);
	t->len -= off;
}

static int z_deflate(struct token_out *t, const void *data, size_t len, int flush, struct err *e)
{
	const uint8_t *p = data;

	do {
		unsigned n = (unsigned)MIN(len, (size_t)1 << 30);

		t->z.next_in = p;
		t->z.avail_in = n;
		p += n;
		len -= n;
		do {
			int rc;

			if (ZBUF_SIZE - t->len < TOKEN_MAXDATA)
				z_send(t, TRAILER);
			t->z.next_out = t->buf + t->len;
			t->z.avail_out = (unsigned)(ZBUF_SIZE - t->len);
			rc = deflate(&t->z, flush);
			if (rc != Z_OK && rc != Z_BUF_ERROR)
				return broken(t, e, t->z.msg ? t->z.msg : "deflate");
			t->len = ZBUF_SIZE - t->z.avail_out;
		} while (!t->z.avail_out || t->z.avail_in);
	} while (len);
	return sent(t);
}

static int z_flush(struct token_out *t, struct err *e)
{
	static const uint8_t trailer[TRAILER] = { 0, 0, 0xff, 0xff };

	if (z_deflate(t, NULL, 0, Z_SYNC_FLUSH, e) < 0)
		return -1;
	if (t->len < TRAILER || memcmp(t->buf + t->len - TRAILER, trailer, TRAILER))
		return broken(t, e, "no flush mark");
	t->len -= TRAILER;
	z_send(t, 0);
	return sent(t);
}

/* The block enters the history (spec 03 §10.4). */
static int z_insert(struct token_out *t, const uint8_t *data, size_t len, struct err *e)
{
	const uint8_t *p = data;

	while (len) {
		unsigned n = (unsigned)MIN(len, (size_t)65535);

		if (deflateSetDictionary(&t->z, p, n) != Z_OK)
			return broken(t, e, "history");
		if (t->proto >= 31)
			p += n;
		len -= n;
	}
	return 0;
}

/* ---- lz4 ---- */

static int lz4_put(struct token_out *t, const uint8_t *p, size_t len, struct err *e)
{
	while (len) {
		int n = (int)MIN(len, (size_t)TOKEN_MAXDATA), out = 0;
		uint8_t *d = wr_room(t->w, 2 + TOKEN_MAXDATA);

		if (!d)
			return -1;
		while (n && !(out = LZ4_compress_fast_extState(t->lz4, (const char *)p, (char *)d + 2, n, TOKEN_MAXDATA, 1)))
			n /= 2;
		if (out <= 0)
			return broken(t, e, "block");
		d[0] = (uint8_t)(FLAG_DATA | out >> 8);
		d[1] = (uint8_t)out;
		wr_commit(t->w, 2 + (size_t)out);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Full pieces go out at once; the rest waits for company. */
static int lz4_literal(struct token_out *t, const uint8_t *p, size_t len, struct err *e)
{
	if (t->len) {
		size_t n = MIN(len, TOKEN_MAXDATA - t->len);

		memcpy(t->buf + t->len, p, n);
		t->len += n;
		p += n;
		len -= n;
		if (t->len < TOKEN_MAXDATA)
			return 0;
		t->len = 0;
		if (lz4_put(t, t->buf, TOKEN_MAXDATA, e) < 0)
			return -1;
	}
	if (lz4_put(t, p, len / TOKEN_MAXDATA * TOKEN_MAXDATA, e) < 0)
		return -1;
	t->len = len % TOKEN_MAXDATA;
	memcpy(t->buf, p + (len - t->len), t->len);
	return 0;
}

static int lz4_flush(struct token_out *t, struct err *e)
{
	size_t n = t->len;

	t->len = 0;
	return lz4_put(t, t->buf, n, e);
}

/* ---- zstd ---- */

static int zstd_put(struct token_out *t, const void *data, size_t len, ZSTD_EndDirective op, struct err *e)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left;

	do {
		uint8_t *d = wr_room(t->w, 2 + TOKEN_MAXDATA);
		ZSTD_outBuffer out = { d ? d + 2 : NULL, TOKEN_MAXDATA, 0 };

		if (!d)
			return -1;
		left = ZSTD_compressStream2(t->zstd, &out, &in, op);
		if (ZSTD_isError(left))
			return broken(t, e, ZSTD_getErrorName(left));
		if (out.pos) {
			d[0] = (uint8_t)(FLAG_DATA | out.pos >> 8);
			d[1] = (uint8_t)out.pos;
			wr_commit(t->w, 2 + out.pos);
		}
	} while (in.pos < in.size || (op == ZSTD_e_flush && left));
	return 0;
}

/* ---- interface ---- */

static int open_codec(struct token_out *t, int level, int workers, struct err *e)
{
	size_t rc;

	switch (t->comp) {
	case COMP_ZLIB:
	case COMP_ZLIBX:
		t->z = (z_stream){ .zalloc = z_alloc, .zfree = z_free, .opaque = t->budget };
		t->buf = mem_alloc(t->budget, ZBUF_SIZE, 1);
		if (!t->buf || deflateInit2(&t->z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
			return fail(e, RX_MALLOC, "out of memory for compression");
		t->z_open = true;
		return 0;
	case COMP_LZ4:
		t->buf = mem_alloc(t->budget, TOKEN_MAXDATA, 1);
		t->lz4 = mem_alloc(t->budget, (size_t)LZ4_sizeofState(), 1);
		return t->buf && t->lz4 ? 0 : fail(e, RX_MALLOC, "out of memory for compression");
	case COMP_ZSTD:
		t->zstd = ZSTD_createCCtx();
		if (!t->zstd)
			return fail(e, RX_MALLOC, "out of memory for compression");
		rc = ZSTD_CCtx_setParameter(t->zstd, ZSTD_c_compressionLevel, level);
		if (ZSTD_isError(rc))
			return broken(t, e, ZSTD_getErrorName(rc));
		if (workers > 0) /* a library without threads refuses, and compresses all the same */
			(void)ZSTD_CCtx_setParameter(t->zstd, ZSTD_c_nbWorkers, workers);
		return 0;
	case COMP_NONE:
		return 0;
	case COMP_INVALID:
		break;
	}
	return fail(e, RX_UNSUPPORTED, "unknown compressor");
}

struct token_out *token_out_new(enum comp c, int level, int workers, int proto, struct budget *b, struct err *e)
{
	struct token_out *t = mem_zalloc(b, 1, sizeof *t);

	if (!t) {
		fail(e, RX_MALLOC, "out of memory for compression");
		return NULL;
	}
	t->comp = c;
	t->proto = proto;
	t->budget = b;
	if (open_codec(t, level, workers, e) < 0) {
		token_out_free(t);
		return NULL;
	}
	return t;
}

void token_out_free(struct token_out *t)
{
	if (!t)
		return;
	if (t->z_open)
		deflateEnd(&t->z);
	mem_free(t->budget, t->buf);
	mem_free(t->budget, t->lz4);
	if (t->zstd)
		ZSTD_freeCCtx(t->zstd);
	mem_free(t->budget, t);
}

void token_out_begin(struct token_out *t, struct wr *w)
{
	t->w = w;
	t->have_run = false;
	t->dirty = false;
	t->cur = 0;
	t->len = 0;
	if (t->z_open)
		deflateReset(&t->z);
}

bool token_out_is_plain(const struct token_out *t)
{
	return t->comp == COMP_NONE;
}

int token_out_framed(struct token_out *t, const void *tokens, size_t len, struct err *e)
{
	if (t->comp != COMP_NONE)
		return broken(t, e, "tokens of another stream");
	wr_bytes(t->w, tokens, len);
	return sent(t);
}

static int plain_literal(struct token_out *t, const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = MIN(len, (size_t)TOKEN_CHUNK);

		wr_le32(t->w, (uint32_t)n);
		wr_bytes(t->w, p, n);
		p += n;
		len -= n;
	}
	return sent(t);
}

int token_out_literal(struct token_out *t, const void *data, size_t len, struct err *e)
{
	if (!len)
		return 0;
	if (t->comp == COMP_NONE)
		return plain_literal(t, data, len);
	put_run(t);
	t->dirty = true;
	switch (t->comp) {
	case COMP_LZ4:
		return lz4_literal(t, data, len, e);
	case COMP_ZSTD:
		return zstd_put(t, data, len, ZSTD_e_continue, e);
	default:
		return z_deflate(t, data, len, Z_NO_FLUSH, e);
	}
}

/* Makes the receiver able to decode all literals so far. */
static int flush(struct token_out *t, struct err *e)
{
	if (!t->dirty)
		return 0;
	t->dirty = false;
	switch (t->comp) {
	case COMP_LZ4:
		return lz4_flush(t, e);
	case COMP_ZSTD:
		return zstd_put(t, NULL, 0, ZSTD_e_flush, e);
	default:
		return z_flush(t, e);
	}
}

int token_out_match(struct token_out *t, uint32_t block, const void *data, size_t len, struct err *e)
{
	if (t->comp == COMP_NONE) {
		wr_int(t->w, -(int32_t)block - 1);
		return sent(t);
	}
	if (flush(t, e) < 0)
		return -1;
	if (t->have_run && (block != t->last + 1 || block - t->first > TOKEN_RUN_MAX))
		put_run(t);
	if (!t->have_run) {
		t->have_run = true;
		t->first = block;
	}
	t->last = block;
	return t->comp == COMP_ZLIB ? z_insert(t, data, len, e) : sent(t);
}

int token_out_end(struct token_out *t, struct err *e)
{
	if (t->comp == COMP_NONE) {
		wr_le32(t->w, 0);
		return sent(t);
	}
	put_run(t);
	if (flush(t, e) < 0)
		return -1;
	wr_u8(t->w, FLAG_END);
	return sent(t);
}
