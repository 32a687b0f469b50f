/*
 * token_out.h - writes token streams: plain (spec 03 §9) and compressed (§10).
 *
 * One per sending connection; it keeps codec state across files where the protocol does (zstd) and reuses
 * everything else. Per file: begin, literals and matches in output order, end. The whole-file checksum is the
 * caller's to write after end. Belongs to one thread.
 */
#ifndef DELTA_TOKEN_OUT_H
#define DELTA_TOKEN_OUT_H

#include "base/err.h"
#include "base/mem.h"
#include "delta/compress.h"

struct wr;
struct token_out;

/* level as comp_level() left it; workers: zstd threads (0: none). NULL: e is set (RX_MALLOC, RX_UNSUPPORTED). */
struct token_out *token_out_new(enum comp c, int level, int workers, int proto, struct budget *b, struct err *e) NODISCARD;
void token_out_free(struct token_out *t);

/* Where the following files go; may change between files (batch). w is borrowed. */
void token_out_begin(struct token_out *t, struct wr *w);

/* len literal bytes, any number, any length; data is not kept after the call. */
int token_out_literal(struct token_out *t, const void *data, size_t len, struct err *e) NODISCARD;

/* A matched block; data is its content (used by zlib only, may be NULL for the others). */
int token_out_match(struct token_out *t, uint32_t block, const void *data, size_t len, struct err *e) NODISCARD;

int token_out_end(struct token_out *t, struct err *e) NODISCARD;

/* True for the plain stream: a literal is then its length and its bytes, and token_out_framed() may be used. */
bool token_out_is_plain(const struct token_out *t);

/* Plain only: a run of literal tokens already in wire form (length, bytes, length, bytes …). Large ones go to the
   writer without being copied. */
int token_out_framed(struct token_out *t, const void *tokens, size_t len, struct err *e) NODISCARD;

#endif
