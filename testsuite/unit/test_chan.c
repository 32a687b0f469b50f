/* test_chan.c - message channels: exact sizes, order, descriptors, the dispatch table. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sandbox/chan.h"

struct ping {
	struct chan_head head;
	uint32_t value;
	char pad[20];
};

struct wide {
	struct chan_head head;
	char pad[500];
};

enum { T_PING = 1, T_WIDE, T_FD, T_ONCE };

static struct chan a, b;

static int setup(void **state)
{
	(void)state;
	return chan_pair(&a, &b);
}

static int teardown(void **state)
{
	(void)state;
	chan_close(&a);
	chan_close(&b);
	return 0;
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Sends raw bytes, with an fd when fd >= 0. */
static void raw_send(int sock, const void *buf, size_t len, int fd, int copies)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(3 * sizeof(int))]; } ctl;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&ctl, 0, sizeof ctl);
	if (fd >= 0) {
		mh.msg_control = &ctl;
		mh.msg_controllen = CMSG_SPACE((size_t)copies * sizeof(int));
		ctl.h.cmsg_level = SOL_SOCKET;
		ctl.h.cmsg_type = SCM_RIGHTS;
		ctl.h.cmsg_len = CMSG_LEN((size_t)copies * sizeof(int));
		for (int i = 0; i < copies; i++)
			memcpy(CMSG_DATA(&ctl.h) + (size_t)i * sizeof fd, &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(sock, &mh, 0), (ssize_t)len);
}

static void exchange(void **state)
{
	struct ping p = { .value = 7 }, q;

	(void)state;
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(chan_send(&a, T_PING, &p, sizeof p), 0);
		assert_int_equal(chan_recv(&b, T_PING, &q, sizeof q, 1000), 0);
		assert_int_equal(q.value, 7);
		assert_int_equal(q.head.seq, i);
	}
	assert_int_equal(chan_recv(&b, T_PING, &q, sizeof q, 20), -ETIMEDOUT);
	chan_close(&a);
	assert_int_equal(chan_recv(&b, T_PING, &q, sizeof q, 1000), -ECONNRESET);
	assert_int_equal(chan_send(&b, T_PING, &p, sizeof p), -ECONNRESET);
}

static void wrong_sizes_and_types_are_violations(void **state)
{
	struct ping p = { .value = 1 }, q;
	struct wide w = { .pad = "x" };

	(void)state;
	assert_int_equal(chan_send(&a, T_PING, &w, sizeof w), 0);
	assert_int_equal(chan_recv(&b, T_PING, &q, sizeof q, 1000), -EPROTO);
	assert_string_equal(b.why, "message too long");
	assert_int_equal(chan_send(&b, T_PING, &p, sizeof p), 0);
	assert_int_equal(chan_recv(&a, T_PING, &w, sizeof w, 1000), -EPROTO);
	assert_string_equal(a.why, "message too short");
	assert_int_equal(chan_send(&b, T_WIDE, &p, sizeof p), 0);
	assert_int_equal(chan_recv(&a, T_WIDE, &q, sizeof q, 1000), -EPROTO); /* the first was lost: order */
	assert_string_equal(a.why, "out of sequence");
	assert_int_equal(chan_send(&a, T_PING, &p, 8), -EMSGSIZE);
	assert_int_equal(chan_send(&a, T_PING, &p, CHAN_MAX + 1), -EMSGSIZE);
}

static void descriptors(void **state)
{
	struct ping p = { .value = 1 }, q;
	unsigned before = count_fds();
	struct stat s1, s2;
	int fd;

	(void)state;
	assert_int_equal(chan_send_fd(&a, T_FD, &p, sizeof p, 0), 0);
	assert_int_equal(chan_recv_fd(&b, T_FD, &q, sizeof q, &fd, 1000), 0);
	assert_true(fd > 2);
	assert_int_equal(fstat(0, &s1) | fstat(fd, &s2), 0);
	assert_true(s1.st_ino == s2.st_ino && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	/* Declared but absent; present but undeclared; too many. */
	assert_int_equal(chan_send(&a, T_FD, &p, sizeof p), 0);
	assert_int_equal(chan_recv_fd(&b, T_FD, &q, sizeof q, &fd, 1000), -EPROTO);
	assert_int_equal(fd, -1);
	b.received++;
	assert_int_equal(chan_send_fd(&a, T_PING, &p, sizeof p, 0), 0);
	assert_int_equal(chan_recv(&b, T_PING, &q, sizeof q, 1000), 0);
	raw_send(a.fd, &p, sizeof p, 0, 3);
	assert_int_equal(chan_recv_fd(&b, T_FD, &q, sizeof q, &fd, 1000), -EPROTO);
	assert_int_equal(count_fds(), before);
}

static int served;

static int on_ping(struct chan_server *srv, const void *msg, int fd)
{
	const struct ping *p = msg;

	(void)fd;
	served++;
	if (p->value == 99)
		chan_server_state(srv, 1);
	return p->value == 100 ? 1 : 0;
}

static int on_fd(struct chan_server *srv, const void *msg, int fd)
{
	(void)srv, (void)msg;
	assert_true(fd >= 0);
	close(fd);
	served++;
	return 0;
}

static const struct chan_rule rules[] = {
	{ T_PING, "ping", sizeof(struct ping), CHAN_STATE(0) | CHAN_STATE(1), 0, false, on_ping },
	{ T_ONCE, "once", sizeof(struct wide), CHAN_STATE(1), 1, false, on_ping },
	{ T_FD, "fd", sizeof(struct ping), CHAN_STATE(0), 0, true, on_fd },
};

static void table(void **state)
{
	struct chan_server srv;
	struct ping p = { .value = 1 };
	struct wide w = { .pad = { 0 } };
	unsigned before = count_fds();

	(void)state;
	served = 0;
	assert_int_equal(chan_server_init(&srv, &b, rules, ARRAY_SIZE(rules), NULL), 0);
	assert_int_equal(chan_send(&a, T_PING, &p, sizeof p), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), 0);
	assert_int_equal(chan_send(&a, T_ONCE, &w, sizeof w), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), -EPROTO);
	assert_non_null(strstr(srv.violation, "not legal in this state"));
	b.received = a.sent;
	p.value = 99;
	assert_int_equal(chan_send(&a, T_PING, &p, sizeof p), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), 0);
	assert_int_equal(srv.state, 1);
	assert_int_equal(chan_send(&a, T_ONCE, &w, sizeof w), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), 0);
	assert_int_equal(chan_send(&a, T_ONCE, &w, sizeof w), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), -EPROTO);
	assert_non_null(strstr(srv.violation, "too often"));
	b.received = a.sent;
	assert_int_equal(chan_send(&a, 77, &p, sizeof p), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), -EPROTO);
	assert_non_null(strstr(srv.violation, "unknown request"));
	b.received = a.sent;
	assert_int_equal(chan_send(&a, T_PING, &w, sizeof w), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), -EPROTO);
	assert_non_null(strstr(srv.violation, "wrong size"));
	b.received = a.sent;
	chan_server_state(&srv, 0);
	assert_int_equal(chan_send_fd(&a, T_PING, &p, sizeof p, 0), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), -EPROTO);
	b.received = a.sent;
	assert_int_equal(chan_send_fd(&a, T_FD, &p, sizeof p, 0), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), 0);
	raw_send(a.fd, "abc", 3, -1, 0);
	assert_int_equal(chan_serve_one(&srv, 1000), -EPROTO);
	p.value = 100;
	assert_int_equal(chan_send(&a, T_PING, &p, sizeof p), 0);
	assert_int_equal(chan_serve_one(&srv, 1000), 1);
	assert_int_equal(served, 5);
	chan_close(&a);
	assert_int_equal(chan_serve_one(&srv, 1000), -ECONNRESET);
	chan_server_free(&srv);
	assert_int_equal(count_fds(), before - 1);
}

static void bad_tables_are_refused(void **state)
{
	static const struct chan_rule twice[] = {
		{ 1, "a", 32, 1, 0, false, on_ping }, { 1, "b", 32, 1, 0, false, on_ping },
	};
	static const struct chan_rule small[] = { { 1, "a", 8, 1, 0, false, on_ping } };
	struct chan_server srv;

	(void)state;
	assert_int_equal(chan_server_init(&srv, &b, twice, 2, NULL), -EINVAL);
	assert_int_equal(chan_server_init(&srv, &b, small, 1, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exchange, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_sizes_and_types_are_violations, setup, teardown),
		cmocka_unit_test_setup_teardown(descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(table, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_tables_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests_name("chan", tests, NULL, NULL);
}
