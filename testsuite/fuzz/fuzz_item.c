/*
 * fuzz_item.c - the index stream: items, deletion and transfer statistics. What was
 * read and is written again must read the same.
 */
#include "config.h"

#include <stdio.h>

#include "protocol/item.h"
#include "transfer/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

static void again(const struct item *it, int proto)
{
	struct ndx_state out = NDX_STATE_INIT, in = NDX_STATE_INIT;
	struct item got;
	struct err err = { 0 };
	struct wr_mem m;
	struct rd r;

	wr_mem_init(&m, NULL, &err);
	wr_item(&m.w, &out, proto, it);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	got.ndx = rd_ndx(&r, &in, proto);
	rd_item(&r, &got, proto);
	REQUIRE(!r.failed && !rd_avail(&r));
	REQUIRE(got.ndx == it->ndx && got.flags == it->flags && got.basis == it->basis);
	REQUIRE(got.xname_len == it->xname_len && !memcmp(got.xname, it->xname, it->xname_len + 1u));
	wr_mem_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ndx_state s = NDX_STATE_INIT;
	struct err err = { 0 };
	struct del_stats d;
	struct xfer_stats st;
	struct item it;
	struct rd r;
	int proto;

	if (size < 2)
		return 0;
	proto = 27 + data[0] % 6;
	rd_init_mem(&r, data + 1, size - 1, &err);
	while (!r.failed && rd_avail(&r)) {
		int32_t ndx = rd_ndx(&r, &s, proto);

		if (r.failed)
			break;
		if (ndx >= 0) {
			it.ndx = ndx;
			rd_item(&r, &it, proto);
			REQUIRE(it.xname_len < sizeof it.xname && strlen(it.xname) <= it.xname_len);
			if (!r.failed)
				again(&it, proto);
		} else if (ndx == NDX_DEL_STATS && proto >= 31) {
			rd_del_stats(&r, &d);
			REQUIRE(r.failed || (d.files >= 0 && d.specials <= 1 << 28));
		} else if (ndx != NDX_DONE) {
			rd_xfer_stats(&r, proto, &st);
		}
	}
	return 0;
}
