/*
 * seccomp.c - loading system-call filters; see seccomp.h.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "sandbox/seccomp.h"

bool seccomp_available(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0u, &action) == 0;
}

int seccomp_enter(enum filter_kind kind)
{
	const struct seccomp_program *made = &seccomp_programs[kind];
	struct sock_filter own[SECCOMP_PROGRAM_MAX];
	struct sock_fprog prog = { .len = (unsigned short)made->len, .filter = own };
	uint32_t pid = (uint32_t)getpid();

	memcpy(own, made->code, made->len * sizeof *own);
	/* The program was made before this process existed: write its id where rules name it. */
	for (size_t i = 0; i < made->len; i++)
		if (BPF_CLASS(own[i].code) == BPF_JMP && own[i].k == SECCOMP_OWN_PID)
			own[i].k = pid;
	/* TSYNC: a sanitizer's own thread, started before us, must not stay outside. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0)
		return errno ? -errno : -ESRCH;
	return 0;
}
