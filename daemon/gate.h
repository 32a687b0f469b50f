/*
 * gate.h - the process that talks to a peer nobody knows yet: PROXY header, greeting, module name, answer to
 * the challenge. It holds the connection and a channel to the monitor, no file system and no privilege, and it
 * is gone before the worker starts.
 *
 * It reads not one byte beyond the line it needs, so that the worker finds the rest in the connection.
 */
#ifndef DAEMON_GATE_H
#define DAEMON_GATE_H

#include "base/util.h"
#include "sandbox/chan.h"

struct gate {
	int in_fd, out_fd;
	bool is_socket;
	bool proxy;                     /* a PROXY header comes first */
	bool wait;                      /* wait for GATE_GO before the greeting */
	int protocol;                   /* what the greeting announces */
	const char *hello;              /* greeting and message of the day */
	size_t hello_len;
	const char *listing;            /* the modules, without "@RSYNCD: EXIT" */
	size_t listing_len;
	struct chan chan;
};

/* How a gate ended: its exit code. From GATE_END_LINE on it is what the peer did wrong. */
enum gate_end {
	GATE_END_OK, GATE_END_PEER, GATE_END_BROKEN,
	GATE_END_LINE, GATE_END_GREETING, GATE_END_COMMAND, GATE_END_PROXY,
	GATE_ENDS
};

/* Runs to its end; the caller has confined the process and exits with the result. */
enum gate_end gate_run(struct gate *g);

#endif
