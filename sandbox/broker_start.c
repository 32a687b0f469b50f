/*
 * broker_start.c - the monitor's side of the broker: starting it, its phase, its end.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "sandbox/broker_proto.h"
#include "sandbox/seccomp.h"
#include "sandbox/spawn.h"

#define READY_MS 5000

/* The phase word lives in a page that the monitor writes and the broker reads; the worker, forked
   later, does not inherit it. So the broker needs no fourth descriptor. */
static _Atomic uint32_t *make_page(void)
{
	void *p = mmap(NULL, sizeof(_Atomic uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmake_page(void *page)
{
	if (page)
		munmap(page, sizeof(_Atomic uint32_t));
}

/* Moves descriptors to their fixed numbers, by way of high ones so that none is overwritten. */
static int place_fds(int chan, int root, int audit)
{
	int from[] = { chan, root, audit }, to[] = { BROKER_FD_CHAN, BROKER_FD_ROOT, BROKER_FD_AUDIT };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		if (from[i] >= 0 && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 20)) < 0)
			return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		if (from[i] >= 0 && dup3(from[i], to[i], O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

/* Out of the way of the fixed numbers. NULL on failure. */
static struct confine_dir *move_dirs(const struct broker_config *cfg)
{
	struct confine_dir *v = calloc(cfg->ndirs, sizeof *v);

	for (size_t i = 0; v && i < cfg->ndirs; i++)
		if ((v[i].fd = fcntl(cfg->dirs[i].fd, F_DUPFD_CLOEXEC, 20)) < 0)
			return NULL;
	return v;
}

static _Noreturn void broker_child(const struct broker_config *cfg, int chan, _Atomic uint32_t *page)
{
	static struct broker_config mine;
	static struct broker_hello hello = { .magic = BROKER_MAGIC, .version = BROKER_VERSION, .op = BROKER_HELLO };
	int keep[] = { BROKER_FD_CHAN, BROKER_FD_ROOT, BROKER_FD_AUDIT };
	bool opens = cfg->may & BROKER_MAY_OPEN;
	struct confine_dir all = { .fd = BROKER_FD_ROOT }, *dirs = &all;
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct err e = { 0 };
	gid_t group = cfg->gid;
	struct stat s;

	mine = *cfg;
	if (!mine.set_ids)
		mine.uid = geteuid();
	if (cfg->ndirs && !(dirs = move_dirs(cfg)))
		_exit(1);
	if (place_fds(chan, cfg->root_fd, cfg->audit_fd) < 0 || (!UNDER_SANITIZER && proc_null_stdio(false) < 0) ||
	    mprotect(page, sizeof *page, PROT_READ) < 0)
		_exit(1);
	p.root_fd = BROKER_FD_ROOT;
	for (size_t i = 0; i < MAX(cfg->ndirs, (size_t)1); i++)
		dirs[i].rights = cfg->may & (BROKER_MAY_MAKE | BROKER_MAY_WRITE) ? CONFINE_WRITE : CONFINE_READ;
	p.dirs = dirs;
	p.ndirs = MAX(cfg->ndirs, (size_t)1);
	p.keep_fds = keep;
	p.nkeep = cfg->audit_fd >= 0 ? 3 : 2;
	p.set_ids = cfg->set_ids;
	p.uid = cfg->uid;
	p.gid = cfg->gid;
	p.groups = &group;
	p.ngroups = 1;
	/* An audit sink that is a file must be allowed to grow; nothing else can be written. */
	if (cfg->audit_fd >= 0 && fstat(BROKER_FD_AUDIT, &s) == 0 && S_ISREG(s.st_mode))
		p.fsize = UINT64_MAX;
	hello.ok = confine_apply(opens ? CONFINE_BROKER_OPEN : CONFINE_BROKER, &p, &hello.report, &e) == 0;
	memcpy(hello.text, e.text, sizeof hello.text - 1);
	if (send(BROKER_FD_CHAN, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello || !hello.ok)
		_exit(1);
	broker_serve(&mine, page);
}

static int await_hello(int fd, struct confine_report *report, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct broker_hello h;
	ssize_t n = -1;
	int r;

	do {
		r = poll(&p, 1, READY_MS);
	} while (r < 0 && errno == EINTR);
	if (r > 0)
		n = recv(fd, &h, sizeof h, 0);
	if (n != sizeof h || h.magic != BROKER_MAGIC || h.op != BROKER_HELLO)
		return fail(e, RX_IPC, "the device broker did not start");
	h.text[sizeof h.text - 1] = 0;
	if (!h.ok)
		return fail(e, RX_UNSUPPORTED, "%s", h.text);
	if (report)
		*report = h.report;
	return 0;
}

int broker_start(const struct broker_config *cfg, struct broker_handle *h, struct confine_report *report, struct err *e)
{
	_Atomic uint32_t *page;
	int sv[2];
	pid_t pid;

	*h = (struct broker_handle)BROKER_HANDLE_INIT;
	if (!confine_kernel()->openat2)
		return fail(e, RX_UNSUPPORTED, "device nodes need openat2 (Linux 5.6)");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return fail_errno(e, RX_IPC, errno, "socketpair failed");
	page = make_page();
	pid = page ? proc_fork_role("broker") : -errno;
	if (pid == 0)
		broker_child(cfg, sv[0], page);
	close(sv[0]);
	if (pid < 0) {
		close(sv[1]);
		unmake_page(page);
		return fail_errno(e, RX_IPC, (int)-pid, "cannot start the device broker");
	}
	*h = (struct broker_handle){ .pid = pid, .worker_fd = sv[1], .page = page };
	if (madvise(page, sizeof *page, MADV_DONTFORK) < 0)
		fail_errno(e, RX_IPC, errno, "cannot keep the device broker's phase to ourselves");
	if (e->code || await_hello(sv[1], report, e) < 0) {
		broker_stop(h);
		return -1;
	}
	return 0;
}

void broker_phase_begin(struct broker_handle *h, unsigned may)
{
	if (h->page)
		atomic_store((_Atomic uint32_t *)h->page, may);
}

void broker_phase_end(struct broker_handle *h)
{
	broker_phase_begin(h, 0);
}

void broker_leave(struct broker_handle *h)
{
	h->pid = 0;
	unmake_page(h->page);
	h->page = NULL;
}

void broker_stop(struct broker_handle *h)
{
	int status;

	if (h->worker_fd >= 0)
		close(TAKE_FD(h->worker_fd));
	/* If that was the last copy of the worker's end, it cleans up and goes by itself. */
	if (h->pid > 0 && proc_wait(h->pid, 200, &status) == 0)
		proc_kill_wait(h->pid, SIGKILL);
	h->pid = 0;
	unmake_page(h->page);
	h->page = NULL;
}
