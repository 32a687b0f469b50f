/*
 * rolling.h - the weak rolling checksum of blocks (spec 03 §7).
 */
#ifndef DELTA_ROLLING_H
#define DELTA_ROLLING_H

#include "base/util.h"

/* Weak sum of len bytes, vectorised where the CPU can. Never reads outside the buffer. */
uint32_t weak_sum(const void *data, size_t len);

/* The implementations behind it, for tests: NULL in a slot the CPU does not support. */
typedef uint32_t weak_sum_fn(const void *data, size_t len);
struct weak_impl { const char *name; weak_sum_fn *fn; };
extern const struct weak_impl weak_impls[3]; /* scalar, sse2, avx2 */
bool weak_impl_usable(unsigned i);

/* A byte as the sums see it: signed, widened. */
static inline uint32_t weak_byte(uint8_t b)
{
	int32_t v = (int8_t)b;

	return (uint32_t)v;
}

/* A window that moves byte by byte. s1 and s2 are kept modulo 2^32 and cut when read. */
struct weak_roll {
	uint32_t s1, s2, len;
};

static inline void weak_roll_set(struct weak_roll *w, uint32_t sum, uint32_t len)
{
	w->s1 = sum & 0xffff;
	w->s2 = sum >> 16;
	w->len = len;
}

static inline uint32_t weak_roll_sum(const struct weak_roll *w)
{
	return (w->s1 & 0xffff) | w->s2 << 16;
}

/* One byte forward: out leaves in front, in enters behind. */
static inline void weak_roll_step(struct weak_roll *w, uint8_t out, uint8_t in)
{
	w->s1 += weak_byte(in) - weak_byte(out);
	w->s2 += w->s1 - w->len * weak_byte(out);
}

/* At the end of the data: out leaves, nothing enters. */
static inline void weak_roll_shrink(struct weak_roll *w, uint8_t out)
{
	w->s1 -= weak_byte(out);
	w->s2 -= w->len * weak_byte(out);
	w->len--;
}

#endif
