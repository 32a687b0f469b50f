/*
 * idlink.h - names and ids for a confined process: it asks, over a channel, a process of ours that can
 * still reach the system's databases.
 *
 * The asking end is an id_service (xfer.h) that threads may share. The answering end is two rows for the
 * rule table of a chan_server, so that a monitor can answer them among its own requests.
 */
#ifndef SESSION_IDLINK_H
#define SESSION_IDLINK_H

#include <pthread.h>

#include "sandbox/chan.h"
#include "transfer/xfer.h"

/* Message types; those of a channel's other users are below. */
enum { IDLINK_NAME = 0x100, IDLINK_ID, IDLINK_NAME_IS, IDLINK_ID_IS };

#define IDLINK_NAME_MAX 255

struct idlink_name { struct chan_head head; uint32_t is_group, id; };
struct idlink_name_is { struct chan_head head; int32_t found; char name[IDLINK_NAME_MAX + 1]; };
struct idlink_id { struct chan_head head; uint32_t is_group; char name[IDLINK_NAME_MAX + 1]; };
struct idlink_id_is { struct chan_head head; int32_t found; uint32_t id; };

struct idlink {
	struct chan chan;
	pthread_mutex_t lock;   /* held over each exchange; also by others who use the channel */
	bool converter;         /* names are a program's: one that cannot be sent is told */
};

/* Takes the channel over. */
void idlink_init(struct idlink *l, struct chan end);

/* The service; l must outlive it. A lookup that cannot be made is one that finds nothing. */
struct id_service idlink_service(struct idlink *l);

chan_handler idlink_on_name, idlink_on_id;

/* Whether a name may be asked for: not empty, not too long, no control characters. */
bool idlink_sendable(const char *name);

/* The rows of a rule table, with the handlers above or others. Counts: the id lists are bounded by spec 09 §11.1 row 24, in both directions and for
   ACLs too. */
#define IDLINK_RULES(states, on_name, on_id) \
	{ IDLINK_NAME, "name", sizeof(struct idlink_name), (states), 4 * 65536, false, on_name }, \
	{ IDLINK_ID, "id", sizeof(struct idlink_id), (states), 4 * 65536, false, on_id }

/* Forks a process that answers lookups until the other end is closed, with no privilege and none of our descriptors.
   Single-threaded callers only. 0, or -1 with e set. */
int idlink_start(struct idlink *l, struct err *e) NODISCARD;

#endif
