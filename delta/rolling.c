/*
 * rolling.c - the weak sum of a block: scalar, SSE2, AVX2.
 *
 * s1 = sum of b[i], s2 = sum of (n - i) * b[i], bytes signed, both modulo 2^16. The vector versions take w bytes at
 * a time: s2 grows by w * s1 plus the bytes weighted w … 1. 32-bit lanes wrap modulo 2^32, which 2^16 divides.
 */
#include "config.h"
#include "delta/rolling.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define HAVE_X86 1
#else
#define HAVE_X86 0
#endif

static uint32_t finish(uint32_t s1, uint32_t s2, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s1 += weak_byte(p[i]);
		s2 += s1;
	}
	return (s1 & 0xffff) | s2 << 16;
}

static uint32_t weak_scalar(const void *data, size_t len)
{
	return finish(0, 0, data, len);
}

#if HAVE_X86
__attribute__((target("sse2")))
static uint32_t sum_lanes(__m128i v)
{
	v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
	v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(v);
}

__attribute__((target("sse2")))
static uint32_t weak_sse2(const void *data, size_t len)
{
	const __m128i ones = _mm_set1_epi16(1), zero = _mm_setzero_si128();
	const __m128i high = _mm_set_epi16(9, 10, 11, 12, 13, 14, 15, 16);
	const __m128i low = _mm_set_epi16(1, 2, 3, 4, 5, 6, 7, 8);
	__m128i v1 = zero, v2 = zero, before = zero;
	const uint8_t *p = data;

	for (; len >= 16; len -= 16, p += 16) {
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i sign = _mm_cmpgt_epi8(zero, b);
		__m128i lo = _mm_unpacklo_epi8(b, sign), hi = _mm_unpackhi_epi8(b, sign);

		before = _mm_add_epi32(before, v1);
		v1 = _mm_add_epi32(v1, _mm_madd_epi16(_mm_add_epi16(lo, hi), ones));
		v2 = _mm_add_epi32(v2, _mm_add_epi32(_mm_madd_epi16(lo, high), _mm_madd_epi16(hi, low)));
	}
	v2 = _mm_add_epi32(v2, _mm_slli_epi32(before, 4));
	return finish(sum_lanes(v1), sum_lanes(v2), p, len);
}

__attribute__((target("avx2")))
static uint32_t weak_avx2(const void *data, size_t len)
{
	const __m256i ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
	const __m256i weights = _mm256_set_epi8(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32);
	__m256i v1 = _mm256_setzero_si256(), v2 = v1, before = v1;
	const uint8_t *p = data;

	for (; len >= 32; len -= 32, p += 32) {
		__m256i b = _mm256_loadu_si256((const __m256i *)(const void *)p);

		before = _mm256_add_epi32(before, v1);
		v1 = _mm256_add_epi32(v1, _mm256_madd_epi16(_mm256_maddubs_epi16(ones8, b), ones16));
		v2 = _mm256_add_epi32(v2, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, b), ones16));
	}
	v2 = _mm256_add_epi32(v2, _mm256_slli_epi32(before, 5));
	return finish(sum_lanes(_mm_add_epi32(_mm256_castsi256_si128(v1), _mm256_extracti128_si256(v1, 1))),
		sum_lanes(_mm_add_epi32(_mm256_castsi256_si128(v2), _mm256_extracti128_si256(v2, 1))), p, len);
}
#else
#define weak_sse2 NULL
#define weak_avx2 NULL
#endif

const struct weak_impl weak_impls[3] = {
	{ "scalar", weak_scalar }, { "sse2", weak_sse2 }, { "avx2", weak_avx2 },
};

bool weak_impl_usable(unsigned i)
{
#if HAVE_X86
	__builtin_cpu_init();
	if (i == 1)
		return __builtin_cpu_supports("sse2");
	if (i == 2)
		return __builtin_cpu_supports("avx2");
#endif
	return i == 0;
}

static weak_sum_fn *best = weak_scalar;

__attribute__((constructor))
static void choose(void)
{
	for (unsigned i = 1; i < ARRAY_SIZE(weak_impls); i++) {
		if (weak_impl_usable(i))
			best = weak_impls[i].fn;
	}
}

uint32_t weak_sum(const void *data, size_t len)
{
	return best(data, len);
}
