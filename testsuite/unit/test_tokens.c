/* test_tokens.c - token streams of all codecs: recorded bytes both ways, run coding, malformed input. */
#include "config.h"
#include "unit.h"

#include "delta/token_in.h"
#include "delta/token_out.h"
#include "protocol/wire.h"

static struct err err;

struct step {
	int block;             /* -1: literal */
	const char *text;      /* literal, or the content of the block */
};

static void write_steps(struct token_out *t, struct wr *w, const struct step *s, size_t n)
{
	token_out_begin(t, w);
	for (size_t i = 0; i < n; i++) {
		if (s[i].block < 0)
			assert_int_equal(token_out_literal(t, s[i].text, strlen(s[i].text), &err), 0);
		else
			assert_int_equal(token_out_match(t, (uint32_t)s[i].block, s[i].text, strlen(s[i].text), &err), 0);
	}
	assert_int_equal(token_out_end(t, &err), 0);
}

/* Reads a stream back: literal text joined, blocks one by one. */
static void read_steps(struct token_in *t, struct rd *r, const struct step *s, size_t n)
{
	struct token tok;
	char text[4096];
	size_t have = 0, i = 0;

	token_in_begin(t, r, 1000, UINT64_MAX, false);
	for (;;) {
		assert_int_equal(token_in_next(t, &tok, &err), 0);
		if (tok.kind == TOKEN_LITERAL) {
			memcpy(text + have, tok.data, tok.len);
			have += tok.len;
			continue;
		}
		if (have) {
			assert_true(i < n && s[i].block < 0);
			assert_int_equal(have, strlen(s[i].text));
			assert_memory_equal(text, s[i].text, have);
			i++;
			have = 0;
		}
		if (tok.kind == TOKEN_END)
			break;
		for (uint32_t k = 0; k < tok.run; k++, i++) {
			assert_true(i < n);
			assert_int_equal(s[i].block, tok.block + k);
			if (token_in_wants_blocks(t))
				assert_int_equal(token_in_see(t, s[i].text, strlen(s[i].text), &err), 0);
		}
	}
	assert_int_equal(i, n);
	assert_int_equal(rd_avail(r), 0);
}

static void both_ways(enum comp c, const struct step *s, size_t n, const uint8_t *wire, size_t len)
{
	struct token_out *to;
	struct token_in *ti = token_in_new(c, 32, NULL, &err);
	struct wr_mem m;
	struct rd r;
	int level = COMP_LEVEL_DEFAULT;

	comp_level(c, &level);
	to = token_out_new(c, level, 0, 32, NULL, &err);
	wr_mem_init(&m, NULL, &err);
	write_steps(to, &m.w, s, n);
	assert_int_equal(wr_mem_len(&m), len);
	assert_memory_equal(m.base, wire, len);
	rd_init_mem(&r, wire, len, &err);
	read_steps(ti, &r, s, n);
	wr_mem_free(&m);
	token_out_free(to);
	token_in_free(ti);
}

#define B0 "abcdefghijklmnop"
#define B1 "0123456789ABCDEF"
static const struct step delta_steps[] = {
	{ 0, B0 }, { -1, "NEW-" }, { 1, B1 }, { -1, "qrstuvwxyz" }, { 1, B1 }, { -1, "end" },
};

/* spec 03 §18.2, §18.3 */
static void recorded(void **state)
{
	static const uint8_t plain[] = {
		0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 'N', 'E', 'W', '-', 0xfe, 0xff, 0xff, 0xff,
		10, 0, 0, 0, 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0xfe, 0xff, 0xff, 0xff,
		3, 0, 0, 0, 'e', 'n', 'd', 0, 0, 0, 0,
	}, zlib_bytes[] = {
		0x80, 0x40, 0x06, 0xf2, 0x73, 0x0d, 0xd7, 0x05, 0x00,
		0x81, 0x40, 0x0c, 0x2a, 0x2c, 0x2a, 0x2e, 0x29, 0x2d, 0x2b, 0xaf, 0xa8, 0xac, 0x02, 0x00,
		0x80, 0x40, 0x05, 0x4a, 0xcd, 0x4b, 0x01, 0x00, 0x00,
	}, lz4[] = {
		0x80, 0x40, 0x05, 0x40, 0x4e, 0x45, 0x57, 0x2d,
		0x81, 0x40, 0x0b, 0xa0, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
		0x80, 0x40, 0x04, 0x30, 0x65, 0x6e, 0x64, 0x00,
	}, zstd[] = {
		0x80, 0x40, 0x0d, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x20, 0x00, 0x00, 0x4e, 0x45, 0x57, 0x2d,
		0x81, 0x40, 0x0d, 0x50, 0x00, 0x00, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
		0x80, 0x40, 0x06, 0x18, 0x00, 0x00, 0x65, 0x6e, 0x64, 0x00,
	};
	size_t n = ARRAY_SIZE(delta_steps);

	(void)state;
	both_ways(COMP_NONE, delta_steps, n, plain, sizeof plain);
	both_ways(COMP_ZLIB, delta_steps, n, zlib_bytes, sizeof zlib_bytes);
	both_ways(COMP_ZLIBX, delta_steps, n, zlib_bytes, sizeof zlib_bytes);
	both_ways(COMP_LZ4, delta_steps, n, lz4, sizeof lz4);
	both_ways(COMP_ZSTD, delta_steps, n, zstd, sizeof zstd);
}

#define H64 "nQvWys81vp7hB1dx8PpD5KHXe3PYiGkPAuNaRL63xYKwzEInncIIA3ANxN9K3KSU"

static void history(void **state)
{
	static const uint8_t old[] = { 0x80, 0x40, 0x05, 0x22, 0x56, 0x97, 0x22, 0x00, 0x00 };
	static const uint8_t new[] = {
		0x80, 0x40, 0x2b, 0x32, 0xcf, 0x70, 0x32, 0x4c, 0xa9, 0xb0, 0x08, 0x28, 0x70, 0x31, 0xf5, 0xf6, 0x88,
		0x48, 0x35, 0x0e, 0x88, 0xcc, 0x74, 0xcf, 0x0e, 0x70, 0x2c, 0xf5, 0x4b, 0x0c, 0xf2, 0x31, 0x33, 0xae,
		0x88, 0xf4, 0x2e, 0xaf, 0x72, 0xf5, 0xcc, 0xcb, 0x4b, 0x56, 0x04, 0x00, 0x00,
	};
	char text[42];
	struct step s[] = { { 0, H64 }, { -1, text } };

	(void)state;
	memcpy(text, &H64[10], 40);
	strcpy(text + 40, "!");
	both_ways(COMP_ZLIB, s, 2, old, sizeof old);
	both_ways(COMP_ZLIBX, s, 2, new, sizeof new);
}

/* spec 03 §10.2: the run-coding example; no file's state reaches the next but zstd's. */
static void runs(void **state)
{
	static const uint8_t want[] = {
		0xc5, 0x02, 0x00, 0xff, 0x01, 0x00, 0x20, 0xc8, 0, 0, 0, 0x20, 0x0a, 0, 0, 0, 0x20, 0x07, 0x01, 0, 0,
		0x80, 0xa4, 0x20, 0, 0, 0, 0, 0,
	};
	struct step s[11];
	static const int order[] = { 5, 6, 7, 70, 71, 200, 10, 263, 263, 299, 0 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		s[i] = (struct step){ order[i], "x" };
	for (enum comp c = COMP_ZLIB; c <= COMP_ZSTD; c++)
		both_ways(c, s, ARRAY_SIZE(s), want, sizeof want);
}

/* Runs end at 65536 blocks. */
static void long_run(void **state)
{
	struct token_out *to = token_out_new(COMP_LZ4, 0, 0, 32, NULL, &err);
	static const uint8_t want[] = { 0xc0, 0xff, 0xff, 0xc1, 0xff, 0xff, 0x81, 0x00 };
	struct wr_mem m;

	(void)state;
	wr_mem_init(&m, NULL, &err);
	token_out_begin(to, &m.w);
	for (uint32_t i = 0; i < 2 * 65536 + 1; i++)
		assert_int_equal(token_out_match(to, i, NULL, 700, &err), 0);
	assert_int_equal(token_out_end(to, &err), 0);
	assert_int_equal(wr_mem_len(&m), sizeof want);
	assert_memory_equal(m.base, want, sizeof want);
	wr_mem_free(&m);
	token_out_free(to);
}

static void levels(void **state)
{
	int l;

	(void)state;
	l = 0; assert_true(comp_level(COMP_ZLIB, &l));
	l = 0; assert_true(comp_level(COMP_ZLIBX, &l));
	l = 99; assert_false(comp_level(COMP_ZLIB, &l)); assert_int_equal(l, 9);
	l = -1; assert_false(comp_level(COMP_ZLIB, &l)); assert_int_equal(l, 6);
	l = COMP_LEVEL_DEFAULT; assert_false(comp_level(COMP_ZLIBX, &l)); assert_int_equal(l, 6);
	l = 0; assert_false(comp_level(COMP_ZSTD, &l)); assert_int_equal(l, 3);
	l = 99; assert_false(comp_level(COMP_ZSTD, &l)); assert_int_equal(l, 22);
	l = 7; assert_false(comp_level(COMP_LZ4, &l)); assert_int_equal(l, 0);
	assert_int_equal(comp_parse("ZStd", 4), COMP_ZSTD);
	assert_int_equal(comp_parse("zlibx", 5), COMP_ZLIBX);
	assert_int_equal(comp_parse("gzip", 4), COMP_INVALID);
}

/* Incompressible and repetitive data, sizes around the packet and buffer borders, several files per connection. */
static void big_literals(void **state)
{
	static const size_t sizes[] = { 1, 16382, 16383, 16384, 32766, 32768, 65536, 262144, 1000003 };
	uint8_t *data = malloc(1000003);

	(void)state;
	for (enum comp c = COMP_NONE; c <= COMP_ZSTD; c++) {
		struct token_in *ti = token_in_new(c, 32, NULL, &err);
		struct token_out *to;
		int level = COMP_LEVEL_DEFAULT;

		comp_level(c, &level);
		to = token_out_new(c, level, 0, 32, NULL, &err);
		for (unsigned kind = 0; kind < 2; kind++) {
			uint64_t x = 88172645463325252u;

			for (size_t i = 0; i < 1000003; i++) {
				x ^= x << 13, x ^= x >> 7, x ^= x << 17;
				data[i] = kind ? (uint8_t)x : (uint8_t)(i / 1000);
			}
			for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
				struct wr_mem m;
				struct token tok;
				struct rd r;
				size_t off = 0;

				wr_mem_init(&m, NULL, &err);
				token_out_begin(to, &m.w);
				for (size_t n; off < sizes[k]; off += n) {
					n = MIN(sizes[k] - off, k & 1 ? (size_t)1000003 : (size_t)7000);
					assert_int_equal(token_out_literal(to, data + off, n, &err), 0);
				}
				assert_int_equal(token_out_end(to, &err), 0);
				rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
				token_in_begin(ti, &r, 0, sizes[k], false);
				for (off = 0;;) {
					assert_int_equal(token_in_next(ti, &tok, &err), 0);
					if (tok.kind == TOKEN_END)
						break;
					assert_int_equal(tok.kind, TOKEN_LITERAL);
					assert_memory_equal(tok.data, data + off, tok.len);
					off += tok.len;
				}
				assert_int_equal(off, sizes[k]);
				assert_int_equal(rd_avail(&r), 0);
				wr_mem_free(&m);
			}
		}
		token_out_free(to);
		token_in_free(ti);
	}
	free(data);
}

/* Reads to the end or the failure; returns the exit code. */
static int drain_code(enum comp c, const void *wire, size_t len, uint32_t count, uint64_t max, bool discard)
{
	struct err e = { 0 };
	struct token_in *ti = token_in_new(c, 32, NULL, &e);
	struct token tok = { 0 };
	struct rd r;

	rd_init_mem(&r, wire, len, &e);
	token_in_begin(ti, &r, count, max, discard);
	do {
		if (token_in_next(ti, &tok, &e) < 0)
			break;
	} while (tok.kind != TOKEN_END);
	token_in_free(ti);
	return e.code;
}
#define CODE(c, count, ...) \
	drain_code(c, (const uint8_t[]){ __VA_ARGS__ }, sizeof (const uint8_t[]){ __VA_ARGS__ }, count, UINT64_MAX, false)

static void malformed(void **state)
{
	(void)state;
	assert_int_equal(CODE(COMP_NONE, 3, 0, 0, 0, 0), 0);
	assert_int_equal(CODE(COMP_NONE, 3, 0xfd, 0xff, 0xff, 0xff, 0, 0, 0, 0), 0);
	assert_int_equal(CODE(COMP_NONE, 3, 0xfc, 0xff, 0xff, 0xff), RX_PROTOCOL);
	assert_int_equal(CODE(COMP_NONE, 3, 0, 0, 0, 0x80), RX_PROTOCOL);
	assert_int_equal(CODE(COMP_NONE, 0, 0xff, 0xff, 0xff, 0xff), RX_PROTOCOL);
	assert_int_equal(CODE(COMP_NONE, 3, 0xff, 0xff, 0xff, 0x7f, 1), RX_STREAMIO);
	for (enum comp c = COMP_ZLIB; c <= COMP_ZSTD; c++) {
		assert_int_equal(CODE(c, 3, 0), 0);
		assert_int_equal(CODE(c, 3, 0xc0, 2, 0, 0), 0);
		assert_int_equal(CODE(c, 3, 0xc0, 3, 0, 0), RX_PROTOCOL);
		assert_int_equal(CODE(c, 3, 0xc0, 0, 0, 0), RX_PROTOCOL);        /* run of zero */
		assert_int_equal(CODE(c, 3, 0x83), RX_PROTOCOL);
		assert_int_equal(CODE(c, 3, 0x20, 0xff, 0xff, 0xff, 0xff), RX_PROTOCOL);
		assert_int_equal(CODE(c, 3, 0x20, 0xff, 0xff, 0xff, 0x7f), RX_PROTOCOL);
		assert_int_equal(CODE(c, 3, 0x21, 0xfe, 0xff, 0xff, 0x7f, 0xff, 0xff), RX_PROTOCOL);
		assert_int_equal(CODE(c, 0, 0x80), RX_PROTOCOL);
		assert_int_equal(CODE(c, 3, 0x01, 0), RX_PROTOCOL);
		assert_int_equal(CODE(c, 3, 0x40, 0x00, 0x00), RX_STREAMIO);     /* empty packet */
		assert_int_equal(CODE(c, 3, 0x40, 0x04, 0xff, 0xff, 0xff, 0xff, 0), RX_STREAMIO);
		assert_int_equal(CODE(c, 3, 0x7f, 0xff, 1, 2, 3), RX_STREAMIO);
		assert_int_equal(CODE(c, 3, 0x40), RX_STREAMIO);
	}
	/* zlib: the flush mark left in, an unflushed end, a finished stream */
	assert_int_equal(CODE(COMP_ZLIB, 0, 0x40, 0x05, 0x4a, 0xcd, 0x4b, 0x01, 0x00, 0), 0);
	assert_int_equal(CODE(COMP_ZLIB, 0, 0x40, 0x09, 0x4a, 0xcd, 0x4b, 0x01, 0x00, 0, 0, 0xff, 0xff, 0), RX_STREAMIO);
	assert_int_equal(CODE(COMP_ZLIB, 0, 0x40, 0x04, 0x4a, 0xcd, 0x4b, 0x01, 0), RX_STREAMIO);
	assert_int_equal(CODE(COMP_ZLIB, 0, 0x40, 0x05, 0x4b, 0xcd, 0x4b, 0x01, 0x00, 0), RX_STREAMIO);
	/* one byte per packet is fine */
	assert_int_equal(CODE(COMP_ZLIB, 0, 0x40, 1, 0x4a, 0x40, 1, 0xcd, 0x40, 1, 0x4b, 0x40, 1, 0x01, 0x40, 1, 0x00, 0), 0);
	/* lz4: a block of nothing */
	assert_int_equal(CODE(COMP_LZ4, 0, 0x40, 1, 0x00, 0), RX_STREAMIO);
	/* zstd: a second frame header; a last block */
	assert_int_equal(CODE(COMP_ZSTD, 0, 0x40, 0x0d, 0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 0x20, 0, 0, 'a', 'b', 'c', 'd', 0), 0);
	assert_int_equal(CODE(COMP_ZSTD, 0, 0x40, 0x0d, 0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 0x20, 0, 0, 'a', 'b', 'c', 'd',
		0x40, 0x0d, 0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 0x20, 0, 0, 'a', 'b', 'c', 'd', 0), RX_STREAMIO);
	assert_int_equal(CODE(COMP_ZSTD, 0, 0x40, 0x0d, 0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 0x21, 0, 0, 'a', 'b', 'c', 'd', 0), RX_STREAMIO);
	/* zstd: a window of 1 GiB (exponent 20) is refused */
	assert_int_equal(CODE(COMP_ZSTD, 0, 0x40, 0x0d, 0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 0x20, 0, 0, 'a', 'b', 'c', 'd', 0), RX_STREAMIO);
}

/* A small stream that unpacks to much is cut at the limit, and each step is bounded. */
static void bomb(void **state)
{
	static uint8_t zeros[8 << 20];
	struct wr_mem m;

	(void)state;
	for (enum comp c = COMP_ZLIB; c <= COMP_ZSTD; c++) {
		struct token_out *to = token_out_new(c, c == COMP_LZ4 ? 0 : 3, 0, 32, NULL, &err);
		struct token_in *ti = token_in_new(c, 32, NULL, &err);
		struct token tok;
		struct rd r;

		wr_mem_init(&m, NULL, &err);
		token_out_begin(to, &m.w);
		assert_int_equal(token_out_literal(to, zeros, sizeof zeros, &err), 0);
		assert_int_equal(token_out_end(to, &err), 0);
		assert_int_equal(drain_code(c, m.base, wr_mem_len(&m), 0, sizeof zeros, false), 0);
		assert_int_equal(drain_code(c, m.base, wr_mem_len(&m), 0, sizeof zeros - 1, false), RX_STREAMIO);
		assert_int_equal(drain_code(c, m.base, wr_mem_len(&m), 0, UINT64_MAX, true), 0);
		rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
		token_in_begin(ti, &r, 0, UINT64_MAX, false);
		do {
			assert_int_equal(token_in_next(ti, &tok, &err), 0);
			assert_true(tok.kind == TOKEN_END || (tok.len && tok.len <= 262144));
		} while (tok.kind != TOKEN_END);
		wr_mem_free(&m);
		token_out_free(to);
		token_in_free(ti);
	}
}

/* A zstd receiver that discards one file can still read the next (spec 03 §10.6, §10.9). */
static void discard_keeps_state(void **state)
{
	struct token_out *to = token_out_new(COMP_ZSTD, 3, 0, 32, NULL, &err);
	struct token_in *ti = token_in_new(COMP_ZSTD, 32, NULL, &err);
	struct step s = { -1, "the same words in both files, the same words" };
	struct wr_mem m;
	struct token tok;
	struct rd r;
	size_t first;

	(void)state;
	wr_mem_init(&m, NULL, &err);
	write_steps(to, &m.w, &s, 1);
	first = wr_mem_len(&m);
	write_steps(to, &m.w, &s, 1);
	assert_true(wr_mem_len(&m) - first < first);
	rd_init_mem(&r, m.base, first, &err);
	token_in_begin(ti, &r, 0, UINT64_MAX, true);
	do
		assert_int_equal(token_in_next(ti, &tok, &err), 0);
	while (tok.kind != TOKEN_END);
	rd_init_mem(&r, m.base + first, wr_mem_len(&m) - first, &err);
	read_steps(ti, &r, &s, 1);
	wr_mem_free(&m);
	token_out_free(to);
	token_in_free(ti);
}

/* Memory is charged to the budget, given back, and a small budget is a clean refusal. */
static void budgets(void **state)
{
	struct budget b;

	(void)state;
	for (enum comp c = COMP_NONE; c <= COMP_ZSTD; c++) {
		struct token_out *to;
		struct token_in *ti;

		budget_init(&b, 0, 0);
		to = token_out_new(c, c == COMP_LZ4 ? 0 : 6, 0, 30, &b, &err);
		ti = token_in_new(c, 30, &b, &err);
		assert_non_null(to);
		assert_non_null(ti);
		token_out_free(to);
		token_in_free(ti);
		assert_int_equal(b.used, 0);
	}
	for (enum comp c = COMP_ZLIB; c <= COMP_LZ4; c++) {
		struct err e = { 0 };

		budget_init(&b, 10000, 0);
		assert_null(token_out_new(c, 6, 0, 30, &b, &e));
		assert_int_equal(e.code, RX_MALLOC);
		assert_null(token_in_new(c, 30, &b, &e));
		assert_int_equal(b.used, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded),
		cmocka_unit_test(history),
		cmocka_unit_test(runs),
		cmocka_unit_test(long_run),
		cmocka_unit_test(levels),
		cmocka_unit_test(big_literals),
		cmocka_unit_test(malformed),
		cmocka_unit_test(bomb),
		cmocka_unit_test(discard_keeps_state),
		cmocka_unit_test(budgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
