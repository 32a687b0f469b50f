/*
 * scan.c - rolling over unmatched data, one offset or sixteen at a time.
 */
#include "config.h"
#include "delta/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The filter says maybe; does any block of the chain have this sum? */
static bool in_chain(const struct block_index *ix, uint32_t weak, uint64_t *effort)
{
	uint32_t steps = 0, b = block_index_head(ix, weak);

	while (b != INDEX_NONE && steps < CHAIN_MAX) {
		steps++;
		if (ix->weak[b] == weak)
			break;
		b = ix->next[b];
	}
	*effort -= MIN(*effort, (uint64_t)steps);
	return b != INDEX_NONE && steps < CHAIN_MAX;
}

static bool scan_scalar(const struct block_index *ix, struct weak_roll *w, const uint8_t *p, size_t *pos, size_t n,
			uint64_t *effort)
{
	struct weak_roll r = *w;
	size_t i = *pos;
	uint32_t miss = 0;             /* looked up in vain last: runs of one byte ask the same again and again */
	bool hit = false, missed = false;

	for (;; i++) {
		if (block_index_maybe(ix, weak_roll_sum(&r)) && !(missed && miss == weak_roll_sum(&r))) {
			miss = weak_roll_sum(&r);
			missed = true;
			hit = in_chain(ix, weak_roll_sum(&r), effort);
			if (hit || !*effort)
				break;
		}
		if (i == n)
			break;
		weak_roll_step(&r, p[i], p[i + r.len]);
	}
	*w = r;
	*pos = i;
	return hit;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))

/* Inclusive prefix sums of 16 words. */
AVX2 static inline __m256i prefix_sums(__m256i x)
{
	const __m256i top = _mm256_set1_epi16(0x0f0e);
	__m256i low;

	x = _mm256_add_epi16(x, _mm256_slli_si256(x, 2));
	x = _mm256_add_epi16(x, _mm256_slli_si256(x, 4));
	x = _mm256_add_epi16(x, _mm256_slli_si256(x, 8));
	low = _mm256_permute2x128_si256(x, x, 0x08);
	return _mm256_add_epi16(x, _mm256_shuffle_epi8(low, top));
}

/* The last word in all places. */
AVX2 static inline __m256i spread_last(__m256i x)
{
	return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(x, 0xff), _mm256_set1_epi16(0x0f0e));
}

AVX2 static inline __m256i bytes16(const uint8_t *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* From the sums at offset i, in sums: those of the offsets i + 1 … i + 16, s1 in the low half. */
AVX2 static inline void roll16(__m256i *s1, __m256i *s2, __m256i len, const uint8_t *p, size_t window, __m256i sums[2])
{
	__m256i out = bytes16(p), in = bytes16(p + window), lo, hi;

	*s1 = _mm256_add_epi16(*s1, prefix_sums(_mm256_sub_epi16(in, out)));
	*s2 = _mm256_add_epi16(*s2, prefix_sums(_mm256_sub_epi16(*s1, _mm256_mullo_epi16(len, out))));
	lo = _mm256_unpacklo_epi16(*s1, *s2);
	hi = _mm256_unpackhi_epi16(*s1, *s2);
	sums[0] = _mm256_permute2x128_si256(lo, hi, 0x20);
	sums[1] = _mm256_permute2x128_si256(lo, hi, 0x31);
	*s1 = spread_last(*s1);
	*s2 = spread_last(*s2);
}

/* One bit per sum that the index may know. */
AVX2 static inline uint32_t lookup16(const struct block_index *ix, const __m256i sums[2])
{
	const __m256i factor = _mm256_set1_epi32((int)BLOCK_HASH), mix = _mm256_set1_epi32((int)BLOCK_BITS_MIX);
	const __m256i five = _mm256_set1_epi32(31);
	const __m128i shift = _mm_cvtsi32_si128((int)ix->seen_shift);
	uint32_t mask = 0;

	for (unsigned k = 0; k < 2; k++) {
		__m256i b = _mm256_xor_si256(_mm256_xor_si256(sums[k], _mm256_srli_epi32(sums[k], 16)), mix), v;

		v = _mm256_srl_epi32(_mm256_mullo_epi32(sums[k], factor), shift);
		v = _mm256_i32gather_epi32((const int *)(const void *)ix->seen, v, 4);
		v = _mm256_and_si256(_mm256_srlv_epi32(v, _mm256_and_si256(b, five)),
			_mm256_srlv_epi32(v, _mm256_and_si256(_mm256_srli_epi32(b, 5), five)));
		mask |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_slli_epi32(v, 31))) << (8 * k);
	}
	return mask;
}

AVX2 static bool scan_avx2(const struct block_index *ix, struct weak_roll *w, const uint8_t *p, size_t *pos, size_t n,
			   uint64_t *effort)
{
	size_t i = *pos, window = w->len;
	uint32_t miss = 0;             /* looked up in vain last: runs of one byte ask the same again and again */
	bool missed = false;
	__m256i s1, s2, sums[2], len = _mm256_set1_epi16((short)w->len);

	if (n - i < 16)
		return scan_scalar(ix, w, p, pos, n, effort);
	if (block_index_maybe(ix, weak_roll_sum(w)) && (in_chain(ix, weak_roll_sum(w), effort) || !*effort))
		return *effort != 0;
	s1 = _mm256_set1_epi16((short)w->s1);
	s2 = _mm256_set1_epi16((short)w->s2);
	for (; n - i >= 16; i += 16) {
		uint32_t mask;

		roll16(&s1, &s2, len, p + i, window, sums);
		mask = lookup16(ix, sums);
		while (UNLIKELY(mask)) {
			_Alignas(32) uint32_t sum[16];
			unsigned k = (unsigned)__builtin_ctz(mask);
			bool hit;

			_mm256_store_si256((__m256i *)(void *)sum, sums[0]);
			_mm256_store_si256((__m256i *)(void *)(sum + 8), sums[1]);
			mask &= mask - 1;
			if (missed && sum[k] == miss)
				continue;
			hit = in_chain(ix, sum[k], effort);
			if (hit || !*effort) {
				*pos = i + 1 + k;
				weak_roll_set(w, sum[k], w->len);
				return hit;
			}
			missed = true;
			miss = sum[k];
		}
	}
	w->s1 = (uint16_t)_mm256_extract_epi16(s1, 0);
	w->s2 = (uint16_t)_mm256_extract_epi16(s2, 0);
	*pos = i;
	if (i == n)
		return false;
	weak_roll_step(w, p[i], p[i + window]);
	*pos = i + 1;
	return scan_scalar(ix, w, p, pos, n, effort);
}
#else
#define scan_avx2 NULL
#endif

block_scan_fn *const block_scan_impls[2] = { scan_scalar, scan_avx2 };

bool block_scan_usable(unsigned i)
{
#if defined(__x86_64__)
	if (i == 1)
		return weak_impl_usable(2);
#endif
	return i == 0;
}

static block_scan_fn *best = scan_scalar;

__attribute__((constructor))
static void choose(void)
{
	if (block_scan_usable(1))
		best = block_scan_impls[1];
}

bool block_scan(const struct block_index *ix, struct weak_roll *w, const uint8_t *p, size_t *pos, size_t n, uint64_t *effort)
{
	return best(ix, w, p, pos, n, effort);
}
