/*
 * seccomp.c - compiling and loading system-call filters; see seccomp.h.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/seccomp.h"

/* Not on the heap, so that what libseccomp needed there goes back as a whole: forks copy the less. */
#define PROGRAM_MAX 1024
static struct sock_filter programs[FILTER_KINDS][PROGRAM_MAX];
static struct sock_fprog compiled[FILTER_KINDS];

bool seccomp_available(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0u, &action) == 0;
}

unsigned seccomp_length(enum filter_kind kind)
{
	return compiled[kind].len;
}

static int add_rule(scmp_filter_ctx ctx, const struct call_rule *r)
{
	struct scmp_arg_cmp cmp[ARRAY_SIZE(r->cmp)];
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(r->cmp); i++) {
		const struct call_cmp *c = &r->cmp[i];

		if (c->op == CMP_EQ)
			cmp[n++] = (struct scmp_arg_cmp){ .arg = c->arg, .op = SCMP_CMP_EQ, .datum_a = c->value };
		else if (c->op == CMP_MASKED)
			cmp[n++] = (struct scmp_arg_cmp){ .arg = c->arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = c->mask, .datum_b = c->value };
	}
	return seccomp_rule_add_array(ctx, r->err ? SCMP_ACT_ERRNO((uint32_t)r->err & 0xffffu) : SCMP_ACT_ALLOW, r->nr, n, cmp);
}

/* Brings the finished program into memory of our own. */
static int export_program(scmp_filter_ctx ctx, struct sock_filter *prog, struct sock_fprog *out)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat st;
	size_t size;
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	size = (size_t)st.st_size;
	if (!size || size % sizeof *prog || size / sizeof *prog > PROGRAM_MAX)
		return -EINVAL;
	if (pread(fd, prog, size, 0) != (ssize_t)size)
		return -EIO;
	*out = (struct sock_fprog){ .len = (unsigned short)(size / sizeof *prog), .filter = prog };
	return 0;
}

int seccomp_compile(enum filter_kind kind)
{
	scmp_filter_ctx ctx;
	int r;

	if (compiled[kind].len)
		return 0;
	ctx = seccomp_init(UNDER_SANITIZER ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return -ENOMEM;
	/* Another architecture's entry (and x32) kills: its numbers mean other calls. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!r)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !r && i < seccomp_nrules; i++)
		if (seccomp_rules[i].kinds & (1u << kind))
			r = add_rule(ctx, &seccomp_rules[i]);
	if (!r)
		r = export_program(ctx, programs[kind], &compiled[kind]);
	seccomp_release(ctx);
	return r;
}

int seccomp_enter(enum filter_kind kind)
{
	struct sock_fprog *prog = &compiled[kind];
	uint32_t pid = (uint32_t)getpid();

	if (!prog->len)
		return -ENOENT;
	/* The program was compiled before this process existed: write its id where rules name it. */
	for (unsigned i = 0; i < prog->len; i++) {
		struct sock_filter *f = &prog->filter[i];

		if (BPF_CLASS(f->code) == BPF_JMP && f->k == SECCOMP_OWN_PID)
			f->k = pid;
	}
	/* TSYNC: a sanitizer's own thread, started before us, must not stay outside. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, prog) != 0)
		return errno ? -errno : -ESRCH;
	return 0;
}
