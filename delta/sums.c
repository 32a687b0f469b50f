/*
 * sums.c - sum heads, signatures of a basis, the table of a peer's block sums.
 */
#include "config.h"
#include "delta/sums.h"

#include "base/say.h"
#include "delta/rolling.h"
#include "delta/source.h"
#include "protocol/wire.h"

#define READ_SIZE ((size_t)256 << 10)
#define GROW_FROM 4096u        /* more records than this are allocated as they arrive (spec 09 §11.2) */
#define INDEX_COST 16u         /* bytes per block that the search's index may add, for the table limit */

static uint32_t max_block(int proto)
{
	return proto >= 30 ? BLOCK_MAX_30 : BLOCK_MAX_OLD;
}

static unsigned lg(uint64_t x)
{
	return 63 - (unsigned)__builtin_clzll(x);
}

static uint64_t isqrt(uint64_t x)
{
	uint64_t r = 0;

	for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1) {
		if ((r | bit) * (r | bit) <= x)
			r |= bit;
	}
	return r;
}

static uint32_t choose_block(uint64_t len, int proto)
{
	uint64_t max = max_block(proto), root;

	if (len <= (uint64_t)BLOCK_DEFAULT * BLOCK_DEFAULT)
		return BLOCK_DEFAULT;
	if (len >= max * max)
		return (uint32_t)max;
	root = isqrt(len) & ~(uint64_t)7;
	return (uint32_t)MAX(root, (uint64_t)BLOCK_DEFAULT);
}

void sum_head_choose(struct sum_head *h, uint64_t len, int proto, unsigned digest_len, bool redo, uint32_t block_size)
{
	unsigned max_s2 = MIN(digest_len, 16u), bits, s2;
	uint64_t count;

	*h = (struct sum_head){ 0 };
	if (!len)
		return;
	h->blength = block_size ? MIN(block_size, max_block(proto)) : choose_block(len, proto);
	h->remainder = (uint32_t)(len % h->blength);
	count = len / h->blength + (h->remainder != 0);
	if (count > INT32_MAX) {
		*h = (struct sum_head){ 0 };
		return;
	}
	h->count = (uint32_t)count;
	bits = 10 + 2 * lg(len);
	bits = bits > lg(h->blength) ? bits - lg(h->blength) : 0;
	s2 = bits > 24 ? (bits - 24) / 8 : 0;
	s2 = MAX(s2, 2u);
	h->s2length = redo ? max_s2 : MIN(s2, max_s2);
}

void sum_head_write(struct wr *w, const struct sum_head *h)
{
	wr_le32(w, h->count);
	wr_le32(w, h->blength);
	wr_le32(w, h->s2length);
	wr_le32(w, h->remainder);
}

int sum_head_check(const struct sum_head *h, int proto, unsigned digest_len, struct err *e)
{
	if (h->count > INT32_MAX)
		return fail(e, RX_PROTOCOL, "Invalid checksum count %d [%s]", (int)h->count, say_role());
	if (h->blength > max_block(proto))
		return fail(e, RX_PROTOCOL, "Invalid block length %d [%s]", (int)h->blength, say_role());
	if (h->count && !h->blength)
		return fail(e, RX_PROTOCOL, "Invalid zero block length");
	if (h->s2length > digest_len)
		return fail(e, RX_PROTOCOL, "Invalid checksum length %d [%s]", (int)h->s2length, say_role());
	if (h->remainder > h->blength)
		return fail(e, RX_PROTOCOL, "Invalid remainder length %d [%s]", (int)h->remainder, say_role());
	return 0;
}

int sum_head_read(struct rd *r, struct sum_head *h, int proto, unsigned digest_len, struct err *e)
{
	h->count = rd_le32(r);
	h->blength = rd_le32(r);
	h->s2length = rd_le32(r);
	h->remainder = rd_le32(r);
	if (r->failed) {
		*h = (struct sum_head){ 0 };
		return -1;
	}
	return sum_head_check(h, proto, digest_len, e);
}

struct sum_writer {
	struct budget *budget;
	struct csum_ctx *csum;
	uint8_t *buf;
	size_t cap;
};

struct sum_writer *sum_writer_new(struct budget *b, struct csum_ctx *c)
{
	struct sum_writer *s = mem_zalloc(b, 1, sizeof *s);

	if (s) {
		s->budget = b;
		s->csum = c;
	}
	return s;
}

void sum_writer_free(struct sum_writer *s)
{
	if (!s)
		return;
	mem_free(s->budget, s->buf);
	mem_free(s->budget, s);
}

/* Room for whole blocks, as many as make a large read, but no more than the basis has. */
static size_t piece_size(const struct sum_head *h, uint64_t span)
{
	size_t piece = READ_SIZE / h->blength * h->blength;

	if (!piece)
		piece = h->blength;
	return (size_t)MIN((uint64_t)piece, span);
}

static int make_room(struct sum_writer *s, size_t piece, struct err *e)
{
	if (piece <= s->cap)
		return 0;
	mem_free(s->budget, s->buf);
	s->cap = 0;
	s->buf = mem_alloc(s->budget, piece, 1);
	if (!s->buf)
		return fail(e, RX_MALLOC, "out of memory for a block of %zu bytes", piece);
	s->cap = piece;
	return 0;
}

static void write_sums(struct sum_writer *s, struct wr *w, const struct sum_head *h, size_t len)
{
	uint8_t digest[CSUM_MAX_LEN];

	for (size_t off = 0; off < len; off += h->blength) {
		size_t n = MIN((size_t)h->blength, len - off);
		uint8_t *rec = wr_room(w, 4 + h->s2length);

		if (!rec)
			return;
		put_le32(rec, weak_sum(s->buf + off, n));
		csum_block(s->csum, s->buf + off, n, digest);
		memcpy(rec + 4, digest, h->s2length);
		wr_commit(w, 4 + h->s2length);
	}
}

int sum_writer_send(struct sum_writer *s, struct wr *w, const struct sum_head *h, int fd,
		    sum_tap *tap, void *tap_ctx, int *io_errno, struct err *e)
{
	uint64_t span = sum_head_span(h), off = 0;
	size_t piece;

	*io_errno = 0;
	if (!span) {
		sum_head_write(w, h);
		return 0;
	}
	if (h->s2length > CSUM_MAX_LEN || csum_ctx_kind(s->csum) == CSUM_NONE)
		return fail(e, RX_UNSUPPORTED, "block sums need a checksum");
	piece = piece_size(h, span);
	if (make_room(s, piece, e) < 0)
		return -1;
	while (off < span) {
		size_t want = (size_t)MIN((uint64_t)piece, span - off);
		size_t got = source_read(fd, s->buf, want, off, io_errno);

		if (!off) {
			if (!got && !tap)
				return 1;
			sum_head_write(w, h);
		}
		/* A copy keeps its places: what cannot be read is missing there, and nowhere else. */
		memset(s->buf + got, 0, want - got);
		if (tap && tap(tap_ctx, s->buf, want) < 0)
			return fail(e, RX_FILEIO, "the copy of the basis failed");
		write_sums(s, w, h, want);
		if (w->failed)
			return -1;
		off += want;
	}
	return 0;
}

void sums_init(struct sums *s, struct budget *b)
{
	*s = (struct sums){ .budget = b };
}

void sums_free(struct sums *s)
{
	mem_free(s->budget, s->weak);
	mem_free(s->budget, s->strong);
	sums_init(s, s->budget);
}

static int grow(struct sums *s, size_t want, struct err *e)
{
	uint32_t *weak = mem_grow(s->budget, s->weak, &s->weak_cap, want, sizeof *weak);
	uint8_t *strong;

	if (weak) {
		s->weak = weak;
		strong = mem_grow(s->budget, s->strong, &s->strong_cap, want * s->head.s2length, 1);
		if (strong) {
			s->strong = strong;
			return 0;
		}
	}
	return fail(e, RX_MALLOC, "out of memory for %u block sums", s->head.count);
}

static int read_records(struct sums *s, struct rd *r, struct err *e)
{
	uint32_t count = s->head.count, s2 = s->head.s2length, i = 0;
	size_t room = 0;

	while (i < count) {
		if (i == room) {
			room = MIN((size_t)count, room ? room + room / 2 : GROW_FROM);
			if (grow(s, room, e) < 0)
				return -1;
		}
		if (LIKELY(rd_avail(r) >= 4 + (size_t)s2)) {
			s->weak[i] = get_le32(r->p);
			memcpy(s->strong + (size_t)i * s2, r->p + 4, s2);
			r->p += 4 + s2;
		} else {
			s->weak[i] = rd_le32(r);
			rd_bytes(r, s->strong + (size_t)i * s2, s2);
			if (r->failed)
				return -1;
		}
		i++;
	}
	return 0;
}

int sums_read(struct sums *s, struct rd *r, const struct sum_head *h, enum csum kind, bool records,
	      size_t limit, struct err *e)
{
	size_t cost;

	s->head = *h;
	if (!h->count || !records)
		return 0;
	if (kind == CSUM_NONE || h->s2length > csum_len(kind)) {
		s->head = (struct sum_head){ 0 };
		return fail(e, RX_UNSUPPORTED, "block sums with checksum \"%s\"", csum_name(kind));
	}
	if (MUL_OVERFLOWS((size_t)h->count, (size_t)(4 + INDEX_COST) + h->s2length, &cost) || cost > limit) {
		s->head = (struct sum_head){ 0 };
		return fail(e, RX_MALLOC, "%u block sums exceed the limit of %zu bytes", h->count, limit);
	}
	if (s->weak_cap > 65536 && h->count < s->weak_cap / 16) {
		sums_free(s);
		s->head = *h;
	}
	if (read_records(s, r, e) < 0) {
		s->head = (struct sum_head){ 0 };
		return -1;
	}
	return 0;
}
