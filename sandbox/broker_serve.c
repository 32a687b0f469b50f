/*
 * broker_serve.c - the broker process: one request at a time, judged by itself (spec 09 §14).
 *
 * What it holds: the channel, the module's root fd, an audit sink. What it trusts: its configuration, copied
 * before the worker existed. It allocates nothing, and calls nothing that might.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>

#include "sandbox/broker_proto.h"
#include "sandbox/seccomp.h"

static struct temp {
	bool used;
	dev_t dev;
	ino_t ino;
	struct broker_name name;
} temps[BROKER_TEMPS];

static struct {
	const struct broker_config *cfg;
	uint64_t id;
	uint32_t created;
	int64_t window;         /* start of the present second, ns */
	uint64_t arrivals;      /* requests in it */
	int64_t next;           /* when the next creation is due, ns: the token bucket as a clock */
	bool sink_failed;
} st;

/* ---- form (K2, K4, K7) ---- */

static bool all_zero(const void *p, size_t n)
{
	const unsigned char *b = p;
	unsigned char any = 0;

	for (size_t i = 0; i < n; i++)
		any |= b[i];
	return !any;
}

/* The lengths must agree with the padding; a name that contains what it must not is merely refused. */
static const char *bad_padding(const struct broker_name *n, size_t parent_len, size_t leaf_len)
{
	if (parent_len >= sizeof n->parent || leaf_len > sizeof n->leaf)
		return "length field out of range";
	if (!all_zero(n->parent + parent_len, sizeof n->parent - parent_len) ||
	    !all_zero(n->leaf + leaf_len, sizeof n->leaf - leaf_len))
		return "unused bytes are not zero";
	return NULL;
}

static bool dots(const char *s, size_t len)
{
	return (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
}

static bool good_leaf(const char *leaf, size_t len)
{
	return len >= 1 && len < BROKER_LEAF && !memchr(leaf, 0, len) && !memchr(leaf, '/', len) && !dots(leaf, len);
}

static bool good_parent(const char *p, size_t len)
{
	size_t start = 0;

	if (!len)
		return true;
	if (memchr(p, 0, len))
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && p[i] != '/')
			continue;
		if (i == start || dots(p + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

int broker_check_form(const void *msg, size_t len, const char **why)
{
	const struct broker_request *r = msg;
	bool two;

	*why = "wrong length";
	if (len != BROKER_SHORT && len != BROKER_LONG)
		return -EPROTO;
	two = r->op == BROKER_MOVE || r->op == BROKER_LINK;
	*why = "not a request";
	if (r->magic != BROKER_MAGIC || r->version != BROKER_VERSION || r->op <= BROKER_HELLO || r->op >= BROKER_NOPS)
		return -EPROTO;
	*why = "wrong length for the operation";
	if (len != (two ? BROKER_LONG : BROKER_SHORT))
		return -EPROTO;
	*why = "unused bytes are not zero";
	if (!all_zero(r->reserved, sizeof r->reserved) || (!two && (r->parent2_len || r->leaf2_len)))
		return -EPROTO;
	if ((r->op == BROKER_MOVE || r->op == BROKER_LINK || r->op == BROKER_OPEN) && (r->mode || r->major || r->minor))
		return -EPROTO;
	if (r->flags & ~(r->op == BROKER_MOVE || r->op == BROKER_OPEN ? 1u : 0u))
		return -EPROTO;
	*why = bad_padding(&r->from, r->parent_len, r->leaf_len);
	if (!*why && two)
		*why = bad_padding(&r->to, r->parent2_len, r->leaf2_len);
	if (*why)
		return -EPROTO;
	if (!good_leaf(r->from.leaf, r->leaf_len) || !good_parent(r->from.parent, r->parent_len))
		return EINVAL;
	if (two && (!good_leaf(r->to.leaf, r->leaf2_len) || !good_parent(r->to.parent, r->parent2_len)))
		return EINVAL;
	if ((r->op == BROKER_MKNOD || r->op == BROKER_MKTEMP) && r->mode != S_IFCHR && r->mode != S_IFBLK)
		return EINVAL;
	return 0;
}

/* ---- resolution (K5, K6) ---- */

static int open_at(int dir, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

	if (!st.cfg->own_authority)
		how.resolve |= RESOLVE_NO_XDEV;

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* Opens a parent directory and judges it. fd or negative errno. */
static int open_parent(const char *parent)
{
	int fd = open_at(BROKER_FD_ROOT, parent[0] ? parent : ".", O_PATH | O_DIRECTORY);
	struct stat s;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &s) < 0)
		err = errno;
	else if (!S_ISDIR(s.st_mode))
		err = ENOTDIR;
	else if (!st.cfg->own_authority && ((s.st_uid && s.st_uid != st.cfg->uid) || ((s.st_mode & 022) && !(s.st_mode & S_ISVTX))))
		err = EACCES;
	if (!err)
		return fd;
	close(fd);
	return -err;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int judge(const struct stat *s)
{
	if (!S_ISCHR(s->st_mode) && !S_ISBLK(s->st_mode))
		return -EPERM;
	return device_policy_check(&st.cfg->policy, s->st_mode & S_IFMT, major(s->st_rdev), minor(s->st_rdev));
}

/* Pins an existing node and judges it by the policy (K9). Returns the rule and the pin, or a negative errno. */
static int pin_node(int parent, struct broker_request *req, int *pin, struct stat *s)
{
	int rule;

	*pin = open_at(parent, req->from.leaf, O_PATH | O_NOFOLLOW);
	if (*pin < 0)
		return -errno;
	if (fstat(*pin, s) < 0)
		return -errno;
	/* For the audit record: what it is. */
	req->mode = s->st_mode & S_IFMT;
	req->major = major(s->st_rdev);
	req->minor = minor(s->st_rdev);
	rule = judge(s);
	return rule == -EINVAL ? -EPERM : rule;
}

static bool names_inode(int parent, const char *leaf, dev_t dev, ino_t ino)
{
	struct stat s;

	return fstatat(parent, leaf, &s, AT_SYMLINK_NOFOLLOW) == 0 && s.st_dev == dev && s.st_ino == ino;
}

/* ---- temporaries (K10) ---- */

static bool temp_exists(const struct temp *t, int *parent)
{
	*parent = open_at(BROKER_FD_ROOT, t->name.parent[0] ? t->name.parent : ".", O_PATH | O_DIRECTORY);
	return *parent >= 0 && names_inode(*parent, t->name.leaf, t->dev, t->ino);
}

static struct temp *free_temp(void)
{
	for (int sweep = 0; sweep < 2; sweep++) {
		for (size_t i = 0; i < BROKER_TEMPS; i++) {
			int parent = -1;

			if (sweep && !temp_exists(&temps[i], &parent)) /* the worker removed it */
				temps[i].used = false;
			close_if(parent);
			if (!temps[i].used)
				return &temps[i];
		}
	}
	return NULL;
}

static void remove_temps(void)
{
	for (size_t i = 0; i < BROKER_TEMPS; i++) {
		int parent = -1;

		if (temps[i].used && temp_exists(&temps[i], &parent))
			unlinkat(parent, temps[i].name.leaf, 0);
		close_if(parent);
		temps[i].used = false;
	}
}

static void forget_temp(dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < BROKER_TEMPS; i++)
		if (temps[i].used && temps[i].dev == dev && temps[i].ino == ino)
			temps[i].used = false;
}

/* ---- rate (K13) ---- */

#define SECOND INT64_C(1000000000)

static int64_t now_ns(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

static uint32_t per_second(void)
{
	return st.cfg->limits.per_second ? st.cfg->limits.per_second : 2000;
}

/* Every request counts here; ten times the rate is an attack. */
static bool arrivals_too_many(void)
{
	int64_t now = now_ns();

	if (now - st.window >= SECOND) {
		st.window = now;
		st.arrivals = 0;
	}
	return ++st.arrivals > (uint64_t)per_second() * 10;
}

/* Takes a token, sleeping up to a second for it. */
static int take_token(void)
{
	int64_t now = now_ns(), step = SECOND / per_second(), wait;

	if (st.created >= (st.cfg->limits.per_session ? st.cfg->limits.per_session : 100000))
		return EDQUOT;
	if (st.next < now - SECOND / 10) /* a burst of a tenth of a second */
		st.next = now - SECOND / 10;
	wait = st.next + step - now;
	if (wait > SECOND)
		return EAGAIN;
	st.next += step;
	if (wait > 0) {
		struct timespec ts = { .tv_sec = wait / SECOND, .tv_nsec = wait % SECOND };

		nanosleep(&ts, NULL);
	}
	st.created++;
	return 0;
}

/* ---- operations (K8) ---- */

struct outcome {
	int rule;               /* of the policy, or negative */
	bool intent;            /* the intent record was written */
	dev_t dev;
	ino_t ino;
	int fd;                 /* OPEN */
	char leaf[BROKER_LEAF]; /* MKTEMP */
};

/* What follows is about to be done: the record comes first. */
static int grant(struct outcome *o, const struct broker_request *req)
{
	if (!broker_audit(st.cfg, AUDIT_INTENT, req, o->rule, 0, NULL)) {
		st.sink_failed = true;
		if (st.cfg->audit_required)
			return EIO;
	}
	o->intent = true;
	return 0;
}

static int made_node(int parent, const char *leaf, const struct broker_request *req, struct outcome *o)
{
	struct stat s;

	if (fstatat(parent, leaf, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	if ((s.st_mode & S_IFMT) != req->mode || major(s.st_rdev) != req->major || minor(s.st_rdev) != req->minor)
		return ESTALE; /* somebody was quicker */
	o->dev = s.st_dev;
	o->ino = s.st_ino;
	return 0;
}

/* ".LEAF.XXXXXX" */
static int temp_name(const struct broker_request *req, char out[BROKER_LEAF])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t len = MIN((size_t)req->leaf_len, (size_t)BROKER_LEAF - 9);
	unsigned char random[6];

	if (syscall(SYS_getrandom, random, sizeof random, 0) != sizeof random)
		return EIO;
	memset(out, 0, BROKER_LEAF);
	out[0] = '.';
	memcpy(out + 1, req->from.leaf, len);
	out[len + 1] = '.';
	for (size_t i = 0; i < sizeof random; i++)
		out[len + 2 + i] = letters[random[i] & 63];
	return 0;
}

/* -EPERM is the policy's word alone: what the kernel does not permit is told apart. */
static int make_node(int parent, const char *leaf, mode_t mode, dev_t dev)
{
	if (mknodat(parent, leaf, mode, dev) == 0)
		return 0;
	return errno == EPERM ? EACCES : errno;
}

static int do_create(struct broker_request *req, struct outcome *o, int parent, struct temp *t)
{
	dev_t dev = makedev(req->major, req->minor);
	int err = 0;

	if (!t) {
		err = make_node(parent, req->from.leaf, req->mode, dev);
		return err ? err : made_node(parent, req->from.leaf, req, o);
	}
	for (int tries = 0; tries < 100; tries++) {
		err = temp_name(req, o->leaf);
		if (err)
			return err;
		err = make_node(parent, o->leaf, req->mode, dev);
		if (!err)
			break;
		if (err != EEXIST)
			return err;
	}
	if (!err)
		err = made_node(parent, o->leaf, req, o);
	if (err)
		return err;
	t->used = true;
	t->dev = o->dev;
	t->ino = o->ino;
	t->name = req->from;
	memcpy(t->name.leaf, o->leaf, sizeof t->name.leaf);
	return 0;
}

static int op_mknod(struct broker_request *req, struct outcome *o)
{
	struct temp *t = NULL;
	int parent, err;

	o->rule = device_policy_check(&st.cfg->policy, req->mode, req->major, req->minor);
	if (o->rule < 0)
		return -o->rule;
	if (req->op == BROKER_MKTEMP && !(t = free_temp()))
		return EMFILE;
	parent = open_parent(req->from.parent);
	if (parent < 0)
		return -parent;
	err = take_token();
	if (!err)
		err = grant(o, req);
	if (!err)
		err = do_create(req, o, parent, t);
	close(parent);
	return err;
}

/* MOVE and LINK act on names; afterwards the new name must be the inode that was judged. */
static int do_move(const struct broker_request *req, int from, int to, const struct stat *s)
{
	unsigned flags = req->flags & BROKER_F_REPLACE ? 0 : RENAME_NOREPLACE;

	if (req->op == BROKER_LINK) {
		if (linkat(from, req->from.leaf, to, req->to.leaf, 0) < 0)
			return errno;
		if (names_inode(to, req->to.leaf, s->st_dev, s->st_ino))
			return 0;
		unlinkat(to, req->to.leaf, 0);
		return ESTALE;
	}
	if (syscall(SYS_renameat2, from, req->from.leaf, to, req->to.leaf, flags) < 0)
		return errno;
	if (names_inode(to, req->to.leaf, s->st_dev, s->st_ino))
		return 0;
	syscall(SYS_renameat2, to, req->to.leaf, from, req->from.leaf, RENAME_NOREPLACE);
	return ESTALE;
}

static int op_move(struct broker_request *req, struct outcome *o)
{
	int from, to = -1, pin = -1, err;
	struct stat s;

	from = open_parent(req->from.parent);
	if (from < 0)
		return -from;
	o->rule = pin_node(from, req, &pin, &s);
	err = o->rule < 0 ? -o->rule : 0;
	if (!err) {
		to = open_parent(req->to.parent);
		err = to < 0 ? -to : 0;
	}
	if (!err && req->op == BROKER_LINK)
		err = take_token();
	if (!err)
		err = grant(o, req);
	if (!err)
		err = do_move(req, from, to, &s);
	if (!err) {
		o->dev = s.st_dev;
		o->ino = s.st_ino;
		if (req->op == BROKER_MOVE)
			forget_temp(s.st_dev, s.st_ino);
	}
	close_if(pin);
	close_if(to);
	close(from);
	return err;
}

static int op_open(struct broker_request *req, struct outcome *o)
{
	int parent, pin = -1, err;
	struct stat s, now;

	parent = open_parent(req->from.parent);
	if (parent < 0)
		return -parent;
	o->rule = pin_node(parent, req, &pin, &s);
	err = o->rule < 0 ? -o->rule : grant(o, req);
	if (!err) {
		uint64_t flags = req->flags & BROKER_F_WRITE ? O_WRONLY : O_RDONLY;

		o->fd = open_at(parent, req->from.leaf, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
		if (o->fd < 0)
			err = errno;
		else if (fstat(o->fd, &now) < 0 || now.st_dev != s.st_dev || now.st_ino != s.st_ino || now.st_rdev != s.st_rdev)
			err = ESTALE;
		if (err && o->fd >= 0) {
			close(o->fd);
			o->fd = -1;
		}
	}
	o->dev = s.st_dev;
	o->ino = s.st_ino;
	close_if(pin);
	close(parent);
	return err;
}

static unsigned needs(const struct broker_request *req)
{
	return req->op != BROKER_OPEN ? BROKER_MAY_MAKE : req->flags & BROKER_F_WRITE ? BROKER_MAY_WRITE : BROKER_MAY_READ;
}

static int perform(struct broker_request *req, unsigned phase, struct outcome *o)
{
	if (!(needs(req) & phase & st.cfg->may))
		return EPERM;
	if (req->op == BROKER_MOVE || req->op == BROKER_LINK)
		return op_move(req, o);
	return req->op == BROKER_OPEN ? op_open(req, o) : op_mknod(req, o);
}

/* ---- the loop ---- */

static _Noreturn void leave(const char *violation, const struct broker_request *req)
{
	if (violation)
		broker_audit(st.cfg, AUDIT_VIOLATION, req, -1, EPROTO, violation);
	remove_temps();
	_exit(violation ? 1 : 0);
}

static bool reply(const struct broker_request *req, int err, const struct outcome *o)
{
	struct broker_reply r = { .magic = BROKER_MAGIC, .version = BROKER_VERSION, .op = req->op, .id = req->id, .err = err };
	size_t len = req->op == BROKER_MKTEMP ? sizeof r : BROKER_REPLY;
	struct iovec iov = { .iov_base = &r, .iov_len = len };
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } ctl = { .space = { 0 } };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof ctl };

	if (!err) {
		r.dev = o->dev;
		r.ino = o->ino;
		memcpy(r.leaf, o->leaf, sizeof r.leaf);
	}
	if (err || o->fd < 0)
		return send(BROKER_FD_CHAN, &r, len, MSG_NOSIGNAL) == (ssize_t)len;
	ctl.h.cmsg_level = SOL_SOCKET;
	ctl.h.cmsg_type = SCM_RIGHTS;
	ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&ctl.h), &o->fd, sizeof o->fd);
	return sendmsg(BROKER_FD_CHAN, &mh, MSG_NOSIGNAL) == (ssize_t)len;
}

static void serve_one(struct broker_request *req, ssize_t len, uint32_t phase)
{
	struct outcome o = { .rule = -1, .fd = -1 };
	const char *why = NULL;
	int err = broker_check_form(req, (size_t)len, &why);
	char extra;

	if (err < 0)
		leave(why, NULL);
	if (req->id != st.id + 1)
		leave("request id out of order", req);
	st.id++;
	if (!phase)
		leave("outside of the file-list phase", req);
	if (arrivals_too_many())
		leave("ten times the permitted rate", req);
	if (!err && st.cfg->audit_required && st.sink_failed)
		err = EIO;
	if (!err)
		err = perform(req, phase, &o);
	if (!broker_audit(st.cfg, !err ? AUDIT_DONE : o.intent ? AUDIT_FAILED : AUDIT_REFUSED, req, o.rule, err, NULL))
		st.sink_failed = true;
	/* One request in flight: nothing else may be waiting. */
	if (recv(BROKER_FD_CHAN, &extra, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		leave("a second request before the reply", req);
	if (!reply(req, err, &o))
		leave(NULL, NULL);
	close_if(o.fd);
}

void broker_serve(const struct broker_config *cfg, const _Atomic uint32_t *phase)
{
	/* One byte more than the longest message, so that a longer one shows. */
	static struct { struct broker_request req; char more; } in;

	st.cfg = cfg;
	st.sink_failed = cfg->audit_fd < 0;
	for (;;) {
		ssize_t n = recv(BROKER_FD_CHAN, &in, sizeof in, MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			leave(NULL, NULL);
		serve_one(&in.req, n, atomic_load(phase));
		memset(&in, 0, sizeof in);
	}
}
