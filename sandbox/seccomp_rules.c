/*
 * seccomp_rules.c - what each role may ask of the kernel (spec 09 §15.3).
 *
 * Path-taking calls without a directory fd are on no list. Nor are: exec, fork, sockets, signals to
 * others, set*id, capset, mounts, namespaces, io_uring, handles, ptrace, bpf, keys, perf, modules.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "sandbox/seccomp.h"

/* Newer than some headers; the same numbers on every architecture. */
#define NR_CLONE3 435
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#define NR_EPOLL_PWAIT2 441
#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_GETXATTRAT 464
#define NR_LISTXATTRAT 465
#define NR_REMOVEXATTRAT 466

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define G (1u << FILTER_GATE)
#define R (1u << FILTER_RECV)
#define S ((1u << FILTER_SEND) | (1u << FILTER_SEND_REMOVE))
#define SX (1u << FILTER_SEND_REMOVE)
#define B ((1u << FILTER_BROKER) | (1u << FILTER_BROKER_OPEN))
#define BX (1u << FILTER_BROKER_OPEN)
#define W (R | S)
/* The runtime of a sanitizer lives in every process. */
#if UNDER_SANITIZER
#define RT (G | W | B)
#else
#define RT (G | W)
#endif

#define CALL(k, name) { .nr = SCMP_SYS(name), .kinds = (k) }
#define CALL_NR(k, number) { .nr = (number), .kinds = (k) }
#define IF(k, name, ...) { .nr = SCMP_SYS(name), .kinds = (k), .cmp = { __VA_ARGS__ } }
#define REFUSE(k, number, e, ...) { .nr = (number), .kinds = (k), .err = (e), .cmp = { __VA_ARGS__ } }
#define EQ(a, v) { .arg = (a), .op = CMP_EQ, .value = (v) }
#define MASKED(a, m, v) { .arg = (a), .op = CMP_MASKED, .mask = (m), .value = (v) }
/* An int argument: what is above 32 bits is not looked at by the kernel either. */
#define INT(a, v) MASKED(a, 0xffffffffu, (uint32_t)(v))

#define CLONE_NEW_ANY (0x7e020000u | 0x80u) /* CLONE_NEW*: a thread in a new namespace makes no sense here */

const struct call_rule seccomp_rules[] = {
	/* Life of a process and its memory. */
	CALL(RT | B, exit_group), CALL(RT | B, exit), CALL(RT | B, rt_sigreturn), CALL(RT | B, restart_syscall),
	CALL(RT | B, close), CALL(RT | B, clock_gettime), CALL(RT | B, clock_nanosleep), CALL(RT | B, nanosleep),
	CALL(RT | B, getrandom), CALL(RT, gettimeofday), CALL(RT, time), CALL(RT, clock_getres),
	CALL(RT, brk), CALL(RT, munmap), CALL(RT, mremap), CALL(RT, madvise),
	IF(RT, mmap, MASKED(2, PROT_EXEC, 0)), IF(RT, mprotect, MASKED(2, PROT_EXEC, 0)),
	CALL(RT, futex), CALL(RT, set_robust_list), CALL(RT, rseq), CALL(RT, sched_yield), CALL(RT, sched_getaffinity),
	CALL(RT, getcpu), CALL(RT, sysinfo), CALL(RT, uname), CALL(RT, getrusage), CALL(RT, membarrier),
	CALL(RT, rt_sigaction), CALL(RT, rt_sigprocmask), CALL(RT, sigaltstack), CALL(W, rt_sigtimedwait), CALL(W, rt_sigpending),
	CALL(RT, getpid), CALL(RT, gettid), CALL(RT, getppid), CALL(RT, getuid), CALL(RT, geteuid), CALL(RT, getgid),
	CALL(RT, getegid), CALL(W, getgroups), CALL(W, getresuid), CALL(W, getresgid),
	IF(RT, tgkill, INT(0, SECCOMP_OWN_PID)),
	IF(RT, prlimit64, EQ(2, 0), INT(0, 0)), CALL(RT, getrlimit), CALL(W, umask), CALL(W, times),
	IF(RT | B, prctl, INT(0, PR_GET_SECCOMP)), IF(RT, prctl, INT(0, PR_SET_NAME)), IF(RT, prctl, INT(0, PR_GET_NAME)),
	IF(RT, prctl, INT(0, PR_GET_DUMPABLE)), IF(RT, prctl, INT(0, PR_GET_NO_NEW_PRIVS)), IF(RT, prctl, INT(0, PR_CAPBSET_READ)),
	IF(RT, prctl, INT(0, PR_SET_VMA)), CALL(RT, capget),
	CALL(W, setitimer), CALL(W, getitimer), CALL(W, alarm),

	/* Threads, and only threads; clone3 hides its flags in memory, so the C library must use clone. */
	IF(W, clone, MASKED(0, CLONE_THREAD | CLONE_VM | CLONE_NEW_ANY, CLONE_THREAD | CLONE_VM)),
	REFUSE(G | W, NR_CLONE3, ENOSYS, { 0 }),

	/* Descriptors held already. */
	CALL(RT, read), CALL(RT, write), CALL(G | W, readv), CALL(G | W, writev),
	CALL(G | W, recvfrom), IF(G | W, sendto, EQ(4, 0)), CALL(W, recvmsg), CALL(G | W, shutdown),
	CALL(G | W, poll), CALL(G | W, ppoll), CALL(G | W, select), CALL(G | W, pselect6),
	CALL(W, epoll_create1), CALL(W, epoll_ctl), CALL(W, epoll_wait), CALL(W, epoll_pwait), CALL_NR(W, NR_EPOLL_PWAIT2),
	CALL(W, eventfd2), CALL(W, pipe2), CALL(W, timerfd_create), CALL(W, timerfd_settime), CALL(W, timerfd_gettime),
	CALL(G | W, dup), CALL(W, dup2), CALL(W, dup3), CALL_NR(G | W, NR_CLOSE_RANGE),
	CALL(RT | B, fstat), IF(RT, newfstatat, MASKED(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	IF(G | W, fcntl, INT(1, F_GETFL)), IF(G | W, fcntl, INT(1, F_SETFL)), IF(G | W, fcntl, INT(1, F_GETFD)),
	IF(G | W, fcntl, INT(1, F_SETFD)), IF(W, fcntl, INT(1, F_DUPFD)), IF(W, fcntl, INT(1, F_DUPFD_CLOEXEC)),
	IF(W, fcntl, INT(1, F_GETPIPE_SZ)), IF(W, fcntl, INT(1, F_SETPIPE_SZ)),
	IF(G | W, getsockopt, INT(1, SOL_SOCKET)), IF(G | W, getsockopt, INT(1, IPPROTO_TCP)),
	IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_SNDBUF)), IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_RCVBUF)),
	IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_KEEPALIVE)), IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_LINGER)),
	IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_RCVTIMEO)), IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_SNDTIMEO)),
	IF(G | W, setsockopt, INT(1, SOL_SOCKET), INT(2, SO_RCVLOWAT)),
	IF(G | W, setsockopt, INT(1, IPPROTO_TCP), INT(2, TCP_NODELAY)), IF(G | W, setsockopt, INT(1, IPPROTO_TCP), INT(2, TCP_CORK)),
	IF(G | W, setsockopt, INT(1, IPPROTO_TCP), INT(2, TCP_QUICKACK)),
	IF(W, setsockopt, INT(1, IPPROTO_TCP), INT(2, TCP_NOTSENT_LOWAT)), IF(W, setsockopt, INT(1, IPPROTO_TCP), INT(2, TCP_USER_TIMEOUT)),

	/* File contents. */
	CALL(W, lseek), CALL(W, pread64), CALL(W, preadv), CALL(W, preadv2), CALL(W, fadvise64), CALL(W, readahead),
	CALL(W, sendfile), CALL(W, splice), CALL(W, tee), CALL(W, copy_file_range), CALL(W, mincore), CALL(W, msync),
	CALL(R, pwrite64), CALL(R, pwritev), CALL(R, pwritev2), CALL(R, ftruncate), CALL(R, fallocate),
	CALL(R, fsync), CALL(R, fdatasync), CALL(R, sync_file_range), CALL(R, syncfs),
	IF(W, ioctl, INT(1, FIONREAD)), IF(R, ioctl, INT(1, FICLONE)), IF(R, ioctl, INT(1, FICLONERANGE)),
	REFUSE(G | W, SCMP_SYS(ioctl), ENOTTY, INT(1, TCGETS)), REFUSE(G | W, SCMP_SYS(ioctl), ENOTTY, INT(1, TIOCGWINSZ)),

	/* The file system, relative to held directory fds. */
	CALL(W, openat), CALL_NR(W | B, NR_OPENAT2), CALL(W | B, newfstatat), CALL(W, statx), CALL(W, fstatfs), CALL(W, getdents64),
	CALL(W, readlinkat), CALL(W, faccessat2), CALL(W, faccessat),
	CALL(W, fgetxattr), CALL(W, flistxattr), CALL_NR(W, NR_GETXATTRAT), CALL_NR(W, NR_LISTXATTRAT),
	CALL(R, mkdirat), CALL(R, symlinkat), CALL(R, linkat), CALL(R, unlinkat), CALL(R, renameat),
	IF(B, linkat, INT(4, 0)), IF(B | SX, unlinkat, INT(2, 0)),
	/* NOREPLACE and EXCHANGE; never WHITEOUT, which makes a device node without any privilege. */
	IF(R, renameat2, MASKED(4, ~UINT64_C(3) & 0xffffffffu, 0)), IF(B, renameat2, MASKED(4, ~UINT64_C(1) & 0xffffffffu, 0)),
	/* Type bits under S_IFMT, as the kernel looks at them: comparing the whole mode would be a way round. */
	IF(R, mknodat, MASKED(2, S_IFMT, S_IFIFO)), IF(R, mknodat, MASKED(2, S_IFMT, S_IFSOCK)), IF(R, mknodat, MASKED(2, S_IFMT, S_IFREG)),
	IF(B, mknodat, INT(2, S_IFCHR)), IF(B, mknodat, INT(2, S_IFBLK)),
	CALL(R, fchmod), CALL(R, fchmodat), CALL_NR(R, NR_FCHMODAT2), CALL(R, fchown), CALL(R, fchownat), CALL(R, utimensat),
	CALL(R, fsetxattr), CALL(R, fremovexattr), CALL_NR(R, NR_SETXATTRAT), CALL_NR(R, NR_REMOVEXATTRAT),

	/* The broker's three descriptors. */
	IF(B, recvfrom, INT(0, BROKER_FD_CHAN)), IF(B, sendto, INT(0, BROKER_FD_CHAN), EQ(4, 0)),
	IF(BX, sendmsg, INT(0, BROKER_FD_CHAN)), IF(B, write, INT(0, BROKER_FD_AUDIT)),
};

const size_t seccomp_nrules = ARRAY_SIZE(seccomp_rules);
