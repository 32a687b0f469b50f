/*
 * clock.h - monotonic time for deadlines.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/util.h"

/* Milliseconds since some fixed point; never goes back. */
int64_t clock_ms(void);

#endif
