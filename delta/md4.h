/*
 * md4.h - MD4 (RFC 1320), which the crypto library no longer offers by default.
 */
#ifndef DELTA_MD4_H
#define DELTA_MD4_H

#include "base/util.h"

struct md4 {
	uint32_t state[4];
	uint64_t len;          /* bytes so far */
	uint8_t tail[64];      /* the unfinished block, len % 64 bytes */
};

void md4_init(struct md4 *m);
void md4_update(struct md4 *m, const void *data, size_t len);
void md4_final(struct md4 *m, uint8_t out[16]);

#endif
