/*
 * chan.c - fixed-size messages between our own processes; see chan.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "sandbox/chan.h"

void chan_init(struct chan *ch, int fd)
{
	*ch = (struct chan){ .fd = fd };
}

int chan_pair(struct chan *a, struct chan *b)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	chan_init(a, sv[0]);
	chan_init(b, sv[1]);
	return 0;
}

void chan_close(struct chan *ch)
{
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
}

static int gone(int err)
{
	return err == EPIPE || err == ECONNRESET || err == ENOTCONN ? -ECONNRESET : -err;
}

static int violation(struct chan *ch, const char *why)
{
	ch->why = why;
	return -EPROTO;
}

static int seal_head(struct chan *ch, uint16_t type, void *msg, size_t size)
{
	struct chan_head head = { .magic = CHAN_MAGIC, .type = type };

	if (ch->fd < 0)
		return -ECONNRESET;
	if (size < sizeof head || size > CHAN_MAX)
		return -EMSGSIZE;
	head.size = (uint32_t)size;
	head.seq = ch->sent + 1;
	memcpy(msg, &head, sizeof head);
	return 0;
}

static int sent(struct chan *ch, ssize_t n, size_t size)
{
	if (n < 0)
		return gone(errno);
	if ((size_t)n != size) /* cannot happen on SEQPACKET */
		return -EIO;
	ch->sent++;
	return 0;
}

int chan_send(struct chan *ch, uint16_t type, void *msg, size_t size)
{
	int r = seal_head(ch, type, msg, size);
	ssize_t n;

	if (r < 0)
		return r;
	do {
		n = send(ch->fd, msg, size, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return sent(ch, n, size);
}

int chan_send_fd(struct chan *ch, uint16_t type, void *msg, size_t size, int fd)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } ctl;
	struct iovec iov = { .iov_base = msg, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof ctl };
	int r = seal_head(ch, type, msg, size);
	ssize_t n;

	if (r < 0)
		return r;
	memset(&ctl, 0, sizeof ctl);
	ctl.h.cmsg_level = SOL_SOCKET;
	ctl.h.cmsg_type = SCM_RIGHTS;
	ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&ctl.h), &fd, sizeof fd);
	do {
		n = sendmsg(ch->fd, &mh, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return sent(ch, n, size);
}

static int await(struct chan *ch, int timeout_ms)
{
	int64_t end = timeout_ms < 0 ? 0 : clock_ms() + timeout_ms;

	if (ch->fd < 0)
		return -ECONNRESET;
	if (timeout_ms < 0)
		return 0;
	for (;;) {
		struct pollfd p = { .fd = ch->fd, .events = POLLIN };
		int64_t left = end - clock_ms();
		int r = poll(&p, 1, left > 0 ? (int)left : 0);

		if (r > 0)
			return 0;
		if (!r)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* The fds of a received message: keeps the first, closes the rest. Returns how many there were. */
static unsigned take_fds(struct msghdr *mh, int *fd)
{
	unsigned seen = 0;

	*fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
			if (seen++ == 0)
				*fd = got;
			else
				close(got);
		}
	}
	return seen;
}

/* Receives one message of at most cap bytes. With fdp NULL no control buffer is offered, and the
   kernel drops fds that were sent along. Returns the length, -EPROTO for a cut one. */
static ssize_t receive(struct chan *ch, void *buf, size_t cap, int *fdp)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(4 * sizeof(int))]; } ctl;
	struct iovec iov = { .iov_base = buf, .iov_len = cap };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof ctl };
	ssize_t n;

	do {
		n = fdp ? recvmsg(ch->fd, &mh, MSG_CMSG_CLOEXEC | MSG_TRUNC) : recv(ch->fd, buf, cap, MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return gone(errno);
	if (fdp) {
		unsigned nfds = take_fds(&mh, fdp);

		if (nfds > 1 || (mh.msg_flags & MSG_CTRUNC)) {
			if (*fdp >= 0)
				close(TAKE_FD(*fdp));
			return violation(ch, "several descriptors in one message");
		}
	}
	if (n == 0)
		return -ECONNRESET;
	if ((size_t)n > cap) {
		if (fdp && *fdp >= 0)
			close(TAKE_FD(*fdp));
		return violation(ch, "message too long");
	}
	return n;
}

/* Checks what every message has in common. */
static const char *bad_head(const struct chan_head *head, size_t len, uint32_t seq)
{
	if (head->magic != CHAN_MAGIC || head->pad)
		return "not a message of ours";
	if (head->size != len)
		return "size field does not match";
	if (head->seq != seq)
		return "out of sequence";
	return NULL;
}

static int receive_exact(struct chan *ch, uint16_t type, void *msg, size_t size, int *fdp, int timeout_ms)
{
	struct chan_head head;
	const char *why = NULL;
	ssize_t n;
	int r = await(ch, timeout_ms);

	if (r < 0)
		return r;
	if (size < sizeof head || size > CHAN_MAX)
		return -EMSGSIZE;
	n = receive(ch, msg, size, fdp);
	if (n < 0)
		return (int)n;
	if ((size_t)n != size) {
		why = "message too short";
	} else {
		memcpy(&head, msg, sizeof head);
		why = bad_head(&head, size, ch->received + 1);
		if (!why && head.type != type)
			why = "unexpected message";
		if (!why && fdp && *fdp < 0)
			why = "no descriptor came along";
	}
	if (why) {
		if (fdp && *fdp >= 0)
			close(TAKE_FD(*fdp));
		return violation(ch, why);
	}
	ch->received++;
	return 0;
}

int chan_recv(struct chan *ch, uint16_t type, void *msg, size_t size, int timeout_ms)
{
	return receive_exact(ch, type, msg, size, NULL, timeout_ms);
}

int chan_recv_fd(struct chan *ch, uint16_t type, void *msg, size_t size, int *fd, int timeout_ms)
{
	*fd = -1;
	return receive_exact(ch, type, msg, size, fd, timeout_ms);
}

int chan_call(struct chan *ch, uint16_t req_type, void *req, size_t req_size,
	uint16_t rep_type, void *rep, size_t rep_size, int timeout_ms)
{
	int r = chan_send(ch, req_type, req, req_size);

	return r < 0 ? r : chan_recv(ch, rep_type, rep, rep_size, timeout_ms);
}

int chan_server_init(struct chan_server *srv, struct chan *ch, const struct chan_rule *rules, size_t nrules, void *ctx)
{
	*srv = (struct chan_server){ .ch = ch, .rules = rules, .nrules = nrules, .ctx = ctx };
	srv->size = sizeof(struct chan_head);
	if (nrules > CHAN_RULES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < nrules; i++) {
		const struct chan_rule *r = &rules[i];

		if (!r->type || r->size < sizeof(struct chan_head) || r->size > CHAN_MAX || !r->handler || !r->states)
			return -EINVAL;
		for (size_t j = 0; j < i; j++)
			if (rules[j].type == r->type)
				return -EINVAL;
		srv->size = MAX(srv->size, r->size);
	}
	srv->buf = malloc(srv->size);
	return srv->buf ? 0 : -ENOMEM;
}

void chan_server_free(struct chan_server *srv)
{
	free(srv->buf);
	srv->buf = NULL;
}

const struct chan_rule *chan_judge(const struct chan_server *srv, const void *msg, size_t len, bool has_fd, const char **why)
{
	struct chan_head head;

	*why = "message too short";
	if (len < sizeof head)
		return NULL;
	memcpy(&head, msg, sizeof head);
	*why = bad_head(&head, len, srv->ch->received + 1);
	if (*why)
		return NULL;
	for (size_t i = 0; i < srv->nrules; i++) {
		const struct chan_rule *r = &srv->rules[i];

		if (r->type != head.type)
			continue;
		if (r->size != len)
			*why = "wrong size for its type";
		else if (srv->state > 31 || !(r->states & CHAN_STATE(srv->state)))
			*why = "not legal in this state";
		else if (r->max_count && srv->count[i] >= r->max_count)
			*why = "asked too often";
		else if (r->takes_fd != has_fd)
			*why = has_fd ? "carries a descriptor" : "carries no descriptor";
		else
			return r;
		return NULL;
	}
	*why = "unknown request";
	return NULL;
}

static bool any_takes_fd(const struct chan_server *srv)
{
	for (size_t i = 0; i < srv->nrules; i++)
		if (srv->rules[i].takes_fd)
			return true;
	return false;
}

int chan_serve_one(struct chan_server *srv, int timeout_ms)
{
	struct chan *ch = srv->ch;
	const struct chan_rule *rule;
	const char *why;
	int fd = -1;
	ssize_t n;
	int r = await(ch, timeout_ms);

	if (r < 0)
		return r;
	n = receive(ch, srv->buf, srv->size, any_takes_fd(srv) ? &fd : NULL);
	if (n < 0) {
		if (n == -EPROTO)
			snprintf(srv->violation, sizeof srv->violation, "%s", ch->why);
		return (int)n;
	}
	rule = chan_judge(srv, srv->buf, (size_t)n, fd >= 0, &why);
	if (!rule) {
		struct chan_head head = { 0 };

		if (fd >= 0)
			close(fd);
		memcpy(&head, srv->buf, MIN((size_t)n, sizeof head));
		snprintf(srv->violation, sizeof srv->violation, "request type %u of %zd bytes in state %u: %s",
			head.type, n, srv->state, why);
		return violation(ch, why);
	}
	ch->received++;
	srv->count[rule - srv->rules]++;
	return rule->handler(srv, srv->buf, fd);
}
