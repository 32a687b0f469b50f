/*
 * search.c - match search and emission of one source file.
 */
#include "config.h"
#include "delta/search.h"

#include <errno.h>
#include <sys/uio.h>

#include "delta/block_index.h"
#include "delta/rolling.h"
#include "delta/scan.h"
#include "delta/source.h"
#include "protocol/wire.h"

#define READ_SIZE ((size_t)256 << 10)
#define STRIPES 8u                     /* plain literal tokens laid out in one buffer */
#define STRIPE (4 + TOKEN_CHUNK)
#define EFFORT_SIZE_MAX ((uint64_t)1 << 58) /* keeps the effort limits from wrapping */

struct search {
	struct budget *budget;
	struct csum_ctx *csum;
	struct block_index index;
	uint8_t *kept;                 /* updating_basis: bit per block that was matched at its own offset */
	size_t kept_cap;
	uint8_t *win;                  /* bytes [base, base + have) of the source */
	size_t cap, have;
	uint64_t base;

	/* the file at hand */
	const struct search_job *job;
	struct token_out *t;
	struct search_result *res;
	struct err *e;
	uint64_t lit;                  /* everything before this offset was emitted */
	uint32_t hint;                 /* block after the one matched last */
	uint64_t steps_left, hash_left; /* effort that this file may still cost */
	bool gave_up;                  /* effort spent: the rest goes as literals */
};

struct search *search_new(struct budget *b, struct csum_ctx *c)
{
	struct search *s = mem_zalloc(b, 1, sizeof *s);

	if (s) {
		s->budget = s->index.budget = b;
		s->csum = c;
	}
	return s;
}

void search_free(struct search *s)
{
	if (!s)
		return;
	block_index_free(&s->index);
	mem_free(s->budget, s->kept);
	mem_free(s->budget, s->win);
	mem_free(s->budget, s);
}

/* ---- the source, read in order and hashed as it comes ---- */

/* Fills len bytes at off into p; what cannot be read is zero, and the checksum will be spoiled. */
static void take(struct search *s, uint8_t *p, size_t len, uint64_t off)
{
	size_t got = 0;

	if (!s->res->read_errno)
		got = source_read(s->job->fd, p, len, off, &s->res->read_errno);
	if (got < len)
		memset(p + got, 0, len - got);
	if (!s->res->read_errno)
		csum_update(s->csum, p, len);
}

static int make_window(struct search *s, size_t cap)
{
	uint8_t *p;

	if (cap <= s->cap)
		return 0;
	mem_free(s->budget, s->win);
	s->cap = 0;
	s->win = p = mem_alloc(s->budget, cap, 1);
	if (!p)
		return -1;
	s->cap = cap;
	return 0;
}

/* Makes the window cover [keep, end) at least; end <= size and end - keep <= what the window was made for. */
static void fill(struct search *s, uint64_t keep, uint64_t end)
{
	size_t drop = (size_t)(keep - s->base), n;

	if (s->base + s->have >= end)
		return;
	s->have -= drop;
	memmove(s->win, s->win + drop, s->have);
	s->base = keep;
	n = (size_t)MIN((uint64_t)(s->cap - s->have), s->job->size - s->base - s->have);
	take(s, s->win + s->have, n, s->base + s->have);
	s->have += n;
}

static const uint8_t *at(const struct search *s, uint64_t off)
{
	return s->win + (off - s->base);
}

/* ---- everything as literals ---- */

void *search_room(struct search *s)
{
	return make_window(s, STRIPES * STRIPE) < 0 ? NULL : s->win + 4;
}

static int send_whole(struct search *s)
{
	size_t len = (size_t)s->job->size;

	csum_whole(s->csum, s->win + 4, len, s->res->digest);
	if (!len)
		return 0;
	put_le32(s->win, (uint32_t)len);
	s->res->literal = len;
	return token_out_framed(s->t, s->win, 4 + len, s->e);
}

/* Plain stream: the file is read straight into place between the token lengths. */
static int send_striped(struct search *s, uint64_t off)
{
	uint64_t size = s->job->size;

	if (make_window(s, STRIPES * STRIPE) < 0)
		return fail(s->e, RX_MALLOC, "out of memory for a read buffer");
	s->have = 0;
	while (off < size) {
		size_t len = (size_t)MIN(size - off, (uint64_t)STRIPES * TOKEN_CHUNK), done = 0, k = 0;
		struct iovec iov[STRIPES];
		ssize_t n = -1;

		for (; done < len; k++) {
			size_t piece = MIN(len - done, (size_t)TOKEN_CHUNK);

			put_le32(s->win + k * STRIPE, (uint32_t)piece);
			iov[k] = (struct iovec){ s->win + k * STRIPE + 4, piece };
			done += piece;
		}
		if (k > 1 && !s->res->read_errno)
			n = preadv(s->job->fd, iov, (int)k, (off_t)off);
		for (size_t i = 0; i < k; i++, off += iov[i - 1].iov_len) {
			if (n >= (ssize_t)iov[i].iov_len) {
				csum_update(s->csum, iov[i].iov_base, iov[i].iov_len);
				n -= (ssize_t)iov[i].iov_len;
			} else {
				take(s, iov[i].iov_base, iov[i].iov_len, off);
				n = -1;
			}
		}
		if (token_out_framed(s->t, s->win, 4 * k + len, s->e) < 0)
			return -1;
		s->res->literal += len;
	}
	return 0;
}

static int send_literals(struct search *s, uint64_t off)
{
	uint64_t size = s->job->size;

	if (token_out_is_plain(s->t))
		return send_striped(s, off);
	if (make_window(s, READ_SIZE) < 0)
		return fail(s->e, RX_MALLOC, "out of memory for a read buffer");
	s->have = 0;
	while (off < size) {
		size_t n = (size_t)MIN(size - off, (uint64_t)READ_SIZE);

		take(s, s->win, n, off);
		if (token_out_literal(s->t, s->win, n, s->e) < 0)
			return -1;
		s->res->literal += n;
		off += n;
	}
	return 0;
}

/* The receiver has the first part already (§11.4). */
static int send_append(struct search *s)
{
	uint64_t size = s->job->size, prefix = MIN(sum_head_span(&s->job->sums->head), size), off = 0;

	if (s->job->append == APPEND_VERIFY && prefix) {
		if (make_window(s, READ_SIZE) < 0)
			return fail(s->e, RX_MALLOC, "out of memory for a read buffer");
		while (off < prefix) {
			size_t n = (size_t)MIN(prefix - off, (uint64_t)READ_SIZE);

			take(s, s->win, n, off);
			off += n;
		}
	}
	return send_literals(s, prefix);
}

/* ---- search ---- */

/* Passes literals up to end on. */
static int emit_literals(struct search *s, uint64_t end)
{
	while (s->lit < end) {
		size_t n;

		fill(s, s->lit, s->lit + 1);
		n = (size_t)MIN(end, s->base + s->have) - (size_t)s->lit;
		if (token_out_literal(s->t, at(s, s->lit), n, s->e) < 0)
			return -1;
		s->res->literal += n;
		s->lit += n;
	}
	return 0;
}

static int emit_match(struct search *s, uint32_t block, uint64_t off)
{
	const struct sum_head *h = &s->job->sums->head;
	uint32_t len = sum_block_len(h, block);

	if (emit_literals(s, off) < 0 || token_out_match(s->t, block, at(s, off), len, s->e) < 0)
		return -1;
	if (s->job->updating_basis && sum_block_offset(h, block) == off)
		s->kept[block >> 3] |= (uint8_t)(1u << (block & 7));
	s->res->matched += len;
	s->lit = off + len;
	s->hint = block + 1;
	return 0;
}

/* In place, a block must not have been overwritten yet (§11.3). */
static bool usable(const struct search *s, uint32_t block, uint64_t off)
{
	return !s->job->updating_basis || sum_block_offset(&s->job->sums->head, block) >= off ||
	       (s->kept[block >> 3] >> (block & 7) & 1);
}

/* One offset under examination: the strong sum is computed when first needed. */
struct probe {
	uint64_t off;
	uint32_t weak, len;
	bool hashed;
	uint8_t digest[CSUM_MAX_LEN];
};

static bool same(struct search *s, struct probe *p, uint32_t block)
{
	const struct sums *sums = s->job->sums;
	uint32_t s2 = sums->head.s2length;

	if (sums->weak[block] != p->weak || !usable(s, block, p->off))
		return false;
	if (!p->hashed) {
		csum_block(s->csum, at(s, p->off), p->len, p->digest);
		p->hashed = true;
		s->res->hashed += p->len;
		s->hash_left -= MIN(s->hash_left, (uint64_t)p->len);
	}
	return !memcmp(p->digest, sums->strong + (size_t)block * s2, s2);
}

static uint32_t find(struct search *s, uint64_t off, uint32_t weak)
{
	const struct block_index *ix = &s->index;
	struct probe p = { .off = off, .weak = weak, .len = s->job->sums->head.blength };
	uint32_t b, steps = 0;

	if (s->job->updating_basis && off % p.len == 0 && off / p.len < ix->count) {
		b = (uint32_t)(off / p.len);
		if (same(s, &p, b))
			return b;
	}
	if (s->hint < ix->count && same(s, &p, s->hint))
		return s->hint;
	for (b = block_index_head(ix, weak); b != INDEX_NONE && steps < CHAIN_MAX; b = ix->next[b]) {
		steps++;
		if (same(s, &p, b))
			break;
	}
	s->steps_left -= MIN(s->steps_left, (uint64_t)steps);
	return steps < CHAIN_MAX ? b : INDEX_NONE;
}

/* Finds full-length blocks from offset 0 on. */
static int search_full(struct search *s)
{
	uint32_t blen = s->job->sums->head.blength, block;
	uint64_t size = s->job->size, off = 0, last = size - blen;
	struct weak_roll w;
	bool fresh = true;

	while (off <= last && !s->gave_up) {
		size_t pos = 0, stop;

		if (off + blen > s->base + s->have) {
			if (off - s->lit >= TOKEN_CHUNK &&
			    emit_literals(s, off - (off - s->lit) % TOKEN_CHUNK) < 0)
				return -1;
			fill(s, s->lit, off + blen);
		}
		if (fresh)
			weak_roll_set(&w, weak_sum(at(s, off), blen), blen);
		stop = (size_t)(MIN(last, s->base + s->have - blen) - off);
		block = INDEX_NONE;
		if (block_scan(&s->index, &w, at(s, off), &pos, stop, &s->steps_left))
			block = find(s, off + pos, weak_roll_sum(&w));
		off += pos;
		fresh = true;
		if (block != INDEX_NONE) {
			if (emit_match(s, block, off) < 0)
				return -1;
			off += blen;
		} else if (pos < stop) {
			weak_roll_step(&w, at(s, off)[0], at(s, off)[blen]);
			off++;
			fresh = false;
		} else {
			/* The window ends here: begin again behind it with a sum of its own. */
			off++;
		}
		s->gave_up = !s->steps_left || !s->hash_left;
	}
	return 0;
}

/* The shorter last block can only be the end of the source. */
static int search_last(struct search *s)
{
	const struct sums *sums = s->job->sums;
	uint32_t last = sums->head.count - 1, len = sums->head.remainder;
	uint64_t off = s->job->size - len;
	struct probe p = { .off = off, .len = len };

	if (!len || len >= sums->head.blength || len > s->job->size || off < s->lit || s->gave_up)
		return 0;
	if (off - s->lit >= TOKEN_CHUNK && emit_literals(s, off - (off - s->lit) % TOKEN_CHUNK) < 0)
		return -1;
	fill(s, s->lit, s->job->size);
	p.weak = weak_sum(at(s, off), len);
	return same(s, &p, last) ? emit_match(s, last, off) : 0;
}

/* Tables and window for a job; false: not enough memory for a search. */
static bool prepare(struct search *s)
{
	const struct sum_head *h = &s->job->sums->head;
	size_t blen = h->blength, bits = ((size_t)h->count + 7) / 8, cap;
	uint8_t *kept;

	if (s->job->updating_basis) {
		kept = mem_grow(s->budget, s->kept, &s->kept_cap, bits, 1);
		if (!kept)
			return false;
		s->kept = kept;
		memset(kept, 0, bits);
	}
	if (block_index_build(&s->index, s->job->sums, s->job->updating_basis) < 0)
		return false;
	cap = TOKEN_CHUNK + blen + MAX(READ_SIZE, blen);
	if (cap > s->job->size && s->job->size > READ_SIZE)
		cap = (size_t)s->job->size;
	return make_window(s, MAX(cap, READ_SIZE)) == 0;
}

static int send_matches(struct search *s)
{
	uint64_t size = s->job->size, steps = 16 * MIN(size, EFFORT_SIZE_MAX) + (16u << 20);

	if (!prepare(s)) {
		block_index_free(&s->index);
		return send_literals(s, 0);
	}
	s->lit = s->base = 0;
	s->have = 0;
	s->hint = 0;
	s->gave_up = false;
	s->steps_left = steps;
	s->hash_left = 4 * MIN(size, EFFORT_SIZE_MAX) + (64u << 20);
	if (s->index.count && size >= s->job->sums->head.blength && search_full(s) < 0)
		return -1;
	if (search_last(s) < 0)
		return -1;
	s->res->candidates = steps - s->steps_left;
	return emit_literals(s, size);
}

int search_send(struct search *s, const struct search_job *job, struct token_out *t,
		struct search_result *res, struct err *e)
{
	int rc;

	*res = (struct search_result){ 0 };
	s->job = job;
	s->t = t;
	s->res = res;
	s->e = e;
	if (job->whole > 0)
		return send_whole(s) < 0 || token_out_end(t, e) < 0 ? -1 : 0;
	csum_start(s->csum);
	res->read_errno = -job->whole;
	if (!job->sums || !job->sums->head.count)
		rc = send_literals(s, 0);
	else if (job->append)
		rc = send_append(s);
	else
		rc = send_matches(s);
	if (rc < 0 || token_out_end(t, e) < 0)
		return -1;
	csum_final(s->csum, res->digest);
	if (res->read_errno)
		csum_spoil(csum_ctx_kind(s->csum), res->digest);
	return 0;
}
