/*
 * compress.c - names and levels of the stream compressors.
 */
#include "config.h"
#include "delta/compress.h"

#include <strings.h>
#include <zstd.h>

static const char *const names[] = { "none", "zlib", "zlibx", "lz4", "zstd" };

const char *comp_name(enum comp c)
{
	return c >= 0 && (size_t)c < ARRAY_SIZE(names) ? names[c] : "invalid";
}

enum comp comp_parse(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) == len && !strncasecmp(names[i], name, len))
			return (enum comp)i;
	}
	return COMP_INVALID;
}

static int clamp(int v, int low, int high)
{
	return v < low ? low : MIN(v, high);
}

bool comp_level(enum comp c, int *level)
{
	switch (c) {
	case COMP_ZLIB:
	case COMP_ZLIBX:
		if (!*level)
			return true;
		*level = *level == COMP_LEVEL_DEFAULT || *level == -1 ? 6 : clamp(*level, 1, 9);
		return false;
	case COMP_ZSTD:
		*level = *level == COMP_LEVEL_DEFAULT || !*level ? 3 : clamp(*level, ZSTD_minCLevel(), ZSTD_maxCLevel());
		return false;
	case COMP_LZ4:
	case COMP_NONE:
	case COMP_INVALID:
		*level = 0;
		return false;
	}
	return false;
}
