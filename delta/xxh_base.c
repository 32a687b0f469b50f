/*
 * xxh_base.c - XXH3 for the vector unit that every CPU of the target has.
 */
#include "config.h"
#include "delta/xxh.h"
#include "delta/xxh_body.h"

const struct xxh_ops xxh_base = XXH_OPS;
