/* test_wire.c - scalar and index encodings against the tables of spec 01 §1 and 03 §3. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "protocol/conn.h"

static struct err err;

static void to_hex(char *out, const uint8_t *p, size_t n)
{
	*out = '\0';
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

static size_t from_hex(uint8_t *out, const char *hex)
{
	size_t n = 0;
	unsigned v;

	for (; *hex; hex += 2) {
		sscanf(hex, "%2x", &v);
		out[n++] = (uint8_t)v;
	}
	return n;
}

static const struct { int64_t v; const char *varint, *m3, *m4; } numbers[] = {
	{ 0, "00", "000000", "00000000" },
	{ 0x7f, "7f", NULL, NULL }, { 0x80, "8080", NULL, NULL }, { 0xff, "80ff", NULL, NULL },
	{ 0x100, "8100", NULL, NULL }, { 0x1fe, "81fe", NULL, NULL }, { 0x3fff, "bfff", NULL, NULL },
	{ 0x4000, "c00040", NULL, NULL }, { 1, "01", "000100", "00010000" },
	{ 0xffff, "c0ffff", "00ffff", "00ffff00" }, { 0x1fffff, "dfffff", NULL, NULL },
	{ 0x200000, "e0000020", NULL, NULL }, { 0x7fffff, NULL, "7fffff", "00ffff7f" },
	{ 0x800000, NULL, "80000080", "00000080" }, { 0xffffff, "e0ffffff", "80ffffff", "00ffffff" },
	{ 0x0fffffff, "efffffff", NULL, NULL }, { 0x10000000, "f000000010", NULL, NULL },
	{ 0x3fffffff, NULL, "bfffffff", "3fffffff" }, { 0x40000000, NULL, "c000000040", "40000000" },
	{ 0x7fffffff, "f0ffffff7f", "c0ffffff7f", "7fffffff" },
	{ 0x80000000, NULL, "c000000080", "8000000080" }, { 0xffffffff, NULL, "c0ffffffff", "80ffffffff" },
	{ 0x100000000, NULL, "c100000000", "8100000000" }, { 0x1fffffffff, NULL, "dfffffffff", "9fffffffff" },
	{ 0x2000000000, NULL, "e00000000020", "a000000000" },
	{ 0xffffffffff, NULL, "e0ffffffffff", "c0ffffffffff" },
	{ 0x100000000000, NULL, "f0000000000010", "d00000000000" },
	{ 0x7ffffffffffff, NULL, "f7ffffffffffff", "e7ffffffffffff" },
	{ INT64_MAX, NULL, "fcffffffffffffff7f", "f8ffffffffffffff7f" },
	{ -1, "f0ffffffff", "fcffffffffffffffff", "f8ffffffffffffffff" },
};

static void check(struct wr_mem *m, const char *hex)
{
	char got[64];

	to_hex(got, m->base, wr_mem_len(m));
	assert_string_equal(got, hex);
}

static void numbers_match_the_tables(void **state)
{
	struct wr_mem m;
	struct rd r;
	uint8_t b[32];

	(void)state;
	wr_mem_init(&m, NULL, &err);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (numbers[i].varint) {
			wr_mem_clear(&m);
			wr_varint(&m.w, (int32_t)numbers[i].v);
			check(&m, numbers[i].varint);
			rd_init_mem(&r, b, from_hex(b, numbers[i].varint), &err);
			assert_int_equal(rd_varint(&r), (int32_t)numbers[i].v);
			assert_int_equal(rd_avail(&r), 0);
		}
		for (unsigned min = 3; min <= 4 && numbers[i].m3; min++) {
			const char *hex = min == 3 ? numbers[i].m3 : numbers[i].m4;

			wr_mem_clear(&m);
			wr_varlong(&m.w, numbers[i].v, min);
			check(&m, hex);
			rd_init_mem(&r, b, from_hex(b, hex), &err);
			assert_true(rd_varlong(&r, min) == numbers[i].v);
			assert_int_equal(rd_avail(&r), 0);
		}
	}
	wr_mem_free(&m);
	assert_int_equal(err.code, 0);
}

static void odd_forms_are_read(void **state)
{
	struct rd r;
	uint8_t b[32];

	(void)state;
	rd_init_mem(&r, b, from_hex(b, "8000f000000000f700000000"), &err);
	assert_int_equal(rd_varint(&r), 0);
	assert_int_equal(rd_varint(&r), 0);
	assert_int_equal(rd_varint(&r), 0);
	assert_false(r.failed);
	assert_int_equal(rd_avail(&r), 0);
}

static void overlong_numbers_fail(void **state)
{
	struct err e = { 0 };
	struct rd r;
	uint8_t b[32];

	(void)state;
	rd_init_mem(&r, b, from_hex(b, "f80000000000"), &e);
	assert_int_equal(rd_varint(&r), 0);
	assert_true(r.failed);
	assert_int_equal(e.code, RX_STREAMIO);
	assert_string_equal(e.text, "Overflow in read_varint()");
	e = (struct err){ 0 };
	rd_init_mem(&r, b, from_hex(b, "fc000000000000000000"), &e);
	rd_varlong(&r, 4);
	assert_string_equal(e.text, "Overflow in read_varlong()");
}

static void longints(void **state)
{
	static const struct { int64_t v; const char *hex; } rows[] = {
		{ 0, "00000000" }, { 2147483647, "ffffff7f" }, { 2147483648, "ffffffff0000008000000000" },
		{ -2, "fffffffffeffffffffffffff" }, { 5000000000, "ffffffff00f2052a01000000" },
	};
	struct wr_mem m;
	struct rd r;
	uint8_t b[32];

	(void)state;
	wr_mem_init(&m, NULL, &err);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		wr_mem_clear(&m);
		wr_longint(&m.w, rows[i].v);
		check(&m, rows[i].hex);
		rd_init_mem(&r, b, from_hex(b, rows[i].hex), &err);
		assert_true(rd_longint(&r) == rows[i].v);
	}
	wr_mem_free(&m);
}

static void ndx_sequence(void **state)
{
	static const struct { int32_t seq[5]; int n; const char *hex; } rows[] = {
		{ { 0, 1, 5, 5, 4 }, 5, "010104fe0000fe80040000" },
		{ { 0, 1, 5, 4, 300 }, 5, "010104fe80040000fe0128" },
		{ { 40000, 70000 }, 2, "fe80409c00fe7530" },
		{ { -1, -2, -3 }, 3, "00ff01ff01" },
		{ { -3 }, 1, "ff02" }, { { -101 }, 1, "ff64" }, { { -102, -2 }, 2, "ff65fffe80020000" },
	};
	struct wr_mem m;
	uint8_t b[64];

	(void)state;
	wr_mem_init(&m, NULL, &err);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ndx_state out = NDX_STATE_INIT, in = NDX_STATE_INIT;
		struct rd r;

		wr_mem_clear(&m);
		for (int k = 0; k < rows[i].n; k++)
			wr_ndx(&m.w, &out, 32, rows[i].seq[k]);
		check(&m, rows[i].hex);
		rd_init_mem(&r, b, from_hex(b, rows[i].hex), &err);
		for (int k = 0; k < rows[i].n; k++)
			assert_int_equal(rd_ndx(&r, &in, 32), rows[i].seq[k]);
		assert_int_equal(rd_avail(&r), 0);
	}
	wr_mem_free(&m);
}

static void vstrings(void **state)
{
	struct err e = { 0 };
	struct wr_mem m;
	struct rd r;
	char big[300], out[512], small[128];

	(void)state;
	memset(big, 'x', sizeof big);
	wr_mem_init(&m, NULL, &e);
	wr_vstring(&m.w, "md4", 3);
	wr_vstring(&m.w, big, 300);
	assert_memory_equal(m.base, "\x03md4\x81\x2c", 6);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &e);
	assert_int_equal(rd_vstring(&r, out, sizeof out), 3);
	assert_string_equal(out, "md4");
	assert_int_equal(rd_vstring(&r, out, sizeof out), 300);
	rd_init_mem(&r, m.base + 4, wr_mem_len(&m) - 4, &e);
	assert_int_equal(rd_vstring(&r, small, sizeof small), 0);
	assert_string_equal(e.text, "over-long vstring received (300 > 127)");
	wr_mem_free(&m);
}

/* A peer that causes messages and reads none of them uses up the session's memory, not the machine's. */
static void messages_are_charged(void **state)
{
	char text[1000] = { 0 };
	struct budget budget;
	struct conn c;
	int ends[2];

	(void)state;
	err = (struct err){ 0 };
	budget_init(&budget, (size_t)1 << 20, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(conn_init(&c, ends[0], ends[0], &budget, &err), 0);
	assert_int_equal(conn_mux_out(&c, true), 0);
	for (int i = 0; i < 100; i++)
		conn_post(&c, MSG_INFO, text, sizeof text);
	assert_int_equal(conn_flush(&c), 0);
	for (int i = 0; i < 10000; i++)
		conn_post(&c, MSG_INFO, text, sizeof text);
	assert_true(c.posted.len < budget.total);
	assert_int_equal(conn_flush(&c), -1);
	assert_int_equal(err.code, RX_MALLOC);
	conn_done(&c);
	assert_int_equal(atomic_load(&budget.used), 0);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_match_the_tables), cmocka_unit_test(odd_forms_are_read),
		cmocka_unit_test(overlong_numbers_fail), cmocka_unit_test(longints),
		cmocka_unit_test(ndx_sequence), cmocka_unit_test(vstrings), cmocka_unit_test(messages_are_charged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
