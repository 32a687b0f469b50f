/* fuzz_tokens.c - token readers. First byte: codec and mode; second: block count; then one or two files' streams. */
#include "config.h"

#include "delta/token_in.h"
#include "protocol/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_file(struct token_in *t, struct rd *r, uint32_t count, bool discard, struct err *e)
{
	static const uint8_t block[70000];
	struct token tok;
	uint64_t total = 0;

	token_in_begin(t, r, count, 4 << 20, discard);
	for (;;) {
		if (token_in_next(t, &tok, e) < 0)
			return -1;
		if (tok.kind == TOKEN_END)
			return 0;
		if (tok.kind == TOKEN_LITERAL) {
			volatile uint8_t sink = 0;

			if (!tok.len || (!tok.data && !discard))
				abort();
			total += tok.len;
			if (tok.data)
				sink = (uint8_t)(tok.data[0] ^ tok.data[tok.len - 1]);
			(void)sink;
			if (total > 64 << 20)
				return -1;
			continue;
		}
		if (!tok.run || (uint64_t)tok.block + tok.run > count)
			abort();
		for (uint32_t i = 0; token_in_wants_blocks(t) && i < tok.run && i < 3; i++) {
			if (token_in_see(t, block, tok.block + i == 0 ? sizeof block : 700, e) < 0)
				return -1;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct budget b;
	struct token_in *t;
	struct rd r;
	bool discard;

	if (size < 2)
		return 0;
	budget_init(&b, 8 << 20, 0);
	t = token_in_new((enum comp)(data[0] % 5), data[0] & 0x40 ? 30 : 31, &b, &e);
	if (!t)
		abort();
	discard = data[0] & 0x80;
	rd_init_mem(&r, data + 2, size - 2, &e);
	if (read_file(t, &r, data[1], discard, &e) == 0)
		(void)read_file(t, &r, data[1], false, &e);
	else if (!e.code)
		e.code = RX_STREAMIO;
	token_in_free(t);
	if (b.used)
		abort();
	return 0;
}
