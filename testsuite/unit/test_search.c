/*
 * test_search.c - the sender's search against a receiver made of the same room: signature, search, tokens, output.
 *
 * KEDGE_TRIPS raises the number of random round trips per codec and checksum (default 60).
 */
#include "config.h"
#include "unit.h"

#include <stdio.h>
#include <sys/mman.h>

#include "delta/block_index.h"
#include "delta/scan.h"
#include "delta/search.h"
#include "delta/token_in.h"
#include "protocol/wire.h"

static struct err err;
static uint64_t seed = 0x2545f4914f6cdd1du;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return (uint32_t)((seed >> 32) * n >> 32);
}

static int setup(void **state)
{
	(void)state;
	return csum_global_init(&err);
}

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t off = 0; off < len;) {
		ssize_t n = write(fd, (const uint8_t *)data + off, len - off);

		assert_true(n > 0);
		off += (size_t)n;
	}
	return fd;
}

/* One session: what both ends keep between files. */
struct pair {
	enum csum kind;
	enum comp comp;
	int proto;
	struct csum_ctx *c;
	struct sum_writer *sw;
	struct search *search;
	struct token_out *out;
	struct token_in *in;
	struct sums sums;
	struct wr_mem req, del;
	struct search_result res;
};

static void open_pair(struct pair *p, enum csum kind, enum comp comp, int proto)
{
	int level = COMP_LEVEL_DEFAULT;

	*p = (struct pair){ .kind = kind, .comp = comp, .proto = proto };
	comp_level(comp, &level);
	p->c = csum_ctx_new(kind, (int32_t)rnd(UINT32_MAX), proto < 30);
	p->sw = sum_writer_new(NULL, p->c);
	p->search = search_new(NULL, p->c);
	p->out = token_out_new(comp, level, 0, proto, NULL, &err);
	p->in = token_in_new(comp, proto, NULL, &err);
	sums_init(&p->sums, NULL);
	wr_mem_init(&p->req, NULL, &err);
	wr_mem_init(&p->del, NULL, &err);
}

static void close_pair(struct pair *p)
{
	wr_mem_free(&p->req);
	wr_mem_free(&p->del);
	sums_free(&p->sums);
	token_in_free(p->in);
	token_out_free(p->out);
	search_free(p->search);
	sum_writer_free(p->sw);
	csum_ctx_free(p->c);
}

/* Generator and sender: fills p->sums, p->del, p->res. */
static void deliver(struct pair *p, const uint8_t *basis, size_t blen, const uint8_t *src, size_t slen,
		    uint32_t block_size, bool redo, enum append_mode append, bool in_place)
{
	int fd = file_of(basis, blen), io_errno;
	struct search_job job;
	struct sum_head h;
	struct rd r;

	wr_mem_clear(&p->req);
	wr_mem_clear(&p->del);
	sum_head_choose(&h, blen, p->proto, csum_len(p->kind), redo, block_size);
	if (append)
		sum_head_write(&p->req.w, &h);
	else
		assert_int_equal(sum_writer_send(p->sw, &p->req.w, &h, fd, NULL, NULL, &io_errno, &err), 0);
	close(fd);
	rd_init_mem(&r, p->req.base, wr_mem_len(&p->req), &err);
	assert_int_equal(sum_head_read(&r, &h, p->proto, csum_len(p->kind), &err), 0);
	assert_int_equal(sums_read(&p->sums, &r, &h, p->kind, !append, SUM_TABLE_LIMIT, &err), 0);
	assert_int_equal(rd_avail(&r), 0);

	fd = file_of(src, slen);
	job = (struct search_job){ .fd = fd, .size = slen, .sums = &p->sums, .append = append, .updating_basis = in_place };
	token_out_begin(p->out, &p->del.w);
	assert_int_equal(search_send(p->search, &job, p->out, &p->res, &err), 0);
	assert_int_equal(p->res.read_errno, 0);
	close(fd);
}

/* Receiver: the new content is written to dst, which in place is the basis itself. Returns its length. */
static size_t receive(struct pair *p, const uint8_t *basis, uint8_t *dst, size_t off)
{
	const struct sum_head *h = &p->sums.head;
	uint64_t literal = 0, matched = 0;
	struct token tok;
	struct rd r;

	rd_init_mem(&r, p->del.base, wr_mem_len(&p->del), &err);
	token_in_begin(p->in, &r, h->count, UINT64_MAX, false);
	for (;;) {
		assert_int_equal(token_in_next(p->in, &tok, &err), 0);
		if (tok.kind == TOKEN_END)
			break;
		if (tok.kind == TOKEN_LITERAL) {
			memcpy(dst + off, tok.data, tok.len);
			off += tok.len;
			literal += tok.len;
			continue;
		}
		for (uint32_t i = tok.block; i < tok.block + tok.run; i++) {
			uint32_t n = sum_block_len(h, i);

			memmove(dst + off, basis + sum_block_offset(h, i), n);
			if (token_in_wants_blocks(p->in))
				assert_int_equal(token_in_see(p->in, dst + off, n, &err), 0);
			off += n;
			matched += n;
		}
	}
	assert_int_equal(rd_avail(&r), 0);
	assert_int_equal(literal, p->res.literal);
	assert_int_equal(matched, p->res.matched);
	return off;
}

static void expect_digest(struct pair *p, const uint8_t *data, size_t len)
{
	uint8_t want[CSUM_MAX_LEN];

	csum_start(p->c);
	csum_update(p->c, data, len);
	csum_final(p->c, want);
	assert_memory_equal(want, p->res.digest, CSUM_MAX_LEN);
}

/* A new version of old: pieces kept, dropped, repeated, moved, and new bytes between them. */
static size_t mutate(const uint8_t *old, size_t olen, uint8_t *new, size_t cap)
{
	size_t len = 0, at = 0;

	while (len < cap && rnd(24)) {
		size_t n = rnd(rnd(8) ? 3000 : 30) + 1;

		n = MIN(n, cap - len);
		switch (rnd(6)) {
		case 0: /* new data */
			for (size_t i = 0; i < n; i++)
				new[len + i] = (uint8_t)rnd(rnd(2) ? 256 : 4);
			len += n;
			break;
		case 1: /* elsewhere */
			at = olen ? rnd((uint32_t)olen) : 0;
			break;
		default:
			n = MIN(n, olen - at);
			memcpy(new + len, old + at, n);
			len += n;
			at += n;
		}
	}
	return len;
}

static size_t random_basis(uint8_t *b, size_t cap)
{
	size_t len = rnd((uint32_t)cap + 1);
	uint32_t values = rnd(4) ? 256 : 1 + rnd(3);

	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)rnd(values);
	if (len > 4000 && !rnd(3)) /* repeated content */
		memcpy(b + len / 2, b, len / 2);
	return len;
}

#define CAP 20000

static unsigned trips(void)
{
	const char *s = getenv("KEDGE_TRIPS");

	return s ? (unsigned)atoi(s) : 60;
}

static void one_trip(struct pair *p)
{
	static uint8_t basis[CAP], src[CAP], dst[CAP];
	static const uint32_t sizes[] = { 0, 1, 16, 333, 700, 5000, 100000 };
	size_t blen = random_basis(basis, rnd(2) ? 1500 : CAP), slen = mutate(basis, blen, src, CAP), len;
	uint32_t bs = sizes[rnd(ARRAY_SIZE(sizes))];

	if (bs == 1 && blen > 300)
		bs = 2;
	deliver(p, basis, blen, src, slen, bs, rnd(2), APPEND_OFF, false);
	len = receive(p, basis, dst, 0);
	assert_int_equal(len, slen);
	assert_memory_equal(dst, src, slen);
	expect_digest(p, src, slen);

	/* the same in place */
	deliver(p, basis, blen, src, slen, bs, true, APPEND_OFF, true);
	assert_int_equal(receive(p, basis, basis, 0), slen);
	assert_memory_equal(basis, src, slen);
}

static void round_trips(void **state)
{
	static const enum csum kinds[] = { CSUM_XXH128, CSUM_XXH3, CSUM_XXH64, CSUM_MD5, CSUM_MD4, CSUM_SHA1 };

	(void)state;
	for (enum comp comp = COMP_NONE; comp <= COMP_ZSTD; comp++) {
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			struct pair p;

			open_pair(&p, kinds[k], comp, 30 + (int)rnd(3));
			for (unsigned i = 0; i < trips(); i++)
				one_trip(&p);
			close_pair(&p);
		}
	}
	for (int proto = 27; proto < 30; proto++) {
		struct pair p;

		open_pair(&p, CSUM_MD4_OLD, proto & 1 ? COMP_ZLIB : COMP_NONE, proto);
		for (unsigned i = 0; i < trips(); i++)
			one_trip(&p);
		close_pair(&p);
	}
}

/* Blocks above 65535 bytes enter the history the old way below protocol 31 (spec 03 §10.4). */
static void big_blocks(void **state)
{
	size_t len = 1000000;
	uint8_t *basis = malloc(len), *src = malloc(len + 5000), *dst = malloc(len + 5000);

	(void)state;
	for (size_t i = 0; i < len; i++)
		basis[i] = (uint8_t)rnd(8);
	for (int proto = 29; proto <= 32; proto++) {
		struct pair p;

		open_pair(&p, proto < 30 ? CSUM_MD4_OLD : CSUM_MD5, COMP_ZLIB, proto);
		memcpy(src, basis, 300000);
		memcpy(src + 300000, basis + 200000, 5000);
		memcpy(src + 305000, basis + 300000, len - 300000);
		deliver(&p, basis, len, src, len + 5000, 100000, false, APPEND_OFF, false);
		assert_int_equal(p.res.matched, len);
		assert_int_equal(receive(&p, basis, dst, 0), len + 5000);
		assert_memory_equal(src, dst, len + 5000);
		close_pair(&p);
	}
	free(basis);
	free(src);
	free(dst);
}

static void expect_effort(struct pair *p, const uint8_t *basis, size_t blen, const uint8_t *src, size_t slen,
			  uint32_t bs, bool in_place, uint64_t literal)
{
	deliver(p, basis, blen, src, slen, bs, false, APPEND_OFF, in_place);
	assert_int_equal(p->res.literal, literal);
	assert_int_equal(p->res.matched + p->res.literal, slen);
}

/* A large file with scattered edits: only the touched blocks are literal. */
static void scattered(void **state)
{
	size_t len = 5000011;
	uint8_t *basis = malloc(len), *src = malloc(len + 10);
	struct pair p;
	uint32_t n;

	(void)state;
	for (size_t i = 0; i < len; i++)
		basis[i] = (uint8_t)rnd(256);
	open_pair(&p, CSUM_XXH128, COMP_NONE, 32);
	memcpy(src, basis, len);
	expect_effort(&p, basis, len, src, len, 0, false, 0);
	n = p.sums.head.blength;
	for (unsigned i = 0; i < 20; i++)
		src[(size_t)(i * 97 + 1) * n + 17] ^= 0x55;
	expect_effort(&p, basis, len, src, len, 0, false, 20ull * n);
	expect_effort(&p, basis, len, src, len, 0, true, 20ull * n);
	/* an insertion shifts everything behind it */
	memcpy(src, basis, 1000);
	memcpy(src + 1000, "0123456789", 10);
	memcpy(src + 1010, basis + 1000, len - 1000);
	expect_effort(&p, basis, len, src, len + 10, 0, false, n + 10);
	assert_int_equal(receive(&p, basis, src, 0), len + 10);
	/* a deletion in place keeps all but one block */
	memcpy(src, basis + 10, len - 10);
	expect_effort(&p, basis, len, src, len - 10, 0, true, n - 10);
	close_pair(&p);
	free(basis);
	free(src);
}

/* spec 03 §11.3: literally its examples */
static void in_place_rules(void **state)
{
	uint8_t basis[7000], src[7700];
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof basis; i++)
		basis[i] = (uint8_t)rnd(256);
	open_pair(&p, CSUM_MD5, COMP_NONE, 32);
	memcpy(src, basis + 700, 700);
	src[0] ^= 1;
	memcpy(src + 700, basis, 7000);
	expect_effort(&p, basis, 7000, src, 7700, 0, true, 7700);
	expect_effort(&p, basis, 7000, basis + 700, 6300, 0, true, 0);
	memcpy(src, basis, 700);
	memcpy(src + 700, basis, 2100);
	/* b0 b0 b1 b2 gives 0, 0, literal */
	expect_effort(&p, basis, 7000, src, 2800, 0, true, 1400);
	close_pair(&p);
}

static uint32_t nth_block(struct pair *p, unsigned n)
{
	const int32_t t = (int32_t)get_le32(p->del.base + 4 * (size_t)n);

	assert_true(t < 0);
	return (uint32_t)(-t - 1);
}

/* Equal blocks: the one that follows is preferred (§11.2). */
static void adjacency(void **state)
{
	static uint8_t zeros[3500];
	struct pair p;

	(void)state;
	open_pair(&p, CSUM_XXH3, COMP_NONE, 32);
	expect_effort(&p, zeros, 3500, zeros, 3500, 0, false, 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(nth_block(&p, i), i);
	close_pair(&p);
}

static void append_modes(void **state)
{
	uint8_t src[3000], dst[3000] = { 0 };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof src; i++)
		src[i] = (uint8_t)rnd(256);
	for (enum comp comp = COMP_NONE; comp <= COMP_ZSTD; comp++) {
		open_pair(&p, CSUM_MD5, comp, 31);
		for (size_t have = 0; have < 3000; have += 350) {
			memcpy(dst, src, have);
			memset(dst + have, 0, 3000 - have);
			deliver(&p, src, have, src, 3000, 0, false, APPEND_PLAIN, true);
			assert_int_equal(receive(&p, NULL, dst, have), 3000);
			assert_memory_equal(src, dst, 3000);
			expect_digest(&p, src + have, 3000 - have);
			deliver(&p, src, have, src, 3000, 0, false, APPEND_VERIFY, true);
			assert_int_equal(p.res.literal, 3000 - have);
			assert_int_equal(receive(&p, NULL, dst, have), 3000);
			expect_digest(&p, src, 3000);
		}
		/* shorter than what the receiver has: nothing to say */
		deliver(&p, src, 3000, src, 2000, 0, false, APPEND_VERIFY, true);
		assert_int_equal(p.res.literal, 0);
		assert_int_equal(receive(&p, NULL, dst, 2000), 2000);
		expect_digest(&p, src, 2000);
		close_pair(&p);
	}
}

/* The file is shorter than was found, or not readable: zeros, and a digest that cannot be right. */
static void shrunken(void **state)
{
	uint8_t zero[CSUM_MAX_LEN] = { 0 };
	size_t len = 600000;
	uint8_t *data = malloc(len), *dst = malloc(len);
	struct search_job job;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)rnd(256);
	for (enum comp comp = COMP_NONE; comp <= COMP_ZSTD; comp++) {
		open_pair(&p, CSUM_XXH128, comp, 32);
		for (int with_basis = 0; with_basis < 2; with_basis++) {
			deliver(&p, data, with_basis ? len : 0, data, 0, 0, false, APPEND_OFF, false);
			for (size_t have = 0; have < len; have += 250000) {
				int fd = file_of(data, have);

				wr_mem_clear(&p.del);
				job = (struct search_job){ .fd = fd, .size = len, .sums = &p.sums };
				token_out_begin(p.out, &p.del.w);
				assert_int_equal(search_send(p.search, &job, p.out, &p.res, &err), 0);
				assert_int_equal(p.res.read_errno, 5);
				assert_memory_equal(p.res.digest, zero, CSUM_MAX_LEN);
				assert_int_equal(receive(&p, data, dst, 0), len);
				assert_memory_equal(dst, data, have);
				assert_true(dst[have] == 0 && !memcmp(dst + have, dst + have + 1, len - have - 1));
				close(fd);
			}
		}
		close_pair(&p);
	}
	free(data);
	free(dst);
}

/* Sends src against a table made by hand. */
static void against(struct pair *p, struct sums *s, const uint8_t *src, size_t slen)
{
	int fd = file_of(src, slen);
	struct search_job job = { .fd = fd, .size = slen, .sums = s };

	wr_mem_clear(&p->del);
	token_out_begin(p->out, &p->del.w);
	assert_int_equal(search_send(p->search, &job, p->out, &p->res, &err), 0);
	assert_int_equal(p->res.literal + p->res.matched, slen);
	close(fd);
}

/* Effort stays bounded whatever the peer's table says; measured in operations. */
static void hostile_tables(void **state)
{
	enum { BLOCKS = 200000, LEN = 2000000 };
	uint8_t *src = calloc(1, LEN), *strong = malloc((size_t)BLOCKS * 16);
	uint32_t *weak = calloc(BLOCKS, 4);
	struct sums s = { .head = { BLOCKS, 700, 16, 0 }, .weak = weak, .strong = strong };
	uint64_t bound = 16ull * LEN + (16 << 20) + 1024, hashes = 4ull * LEN + (64 << 20) + 700;
	struct pair p;
	uint32_t n, inverse = 1;

	(void)state;
	open_pair(&p, CSUM_XXH128, COMP_NONE, 32);
	/* all weak sums equal to that of the zero file, all strong sums wrong and different */
	for (size_t i = 0; i < BLOCKS; i++) {
		put_le64(strong + i * 16, i * 0x9e3779b97f4a7c15u + 1);
		put_le64(strong + i * 16 + 8, i);
	}
	against(&p, &s, src, LEN);
	assert_true(p.res.candidates <= bound && p.res.hashed <= hashes);
	assert_int_equal(p.res.matched, 0);
	/* different weak sums in the chains of the two that alternate in this source */
	for (uint32_t i = 0; i < 5; i++)
		inverse *= 2 - BLOCK_HASH * inverse;
	for (n = 0; n < LEN; n++)
		src[n] = n & 1;
	for (n = 0; n < 16382; n++)
		weak[n] = (block_hash(weak_sum(src + (n & 1), 700)) ^ (n + 1)) * inverse;
	s.head.count = n;
	against(&p, &s, src, LEN);
	assert_true(p.res.candidates <= bound && p.res.hashed <= hashes);
	assert_true(p.res.candidates >= 16ull * LEN);
	memset(src, 0, LEN);
	/* identical blocks cost one chain entry */
	memset(weak, 0, (size_t)BLOCKS * 4);
	memset(strong, 1, (size_t)BLOCKS * 16);
	s.head.count = BLOCKS;
	against(&p, &s, src, 1000000);
	assert_true(p.res.candidates <= 1000000);
	close_pair(&p);
	free(src);
	free(strong);
	free(weak);
}

/* The vector scan stops where the scalar one does, with the same window and the same effort. */
static void scan_equal(void **state)
{
	static uint8_t data[40000];
	(void)state;
	if (!block_scan_usable(1))
		skip();
	for (unsigned round = 0; round < 40; round++) {
		uint32_t len = round & 1 ? 1 + rnd(40) : 1 + rnd(5000), n = 1 + rnd(500), hits = 0;
		uint32_t values = rnd(2) ? 256 : 1 + rnd(4);
		struct block_index ix = { 0 };
		uint32_t weak[500];
		uint8_t strong[500 * 2];
		struct sums s = { .head = { n, len, 2, 0 }, .weak = weak, .strong = strong };
		struct weak_roll a, b;
		size_t pos = 0, pb, end = sizeof data - len;

		for (size_t i = 0; i < sizeof data; i++)
			data[i] = (uint8_t)rnd(values);
		for (uint32_t i = 0; i < n; i++) {
			weak[i] = rnd(2) ? weak_sum(data + rnd((uint32_t)end), len) : rnd(UINT32_MAX);
			put_le16(strong + i * 2, (uint16_t)i);
		}
		assert_int_equal(block_index_build(&ix, &s, false), 0);
		weak_roll_set(&a, weak_sum(data, len), len);
		b = a;
		while (pos < end && hits++ < 2000) {
			uint64_t ea = rnd(100) ? 100000 : rnd(3), eb = ea;
			size_t stop = rnd(3) ? end : pos + rnd((uint32_t)(end - pos) + 1);
			bool ha, hb;

			pb = pos;
			ha = block_scan_impls[0](&ix, &a, data, &pos, stop, &ea);
			hb = block_scan_impls[1](&ix, &b, data, &pb, stop, &eb);
			assert_int_equal(ea, eb);
			if (!ea)
				break;
			assert_int_equal(ha, hb);
			assert_int_equal(pos, pb);
			assert_int_equal(weak_roll_sum(&a), weak_sum(data + pos, len));
			assert_int_equal(weak_roll_sum(&b), weak_roll_sum(&a));
			if (ha && pos < end) {
				weak_roll_step(&a, data[pos], data[pos + len]);
				weak_roll_step(&b, data[pos], data[pos + len]);
				pos++;
			}
		}
		block_index_free(&ix);
	}
}

/* Heads at the edge of what is allowed, with sums that match nothing or everything. */
static void odd_heads(void **state)
{
	static const struct sum_head heads[] = {
		{ 1, 1, 0, 0 }, { 1, 1, 0, 1 }, { 1, 700, 2, 700 }, { 2, 131072, 16, 131072 }, { 1, 131072, 1, 1 }, { 300, 1, 2, 0 },
	};
	uint8_t src[5000] = { 0 };
	uint32_t weak[300] = { 0 };
	uint8_t strong[300 * 16] = { 0 };
	struct pair p;

	(void)state;
	open_pair(&p, CSUM_XXH128, COMP_ZLIB, 32);
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct sums s = { .head = heads[i], .weak = weak, .strong = strong };

		for (size_t len = 0; len <= sizeof src; len += len < 3 ? 1 : 1249)
			against(&p, &s, src, len);
	}
	close_pair(&p);
}

/* Without memory for tables the file is sent whole; without any, the failure is clean. */
static void short_of_memory(void **state)
{
	size_t len = 1000000;
	uint8_t *data = calloc(1, len), *dst = malloc(len);
	struct budget b;
	struct pair p;

	(void)state;
	open_pair(&p, CSUM_XXH128, COMP_NONE, 32);
	search_free(p.search);
	budget_init(&b, 280000, 0);
	p.search = search_new(&b, p.c);
	deliver(&p, data, len, data, len, 0, false, APPEND_OFF, false);
	assert_int_equal(p.res.literal, len);
	assert_int_equal(receive(&p, data, dst, 0), len);
	expect_digest(&p, data, len);
	close_pair(&p);
	assert_int_equal(b.used, 0);
	free(data);
	free(dst);
}

/* Whole files of every size around the buffer borders. */
static void whole_files(void **state)
{
	static const size_t sizes[] = { 0, 1, 32767, 32768, 32769, 65536, 262143, 262144, 262145, 900001 };
	uint8_t *data = malloc(900001), *dst = malloc(900001);

	(void)state;
	for (size_t i = 0; i < 900001; i++)
		data[i] = (uint8_t)rnd(rnd(2) ? 256 : 3);
	for (enum comp comp = COMP_NONE; comp <= COMP_ZSTD; comp++) {
		struct pair p;

		open_pair(&p, comp & 1 ? CSUM_SHA1 : CSUM_XXH128, comp, 32);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			deliver(&p, NULL, 0, data, sizes[i], 0, false, APPEND_OFF, false);
			/* The same, read beforehand. */
			if (comp == COMP_NONE && sizes[i] <= TOKEN_CHUNK) {
				struct search_job job = { .fd = -1, .size = sizes[i], .whole = 1, .sums = &p.sums };

				wr_mem_clear(&p.del);
				memcpy(search_room(p.search), data, sizes[i]);
				token_out_begin(p.out, &p.del.w);
				assert_int_equal(search_send(p.search, &job, p.out, &p.res, &err), 0);
			}
			assert_int_equal(receive(&p, NULL, dst, 0), sizes[i]);
			assert_memory_equal(dst, data, sizes[i]);
			expect_digest(&p, data, sizes[i]);
		}
		close_pair(&p);
	}
	free(data);
	free(dst);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_files),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(big_blocks),
		cmocka_unit_test(scattered),
		cmocka_unit_test(in_place_rules),
		cmocka_unit_test(adjacency),
		cmocka_unit_test(append_modes),
		cmocka_unit_test(shrunken),
		cmocka_unit_test(hostile_tables),
		cmocka_unit_test(scan_equal),
		cmocka_unit_test(odd_heads),
		cmocka_unit_test(short_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
