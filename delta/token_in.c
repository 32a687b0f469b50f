/*
 * token_in.c - token stream readers. Framing and its checks are common to the codecs; plain is apart.
 */
#include "config.h"
#include "delta/token_in.h"

#include <lz4.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include "base/say.h"
#include "protocol/wire.h"

#define OUT_SIZE ((size_t)256 << 10)   /* most that one call decodes */
#define LZ4_OUT_MAX 32912              /* what stock decoders take (spec 03 §10.5) */
#define BLOCK_LAST 0x7ffffffeu         /* highest block number of the compressed form */
#define WINDOW_LOG_MAX 27              /* zstd: 128 MiB */

enum { FLAG_END = 0, FLAG_LONG = 0x20, FLAG_RUN_LONG = 0x21, FLAG_DATA = 0x40, FLAG_REL = 0x80, FLAG_RUN_REL = 0xc0 };

struct token_in {
	enum comp comp;
	int proto;
	struct budget *budget;
	struct rd *r;
	uint32_t count;        /* of blocks */
	bool discard;

	uint64_t literal_left; /* decoded bytes that may still come in this file */
	uint32_t plain_left;   /* bytes of the current plain literal */
	uint32_t cur;
	bool piece;            /* zlib: data packets since the last sync point */
	bool draining;         /* the decoder may hold more output of the packet */

	z_stream z;
	bool z_open;
	ZSTD_DCtx *zstd;
	ZSTD_inBuffer zin;
	uint8_t *in;           /* one packet */
	uint8_t *out;          /* OUT_SIZE */
};

static int broken(struct token_in *t, struct err *e, const char *what)
{
	return fail(e, RX_STREAMIO, "%s decompression failed: %s", comp_name(t->comp), what);
}

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
	return mem_alloc(ctx, n, size);
}

static void z_free(void *ctx, void *p)
{
	mem_free(ctx, p);
}

static int open_codec(struct token_in *t, struct err *e)
{
	if (t->comp < COMP_NONE || t->comp > COMP_ZSTD)
		return fail(e, RX_UNSUPPORTED, "unknown compressor");
	if (t->comp == COMP_NONE)
		return 0;
	t->in = mem_alloc(t->budget, TOKEN_MAXDATA, 1);
	t->out = mem_alloc(t->budget, OUT_SIZE, 1);
	if (!t->in || !t->out)
		return fail(e, RX_MALLOC, "out of memory for decompression");
	if (t->comp == COMP_ZLIB || t->comp == COMP_ZLIBX) {
		t->z = (z_stream){ .zalloc = z_alloc, .zfree = z_free, .opaque = t->budget };
		if (inflateInit2(&t->z, -15) != Z_OK)
			return fail(e, RX_MALLOC, "out of memory for decompression");
		t->z_open = true;
	} else if (t->comp == COMP_ZSTD) {
		t->zstd = ZSTD_createDCtx();
		if (!t->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(t->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
			return fail(e, RX_MALLOC, "out of memory for decompression");
	}
	return 0;
}

struct token_in *token_in_new(enum comp c, int proto, struct budget *b, struct err *e)
{
	struct token_in *t = mem_zalloc(b, 1, sizeof *t);

	if (!t) {
		fail(e, RX_MALLOC, "out of memory for decompression");
		return NULL;
	}
	t->comp = c;
	t->proto = proto;
	t->budget = b;
	if (open_codec(t, e) < 0) {
		token_in_free(t);
		return NULL;
	}
	return t;
}

void token_in_free(struct token_in *t)
{
	if (!t)
		return;
	if (t->z_open)
		inflateEnd(&t->z);
	ZSTD_freeDCtx(t->zstd);
	mem_free(t->budget, t->in);
	mem_free(t->budget, t->out);
	mem_free(t->budget, t);
}

void token_in_begin(struct token_in *t, struct rd *r, uint32_t block_count, uint64_t max_literal, bool discard)
{
	t->r = r;
	t->count = block_count;
	t->discard = discard;
	t->literal_left = max_literal;
	t->plain_left = 0;
	t->cur = 0;
	t->piece = t->draining = false;
	if (t->z_open)
		inflateReset(&t->z);
}

bool token_in_wants_blocks(const struct token_in *t)
{
	return t->comp == COMP_ZLIB && !t->discard;
}

/* first … first + more, checked against the block count. */
static int take_match(struct token_in *t, struct token *tok, uint64_t first, uint32_t more, struct err *e)
{
	if (first + more >= t->count)
		return fail(e, RX_PROTOCOL, "Invalid block index %llu (count=%u) [%s]", (unsigned long long)(first + more), t->count, say_role());
	*tok = (struct token){ .kind = TOKEN_MATCH, .block = (uint32_t)first, .run = more + 1 };
	return 0;
}

/* ---- plain ---- */

static int plain_next(struct token_in *t, struct token *tok, struct err *e)
{
	struct rd *r = t->r;

	if (!t->plain_left) {
		int32_t v = rd_int(r);
		uint32_t first, more = 0;

		if (r->failed)
			return -1;
		if (!v) {
			*tok = (struct token){ .kind = TOKEN_END };
			return 0;
		}
		if (v < 0) {
			first = ~(uint32_t)v;
			/* Successive blocks that are at hand already become one run. */
			while (rd_avail(r) >= 4 && more < TOKEN_RUN_MAX && get_le32(r->p) == ~(first + more + 1) &&
			       first + more + 1 < t->count) {
				r->p += 4;
				more++;
			}
			return take_match(t, tok, first, more, e);
		}
		t->plain_left = (uint32_t)v;
	}
	*tok = (struct token){ .kind = TOKEN_LITERAL };
	tok->len = rd_slice(r, &tok->data, MIN((size_t)t->plain_left, OUT_SIZE));
	t->plain_left -= (uint32_t)tok->len;
	return tok->len ? 0 : -1;
}

/* ---- compressed data ---- */

static int read_packet(struct token_in *t, int flag, size_t *len, struct err *e)
{
	*len = (size_t)(flag & 0x3f) << 8 | rd_u8(t->r);
	if (t->r->failed)
		return -1;
	if (!*len)
		return broken(t, e, "empty packet");
	if (t->discard && t->comp != COMP_ZSTD) {
		rd_skip(t->r, *len);
	} else {
		rd_bytes(t->r, t->in, *len);
	}
	return t->r->failed ? -1 : 0;
}

static int take_literal(struct token_in *t, struct token *tok, size_t len, struct err *e)
{
	if (len > t->literal_left)
		return broken(t, e, "more data than the file may have");
	t->literal_left -= len;
	*tok = (struct token){ .kind = TOKEN_LITERAL, .data = t->out, .len = len };
	return 0;
}

/* Each drain function decodes more of the current packet into out and returns the bytes, 0 when the packet is
   used up, -1 on failure. */
static ssize_t z_drain(struct token_in *t, struct err *e)
{
	size_t n;
	int rc;

	t->z.next_out = t->out;
	t->z.avail_out = (unsigned)OUT_SIZE;
	rc = inflate(&t->z, Z_NO_FLUSH);
	if (rc != Z_OK && rc != Z_BUF_ERROR)
		return broken(t, e, rc == Z_STREAM_END ? "end of stream" : t->z.msg ? t->z.msg : "inflate");
	n = OUT_SIZE - t->z.avail_out;
	t->draining = !t->z.avail_out;
	if (!t->draining && t->z.avail_in)
		return broken(t, e, "no progress");
	return (ssize_t)n;
}

static ssize_t zstd_drain(struct token_in *t, struct err *e)
{
	ZSTD_outBuffer out = { t->out, OUT_SIZE, 0 };
	size_t before, rc;

	do {
		before = t->zin.pos + out.pos;
		rc = ZSTD_decompressStream(t->zstd, &out, &t->zin);
		if (ZSTD_isError(rc))
			return broken(t, e, ZSTD_getErrorName(rc));
		if (!rc)
			return broken(t, e, "end of frame");
		if (t->zin.pos + out.pos == before && t->zin.pos < t->zin.size)
			return broken(t, e, "no progress");
	} while (t->zin.pos < t->zin.size && out.pos < out.size);
	t->draining = out.pos == out.size;
	return (ssize_t)out.pos;
}

static ssize_t drain(struct token_in *t, struct err *e)
{
	return t->comp == COMP_ZSTD ? zstd_drain(t, e) : z_drain(t, e);
}

/* A data packet was read into in: 1 with a literal in tok, 0 if it gave no output yet. */
static int decode_packet(struct token_in *t, struct token *tok, size_t len, struct err *e)
{
	ssize_t n;

	if (t->comp == COMP_LZ4) {
		n = LZ4_decompress_safe((const char *)t->in, (char *)t->out, (int)len, LZ4_OUT_MAX);
		if (n <= 0)
			return broken(t, e, "bad block");
	} else {
		if (t->comp == COMP_ZSTD) {
			t->zin = (ZSTD_inBuffer){ t->in, len, 0 };
		} else {
			t->z.next_in = t->in;
			t->z.avail_in = (unsigned)len;
			t->piece = true;
		}
		n = drain(t, e);
		if (n <= 0)
			return (int)n;
	}
	return take_literal(t, tok, (size_t)n, e) < 0 ? -1 : 1;
}

/* The piece of deflate data ends here: give the decoder the flush mark that was cut off (spec 03 §10.3). */
static int z_sync(struct token_in *t, struct err *e)
{
	static const uint8_t mark[4] = { 0, 0, 0xff, 0xff };
	uint8_t none[1];

	t->piece = false;
	if (!inflateSyncPoint(&t->z))
		return broken(t, e, "data does not end at a flush");
	t->z.next_in = mark;
	t->z.avail_in = sizeof mark;
	t->z.next_out = none;
	t->z.avail_out = sizeof none;
	if (inflate(&t->z, Z_SYNC_FLUSH) != Z_OK || t->z.avail_in || !t->z.avail_out)
		return broken(t, e, "bad flush mark");
	return 0;
}

static int flag_match(struct token_in *t, struct token *tok, int flag, struct err *e)
{
	bool run;
	uint64_t first;
	uint32_t more = 0;

	if (flag & FLAG_REL) {
		run = (flag & FLAG_RUN_REL) == FLAG_RUN_REL;
		first = (uint64_t)t->cur + (unsigned)(flag & 0x3f);
	} else {
		run = flag == FLAG_RUN_LONG;
		first = rd_le32(t->r);
	}
	if (run)
		more = rd_le16(t->r);
	if (t->r->failed)
		return -1;
	if (first + more > BLOCK_LAST)
		return fail(e, RX_PROTOCOL, "invalid token number in compressed stream");
	if (run && !more)
		return fail(e, RX_PROTOCOL, "invalid run of length 0 in compressed stream");
	if (take_match(t, tok, first, more, e) < 0)
		return -1;
	t->cur = (uint32_t)(first + more);
	return 0;
}

static int coded_next(struct token_in *t, struct token *tok, struct err *e)
{
	while (t->draining) {
		ssize_t n = drain(t, e);

		if (n)
			return n < 0 ? -1 : take_literal(t, tok, (size_t)n, e);
	}
	for (;;) {
		int flag = rd_u8(t->r), rc;
		size_t len;

		if (t->r->failed)
			return -1;
		if ((flag & 0xc0) == FLAG_DATA) {
			if (read_packet(t, flag, &len, e) < 0)
				return -1;
			if (t->discard && t->comp != COMP_ZSTD) {
				*tok = (struct token){ .kind = TOKEN_LITERAL, .len = len };
				return 0;
			}
			rc = decode_packet(t, tok, len, e);
			if (rc)
				return rc < 0 ? -1 : 0;
			continue;
		}
		if (t->piece && z_sync(t, e) < 0)
			return -1;
		if (flag == FLAG_END) {
			*tok = (struct token){ .kind = TOKEN_END };
			return 0;
		}
		if (!(flag & FLAG_REL) && flag != FLAG_LONG && flag != FLAG_RUN_LONG)
			return fail(e, RX_PROTOCOL, "invalid flag 0x%02x in compressed stream", (unsigned)flag);
		return flag_match(t, tok, flag, e);
	}
}

int token_in_next(struct token_in *t, struct token *tok, struct err *e)
{
	return t->comp == COMP_NONE ? plain_next(t, tok, e) : coded_next(t, tok, e);
}

int token_in_see(struct token_in *t, const void *data, size_t len, struct err *e)
{
	const uint8_t *p = data;

	while (len) {
		unsigned n = (unsigned)MIN(len, (size_t)65535);

		if (inflateSetDictionary(&t->z, p, n) != Z_OK)
			return broken(t, e, "history");
		if (t->proto >= 31)
			p += n;
		len -= n;
	}
	return 0;
}
