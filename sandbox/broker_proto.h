/*
 * broker_proto.h - the broker's messages (spec 09 §14) and what its two ends share. Private to sandbox/.
 *
 * Sizes are compile-time constants and the operation fixes which; integers are in host order; what is
 * not used is zero.
 */
#ifndef SANDBOX_BROKER_PROTO_H
#define SANDBOX_BROKER_PROTO_H

#include <assert.h>
#include <stdatomic.h>

#include "sandbox/broker.h"
#include "sandbox/confine.h"

#define BROKER_MAGIC 0x6b62726bu /* "kbrk" */
#define BROKER_VERSION 1
#define BROKER_PARENT 4096
#define BROKER_TEMPS 64

enum broker_op { BROKER_HELLO, BROKER_MKNOD, BROKER_MKTEMP, BROKER_MOVE, BROKER_LINK, BROKER_OPEN, BROKER_NOPS };

#define BROKER_F_REPLACE 1u     /* MOVE: an existing non-directory is replaced */
#define BROKER_F_WRITE 1u       /* OPEN: for writing */

struct broker_name {
	char parent[BROKER_PARENT];
	char leaf[BROKER_LEAF];
};

struct broker_request {
	uint32_t magic;
	uint16_t version, op;
	uint64_t id;
	uint32_t mode, major, minor, flags;
	uint16_t parent_len, leaf_len, parent2_len, leaf2_len;
	uint8_t reserved[24];
	struct broker_name from;
	struct broker_name to;  /* MOVE and LINK only: the shorter message ends before it */
};

#define BROKER_SHORT offsetof(struct broker_request, to)
#define BROKER_LONG sizeof(struct broker_request)
static_assert(BROKER_SHORT == 4416 && BROKER_LONG == 8768, "sizes of the protocol");

struct broker_reply {
	uint32_t magic;
	uint16_t version, op;
	uint64_t id;
	int32_t err;            /* 0 or a positive errno */
	uint32_t pad;
	uint64_t dev, ino;
	uint8_t reserved[24];
	char leaf[BROKER_LEAF]; /* MKTEMP only */
};

#define BROKER_REPLY offsetof(struct broker_reply, leaf)
static_assert(BROKER_REPLY == 64 && sizeof(struct broker_reply) == 320, "sizes of the protocol");

/* The first message, to the monitor: whether the broker stands. */
struct broker_hello {
	uint32_t magic;
	uint16_t version, op;
	int32_t ok;
	struct confine_report report;
	char text[512];
};

/* The phase word: BROKER_MAY_* of the transfer; 0 before and after it. */
/* Judges the form of a message. 0: well formed; a positive errno: a request to be refused; negative: a
   violation, whose reason is in *why. */
int broker_check_form(const void *msg, size_t len, const char **why);

/* The broker process, confined already. Does not return. phase is read-only to it. */
_Noreturn void broker_serve(const struct broker_config *cfg, const _Atomic uint32_t *phase);

/* Audit records; see broker_audit.c. */
enum audit_step { AUDIT_INTENT, AUDIT_DONE, AUDIT_FAILED, AUDIT_REFUSED, AUDIT_VIOLATION };

/* Writes one record; req may be NULL. rule: what device_policy_check() answered. False when the sink failed. */
bool broker_audit(const struct broker_config *cfg, enum audit_step step, const struct broker_request *req, int rule, int err,
	const char *why);

#endif
