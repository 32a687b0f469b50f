/*
 * md4.c - MD4, written from RFC 1320.
 */
#include "config.h"
#include "delta/md4.h"

#define ROL(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define STEP(f, a, b, c, d, k, s, add) do { \
	(a) += f((b), (c), (d)) + x[k] + (add); \
	(a) = ROL((a), (s)); \
} while (0)
/* Four steps that go round the registers, over words k0 … k3 with shifts s0 … s3. */
#define QUAD(f, k0, k1, k2, k3, s0, s1, s2, s3, add) do { \
	STEP(f, a, b, c, d, k0, s0, add); \
	STEP(f, d, a, b, c, k1, s1, add); \
	STEP(f, c, d, a, b, k2, s2, add); \
	STEP(f, b, c, d, a, k3, s3, add); \
} while (0)

static void blocks(uint32_t st[4], const uint8_t *p, size_t n)
{
	uint32_t a = st[0], b = st[1], c = st[2], d = st[3], x[16];

	for (; n; n--, p += 64) {
		uint32_t a0 = a, b0 = b, c0 = c, d0 = d;

		for (unsigned i = 0; i < 16; i++)
			x[i] = get_le32(p + 4 * i);
		QUAD(F, 0, 1, 2, 3, 3, 7, 11, 19, 0);
		QUAD(F, 4, 5, 6, 7, 3, 7, 11, 19, 0);
		QUAD(F, 8, 9, 10, 11, 3, 7, 11, 19, 0);
		QUAD(F, 12, 13, 14, 15, 3, 7, 11, 19, 0);
		QUAD(G, 0, 4, 8, 12, 3, 5, 9, 13, 0x5a827999u);
		QUAD(G, 1, 5, 9, 13, 3, 5, 9, 13, 0x5a827999u);
		QUAD(G, 2, 6, 10, 14, 3, 5, 9, 13, 0x5a827999u);
		QUAD(G, 3, 7, 11, 15, 3, 5, 9, 13, 0x5a827999u);
		QUAD(H, 0, 8, 4, 12, 3, 9, 11, 15, 0x6ed9eba1u);
		QUAD(H, 2, 10, 6, 14, 3, 9, 11, 15, 0x6ed9eba1u);
		QUAD(H, 1, 9, 5, 13, 3, 9, 11, 15, 0x6ed9eba1u);
		QUAD(H, 3, 11, 7, 15, 3, 9, 11, 15, 0x6ed9eba1u);
		a += a0;
		b += b0;
		c += c0;
		d += d0;
	}
	st[0] = a;
	st[1] = b;
	st[2] = c;
	st[3] = d;
}

void md4_init(struct md4 *m)
{
	*m = (struct md4){ .state = { 0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u } };
}

void md4_update(struct md4 *m, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t have = m->len % 64;

	if (!len)
		return;
	m->len += len;
	if (have) {
		size_t k = MIN(len, 64 - have);

		memcpy(m->tail + have, p, k);
		if (have + k < 64)
			return;
		blocks(m->state, m->tail, 1);
		p += k;
		len -= k;
	}
	blocks(m->state, p, len / 64);
	memcpy(m->tail, p + len / 64 * 64, len % 64);
}

void md4_final(struct md4 *m, uint8_t out[16])
{
	size_t have = m->len % 64;

	m->tail[have++] = 0x80;
	if (have > 56) {
		memset(m->tail + have, 0, 64 - have);
		blocks(m->state, m->tail, 1);
		have = 0;
	}
	memset(m->tail + have, 0, 56 - have);
	put_le64(m->tail + 56, m->len * 8);
	blocks(m->state, m->tail, 1);
	for (unsigned i = 0; i < 4; i++)
		put_le32(out + 4 * i, m->state[i]);
}
