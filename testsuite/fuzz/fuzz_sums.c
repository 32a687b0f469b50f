/* fuzz_sums.c - sum head, block sums, and the index over them. First byte: checksum and protocol. */
#include "config.h"

#include "delta/block_index.h"
#include "delta/sums.h"
#include "protocol/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct budget b;
	struct block_index ix = { .budget = &b };
	enum csum kind;
	struct sum_head h;
	struct sums s;
	struct rd r;

	if (!size)
		return 0;
	kind = (enum csum)(data[0] % (CSUM_XXH128 + 1));
	budget_init(&b, 16 << 20, 0);
	sums_init(&s, &b);
	rd_init_mem(&r, data + 1, size - 1, &e);
	while (sum_head_read(&r, &h, data[0] & 0x80 ? 29 : 31, csum_len(kind), &e) == 0) {
		bool records = !(data[0] & 0x40);

		if (sums_read(&s, &r, &h, kind, records, SUM_TABLE_LIMIT, &e) < 0)
			break;
		if (!h.count || !records)
			continue;
		if (sum_block_offset(&h, h.count - 1) + sum_block_len(&h, h.count - 1) != sum_head_span(&h))
			abort();
		if (block_index_build(&ix, &s, data[0] & 0x20) < 0)
			break;
		for (uint32_t i = 0; i < ix.count; i++) {
			uint32_t n = block_index_head(&ix, s.weak[i]);

			if (!block_index_maybe(&ix, s.weak[i]) || n >= ix.count)
				abort();
		}
	}
	sums_free(&s);
	block_index_free(&ix);
	if (b.used)
		abort();
	return 0;
}
