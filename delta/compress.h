/*
 * compress.h - names and levels of the stream compressors (spec 03 §10.7).
 */
#ifndef DELTA_COMPRESS_H
#define DELTA_COMPRESS_H

#include "base/util.h"

enum comp {
	COMP_NONE,
	COMP_ZLIB,             /* matched data enters the history */
	COMP_ZLIBX,
	COMP_LZ4,
	COMP_ZSTD,
	COMP_INVALID = -1,
};

#define COMP_LEVEL_DEFAULT INT_MIN     /* no level was given */

const char *comp_name(enum comp c);
enum comp comp_parse(const char *name, size_t len); /* any case; COMP_INVALID if unknown */

/* Clamps *level to the codec's range and fills in its default. True: this level means "off" and both sides
   use the plain token stream (zlib and zlibx at 0); the caller then goes on with COMP_NONE. */
bool comp_level(enum comp c, int *level);

/* Literals are at most this long in the plain stream of ours; the codecs are fed by such pieces. */
#define TOKEN_CHUNK 32768u
#define TOKEN_MAXDATA 16383u   /* compressed payload of one packet */
#define TOKEN_RUN_MAX 65535u   /* a run is at most 65536 blocks */

#endif
