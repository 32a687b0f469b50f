/*
 * sums.h - sum heads, block signatures, and the table of a peer's block sums (spec 03 §6).
 */
#ifndef DELTA_SUMS_H
#define DELTA_SUMS_H

#include "base/err.h"
#include "base/mem.h"
#include "delta/checksum.h"

struct rd;
struct wr;

#define BLOCK_DEFAULT 700
#define BLOCK_MAX_30 (1u << 17)        /* largest block length, protocol >= 30 */
#define BLOCK_MAX_OLD (1u << 29)       /* … < 30 */
#define SUM_TABLE_LIMIT ((size_t)256 << 20) /* default of spec 09 §11.1 row 28 */

/* All zero is the null head: no basis, send everything. */
struct sum_head {
	uint32_t count;        /* blocks, < 2^31 */
	uint32_t blength;      /* bytes of every block but a shorter last one */
	uint32_t s2length;     /* bytes of strong sum per block, <= digest length */
	uint32_t remainder;    /* bytes of the last block if shorter, else 0 */
};

/* Geometry (§6.5). Index must be < count. */
static inline uint32_t sum_block_len(const struct sum_head *h, uint32_t i)
{
	return i + 1 == h->count && h->remainder ? h->remainder : h->blength;
}

static inline uint64_t sum_block_offset(const struct sum_head *h, uint32_t i)
{
	return (uint64_t)i * h->blength;
}

/* Bytes covered by all blocks; the prefix length of append mode (§11.4). */
static inline uint64_t sum_head_span(const struct sum_head *h)
{
	return (uint64_t)h->count * h->blength - (h->remainder ? h->blength - h->remainder : 0);
}

/* The sizes a generator asks for with a basis of len bytes (§6.3). digest_len: csum_len() of the transfer checksum;
   block_size: --block-size or 0. Gives the null head for len 0 and for files with too many blocks. */
void sum_head_choose(struct sum_head *h, uint64_t len, int proto, unsigned digest_len, bool redo, uint32_t block_size);

void sum_head_write(struct wr *w, const struct sum_head *h);

/* Reads and checks a head (§6.4). -1 on a violation (RX_PROTOCOL) or a stream failure. */
int sum_head_read(struct rd *r, struct sum_head *h, int proto, unsigned digest_len, struct err *e) NODISCARD;

/* The checks alone, for a head that came another way. */
int sum_head_check(const struct sum_head *h, int proto, unsigned digest_len, struct err *e) NODISCARD;

/* -- generator: signature of a basis -- */

struct sum_writer;             /* a read buffer and a checksum context; one per thread, reused */
struct sum_writer *sum_writer_new(struct budget *b, struct csum_ctx *c) NODISCARD; /* c is borrowed */
void sum_writer_free(struct sum_writer *s);

/* Sees every piece of the basis in order while it is summed (backup copy of --inplace --backup); 0 or -1 to stop. */
typedef int sum_tap(void *ctx, const void *data, size_t len);

/*
 * Writes the head and the block sums of the basis in fd (read by pread; sum_head_span(h) bytes). tap may be NULL.
 * 0: all written. 1: the first read failed (*io_errno), there is no tap, and NOTHING was written: send a null head instead.
 * A later read failure or a file that shrank is filled with zero bytes (*io_errno set, EIO for early end) and 0
 * is returned: the peer's checksum decides. -1: the tap stopped or no memory (e is set; head may be on its way).
 */
int sum_writer_send(struct sum_writer *s, struct wr *w, const struct sum_head *h, int fd,
		    sum_tap *tap, void *tap_ctx, int *io_errno, struct err *e) NODISCARD;

/* -- sender: the peer's block sums -- */

struct sums {
	struct sum_head head;
	uint32_t *weak;        /* count */
	uint8_t *strong;       /* count * s2length */
	struct budget *budget;
	size_t weak_cap, strong_cap;
};

void sums_init(struct sums *s, struct budget *b);
void sums_free(struct sums *s);        /* frees the arrays; s is empty and usable again */

/*
 * Reads the count block sums that follow head h into s (arrays are reused and grow with what arrived).
 * limit: most bytes of table (SUM_TABLE_LIMIT). -1: over the limit or the budget (RX_MALLOC) before or while
 * reading; sums with checksum "none" (RX_UNSUPPORTED); stream failure. Pass records = false in append mode:
 * only the head is kept.
 */
int sums_read(struct sums *s, struct rd *r, const struct sum_head *h, enum csum kind, bool records,
	      size_t limit, struct err *e) NODISCARD;

#endif
