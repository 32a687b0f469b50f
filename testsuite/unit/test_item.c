/* test_item.c - item headers and statistics: spec 03 §4, §5.6, §5.7, and a recorded exchange. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include "protocol/item.h"
#include "testsuite/unit/flist_util.h"
#include "transfer/options.h"

static struct err err;

static void expect(struct wr_mem *m, const char *hex)
{
	uint8_t want[4096];
	size_t n = unhex(want, hex);

	assert_int_equal(wr_mem_len(m), n);
	if (n)
		assert_memory_equal(m->base, want, n);
	wr_mem_clear(m);
}

static void headers_go_both_ways(void **state)
{
	static const struct { int proto; int32_t ndx; uint16_t flags; uint8_t basis; const char *xname, *hex; } rows[] = {
		{ 32, 0, ITEM_TRANSFER | ITEM_IS_NEW, 0x80, "", "0100a0" },
		{ 32, 5, ITEM_TRANSFER | ITEM_BASIS_TYPE_FOLLOWS | ITEM_XNAME_FOLLOWS, 0x83, "near", "06009883046e656172" },
		{ 29, 5, ITEM_LOCAL_CHANGE | ITEM_XNAME_FOLLOWS, 0x80, "", "05000000005000" },
		{ 30, 1, ITEM_TRANSFER | ITEM_BASIS_TYPE_FOLLOWS, 0x00, "", "02008800" },
		{ 28, 7, ITEM_TRANSFER, 0x80, "", "07000000" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ndx_state in = NDX_STATE_INIT, out = NDX_STATE_INIT;
		struct item it = { .ndx = rows[i].ndx, .flags = rows[i].flags, .basis = rows[i].basis }, got;
		struct wr_mem m;
		struct rd r;

		strcpy(it.xname, rows[i].xname);
		it.xname_len = (uint16_t)strlen(it.xname);
		wr_mem_init(&m, NULL, &err);
		wr_item(&m.w, &out, rows[i].proto, &it);
		rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
		got.ndx = rd_ndx(&r, &in, rows[i].proto);
		rd_item(&r, &got, rows[i].proto);
		assert_false(r.failed);
		assert_int_equal(rd_avail(&r), 0);
		assert_int_equal(got.ndx, it.ndx);
		assert_int_equal(got.flags, it.flags);
		assert_int_equal(got.basis, it.basis);
		assert_int_equal(got.xname_len, it.xname_len);
		assert_string_equal(got.xname, it.xname);
		expect(&m, rows[i].hex);
		wr_mem_free(&m);
	}
}

static int read_item_hex(const char *hex, struct item *it)
{
	static uint8_t b[8192];
	struct rd r;

	err = (struct err){ 0 };
	rd_init_mem(&r, b, unhex(b, hex), &err);
	rd_item(&r, it, 32);
	return r.failed ? -1 : 0;
}

static void hostile_headers_are_refused(void **state)
{
	static char hex[16384];
	struct item it;

	(void)state;
	strcpy(hex, "0050 9000");      /* xname of 4096 bytes */
	for (int i = 0; i < 4096; i++)
		strcat(hex + 9 + 2 * i, "61");
	assert_int_equal(read_item_hex(hex, &it), -1);
	assert_int_equal(err.code, RX_PROTOCOL);
	assert_string_equal(err.text, "over-long vstring received (4096 > 4095)");
	memcpy(hex, "0050 8fff", 9);
	assert_int_equal(read_item_hex(hex, &it), 0);
	assert_int_equal(it.xname_len, 4095);
	assert_int_equal(read_item_hex("0050 03610062", &it), -1);
	assert_int_equal(read_item_hex("0050 03", &it), -1);
	assert_int_equal(err.code, RX_STREAMIO);
	assert_int_equal(it.xname_len, 0);
}

static void deletion_statistics(void **state)
{
	struct del_stats d = { 2, 1, 1, 0, 0 }, got;
	struct ndx_state out = NDX_STATE_INIT, in = NDX_STATE_INIT;
	struct wr_mem m;
	struct rd r;

	(void)state;
	wr_mem_init(&m, NULL, &err);
	wr_del_stats(&m.w, &out, 32, &d);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	assert_int_equal(rd_ndx(&r, &in, 32), NDX_DEL_STATS);
	rd_del_stats(&r, &got);
	assert_memory_equal(&got, &d, sizeof d);
	expect(&m, "ff020201010000");
	d.dirs = (1 << 28) + 1;
	wr_del_stats(&m.w, &out, 32, &d);
	err = (struct err){ 0 };
	rd_init_mem(&r, m.base + 3, wr_mem_len(&m) - 3, &err);
	rd_del_stats(&r, &got);
	assert_true(r.failed);
	assert_int_equal(err.code, RX_PROTOCOL);
	d.dirs = -1;
	wr_mem_clear(&m);
	wr_del_stats(&m.w, &out, 32, &d);
	rd_init_mem(&r, m.base + 3, wr_mem_len(&m) - 3, &err);
	rd_del_stats(&r, &got);
	assert_true(r.failed);
	wr_mem_free(&m);
}

static void transfer_statistics(void **state)
{
	struct xfer_stats st = { 43, 94, 12, 1, 0 }, got;
	struct wr_mem m;
	struct rd r;

	(void)state;
	wr_mem_init(&m, NULL, &err);
	for (int proto = 28; proto <= 32; proto++) {
		wr_xfer_stats(&m.w, proto, &st);
		rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
		rd_xfer_stats(&r, proto, &got);
		assert_false(r.failed);
		assert_int_equal(rd_avail(&r), 0);
		if (proto >= 29)
			assert_memory_equal(&got, &st, sizeof st);
		assert_int_equal(got.total_size, 12);
		assert_int_equal(got.build_ms, proto >= 29);
		expect(&m, proto >= 30 ? "002b00 005e00 000c00 000100 000000" : proto == 29 ?
			"2b000000 5e000000 0c000000 01000000 00000000" : "2b000000 5e000000 0c000000");
	}
	wr_mem_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_go_both_ways),
		cmocka_unit_test(hostile_headers_are_refused),
		cmocka_unit_test(deletion_statistics),
		cmocka_unit_test(transfer_statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
