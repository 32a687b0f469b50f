/*
 * checksum.c - strong checksums behind one interface.
 */
#include "config.h"
#include "delta/checksum.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <strings.h>
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "delta/md4.h"
#include "delta/xxh.h"

#define READ_SIZE (256u << 10)

struct csum_ctx {
	_Alignas(64) uint8_t xxh3[XXH_STATE_SIZE];
	XXH64_state_t xxh64;
	struct md4 md4;
	EVP_MD_CTX *file, *block;      /* md5, sha1 */
	uint8_t *buf;                  /* READ_SIZE, made on first use */
	enum csum kind;
	bool seed_last;
	int32_t seed;
	uint8_t seed_bytes[4];
};

static const struct {
	const char *name;
	uint8_t len;
} kinds[] = {
	[CSUM_NONE] = { "none", 1 },
	[CSUM_MD4_OLD] = { "md4", 16 },
	[CSUM_MD4] = { "md4", 16 },
	[CSUM_MD5] = { "md5", 16 },
	[CSUM_SHA1] = { "sha1", 20 },
	[CSUM_XXH64] = { "xxh64", 8 },
	[CSUM_XXH3] = { "xxh3", 8 },
	[CSUM_XXH128] = { "xxh128", 16 },
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *md5, *sha1;
static const struct xxh_ops *xxh = &xxh_base;

/* One digest run also loads what the library loads late. */
static bool try_digest(const EVP_MD *md)
{
	uint8_t out[EVP_MAX_MD_SIZE];
	unsigned n;

	return md && EVP_Digest("", 0, out, &n, md, NULL);
}

static void init(void)
{
	/* File checksums are not security functions: a FIPS default may not take them away. */
	md5 = EVP_MD_fetch(NULL, "MD5", "-fips");
	sha1 = EVP_MD_fetch(NULL, "SHA1", "-fips");
	if (!try_digest(md5) || !try_digest(sha1)) {
		EVP_MD_free(md5);
		md5 = NULL;
	}
#if HAVE_XXH_AVX2
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2"))
		xxh = &xxh_avx2;
#endif
}

int csum_global_init(struct err *e)
{
	pthread_once(&once, init);
	return md5 ? 0 : fail(e, RX_UNSUPPORTED, "the crypto library offers no MD5 or SHA1");
}

const char *csum_name(enum csum kind)
{
	return kind >= 0 && (size_t)kind < ARRAY_SIZE(kinds) ? kinds[kind].name : "invalid";
}

enum csum csum_parse(const char *name, size_t len)
{
	if (len == 6 && !strncasecmp(name, "xxhash", 6))
		return CSUM_XXH64;
	for (size_t i = ARRAY_SIZE(kinds); i-- > 0;) {
		if (i != CSUM_MD4_OLD && strlen(kinds[i].name) == len && !strncasecmp(kinds[i].name, name, len))
			return (enum csum)i;
	}
	return CSUM_INVALID;
}

unsigned csum_len(enum csum kind)
{
	return kinds[kind].len;
}

struct csum_ctx *csum_ctx_new(enum csum kind, int32_t seed, bool md5_seed_last)
{
	struct csum_ctx *c;

	if (kind < 0 || (size_t)kind >= ARRAY_SIZE(kinds))
		return NULL;
	c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->kind = kind;
	c->seed = seed;
	c->seed_last = md5_seed_last;
	put_le32(c->seed_bytes, (uint32_t)seed);
	if (kind == CSUM_MD5 || kind == CSUM_SHA1) {
		const EVP_MD *md = kind == CSUM_MD5 ? md5 : sha1;

		c->file = EVP_MD_CTX_new();
		c->block = EVP_MD_CTX_new();
		if (!md5 || !c->file || !c->block || !EVP_DigestInit_ex2(c->file, md, NULL) ||
		    !EVP_DigestInit_ex2(c->block, md, NULL)) {
			csum_ctx_free(c);
			return NULL;
		}
	}
	return c;
}

void csum_ctx_free(struct csum_ctx *c)
{
	if (!c)
		return;
	/* Not called in vain: its pages would have to be read in. */
	if (c->file)
		EVP_MD_CTX_free(c->file);
	if (c->block)
		EVP_MD_CTX_free(c->block);
	free(c->buf);
	free(c);
}

enum csum csum_ctx_kind(const struct csum_ctx *c)
{
	return c->kind;
}

/* The digests of the default provider cannot fail once initialised; a library that breaks this must not
   make two different files look equal. */
static void must(int ok)
{
	if (!ok)
		abort();
}

static void start_unseeded(struct csum_ctx *c)
{
	switch (c->kind) {
	case CSUM_MD4_OLD:
	case CSUM_MD4:
		md4_init(&c->md4);
		break;
	case CSUM_MD5:
	case CSUM_SHA1:
		must(EVP_DigestInit_ex2(c->file, NULL, NULL));
		break;
	case CSUM_XXH64:
		XXH64_reset(&c->xxh64, 0);
		break;
	case CSUM_XXH3:
	case CSUM_XXH128:
		xxh->reset(c->xxh3);
		break;
	case CSUM_NONE:
	case CSUM_INVALID:
		break;
	}
}

void csum_start(struct csum_ctx *c)
{
	start_unseeded(c);
	if (c->kind == CSUM_MD4_OLD)
		md4_update(&c->md4, c->seed_bytes, 4);
}

void csum_update(struct csum_ctx *c, const void *data, size_t len)
{
	if (!len)
		return;
	switch (c->kind) {
	case CSUM_MD4_OLD:
	case CSUM_MD4:
		md4_update(&c->md4, data, len);
		break;
	case CSUM_MD5:
	case CSUM_SHA1:
		must(EVP_DigestUpdate(c->file, data, len));
		break;
	case CSUM_XXH64:
		XXH64_update(&c->xxh64, data, len);
		break;
	case CSUM_XXH3:
		xxh->update64(c->xxh3, data, len);
		break;
	case CSUM_XXH128:
		xxh->update128(c->xxh3, data, len);
		break;
	case CSUM_NONE:
	case CSUM_INVALID:
		break;
	}
}

void csum_final(struct csum_ctx *c, uint8_t out[CSUM_MAX_LEN])
{
	memset(out, 0, CSUM_MAX_LEN);
	switch (c->kind) {
	case CSUM_MD4_OLD:
	case CSUM_MD4:
		md4_final(&c->md4, out);
		break;
	case CSUM_MD5:
	case CSUM_SHA1:
		must(EVP_DigestFinal_ex(c->file, out, NULL));
		break;
	case CSUM_XXH64:
		put_le64(out, XXH64_digest(&c->xxh64));
		break;
	case CSUM_XXH3:
		put_le64(out, xxh->final64(c->xxh3));
		break;
	case CSUM_XXH128:
		xxh->final128(c->xxh3, out);
		break;
	case CSUM_NONE:
	case CSUM_INVALID:
		break;
	}
}

static void evp_block(struct csum_ctx *c, const void *data, size_t len, uint8_t *out)
{
	bool last = c->kind == CSUM_MD5 && c->seed_last;

	must(EVP_DigestInit_ex2(c->block, NULL, NULL));
	if (c->seed && !last)
		must(EVP_DigestUpdate(c->block, c->seed_bytes, 4));
	must(EVP_DigestUpdate(c->block, data, len));
	if (c->seed && last)
		must(EVP_DigestUpdate(c->block, c->seed_bytes, 4));
	must(EVP_DigestFinal_ex(c->block, out, NULL));
}

/* A running state is dear to set up where all bytes are there. False: not one of the xxHash family. */
static bool xxh_at_once(enum csum kind, uint64_t seed, const void *data, size_t len, uint8_t out[CSUM_MAX_LEN])
{
	memset(out, 0, CSUM_MAX_LEN);
	if (kind == CSUM_XXH128)
		xxh->h128(data, len, seed, out);
	else if (kind == CSUM_XXH3)
		put_le64(out, xxh->h64(data, len, seed));
	else if (kind == CSUM_XXH64)
		put_le64(out, XXH64(data, len, seed));
	else
		return false;
	return true;
}

void csum_whole(struct csum_ctx *c, const void *data, size_t len, uint8_t out[CSUM_MAX_LEN])
{
	if (xxh_at_once(c->kind, 0, data, len, out))
		return;
	csum_start(c);
	csum_update(c, data, len);
	csum_final(c, out);
}

void csum_block(struct csum_ctx *c, const void *data, size_t len, uint8_t out[CSUM_MAX_LEN])
{
	struct md4 m;

	if (xxh_at_once(c->kind, (uint64_t)(int64_t)c->seed, data, len, out))
		return;
	if (c->kind == CSUM_MD5 || c->kind == CSUM_SHA1) {
		evp_block(c, data, len, out);
	} else if (c->kind == CSUM_MD4_OLD || c->kind == CSUM_MD4) {
		md4_init(&m);
		md4_update(&m, data, len);
		if (c->seed)
			md4_update(&m, c->seed_bytes, 4);
		md4_final(&m, out);
	}
}

int csum_list_fd(struct csum_ctx *c, int fd, uint64_t size, uint8_t out[CSUM_MAX_LEN])
{
	uint64_t off = 0;

	memset(out, 0, CSUM_MAX_LEN);
	if (!c->buf && !(c->buf = malloc(READ_SIZE)))
		return -ENOMEM;
	start_unseeded(c);
	while (off < size) {
		ssize_t n = pread(fd, c->buf, (size_t)MIN((uint64_t)READ_SIZE, size - off), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		csum_update(c, c->buf, (size_t)n);
		off += (uint64_t)n;
	}
	csum_final(c, out);
	return 0;
}

void csum_spoil(enum csum kind, uint8_t digest[CSUM_MAX_LEN])
{
	unsigned len = csum_len(kind);
	bool zero = true;

	for (unsigned i = 0; i < len; i++)
		zero = zero && !digest[i];
	memset(digest, 0, CSUM_MAX_LEN);
	digest[len - 1] = zero;
}
