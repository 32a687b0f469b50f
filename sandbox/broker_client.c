/*
 * broker_client.c - asking the broker, from the worker.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "sandbox/broker_proto.h"

#define DEADLINE_MS 10000

void broker_init(struct broker *bk, int fd)
{
	*bk = (struct broker){ .fd = fd };
	pthread_mutex_init(&bk->lock, NULL);
}

void broker_close(struct broker *bk)
{
	if (bk->fd >= 0)
		close(bk->fd);
	bk->fd = -1;
	pthread_mutex_destroy(&bk->lock);
}

static int put_name(struct broker_name *n, uint16_t *parent_len, uint16_t *leaf_len, const char *dir, const char *leaf)
{
	size_t dlen = strlen(dir), llen = strlen(leaf);

	if (!llen)
		return -ENOENT;
	if (dlen >= sizeof n->parent || llen >= sizeof n->leaf)
		return -ENAMETOOLONG;
	memcpy(n->parent, dir, dlen);
	memcpy(n->leaf, leaf, llen);
	*parent_len = (uint16_t)dlen;
	*leaf_len = (uint16_t)llen;
	return 0;
}

static int await(int fd)
{
	int64_t end = clock_ms() + DEADLINE_MS;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = end - clock_ms();
		int r = poll(&p, 1, left > 0 ? (int)left : 0);

		if (r > 0)
			return 0;
		if (!r)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -EPIPE;
	}
}

/* fdp NULL: a plain receive, and the kernel drops what may be attached. */
static int receive(int fd, struct broker_reply *r, size_t len, int *fdp)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } ctl;
	struct iovec iov = { .iov_base = r, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof ctl };
	ssize_t n;
	int err = await(fd);

	if (err < 0)
		return err;
	do {
		n = fdp ? recvmsg(fd, &mh, MSG_CMSG_CLOEXEC) : recv(fd, r, len, MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len)
		return -EPIPE;
	if (fdp) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

		if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(fdp, CMSG_DATA(c), sizeof *fdp);
	}
	return 0;
}

static int exchange(struct broker *bk, struct broker_request *req, struct broker_reply *rep, int *fdp)
{
	bool two = req->op == BROKER_MOVE || req->op == BROKER_LINK;
	size_t len = two ? BROKER_LONG : BROKER_SHORT;
	ssize_t n;
	int r;

	req->magic = BROKER_MAGIC;
	req->version = BROKER_VERSION;
	req->id = ++bk->id;
	do {
		n = send(bk->fd, req, len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len)
		return -EPIPE;
	r = receive(bk->fd, rep, req->op == BROKER_MKTEMP ? sizeof *rep : BROKER_REPLY, fdp);
	if (r < 0)
		return r;
	if (rep->magic != BROKER_MAGIC || rep->version != BROKER_VERSION || rep->op != req->op || rep->id != req->id || rep->err < 0)
		return -EPIPE;
	rep->leaf[BROKER_LEAF - 1] = 0;
	return -rep->err;
}

static int ask(struct broker *bk, struct broker_request *req, struct broker_reply *rep, struct broker_node *node, int *fdp)
{
	int r;

	if (bk->fd < 0)
		return bk->fd;
	memset(rep, 0, sizeof *rep);
	pthread_mutex_lock(&bk->lock);
	r = bk->gone ? -EPIPE : exchange(bk, req, rep, fdp);
	/* A broker's verdict comes in a reply that bears our id; anything else means it cannot be relied on. */
	if (!bk->gone && rep->id != req->id) {
		bk->gone = true;
		shutdown(bk->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&bk->lock);
	if (!r && node)
		*node = (struct broker_node){ .dev = (dev_t)rep->dev, .ino = (ino_t)rep->ino };
	return r;
}

static int create(struct broker *bk, enum broker_op op, const char *dir, const char *leaf, mode_t type, uint32_t major, uint32_t minor,
	char *temp, struct broker_node *node)
{
	struct broker_request req = { .op = (uint16_t)op, .mode = type, .major = major, .minor = minor };
	struct broker_reply rep;
	int r = put_name(&req.from, &req.parent_len, &req.leaf_len, dir, leaf);

	if (!r)
		r = ask(bk, &req, &rep, node, NULL);
	if (!r && temp)
		memcpy(temp, rep.leaf, BROKER_LEAF);
	return r;
}

int broker_mknod(struct broker *bk, const char *dir, const char *leaf, mode_t type, uint32_t major, uint32_t minor,
	struct broker_node *node)
{
	return create(bk, BROKER_MKNOD, dir, leaf, type, major, minor, NULL, node);
}

int broker_mktemp(struct broker *bk, const char *dir, const char *leaf, mode_t type, uint32_t major, uint32_t minor,
	char temp[BROKER_LEAF], struct broker_node *node)
{
	return create(bk, BROKER_MKTEMP, dir, leaf, type, major, minor, temp, node);
}

static int two_names(struct broker *bk, enum broker_op op, const char *dir, const char *leaf, const char *to_dir, const char *to_leaf,
	uint32_t flags, struct broker_node *node)
{
	struct broker_request req = { .op = (uint16_t)op, .flags = flags };
	struct broker_reply rep;
	int r = put_name(&req.from, &req.parent_len, &req.leaf_len, dir, leaf);

	if (!r)
		r = put_name(&req.to, &req.parent2_len, &req.leaf2_len, to_dir, to_leaf);
	return r ? r : ask(bk, &req, &rep, node, NULL);
}

int broker_move(struct broker *bk, const char *dir, const char *leaf, const char *to_dir, const char *to_leaf,
	bool replace, struct broker_node *node)
{
	return two_names(bk, BROKER_MOVE, dir, leaf, to_dir, to_leaf, replace ? BROKER_F_REPLACE : 0, node);
}

int broker_link(struct broker *bk, const char *dir, const char *leaf, const char *to_dir, const char *to_leaf,
	struct broker_node *node)
{
	return two_names(bk, BROKER_LINK, dir, leaf, to_dir, to_leaf, 0, node);
}

int broker_open(struct broker *bk, const char *dir, const char *leaf, bool for_write, int *fd)
{
	struct broker_request req = { .op = BROKER_OPEN, .flags = for_write ? BROKER_F_WRITE : 0 };
	struct broker_reply rep;
	int fl;
	int r = put_name(&req.from, &req.parent_len, &req.leaf_len, dir, leaf);

	*fd = -1;
	if (!r)
		r = ask(bk, &req, &rep, NULL, fd);
	if (!r && *fd < 0)
		r = -EPIPE;
	if (!r && ((fl = fcntl(*fd, F_GETFL)) < 0 || fcntl(*fd, F_SETFL, fl & ~O_NONBLOCK) < 0))
		r = -errno;
	if (r && *fd >= 0) /* a refusal carries nothing */
		close(TAKE_FD(*fd));
	return r;
}
