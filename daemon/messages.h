/*
 * messages.h - what the processes of one connection say to each other (design: sandbox/chan.h).
 * Every message has a fixed size; text in it is NUL-terminated by the receiver before use.
 */
#ifndef DAEMON_MESSAGES_H
#define DAEMON_MESSAGES_H

#include "daemon/auth.h"
#include "daemon/handshake.h"
#include "daemon/proxy.h"
#include "sandbox/chan.h"
#include "session/session.h"

enum message_type {
	/* gate to monitor */
	GATE_PROXY = 1,         /* the PROXY header was read; answered by GATE_GO */
	GATE_LIST,              /* a listing was asked for; no answer */
	GATE_SELECT,            /* a module; answered by GATE_VERDICT */
	GATE_ANSWER,            /* the answer to a challenge; answered by GATE_VERDICT */
	/* monitor to gate */
	GATE_GO = 16,           /* the greeting may be sent */
	GATE_VERDICT,
	/* worker to monitor; name and id lookups: session/idlink.h */
	WORKER_REQUEST = 32,    /* direction and arguments are known; answered by WORKER_GO */
	WORKER_LOG,             /* a line for syslog; no answer */
	WORKER_ARG,             /* an argument for hooks, before the request; no answer */
	/* monitor to worker */
	WORKER_GO = 48,
};

struct gate_proxy { struct chan_head head; struct proxy_addr from; uint8_t pad[7]; };
struct gate_list { struct chan_head head; };
struct gate_go { struct chan_head head; };

struct gate_select {
	struct chan_head head;
	int32_t protocol;               /* agreed by the greetings */
	int32_t digest;                 /* enum hs_digest */
	uint32_t early_len;
	char module[HS_LINE_MAX + 2];
	uint8_t early[HS_EARLY_MAX];
};

struct gate_answer {
	struct chan_head head;
	uint32_t malformed;             /* no blank, or too long */
	char user[AUTH_USER_MAX + 2];
	char response[AUTH_RESPONSE_MAX];
};

enum gate_action {
	GATE_CLOSE,                     /* send the text, which may be empty, and end */
	GATE_CHALLENGE,                 /* send the text, then read an answer */
	GATE_HAND_OFF,                  /* end at once, leave the connection to the worker */
};

struct gate_verdict {
	struct chan_head head;
	uint32_t action;
	char text[1400];                /* with its line feed */
};

struct worker_request { struct chan_head head; uint8_t sending, device_ops; uint8_t pad[2]; char request[2048]; };
/* refused: the pre-xfer exec said no, text is for the client. */
struct worker_go { struct chan_head head; uint32_t refused; char text[PRE_XFER_TEXT]; };
struct worker_arg { struct chan_head head; char text[5120]; };
struct worker_log { struct chan_head head; uint32_t warns; char text[2048]; };

#endif
