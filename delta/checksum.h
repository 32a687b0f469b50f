/*
 * checksum.h - strong checksums: whole file, block, and file list (spec 03 §8).
 *
 * A context is bound to one algorithm and seed and is reused for any number of files
 * and blocks without allocating. It belongs to one thread at a time. Call
 * csum_global_init() once before confinement: it loads what the crypto library needs.
 */
#ifndef DELTA_CHECKSUM_H
#define DELTA_CHECKSUM_H

#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"

enum csum {
	CSUM_NONE,
	CSUM_MD4_OLD,          /* protocol 27-29, implied: seeded also for whole files; named "md4" */
	CSUM_MD4,
	CSUM_MD5,
	CSUM_SHA1,
	CSUM_XXH64,
	CSUM_XXH3,
	CSUM_XXH128,
	CSUM_INVALID = -1,
};

#define CSUM_MAX_LEN 20        /* longest digest (sha1) */

/* Fetches the digests of libcrypto and probes the CPU. Safe to call repeatedly and from any thread. */
int csum_global_init(struct err *e) NODISCARD;

/* "xxh128", "md5" …; never NULL. */
const char *csum_name(enum csum kind);

/* Parses one name of len bytes, any case, "xxhash" = xxh64. "auto" is not a name here. CSUM_INVALID if unknown. */
enum csum csum_parse(const char *name, size_t len);

/* Digest length on the wire: 1 (none) … 20 (sha1). */
unsigned csum_len(enum csum kind);

struct csum_ctx;

/* seed: the session's checksum seed. md5_seed_last: the implied MD5 of a peer without CF_CHKSUM_SEED_FIX
   (spec 03 §8.3); ignored by the other algorithms. NULL without memory, and for
   md5 and sha1 before csum_global_init(). */
struct csum_ctx *csum_ctx_new(enum csum kind, int32_t seed, bool md5_seed_last) NODISCARD;
void csum_ctx_free(struct csum_ctx *c);
enum csum csum_ctx_kind(const struct csum_ctx *c);

/* Whole-file checksum (§8.4): start, update in order, final. final writes csum_len() bytes and zeroes
   the rest of out; it may be called once per start. */
void csum_start(struct csum_ctx *c);
void csum_update(struct csum_ctx *c, const void *data, size_t len);
void csum_final(struct csum_ctx *c, uint8_t out[CSUM_MAX_LEN]);

/* The same of len bytes at data, in one call that is cheaper for small files. Disturbs a running one. */
void csum_whole(struct csum_ctx *c, const void *data, size_t len, uint8_t out[CSUM_MAX_LEN]);

/* Block checksum (§8.3), independent of a running whole-file checksum. Undefined for CSUM_NONE
   (the caller refuses block sums then); writes zeros. */
void csum_block(struct csum_ctx *c, const void *data, size_t len, uint8_t out[CSUM_MAX_LEN]);

/* File-list checksum (§8.5, never seeded) of the first size bytes of fd, read by pread from offset 0.
   Disturbs a running whole-file checksum. 0, or a negative errno (-EIO when the file ended early). */
int csum_list_fd(struct csum_ctx *c, int fd, uint64_t size, uint8_t out[CSUM_MAX_LEN]) NODISCARD;

/* The deliberately wrong digest a sender gives after a read error (§8.4). */
void csum_spoil(enum csum kind, uint8_t digest[CSUM_MAX_LEN]);

static inline void cleanup_csum_ctxp(struct csum_ctx **c) { csum_ctx_free(*c); }
#define _cleanup_csum_ __attribute__((cleanup(cleanup_csum_ctxp)))

#endif
