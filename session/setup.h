/*
 * setup.h - what follows the arguments: compat flags, negotiated strings, seed, and the
 * start of multiplexing (spec 01 §7, §8).
 */
#ifndef SESSION_SETUP_H
#define SESSION_SETUP_H

#include "protocol/conn.h"
#include "transfer/options.h"

/* Flags that a server sends for these options and capability letters (§7.2). */
unsigned setup_compat(const struct xfer_opts *o, int version);

/* The list a server offers, by its environment (§7.4): the value of RSYNC_CHECKSUM_LIST or
   RSYNC_COMPRESS_LIST, or NULL. out takes 256 bytes. */
void setup_checksum_list(const char *env, char *out);
void setup_compress_list(const char *env, char *out);

/* May a client ask for this by --checksum-choice, --compress-choice, as far as that list goes? */
bool setup_checksum_allowed(const char *env, const char *choice);
bool setup_compress_allowed(const char *env, const char *choice);

/* First name of the client's list that is also in ours (§7.4), copied to name (32 bytes); false if none. */
bool setup_choose(const char *client, const char *ours, char *name);

/*
 * Runs the exchange over an unmultiplexed connection and fills p; completes o (whole_file by checksum
 * "none", delete_when by version). Multiplexes both directions as the version demands.
 */
int setup_protocol(struct conn *c, struct xfer_opts *o, int version, struct xfer_proto *p);

#endif
