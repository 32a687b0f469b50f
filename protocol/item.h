/*
 * item.h - item headers, sum-head-free records of the transfer phase, statistics
 * (spec 03 §4, §5.6, §5.7). Item flags and basis types: transfer/options.h.
 */
#ifndef PROTOCOL_ITEM_H
#define PROTOCOL_ITEM_H

#include "protocol/wire.h"

struct item {
	int32_t ndx;
	uint16_t flags;                /* ITEM_*; below protocol 29 ITEM_TRANSFER is implied */
	uint8_t basis;                 /* 0x80 unless the type byte was present */
	uint16_t xname_len;
	char xname[4096];              /* NUL-terminated, "" if absent */
};

/* Reads what follows an index >= 0: flags, basis type, xname. */
void rd_item(struct rd *r, struct item *it, int proto);

/* Writes index and header. */
void wr_item(struct wr *w, struct ndx_state *s, int proto, const struct item *it);

struct del_stats { int32_t files, dirs, links, devices, specials; };
void rd_del_stats(struct rd *r, struct del_stats *d);      /* each 0 … 2^28, else RX_PROTOCOL */
void wr_del_stats(struct wr *w, struct ndx_state *s, int proto, const struct del_stats *d);   /* with its index */

struct xfer_stats { int64_t read, written, total_size, build_ms, xfer_ms; };
void wr_xfer_stats(struct wr *w, int proto, const struct xfer_stats *st);
void rd_xfer_stats(struct rd *r, int proto, struct xfer_stats *st);

#endif
