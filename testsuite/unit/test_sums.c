/* test_sums.c - checksums, the rolling sum, sum heads, signatures and their reader. */
#include "config.h"
#include "unit.h"

#include <stdio.h>
#include <sys/mman.h>

#include "delta/checksum.h"
#include "delta/rolling.h"
#include "delta/sums.h"
#include "protocol/wire.h"

static struct err err;
static uint8_t p700[700];

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 700; i++)
		p700[i] = (uint8_t)(7 * i + 3);
	return csum_global_init(&err);
}

static const char *hex(const uint8_t *p, unsigned n)
{
	static char s[2 * CSUM_MAX_LEN + 1];

	for (unsigned i = 0; i < n; i++)
		sprintf(s + 2 * i, "%02x", p[i]);
	s[2 * n] = '\0';
	return s;
}

static void expect_block(enum csum kind, int32_t seed, bool seed_last, const void *data, size_t len, const char *want)
{
	struct csum_ctx *c = csum_ctx_new(kind, seed, seed_last);
	uint8_t out[CSUM_MAX_LEN];

	assert_non_null(c);
	for (int twice = 0; twice < 2; twice++) {
		csum_block(c, data, len, out);
		assert_string_equal(hex(out, csum_len(kind)), want);
	}
	csum_ctx_free(c);
}

static const int32_t seeds[] = { 0, 1, 0x12345678, -1 };

/* spec 03 §8.6, first table: per seed md5 first, md5 last, md4 */
static const char *const table_abc[4][3] = {
	{ "900150983cd24fb0d6963f7d28e17f72", "900150983cd24fb0d6963f7d28e17f72", "a448017aaf21d8525fc10ae87aa6729d" },
	{ "786ab9380f4e4afc0dcd9879c6f96bfd", "b2f1568e6edff2e439c7c50cea58e427", "ed3a9ad67d797842f5c9a571d6e71b89" },
	{ "5a035b41f39449760a0c6a01e4060c62", "a7e33be7c2164ebddcb3da6720a2d7d4", "dfc21629291028d56ee023a48767e5c9" },
	{ "524e07e9cbe15fd1976a01206c9280a6", "d0425b538a1d364210ec6ad176af7699", "76f8714161d8ca774d1600b1a28ba682" },
};
static const char *const table_p700[4][3] = {
	{ "4b19ae3591d328678ed117338d756808", "4b19ae3591d328678ed117338d756808", "3a6227193324fa371e97025f31156016" },
	{ "f08c9f4c44d045b4aadd0f6672e22246", "27f34301aa970943d473d419fbf0b072", "bc16141bea1d975563fea63e44f3cb8b" },
	{ "b44ce33ab5c643de191e3169d1d1592c", "5b968e73dab5a342ab427898f7057d98", "c8f67131d2b34bc33d834830306c57e4" },
	{ "749b2b02e863ceaca79a22712c9fe853", "12e8047726ca339cefb064db177be370", "8dd837f0aaf99314f62bd23d3d4d8028" },
};
/* second table: sha1, xxh64, xxh3, xxh128 */
static const char *const table2_abc[4][4] = {
	{ "a9993e364706816aba3e25717850c26c9cd0d89d", "990977adf52cbc44", "50392f89945faf78", "50392f89945faf7885613a73b65ab006" },
	{ "5506ca134a0d52a49c3d71029e17e945a6afa82b", "0889329981caa9be", "2862c743b467446b", "2862c743b467446bede39eae6fb07775" },
	{ "d3e61ddc0c84883a9f1e2e76eba65782e2cd74ee", "2bf41a5f65d17f0f", "2791f6cd464913ce", "2791f6cd464913ceddc49a22946c9bd8" },
	{ "ce57890f3900acef691aa7aaa715b07462b56eba", "7621c09c586e3028", "c9c94691b03d1c29", "c9c94691b03d1c297df9bb8676ebe8c3" },
};
static const char *const table2_p700[4][4] = {
	{ "0faf07b67a77a6f81103e2aad981562c42a6bf4c", "fc58ff909a0d9fb7", "05f481ef8b71fcd4", "05f481ef8b71fcd4fd97c4a497d2be1c" },
	{ "4855d08247ca117d8b5b786d8b4187374fff3647", "0891e413de05093e", "58887eaa37b4010f", "58887eaa37b4010f6159284051a62402" },
	{ "8552673c078a32245ec1b1121b684e6c1ca08e72", "880b3aa157f83d83", "97d266d3b99184bc", "97d266d3b99184bca43ec7cd0c698c9a" },
	{ "8f39d18a41749a23a4c561728a2bdd79e8ed8a89", "d6359293912d377b", "31622f576fa97d4e", "31622f576fa97d4eaa9b567c7d0fd802" },
};

static void block_vectors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		expect_block(CSUM_MD5, seeds[i], false, "abc", 3, table_abc[i][0]);
		expect_block(CSUM_MD5, seeds[i], true, "abc", 3, table_abc[i][1]);
		expect_block(CSUM_MD4, seeds[i], false, "abc", 3, table_abc[i][2]);
		expect_block(CSUM_MD4_OLD, seeds[i], false, "abc", 3, table_abc[i][2]);
		expect_block(CSUM_MD5, seeds[i], false, p700, 700, table_p700[i][0]);
		expect_block(CSUM_MD5, seeds[i], true, p700, 700, table_p700[i][1]);
		expect_block(CSUM_MD4_OLD, seeds[i], false, p700, 700, table_p700[i][2]);
		for (unsigned k = 0; k < 4; k++) {
			enum csum kind = (enum csum[]){ CSUM_SHA1, CSUM_XXH64, CSUM_XXH3, CSUM_XXH128 }[k];

			expect_block(kind, seeds[i], false, "abc", 3, table2_abc[i][k]);
			expect_block(kind, seeds[i], false, p700, 700, table2_p700[i][k]);
		}
	}
	expect_block(CSUM_XXH128, 0, false, "", 0, "7f498d4624c30160d8984701d306aa99");
	expect_block(CSUM_XXH64, 0, false, "", 0, "99e9d85137db46ef");
}

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

/* Streams data in uneven pieces, twice through one context, then at once, and checks the -c form as well. */
static void expect_file(enum csum kind, int32_t seed, const void *data, size_t len, const char *want, const char *want_list)
{
	struct csum_ctx *c = csum_ctx_new(kind, seed, false);
	uint8_t out[CSUM_MAX_LEN];
	const uint8_t *p = data;
	int fd = file_of(data, len);

	for (int twice = 0; twice < 2; twice++) {
		csum_start(c);
		for (size_t off = 0, n; off < len; off += n) {
			n = MIN(len - off, off % 97 + 1);
			csum_update(c, p + off, n);
		}
		csum_final(c, out);
		assert_string_equal(hex(out, csum_len(kind)), want);
	}
	csum_whole(c, data, len, out);
	assert_string_equal(hex(out, csum_len(kind)), want);
	assert_int_equal(csum_list_fd(c, fd, len, out), 0);
	assert_string_equal(hex(out, csum_len(kind)), want_list);
	assert_int_equal(csum_list_fd(c, fd, len + 1, out), -5);
	close(fd);
	csum_ctx_free(c);
}

static void file_vectors(void **state)
{
	static const char hello[] = "hello world\n";

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		expect_file(CSUM_MD5, seeds[i], p700, 700, table_p700[0][0], table_p700[0][0]);
		expect_file(CSUM_MD4, seeds[i], p700, 700, table_p700[0][2], table_p700[0][2]);
		for (unsigned k = 0; k < 4; k++) {
			enum csum kind = (enum csum[]){ CSUM_SHA1, CSUM_XXH64, CSUM_XXH3, CSUM_XXH128 }[k];

			expect_file(kind, seeds[i], p700, 700, table2_p700[0][k], table2_p700[0][k]);
			expect_file(kind, seeds[i], "abc", 3, table2_abc[0][k], table2_abc[0][k]);
		}
	}
	expect_file(CSUM_MD4_OLD, 1, "", 0, "6e2d946b34531b49bd177b49c538ee64", "31d6cfe0d16ae931b73c59d7e0c089c0");
	expect_file(CSUM_MD4_OLD, 1, "abc", 3, "b7ce3570356816403612cec4bfb78c7a", table_abc[0][2]);
	expect_file(CSUM_MD4_OLD, 1, p700, 700, "b1f2525f248a9233dc8dc1f340c713ff", table_p700[0][2]);
	expect_file(CSUM_MD4_OLD, 1, hello, 12, "a7d12ed3e2927d33f4ff0e42c63d12fe", "97668ab2f29d0115bd0d1161b9bec520");
	expect_file(CSUM_XXH128, 1, hello, 12, "254448a533e7b23613cd0071d8c9faee", "254448a533e7b23613cd0071d8c9faee");
	expect_file(CSUM_MD5, 1, hello, 12, "6f5902ac237024bdd0c176cb93063dc4", "6f5902ac237024bdd0c176cb93063dc4");
	expect_file(CSUM_NONE, 1, hello, 12, "00", "00");
}

/* The MD4 test suite of RFC 1320 A.5 crosses the padding borders. */
static void md4_rfc(void **state)
{
	(void)state;
	expect_block(CSUM_MD4, 0, false, "", 0, "31d6cfe0d16ae931b73c59d7e0c089c0");
	expect_block(CSUM_MD4, 0, false, "abcdefghijklmnopqrstuvwxyz", 26, "d79e1c308aa5bbcdeea8ed63df412da9");
	expect_block(CSUM_MD4, 0, false, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 62,
		"043f8582f241db351ce627e153e7f0e4");
	expect_block(CSUM_MD4, 0, false,
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890", 80,
		"e33b4ddc9c38f2199c3e7b164fcc0536");
}

/* Vectorised streaming against one-shot, at lengths around every internal border. */
static void xxh_stream(void **state)
{
	static uint8_t data[5000];
	struct csum_ctx *c3 = csum_ctx_new(CSUM_XXH3, 0, false), *c128 = csum_ctx_new(CSUM_XXH128, 0, false);
	uint8_t a[CSUM_MAX_LEN], b[CSUM_MAX_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * i >> 3);
	for (size_t len = 0; len <= sizeof data; len += len < 600 ? 1 : 61) {
		struct csum_ctx *c = len & 1 ? c3 : c128;

		csum_block(c, data, len, a);
		csum_start(c);
		csum_update(c, data, len / 3);
		csum_update(c, data + len / 3, len - len / 3);
		csum_final(c, b);
		assert_memory_equal(a, b, CSUM_MAX_LEN);
	}
	csum_ctx_free(c3);
	csum_ctx_free(c128);
}

static void names(void **state)
{
	(void)state;
	assert_int_equal(csum_parse("XXH128", 6), CSUM_XXH128);
	assert_int_equal(csum_parse("xxhash", 6), CSUM_XXH64);
	assert_int_equal(csum_parse("md4", 3), CSUM_MD4);
	assert_int_equal(csum_parse("none", 4), CSUM_NONE);
	assert_int_equal(csum_parse("auto", 4), CSUM_INVALID);
	assert_int_equal(csum_parse("md", 2), CSUM_INVALID);
	assert_int_equal(csum_parse("", 0), CSUM_INVALID);
	assert_string_equal(csum_name(CSUM_MD4_OLD), "md4");
	assert_int_equal(csum_len(CSUM_SHA1), 20);
}

static void spoil(void **state)
{
	uint8_t d[CSUM_MAX_LEN] = { 1 }, zero[CSUM_MAX_LEN] = { 0 };

	(void)state;
	csum_spoil(CSUM_MD5, d);
	assert_memory_equal(d, zero, sizeof d);
	csum_spoil(CSUM_MD5, d);
	assert_int_equal(d[15], 1);
}

static void weak_vectors(void **state)
{
	uint8_t b[700];

	(void)state;
	assert_int_equal(weak_sum("", 0), 0);
	assert_int_equal(weak_sum("\xff", 1), 0xffffffff);
	assert_int_equal(weak_sum("\x80\x7f", 2), 0xff7fffff);
	assert_int_equal(weak_sum("abc", 3), 0x024a0126);
	memset(b, 0x80, 64);
	assert_int_equal(weak_sum(b, 64), 0xf000e000);
	memset(b, 0, 700);
	assert_int_equal(weak_sum(b, 700), 0);
	memset(b, 0xff, 700);
	assert_int_equal(weak_sum(b, 700), 0x419afd44);
	assert_int_equal(weak_sum(p700, 700), 0x760cfeda);
	assert_int_equal(weak_sum("abcdefghijklmnop", 16), 0x36300688);
}

/* All implementations, lengths and alignments, with an unmapped page behind the data. */
static void weak_all(void **state)
{
	uint8_t *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = map + 8192;

	(void)state;
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(end, 4096, PROT_NONE), 0);
	for (unsigned i = 0; i < 8192; i++)
		map[i] = (uint8_t)(i * 2654435761u >> 24);
	for (unsigned k = 0; k < ARRAY_SIZE(weak_impls); k++) {
		if (!weak_impl_usable(k))
			continue;
		for (size_t len = 0; len <= 1024; len++)
			assert_int_equal(weak_impls[k].fn(end - len, len), weak_impls[0].fn(end - len, len));
		for (size_t shift = 0; shift < 64; shift++)
			assert_int_equal(weak_impls[k].fn(map + shift, 4099), weak_impls[0].fn(map + shift, 4099));
	}
	munmap(map, 3 * 4096);
}

/* Extreme bytes make the vector lanes wrap, if they can. */
static void weak_extreme(void **state)
{
	size_t len = (size_t)1 << 20;
	uint8_t *b = malloc(len);

	(void)state;
	for (unsigned v = 0; v < 3; v++) {
		memset(b, v == 0 ? 0x7f : v == 1 ? 0x80 : 0xff, len);
		for (unsigned k = 1; k < ARRAY_SIZE(weak_impls); k++) {
			if (weak_impl_usable(k))
				assert_int_equal(weak_impls[k].fn(b, len), weak_impls[0].fn(b, len));
		}
	}
	free(b);
}

static void weak_rolls(void **state)
{
	uint8_t data[3000];
	struct weak_roll w;
	size_t off;

	(void)state;
	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 2246822519u >> 21);
	weak_roll_set(&w, weak_sum(data, 700), 700);
	for (off = 0; off + 700 < sizeof data; off++) {
		assert_int_equal(weak_roll_sum(&w), weak_sum(data + off, 700));
		weak_roll_step(&w, data[off], data[off + 700]);
	}
	for (; off < sizeof data; off++) {
		assert_int_equal(weak_roll_sum(&w), weak_sum(data + off, sizeof data - off));
		weak_roll_shrink(&w, data[off]);
	}
}

/* spec 03 §6.3 */
static void sizes(void **state)
{
	static const struct { uint64_t len; uint32_t count, blen, s2, rem, ocount, oblen, os2, orem; } t[] = {
		{ 1, 1, 700, 2, 1, 1, 700, 2, 1 },
		{ 700, 1, 700, 2, 0, 1, 700, 2, 0 },
		{ 490000, 700, 700, 2, 0, 700, 700, 2, 0 },
		{ 490001, 701, 700, 2, 1, 701, 700, 2, 1 },
		{ 600000, 782, 768, 2, 192, 782, 768, 2, 192 },
		{ 1000000, 1000, 1000, 2, 0, 1000, 1000, 2, 0 },
		{ 10000000, 3165, 3160, 2, 1760, 3165, 3160, 2, 1760 },
		{ 100000000, 10000, 10000, 3, 0, 10000, 10000, 3, 0 },
		{ 1000000000, 31630, 31616, 3, 17536, 31630, 31616, 3, 17536 },
		{ ((uint64_t)1 << 34) - 1, 131081, 131064, 4, 63, 131081, 131064, 4, 63 },
		{ (uint64_t)1 << 34, 131072, 131072, 4, 0, 131072, 131072, 4, 0 },
		{ 100000000000, 762940, 131072, 5, 59392, 316232, 316224, 5, 168256 },
		{ 1000000000000, 7629395, 131072, 5, 69632, 1000000, 1000000, 5, 0 },
	};
	struct sum_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		sum_head_choose(&h, t[i].len, 32, 16, false, 0);
		assert_int_equal(h.count, t[i].count);
		assert_int_equal(h.blength, t[i].blen);
		assert_int_equal(h.s2length, t[i].s2);
		assert_int_equal(h.remainder, t[i].rem);
		assert_int_equal(sum_head_span(&h), t[i].len);
		sum_head_choose(&h, t[i].len, 29, 16, false, 0);
		assert_int_equal(h.count, t[i].ocount);
		assert_int_equal(h.blength, t[i].oblen);
		assert_int_equal(h.s2length, t[i].os2);
		assert_int_equal(h.remainder, t[i].orem);
		sum_head_choose(&h, t[i].len, 32, 8, true, 0);
		assert_int_equal(h.s2length, 8);
		sum_head_choose(&h, t[i].len, 32, 20, true, 16);
		assert_int_equal(h.s2length, t[i].len > 16ull * INT32_MAX ? 0 : 16);
	}
	sum_head_choose(&h, 0, 32, 16, false, 0);
	assert_int_equal(h.count | h.blength | h.s2length | h.remainder, 0);
	sum_head_choose(&h, (uint64_t)1 << 40, 32, 16, false, 1);
	assert_int_equal(h.count | h.blength, 0);
}

static int check_head(int32_t count, int32_t blen, int32_t s2, int32_t rem, int proto, unsigned dl)
{
	uint8_t wire[16];
	struct rd r;
	struct sum_head h;
	struct err e = { 0 };

	put_le32(wire, (uint32_t)count);
	put_le32(wire + 4, (uint32_t)blen);
	put_le32(wire + 8, (uint32_t)s2);
	put_le32(wire + 12, (uint32_t)rem);
	rd_init_mem(&r, wire, 16, &e);
	return sum_head_read(&r, &h, proto, dl, &e) < 0 ? e.code : 0;
}

static void head_limits(void **state)
{
	(void)state;
	assert_int_equal(check_head(3, 16, 2, 10, 32, 16), 0);
	assert_int_equal(check_head(0, 0, 0, 0, 32, 16), 0);
	assert_int_equal(check_head(0, 700, 2, 5, 32, 16), 0);
	assert_int_equal(check_head(1, 700, 2, 700, 32, 16), 0);
	assert_int_equal(check_head(-1, 700, 2, 0, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, -1, 2, 0, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 131072, 2, 0, 32, 16), 0);
	assert_int_equal(check_head(1, 131073, 2, 0, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 1 << 29, 2, 0, 29, 16), 0);
	assert_int_equal(check_head(1, (1 << 29) + 1, 2, 0, 29, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 0, 2, 0, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 700, -1, 0, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 700, 17, 0, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 700, 16, 0, 32, 8), RX_PROTOCOL);
	assert_int_equal(check_head(1, 700, 2, -1, 32, 16), RX_PROTOCOL);
	assert_int_equal(check_head(1, 700, 2, 701, 32, 16), RX_PROTOCOL);
}

static const uint8_t request_18_2[] = {
	3, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, 10, 0, 0, 0,
	0x88, 0x06, 0x30, 0x36, 0xcb, 0x30, 0xa2, 0x03, 0xbb, 0x1c, 0x4a, 0x50, 0x97, 0x04, 0xec, 0x18, 0x8a, 0x52,
};

static int count_tap(void *ctx, const void *data, size_t len)
{
	size_t *n = ctx;

	(void)data;
	*n += len;
	return 0;
}

/* spec 03 §18.2: the signature of the capture, both ways */
static void signature(void **state)
{
	static const char basis[] = "abcdefghijklmnop0123456789ABCDEFqrstuvwxyz";
	struct csum_ctx *c = csum_ctx_new(CSUM_XXH128, 1, false);
	struct sum_writer *sw = sum_writer_new(NULL, c);
	struct budget b;
	struct sum_head h;
	struct sums s;
	struct wr_mem m;
	struct rd r;
	struct err e = { 0 };
	size_t tapped = 0;
	int fd = file_of(basis, 42), io_errno;

	(void)state;
	wr_mem_init(&m, NULL, &e);
	sum_head_choose(&h, 42, 32, 16, false, 16);
	assert_int_equal(sum_writer_send(sw, &m.w, &h, fd, count_tap, &tapped, &io_errno, &e), 0);
	assert_int_equal(io_errno, 0);
	assert_int_equal(tapped, 42);
	assert_int_equal(wr_mem_len(&m), sizeof request_18_2);
	assert_memory_equal(m.base, request_18_2, sizeof request_18_2);

	budget_init(&b, 0, 0);
	sums_init(&s, &b);
	rd_init_mem(&r, request_18_2, sizeof request_18_2, &e);
	assert_int_equal(sum_head_read(&r, &h, 32, 16, &e), 0);
	assert_int_equal(sums_read(&s, &r, &h, CSUM_XXH128, true, SUM_TABLE_LIMIT, &e), 0);
	assert_int_equal(s.weak[0], 0x36300688);
	assert_memory_equal(s.strong, "\xcb\x30\x4a\x50\x8a\x52", 6);
	sums_free(&s);
	assert_int_equal(b.used, 0);

	/* a basis that cannot be read to its end, or at all, is copied with zeros in place of that */
	assert_int_equal(ftruncate(fd, 20), 0);
	assert_int_equal(sum_writer_send(sw, &m.w, &h, fd, count_tap, &tapped, &io_errno, &e), 0);
	assert_int_equal(tapped, 2 * 42);
	assert_int_equal(sum_writer_send(sw, &m.w, &h, -1, count_tap, &tapped, &io_errno, &e), 0);
	assert_int_equal(tapped, 3 * 42);

	/* an unreadable basis writes nothing */
	wr_mem_clear(&m);
	assert_int_equal(sum_writer_send(sw, &m.w, &h, -1, NULL, NULL, &io_errno, &e), 1);
	assert_int_equal(io_errno, 9);
	assert_int_equal(wr_mem_len(&m), 0);
	wr_mem_free(&m);
	sum_writer_free(sw);
	csum_ctx_free(c);
	close(fd);
}

static int read_sums(struct budget *b, uint32_t count, uint32_t s2, enum csum kind, size_t limit, const void *data, size_t len)
{
	struct sum_head h = { .count = count, .blength = 700, .s2length = s2 };
	struct err e = { 0 };
	struct sums s;
	struct rd r;
	int rc;

	sums_init(&s, b);
	rd_init_mem(&r, data, len, &e);
	rc = sums_read(&s, &r, &h, kind, true, limit, &e);
	sums_free(&s);
	return rc < 0 ? e.code : 0;
}

static void table_limits(void **state)
{
	static uint8_t zeros[20000 * 6];
	struct budget b;

	(void)state;
	budget_init(&b, 1 << 20, 0);
	assert_int_equal(read_sums(&b, 20000, 2, CSUM_MD5, SUM_TABLE_LIMIT, zeros, sizeof zeros), 0);
	assert_int_equal(read_sums(&b, 20000, 2, CSUM_NONE, SUM_TABLE_LIMIT, zeros, sizeof zeros), RX_UNSUPPORTED);
	assert_int_equal(read_sums(&b, 20000, 2, CSUM_MD5, 20000, zeros, sizeof zeros), RX_MALLOC);
	assert_int_equal(read_sums(&b, INT32_MAX, 16, CSUM_MD5, SUM_TABLE_LIMIT, zeros, sizeof zeros), RX_MALLOC);
	/* A declared count costs nothing before the records arrive. */
	assert_int_equal(read_sums(&b, 5000000, 2, CSUM_MD5, SUM_TABLE_LIMIT, zeros, 600), RX_STREAMIO);
	budget_init(&b, 60000, 0);
	assert_int_equal(read_sums(&b, 5000000, 2, CSUM_MD5, SUM_TABLE_LIMIT, zeros, sizeof zeros), RX_MALLOC);
	assert_int_equal(b.used, 0);
}

/* A basis larger than the read buffer and not a multiple of it gives the sums of its parts. */
static void large_signature(void **state)
{
	size_t len = 3000001;
	uint8_t *data = malloc(len), digest[CSUM_MAX_LEN];
	struct csum_ctx *c = csum_ctx_new(CSUM_MD5, -5, false);
	struct sum_writer *sw = sum_writer_new(NULL, c);
	struct wr_mem m;
	struct sum_head h;
	struct err e = { 0 };
	int fd, io_errno;

	(void)state;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((i * 2654435761u) >> 13);
	fd = file_of(data, len);
	wr_mem_init(&m, NULL, &e);
	sum_head_choose(&h, len, 31, 16, true, 0);
	assert_int_equal(sum_writer_send(sw, &m.w, &h, fd, NULL, NULL, &io_errno, &e), 0);
	assert_int_equal(wr_mem_len(&m), 16 + (size_t)h.count * 20);
	for (uint32_t i = 0; i < h.count; i++) {
		const uint8_t *rec = m.base + 16 + (size_t)i * 20, *p = data + sum_block_offset(&h, i);

		assert_int_equal(get_le32(rec), weak_sum(p, sum_block_len(&h, i)));
		csum_block(c, p, sum_block_len(&h, i), digest);
		assert_memory_equal(rec + 4, digest, 16);
	}
	/* cut short meanwhile: zeros stand in, and the caller is told */
	wr_mem_clear(&m);
	assert_int_equal(ftruncate(fd, 1000000), 0);
	assert_int_equal(sum_writer_send(sw, &m.w, &h, fd, NULL, NULL, &io_errno, &e), 0);
	assert_int_equal(io_errno, 5);
	assert_int_equal(wr_mem_len(&m), 16 + (size_t)h.count * 20);
	assert_int_equal(get_le32(m.base + 16 + (size_t)(h.count - 1) * 20), 0);
	close(fd);
	wr_mem_free(&m);
	sum_writer_free(sw);
	csum_ctx_free(c);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_vectors),
		cmocka_unit_test(file_vectors),
		cmocka_unit_test(md4_rfc),
		cmocka_unit_test(xxh_stream),
		cmocka_unit_test(names),
		cmocka_unit_test(spoil),
		cmocka_unit_test(weak_vectors),
		cmocka_unit_test(weak_all),
		cmocka_unit_test(weak_extreme),
		cmocka_unit_test(weak_rolls),
		cmocka_unit_test(sizes),
		cmocka_unit_test(head_limits),
		cmocka_unit_test(signature),
		cmocka_unit_test(table_limits),
		cmocka_unit_test(large_signature),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
