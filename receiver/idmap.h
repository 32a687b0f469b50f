/*
 * idmap.h - from the sender's user and group ids to ours (spec 08 §15).
 *
 * The map learns names from the receiver thread and is asked by both; it has a lock. Each thread
 * asks through its own view, which remembers the latest answers.
 */
#ifndef RECEIVER_IDMAP_H
#define RECEIVER_IDMAP_H

#include "base/err.h"
#include "base/mem.h"
#include "transfer/xfer.h"

struct idmap;

/* super: this process may give files away. numeric: names neither arrive nor count. Parses --usermap and
   --groupmap: grammar errors are exit 1. groups: those the process belongs to, for unprivileged runs; copied. */
struct idmap *idmap_new(const struct xfer_opts *o, const struct id_service *ids, bool super, const gid_t *groups,
			int ngroups, struct budget *budget, struct err *err);
void idmap_free(struct idmap *m);

/* An id was seen with its name: a flist_id_fn. */
void idmap_learn(void *m, bool is_group, uint32_t id, const char *name);

#define IDVIEW_SLOTS 32

struct idview {
	struct idmap *m;
	struct { uint32_t from, to; bool used, settable; } slot[2][IDVIEW_SLOTS];
};

void idview_init(struct idview *v, struct idmap *m);

/* Local id for a sender's id. settable (may be NULL): an unprivileged process may set this group. */
uint32_t idview_map(struct idview *v, bool is_group, uint32_t id, bool *settable);

#endif
