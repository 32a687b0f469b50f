/*
 * quota.c - sizes of the configuration, within bounds that make sense.
 */
#include "config.h"
#include "daemon/quota.h"

#include <stdio.h>

#include "session/options.h"

#define KIB ((int64_t)1 << 10)
#define MIB ((int64_t)1 << 20)

/* Defaults are those of spec 09 §11.1 rows 22, 14, 27 and 28. */
static const struct {
	enum conf_param param;
	int64_t preset, min, max;
} sizes[] = {
	{ CP_MEMORY_LIMIT, 1024 * MIB, 4 * MIB, 1024 * 1024 * MIB },
	{ CP_MAX_ARGS_SIZE, 4 * MIB, KIB, 64 * MIB },
	{ CP_MAX_XATTR_SIZE, MIB, 64, 128 * MIB },
	{ CP_MAX_BLOCK_TABLE, 256 * MIB, KIB, 1024 * 1024 * MIB },
};

int quota_parse(const struct conf_module *m, struct session_quota *q, char *why, size_t size)
{
	size_t v[ARRAY_SIZE(sizes)];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const char *text = m->v[sizes[i].param].str;
		int64_t n = *text ? options_size(text, 'b', sizes[i].min, sizes[i].max) : sizes[i].preset;

		if (n <= 0) {
			snprintf(why, size, "\"%s\": %s is not a size from %lld to %lld bytes", conf_defs[sizes[i].param].name, text,
				 (long long)sizes[i].min, (long long)sizes[i].max);
			return -1;
		}
		v[i] = (size_t)n;
	}
	*q = (struct session_quota){ .memory = v[0], .args = v[1], .xattr = v[2], .block_table = v[3] };
	return 0;
}
