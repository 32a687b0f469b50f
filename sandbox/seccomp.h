/*
 * seccomp.h - system-call allow-lists per role (spec 09 §15.3).
 *
 * Compiled once by libseccomp into a kernel program held in memory; loading one is a single system call.
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

/* Compiles a filter unless it is there already. 0 or negative errno. */
int seccomp_compile(enum filter_kind kind);

/* Instructions of a compiled filter; 0 before. */
unsigned seccomp_length(enum filter_kind kind);

/* Installs a compiled filter for this process (no_new_privs must be set). -ENOENT when it was not compiled. */
int seccomp_enter(enum filter_kind kind);

/* ---- for seccomp.c and seccomp_rules.c ---- */

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

extern const struct call_rule seccomp_rules[];
extern const size_t seccomp_nrules;

#endif
