/*
 * seccomp.h - system-call allow-lists per role (spec 09 §15.3).
 *
 * libseccomp makes kernel programs of them when kedge is built (mkfilters.c); loading one is a single system call.
 * What is not listed kills the process. In a sanitizer build it fails with EPERM instead, so that the
 * runtime can still print its report.
 */
#ifndef SANDBOX_SECCOMP_H
#define SANDBOX_SECCOMP_H

#include "base/util.h"

enum filter_kind {
	FILTER_GATE,
	FILTER_RECV,
	FILTER_SEND,
	FILTER_SEND_REMOVE,     /* a sender that may remove what it sent */
	FILTER_BROKER,
	FILTER_BROKER_OPEN,
	FILTER_KINDS
};

/* Descriptors of a broker are at fixed numbers, so that its filter can name them. */
#define BROKER_FD_CHAN 3
#define BROKER_FD_ROOT 4
#define BROKER_FD_AUDIT 5

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* Whether the kernel has filters with a kill-process action. */
bool seccomp_available(void);

/* Installs a filter for this process (no_new_privs must be set). 0 or negative errno. */
int seccomp_enter(enum filter_kind kind);

/* ---- between seccomp.c, seccomp_rules.c, mkfilters.c and what it prints ---- */

/* Stands for "our own process id" in a rule's argument until the filter is installed. */
#define SECCOMP_OWN_PID 0x5e1f91d0u

enum cmp_op { CMP_NONE, CMP_EQ, CMP_MASKED }; /* MASKED: (arg & mask) == value */

struct call_cmp {
	unsigned char arg;
	unsigned char op;
	uint64_t mask, value;
};

struct call_rule {
	int nr;                 /* SCMP_SYS number */
	unsigned kinds;         /* bit mask of filter kinds */
	int err;                /* 0: allow, else answer with this errno */
	struct call_cmp cmp[3];
};

#define SECCOMP_PROGRAM_MAX 512 /* instructions, copied to the stack when it is loaded; a longer program is not built */

struct sock_filter;

struct seccomp_program {
	const struct sock_filter *code;
	size_t len;             /* instructions */
};

extern const struct seccomp_program seccomp_programs[FILTER_KINDS];

extern const struct call_rule seccomp_rules[];
extern const size_t seccomp_nrules;

#endif
