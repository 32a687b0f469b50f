/*
 * item.c - item headers and statistics of the transfer phase (spec 03 §4, §5.6, §5.7).
 */
#include "config.h"
#include "protocol/item.h"

#include "base/say.h"
#include "transfer/options.h"

#define DEL_STAT_MAX (1 << 28)

void rd_item(struct rd *r, struct item *it, int proto)
{
	it->flags = proto >= 29 ? rd_le16(r) : ITEM_TRANSFER;
	it->basis = it->flags & ITEM_BASIS_TYPE_FOLLOWS ? rd_u8(r) : BASIS_FNAME;
	it->xname_len = 0;
	it->xname[0] = '\0';
	if (it->flags & ITEM_XNAME_FOLLOWS) {
		it->xname_len = (uint16_t)rd_vstring(r, it->xname, sizeof it->xname);
		if (memchr(it->xname, '\0', it->xname_len))
			rd_fail(r, RX_PROTOCOL, "NUL byte in an item name");
	}
}

void wr_item(struct wr *w, struct ndx_state *s, int proto, const struct item *it)
{
	wr_ndx(w, s, proto, it->ndx);
	if (proto < 29)
		return;
	wr_le16(w, it->flags);
	if (it->flags & ITEM_BASIS_TYPE_FOLLOWS)
		wr_u8(w, it->basis);
	if (it->flags & ITEM_XNAME_FOLLOWS)
		wr_vstring(w, it->xname, it->xname_len);
}

static int32_t del_stat(struct rd *r, const char *what)
{
	int32_t v = rd_varint(r);

	if (v < 0 || v > DEL_STAT_MAX) {
		rd_fail(r, RX_PROTOCOL, "wire value %s out of range: %d not in [0,%d] [%s]", what, v, DEL_STAT_MAX, say_role());
		return 0;
	}
	return v;
}

void rd_del_stats(struct rd *r, struct del_stats *d)
{
	d->files = del_stat(r, "deleted_files");
	d->dirs = del_stat(r, "deleted_dirs");
	d->links = del_stat(r, "deleted_symlinks");
	d->devices = del_stat(r, "deleted_devices");
	d->specials = del_stat(r, "deleted_specials");
}

void wr_del_stats(struct wr *w, struct ndx_state *s, int proto, const struct del_stats *d)
{
	wr_ndx(w, s, proto, NDX_DEL_STATS);
	wr_varint(w, d->files);
	wr_varint(w, d->dirs);
	wr_varint(w, d->links);
	wr_varint(w, d->devices);
	wr_varint(w, d->specials);
}

void wr_xfer_stats(struct wr *w, int proto, const struct xfer_stats *st)
{
	wr_varlong30(w, proto, st->read, 3);
	wr_varlong30(w, proto, st->written, 3);
	wr_varlong30(w, proto, st->total_size, 3);
	if (proto >= 29) {
		wr_varlong30(w, proto, st->build_ms, 3);
		wr_varlong30(w, proto, st->xfer_ms, 3);
	}
}

void rd_xfer_stats(struct rd *r, int proto, struct xfer_stats *st)
{
	st->read = rd_varlong30(r, proto, 3);
	st->written = rd_varlong30(r, proto, 3);
	st->total_size = rd_varlong30(r, proto, 3);
	st->build_ms = proto >= 29 ? rd_varlong30(r, proto, 3) : 0;
	st->xfer_ms = proto >= 29 ? rd_varlong30(r, proto, 3) : 0;
}
