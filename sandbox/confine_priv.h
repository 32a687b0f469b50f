/*
 * confine_priv.h - shared by the parts of confine; private to sandbox/.
 */
#ifndef SANDBOX_CONFINE_PRIV_H
#define SANDBOX_CONFINE_PRIV_H

#include "sandbox/confine.h"
#include "sandbox/seccomp.h"

/* What confine_apply() is going to do, decided before anything is done. */
struct confine_plan {
	enum confine_role role;
	const struct confine_params *p;
	bool switched_off[CONFINE_NLAYERS]; /* by KEDGE_DISABLE */
	int root;               /* directory to chroot into, or -1 */
	dev_t root_dev;         /* of that directory */
	ino_t root_ino;
	uint64_t vm_used;       /* address space in use, bytes */
	bool nodev;             /* root becomes a mount of its own */
	bool userns;            /* chroot through a user namespace */
	bool ids;
	uint64_t caps;          /* what is kept */
	bool have_caps;         /* there is something to give up */
	bool lock_caps;         /* bounding set and securebits can be set */
	bool landlock, seccomp;
	enum filter_kind filter;
	struct confine_report report;
};

/* told: somebody reads the report. */
void confine_plan(struct confine_plan *plan, enum confine_role role, const struct confine_params *p, bool told);

/* Nothing where r->silent. */
void confine_note(struct confine_report *r, enum confine_layer layer, enum confine_state state, const char *fmt, ...) PRINTF(4, 5);

/* Test builds only: whether KEDGE_DISABLE names it. */
bool confine_switch(const char *name);

/* Limits of a role (spec 09 §15.5). 0 or negative errno. */
int confine_limits(const struct confine_plan *plan);

/* Address space in use, in bytes; 0 when /proc does not tell. */
uint64_t confine_address_space(void);

/* Asks the kernel whether what was planned holds; run before the seccomp filter closes the questions. */
int confine_verify(const struct confine_plan *plan, int outside, const char **what);

#endif
