/* test_access.c - host lists (spec 06 §7), peers, PROXY headers (§8), connection limits (09 §11.1). */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/say.h"
#include "daemon/access.h"
#include "daemon/limits.h"
#include "daemon/proxy.h"

/* good.example is 10.0.0.1 and 2001:db8::1; v6.example only the latter; nothing else resolves. */
static enum name_match fake_forward(void *ctx, const char *name, const struct peer *p)
{
	bool v6 = !strcmp(name, "v6.example");

	(void)ctx;
	if (strcmp(name, "good.example") && !v6)
		return NAME_UNRESOLVABLE;
	if (!strcmp(p->text, "2001:db8::1") || (!v6 && !strcmp(p->text, "10.0.0.1")))
		return NAME_IS;
	return NAME_IS_NOT;
}

static bool fake_netgroup(void *ctx, const char *group, const char *host)
{
	(void)ctx;
	return !strcmp(group, "lab") && !strcmp(host, "h.example");
}

static const struct resolver fake = { NULL, fake_forward, fake_netgroup };

static void quiet(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx; (void)kind; (void)text; (void)len;
}

struct row { const char *addr, *host, *list; bool allow, deny; };

static void tokens(void **state)
{
	static const struct row rows[] = {
		/* address, name, token, matches an allow list, matches a deny list */
		{ "10.0.0.1", "UNKNOWN", "10.0.0.1", 1, 1 }, { "10.0.0.1", "UNKNOWN", "10.0.0.2", 0, 0 },
		{ "10.0.0.1", "UNKNOWN", "10.0.0.0/8", 1, 1 }, { "11.0.0.1", "UNKNOWN", "10.0.0.0/8", 0, 0 },
		{ "10.0.0.1", "UNKNOWN", "10.1.0.0/255.0.0.0", 1, 1 }, { "10.9.0.1", "UNKNOWN", "10.0.0.1/255.0.0.255", 1, 1 },
		{ "10.9.0.2", "UNKNOWN", "10.0.0.1/255.0.0.255", 0, 0 },
		{ "127.0.0.5", "UNKNOWN", "127.5", 1, 1 }, { "1.2.3.4", "UNKNOWN", "0/0", 1, 1 }, { "::1", "UNKNOWN", "0/0", 0, 0 },
		{ "::1", "UNKNOWN", "::/0", 1, 1 }, { "1.2.3.4", "UNKNOWN", "::/0", 0, 0 },
		{ "2001:db8::5", "UNKNOWN", "2001:db8::/64", 1, 1 }, { "2001:db8:0:1::5", "UNKNOWN", "2001:db8::/64", 0, 0 },
		{ "2001:db8::5", "UNKNOWN", "2001:db8::/ffff:ffff::", 1, 1 },
		{ "1.2.3.4", "UNKNOWN", "::ffff:1.2.3.4", 0, 0 },
		/* what cannot be judged is denied */
		{ "1.2.3.4", "UNKNOWN", "300.0.0.1", 0, 1 }, { "1.2.3.4", "UNKNOWN", "zz::1", 0, 1 },
		{ "1.2.3.4", "UNKNOWN", "1.2.3.0/33", 0, 1 }, { "1.2.3.4", "UNKNOWN", "1.2.3.0/", 0, 1 },
		{ "1.2.3.4", "UNKNOWN", "1.2.3.0/-1", 0, 1 }, { "1.2.3.4", "UNKNOWN", "1.2.3.0/24x", 0, 1 },
		{ "1.2.3.4", "UNKNOWN", "no.such.example", 0, 1 },
		/* names */
		{ "1.2.3.4", "Bad.Example.COM", "bad.example.com", 1, 1 }, { "1.2.3.4", "bad.example.com", "*.Example.com", 1, 1 },
		{ "1.2.3.4", "bad.example.com", "[a-c]ad.*", 1, 1 }, { "1.2.3.4", "bad.example.com", "*.example.org", 0, 0 },
		{ "1.2.3.4", "UNKNOWN", "unknown", 1, 1 }, { "1.2.3.4", "UNDETERMINED", "*", 1, 1 },
		{ "127.0.0.1", "UNKNOWN", "127.0.0.*", 0, 0 }, { "1.2.3.4", "10.0.0.5.evil.example", "10.0.0.*", 0, 1 },
		{ "1.2.3.4", "10.0.0.5.evil.example", "1[0-9].?.*", 0, 1 }, { "1.2.3.4", "10.evil.example", "10.*.example", 1, 1 },
		{ "1.2.3.4", "h.example", "@lab", 1, 1 }, { "1.2.3.4", "i.example", "@lab", 0, 0 },
		/* forward lookup, both families */
		{ "10.0.0.1", "UNKNOWN", "good.example", 1, 1 }, { "2001:db8::1", "UNKNOWN", "good.example", 1, 1 },
		{ "10.0.0.2", "UNKNOWN", "good.example", 0, 0 }, { "10.0.0.1", "UNKNOWN", "v6.example", 0, 0 },
		/* lists */
		{ "10.0.0.1", "UNKNOWN", "9.9.9.9, 10.0.0.1", 1, 1 }, { "10.0.0.1", "UNKNOWN", ",,\t10.0.0.1,", 1, 1 },
		{ "10.0.0.1", "UNKNOWN", " , ", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct peer p;
		struct access_request rq = { .peer = &p, .host = rows[i].host, .forward = true, .resolver = &fake };

		assert_true(peer_from_text(&p, rows[i].addr));
		if (access_list_match(&rq, rows[i].list, false) != rows[i].allow ||
		    access_list_match(&rq, rows[i].list, true) != rows[i].deny)
			fail_msg("row %zu: %s / %s against %s", i, rows[i].addr, rows[i].host, rows[i].list);
	}
}

static void decision(void **state)
{
	static const struct { const char *allow, *deny; bool ok; } rows[] = {
		{ "", "", 1 }, { "10.0.0.1", "", 1 }, { "10.0.0.2", "", 0 }, { "", "10.0.0.1", 0 }, { "", "10.0.0.2", 1 },
		{ "10.0.0.1", "*", 1 }, { "10.0.0.2", "*", 0 }, { "10.0.0.2", "10.0.0.3", 1 }, { "10.0.0.1", "10.0.0.1", 1 },
		{ "", "no.such.example", 0 }, { "no.such.example", "", 0 },
	};
	struct peer p;

	(void)state;
	assert_true(peer_from_text(&p, "10.0.0.1"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct access_request rq = { .peer = &p, .host = "UNKNOWN", .forward = true, .resolver = &fake };

		assert_int_equal(access_allowed(&rq, rows[i].allow, rows[i].deny), rows[i].ok);
	}
}

static void forward_lookup_off(void **state)
{
	struct peer p;
	struct access_request rq = { .peer = &p, .host = "UNDETERMINED", .forward = false, .resolver = &fake };

	(void)state;
	assert_true(peer_from_text(&p, "10.0.0.1"));
	assert_false(access_list_match(&rq, "good.example", false));
	assert_false(access_list_match(&rq, "no.such.example", true));
	rq.forward = true;
	assert_true(access_list_match(&rq, "good.example", false));
	assert_string_equal(rq.matched, "good.example");
}

static void peers(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_storage ss = { 0 };
	struct peer p;

	(void)state;
	inet_pton(AF_INET6, "::ffff:10.1.2.3", &in6.sin6_addr);
	memcpy(&ss, &in6, sizeof in6);
	peer_from_sockaddr(&p, &ss);
	assert_string_equal(p.text, "10.1.2.3");
	assert_int_equal(p.family, 4);
	ss.ss_family = AF_UNIX;
	peer_from_sockaddr(&p, &ss);
	assert_string_equal(p.text, "0.0.0.0");
	assert_false(peer_from_text(&p, "name"));
	assert_false(peer_from_text(&p, "1.2.3"));
	assert_true(peer_from_text(&p, "fe80::1%1"));
	assert_int_equal(p.scope, 1);
}

#define V1(s) (const uint8_t *)(s), sizeof(s) - 1
static bool v1(const uint8_t *b, size_t n, struct proxy_addr *a)
{
	size_t len = 0;

	/* As the gate reads: exactly what is asked for. */
	for (;;) {
		int need = proxy_need(b, len);

		if (need < 0 || len + (size_t)need > n)
			return false;
		if (!need)
			return len == n && proxy_parse(b, len, a);
		len += (size_t)need;
	}
}

static void proxy_headers(void **state)
{
	static const uint8_t v2[] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c,
		203, 0, 113, 9, 198, 51, 100, 1, 0x15, 0xb3, 0x03, 0x69, 1, 2, 3 };
	uint8_t m[300];
	struct proxy_addr a;

	(void)state;
	assert_true(v1(V1("PROXY TCP4 10.0.0.1 10.0.0.2 1000 873\r\n"), &a));
	assert_int_equal(a.family, 4);
	assert_memory_equal(a.addr, "\x0a\0\0\x01", 4);
	assert_true(v1(V1("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 65535\r\n"), &a));
	assert_int_equal(a.family, 4);
	assert_true(v1(V1("PROXY UNKNOWN\r\n"), &a));
	assert_int_equal(a.family, 0);
	assert_true(v1(V1("PROXY UNKNOWN whatever it is\r\n"), &a));
	assert_false(v1(V1("PROXY TCP4 10.0.0.1 10.0.0.2 1000 873\n"), &a));
	assert_false(v1(V1("PROXY TCP4  10.0.0.1 10.0.0.2 1000 873\r\n"), &a));
	assert_false(v1(V1("PROXY TCP4 10.0.0.1 10.0.0.2 0 873\r\n"), &a));
	assert_false(v1(V1("PROXY TCP4 10.0.0.1 10.0.0.2 1 70000\r\n"), &a));
	assert_false(v1(V1("PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n"), &a));
	assert_false(v1(V1("PROXY TCP4 ::1 ::1 1 2\r\n"), &a));
	assert_false(v1(V1("proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), &a));
	assert_false(v1(V1("PROXY TCP6 fe80::1%1 ::1 1 2\r\n"), &a));
	assert_true(v1(v2, 28, &a));
	assert_int_equal(a.addr[0], 203);
	memcpy(m, v2, sizeof v2);
	m[15] = 15;     /* three bytes of TLV */
	assert_true(v1(m, 31, &a));
	m[15] = 11;
	assert_false(v1(m, 27, &a));
	m[15] = 12;
	m[12] = 0x20;   /* LOCAL */
	assert_true(v1(m, 28, &a));
	assert_int_equal(a.family, 0);
	m[12] = 0x31;
	assert_false(v1(m, 28, &a));
	m[12] = 0x22;
	assert_false(v1(m, 28, &a));
	m[12] = 0x21;
	m[14] = 0xff;
	assert_int_equal(proxy_need(m, 16), -1);
	/* 107 bytes in all are the most that version 1 may have. */
	memset(m, 'x', sizeof m);
	memcpy(m, "PROXY UNKNOWN ", 14);
	m[105] = '\r';
	m[106] = '\n';
	assert_true(v1(m, 107, &a));
	m[105] = m[106] = 'x';
	m[106] = '\r';
	m[107] = '\n';
	assert_false(v1(m, 108, &a));
}

static void limits(void **state)
{
	struct limit_settings s = { .unauth = 5, .unauth_host = 3, .per_host = 4, .rate = 2, .penalties = true };
	struct limits *l = limits_new();
	struct conn_row *row[8];
	struct peer a, b, local;
	int64_t now = 1000;
	pid_t out;

	(void)state;
	assert_non_null(l);
	peer_from_text(&a, "192.0.2.1");
	peer_from_text(&b, "2001:db8::1");
	peer_from_text(&local, "127.0.0.1");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(limits_admit(l, &s, &a, now, &row[i], &out), LIMIT_OK);
		row[i]->pid = 100 + i;
	}
	assert_int_equal(limits_admit(l, &s, &a, now, &row[3], &out), LIMIT_UNAUTH_HOST);
	row[0]->known = 1;
	assert_int_equal(limits_admit(l, &s, &a, now, &row[3], &out), LIMIT_OK);
	row[3]->pid = 103;
	row[1]->known = 1;
	assert_int_equal(limits_admit(l, &s, &a, now, &row[4], &out), LIMIT_PER_HOST);
	/* Another address of the same /64 is the same source. */
	for (int i = 4; i < 7; i++) {
		b.addr[15] = (uint8_t)i;
		assert_int_equal(limits_admit(l, &s, &b, now, &row[i], &out), LIMIT_OK);
		row[i]->pid = 100 + i;
	}
	assert_int_equal(limits_admit(l, &s, &local, now, &row[7], &out), LIMIT_UNAUTH);
	/* After the grace the oldest unauthenticated one makes way, and counts no more. */
	assert_int_equal(limits_admit(l, &s, &local, now + LIMIT_UNAUTH_GRACE_MS, &row[7], &out), LIMIT_OK);
	assert_int_equal(out, 102);
	limits_release(l, row[7]);
	assert_int_equal(limits_admit(l, &s, &local, now, &row[7], &out), LIMIT_OK);
	assert_int_equal(out, 0);
	limits_release(l, row[7]);
	limits_reap(l, 104, now);
	assert_int_equal(limits_admit(l, &s, &local, now, &row[7], &out), LIMIT_OK);
	limits_release(l, row[7]);
	/* Six connections in three seconds' worth; the rest must wait for time to pass. */
	for (int i = 0; i < 8; i++)
		limits_reap(l, 100 + i, now);
	s.unauth = s.unauth_host = s.per_host = 0;
	assert_int_equal(limits_admit(l, &s, &a, now, &row[0], &out), LIMIT_OK);
	limits_release(l, row[0]);
	assert_int_equal(limits_admit(l, &s, &a, now, &row[0], &out), LIMIT_OK);
	row[0]->pid = 200;
	assert_int_equal(limits_admit(l, &s, &a, now, &row[1], &out), LIMIT_RATE);
	assert_int_equal(limits_admit(l, &s, &a, now + 600, &row[1], &out), LIMIT_OK);
	limits_release(l, row[1]);
	/* A crash costs ten seconds, a failed log-in one. */
	row[0]->penalty = 11;
	limits_reap(l, 200, now + 600);
	s.rate = 0;
	assert_int_equal(limits_admit(l, &s, &a, now + 700, &row[0], &out), LIMIT_PENALTY);
	assert_int_equal(limits_admit(l, &s, &a, now + 1700, &row[0], &out), LIMIT_OK);
	limits_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens), cmocka_unit_test(decision), cmocka_unit_test(forward_lookup_off),
		cmocka_unit_test(peers), cmocka_unit_test(proxy_headers), cmocka_unit_test(limits),
	};
	say_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
