/*
 * token_in.h - reads token streams: plain (spec 03 §9) and compressed (§10).
 *
 * One per receiving connection. Per file: begin, then next until TOKEN_END. With zlib, the caller must show the
 * content of every matched block in order through token_in_see() before asking for the next token. Every number is
 * checked; output of a call is bounded by the internal buffer (256 KiB) whatever the peer sends. One thread.
 */
#ifndef DELTA_TOKEN_IN_H
#define DELTA_TOKEN_IN_H

#include "base/err.h"
#include "base/mem.h"
#include "delta/compress.h"

struct rd;
struct token_in;

enum token_kind { TOKEN_END, TOKEN_LITERAL, TOKEN_MATCH };

struct token {
	enum token_kind kind;
	uint32_t block;        /* MATCH: first of … */
	uint32_t run;          /* … this many consecutive blocks (>= 1), all < block_count */
	const uint8_t *data;   /* LITERAL: valid until the next call; NULL when discarding a codec that need not be decoded */
	size_t len;            /* LITERAL: > 0 */
};

struct token_in *token_in_new(enum comp c, int proto, struct budget *b, struct err *e) NODISCARD;
void token_in_free(struct token_in *t);

/*
 * Starts a file. block_count: the sum head's count, or 0 when no basis is open (a match is then refused).
 * max_literal: most decompressed literal bytes accepted (UINT64_MAX: any); row 31 of spec 09 §11.1, codecs only.
 * discard: the delivery is consumed only (§10.9); literals may come with data NULL and len of the packet,
 * and token_in_see() is not needed.
 */
void token_in_begin(struct token_in *t, struct rd *r, uint32_t block_count, uint64_t max_literal, bool discard);

/* The next token. -1: malformed stream (RX_PROTOCOL, RX_STREAMIO) or a failure of the reader. */
int token_in_next(struct token_in *t, struct token *tok, struct err *e) NODISCARD;

/* True for zlib while not discarding. */
bool token_in_wants_blocks(const struct token_in *t);

/* Content of one matched block, whole; one call per block of a run, in order. */
int token_in_see(struct token_in *t, const void *data, size_t len, struct err *e) NODISCARD;

#endif
