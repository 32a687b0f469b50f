/*
 * xxh_avx2.c - XXH3 for AVX2. All code here is static to this file and is reached only through xxh_avx2.
 */
#include "config.h"
#include "delta/xxh.h"

#if HAVE_XXH_AVX2
#include <immintrin.h>
#define XXH_VECTOR 2 /* XXH_AVX2 */
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#include "delta/xxh_body.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const struct xxh_ops xxh_avx2 = XXH_OPS;
#else
typedef int xxh_avx2_unused;
#endif
