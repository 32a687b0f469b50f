/*
 * fuzz_wire.c - numbers, strings and file indexes of the wire. Input: a mode byte, then operations. As values: what the
 * writer writes the reader reads, to the byte. As wire bytes: what a hostile peer's bytes decode to is in its range, and
 * survives being written and read again.
 */
#include "config.h"

#include <stdio.h>

#include "protocol/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

enum { U8, LE16, LE32, LONGINT, VARINT, VARLONG3, VARLONG4, VARLONG30, VSTRING, NDX, KINDS };

struct value {
	int64_t n;
	char text[256];
	size_t len;
};

static void put(struct wr *w, struct ndx_state *s, int proto, unsigned kind, const struct value *v)
{
	switch (kind) {
	case U8: wr_u8(w, (uint8_t)v->n); break;
	case LE16: wr_le16(w, (uint16_t)v->n); break;
	case LE32: wr_int(w, (int32_t)v->n); break;
	case LONGINT: wr_longint(w, v->n); break;
	case VARINT: wr_varint30(w, proto, (int32_t)v->n); break;
	case VARLONG3: wr_varlong(w, v->n, 3); break;
	case VARLONG4: wr_varlong(w, v->n, 4); break;
	case VARLONG30: wr_varlong30(w, proto, v->n, 3); break;
	case VSTRING: wr_vstring(w, v->text, v->len); break;
	default: wr_ndx(w, s, proto, (int32_t)v->n); break;
	}
}

static void get(struct rd *r, struct ndx_state *s, int proto, unsigned kind, struct value *v)
{
	switch (kind) {
	case U8: v->n = rd_u8(r); break;
	case LE16: v->n = rd_le16(r); break;
	case LE32: v->n = rd_int(r); break;
	case LONGINT: v->n = rd_longint(r); break;
	case VARINT: v->n = rd_varint30(r, proto); break;
	case VARLONG3: v->n = rd_varlong(r, 3); break;
	case VARLONG4: v->n = rd_varlong(r, 4); break;
	case VARLONG30: v->n = rd_varlong30(r, proto, 3); break;
	case VSTRING: v->len = rd_vstring(r, v->text, sizeof v->text); break;
	default: v->n = rd_ndx(r, s, proto); break;
	}
}

/* What a field of that kind can carry of a number. */
static int64_t narrowed(unsigned kind, int64_t n)
{
	switch (kind) {
	case U8: return (uint8_t)n;
	case LE16: return (uint16_t)n;
	case LE32: case VARINT: return (int32_t)n;
	case NDX: return (int32_t)n == INT32_MIN ? 0 : (int32_t)n;
	default: return n;
	}
}

static bool equal(unsigned kind, const struct value *a, const struct value *b)
{
	return kind == VSTRING ? a->len == b->len && !memcmp(a->text, b->text, a->len) : a->n == b->n;
}

/* The next value: numbers of every length, as they are wanted in 8 bytes. */
static void take(struct rd *in, unsigned kind, struct value *v)
{
	uint8_t raw[8];
	unsigned bits = rd_u8(in) % 65;

	rd_bytes(in, raw, sizeof raw);
	v->n = (int64_t)(bits ? get_le64(raw) >> (64 - bits) : 0);
	if (raw[7] & 1)
		v->n = -v->n;
	v->n = narrowed(kind, v->n);
	v->len = 0;
	if (kind == VSTRING) {
		v->len = raw[0];
		rd_bytes(in, v->text, v->len);
		v->text[v->len] = '\0';
	}
}

static void values(struct rd *in, int proto)
{
	static struct value want[256];
	static uint8_t kind[256];
	struct ndx_state out_state = NDX_STATE_INIT, in_state = NDX_STATE_INIT;
	struct err err = { 0 };
	struct wr_mem m;
	struct rd r;
	size_t n = 0;

	wr_mem_init(&m, NULL, &err);
	while (n < ARRAY_SIZE(want) && rd_avail(in) > 9) {
		kind[n] = rd_u8(in) % KINDS;
		take(in, kind[n], &want[n]);
		if (in->failed)
			break;
		if (kind[n] == VARINT && proto >= 30) {
			size_t before = wr_mem_len(&m);

			put(&m.w, &out_state, proto, kind[n], &want[n]);
			REQUIRE(wr_mem_len(&m) - before == wr_varint_len((int32_t)want[n].n));
		} else {
			put(&m.w, &out_state, proto, kind[n], &want[n]);
		}
		n++;
	}
	REQUIRE(!m.w.failed);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	for (size_t i = 0; i < n; i++) {
		struct value got = { 0 };

		get(&r, &in_state, proto, kind[i], &got);
		REQUIRE(!r.failed && equal(kind[i], &got, &want[i]));
	}
	REQUIRE(!rd_avail(&r));
	if (n) {
		rd_skip(&r, 1);
		REQUIRE(r.failed && err.code == RX_STREAMIO);
	}
	wr_mem_free(&m);
}

static void bytes(struct rd *in, int proto)
{
	struct ndx_state in_state = NDX_STATE_INIT;

	while (rd_avail(in)) {
		unsigned kind = rd_u8(in) % KINDS;
		struct ndx_state start = in_state, again = in_state;
		struct value v = { 0 }, back = { 0 };
		struct err err = { 0 };
		struct wr_mem m;
		struct rd r;

		get(in, &in_state, proto, kind, &v);
		if (in->failed) {
			REQUIRE(in->err->code == RX_STREAMIO || ((kind == VSTRING || kind == NDX) && in->err->code == RX_PROTOCOL));
			return;
		}
		REQUIRE(v.n == narrowed(kind, v.n) || kind == NDX);
		if (kind == VSTRING)
			REQUIRE(v.len < sizeof v.text && !v.text[v.len]);
		if (kind == NDX && (int32_t)v.n == INT32_MIN)
			continue;
		wr_mem_init(&m, NULL, &err);
		put(&m.w, &start, proto, kind, &v);
		REQUIRE(!m.w.failed);
		rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
		get(&r, &again, proto, kind, &back);
		REQUIRE(!r.failed && !rd_avail(&r) && equal(kind, &v, &back));
		wr_mem_free(&m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct rd in;

	if (size < 2)
		return 0;
	rd_init_mem(&in, data + 1, size - 1, &err);
	(data[0] & 0x80 ? values : bytes)(&in, 27 + data[0] % 6);
	return 0;
}
