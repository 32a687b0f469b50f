/*
 * outw.h - writes the new content of a file in order: gathers small pieces, passes large ones
 * through, makes holes (spec 08 §8.2, §8.5).
 */
#ifndef RECEIVER_OUTW_H
#define RECEIVER_OUTW_H

#include "base/util.h"

#define OUTW_GATHER ((size_t)64 << 10)

struct outw {
	int fd;
	uint64_t pos;                  /* length of the content so far */
	uint8_t *buf;                  /* OUTW_GATHER bytes, the owner's */
	size_t fill;                   /* bytes of buf that end at pos */
	bool sparse;
	bool punch;                    /* the file may hold old data: zeros are punched, not just skipped */
	uint64_t hole;                 /* zeros that end where the last piece did, not made a hole yet */
	bool hole_is_news;             /* not all of them are in the file already */
	bool ends_in_hole;             /* set by outw_end: the size must be set */
};

/* All return 0 or a negative errno. */
int outw_write(struct outw *w, const void *data, size_t len);
int outw_keep(struct outw *w, const void *data, size_t len);   /* the file holds these bytes at this place already */
int outw_end(struct outw *w);

#endif
