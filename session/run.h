/*
 * run.h - the part of a session that does not depend on how it was started: from the
 * parsed options to the exit code.
 */
#ifndef SESSION_RUN_H
#define SESSION_RUN_H

#include "filter/filter.h"
#include "session/options.h"
#include "session/route.h"
#include "session/session.h"

struct session {
	struct xfer x;
	struct xfer_opts o;
	struct xfer_proto p;
	struct conn conn;
	struct route route;
	struct budget budget;
	struct err in_err, out_err;
	struct filt_files files;
	struct sb *sb;             /* for rule files; made on first use */
	bool names_ended;          /* the peer was told that no names come, and reads on only then */
};

/* Buffers, budget, message routing. -1 without memory (in_err). */
int session_init(struct session *s, int in_fd, int out_fd);

/* Remote-shell server: what is wrong with the files and rules of the command line is told before anything is sent
   (spec 05 §4.1). 0, or -1 with in_err. */
int session_check_files(struct session *s, const struct options *p);

/* Collects the filter rules of the arguments, and reads the client's where the options say that it sends them (spec 01 §12.1). */
int session_filters(struct session *s, const struct options *p);

/* Names are converted from now on (--iconv): the options must be complete. */
void session_charset(struct session *s, const struct options *p, struct charset *c);

/* Runs the role. Everything before (set-up, filters, anchors in s->x) must be in place. */
int session_role(struct session *s);

/* Ends the session after the steps above ended with rc (0 or -1): tells the peer and the log what went
   wrong as spec 01 §13 says, and returns the exit code. */
int session_end(struct session *s, int rc);

#endif
