/* test_receiver.c - the receiver's parts that need no session: id map, queue between the threads, fuzzy names. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "receiver/gen.h"
#include "receiver/idmap.h"
#include "receiver/queue.h"

/* "carol" is 77, "staff" is 88 here; counts what was asked. */
static int asked;

static int id_of(void *ctx, bool is_group, const char *name, uint32_t *id)
{
	(void)ctx;
	asked++;
	if (strcmp(name, is_group ? "staff" : "carol"))
		return -ENOENT;
	*id = is_group ? 88 : 77;
	return 0;
}

static const struct id_service service = { .id = id_of };

static uint32_t map(struct idmap *m, bool is_group, uint32_t id, bool *settable)
{
	struct idview v;

	idview_init(&v, m);
	return idview_map(&v, is_group, id, settable);
}

static void ids_by_rule_and_name(void **state)
{
	struct xfer_opts o = { .usermap = "5-7:100,a*:200,:300,bob:carol", .groupmap = "9:90" };
	struct err err = { 0 };
	struct budget b;
	struct idmap *m;

	(void)state;
	budget_init(&b, 0, 0);
	m = idmap_new(&o, &service, true, NULL, 0, &b, &err);
	assert_non_null(m);
	idmap_learn(m, false, 5, "alice");
	idmap_learn(m, false, 8, "anna");
	idmap_learn(m, false, 9, "bob");
	idmap_learn(m, false, 10, "carol");
	idmap_learn(m, false, 11, "zoe");
	idmap_learn(m, true, 10, "staff");
	assert_int_equal(map(m, false, 5, NULL), 100);         /* the first rule that fits */
	assert_int_equal(map(m, false, 7, NULL), 100);
	assert_int_equal(map(m, false, 8, NULL), 200);
	assert_int_equal(map(m, false, 9, NULL), 77);
	assert_int_equal(map(m, false, 10, NULL), 77);         /* no rule: by name */
	assert_int_equal(map(m, false, 11, NULL), 11);         /* unknown name: the number */
	assert_int_equal(map(m, false, 12, NULL), 300);        /* nameless */
	assert_int_equal(map(m, true, 9, NULL), 90);
	assert_int_equal(map(m, true, 10, NULL), 88);
	asked = 0;
	assert_int_equal(map(m, true, 10, NULL), 88);
	assert_int_equal(asked, 0);                            /* answered once for all views */
	idmap_free(m);
	assert_int_equal(b.used, 0);
}

static void ids_without_privilege(void **state)
{
	struct xfer_opts o = { .usermap = "5:100" };
	gid_t groups[] = { 4000000001u };
	struct err err = { 0 };
	struct idmap *m;
	bool can;

	(void)state;
	m = idmap_new(&o, &service, false, groups, 1, NULL, &err);
	assert_non_null(m);
	assert_int_equal(map(m, false, 5, NULL), 100);         /* in ACLs; files stay as they are */
	map(m, true, 4000000001u, &can);
	assert_true(can);
	map(m, true, 4000000002u, &can);
	assert_false(can);
	map(m, true, getegid(), &can);
	assert_true(can);
	idmap_free(m);
}

static void numeric_ids_ignore_names(void **state)
{
	struct xfer_opts o = { .numeric_ids = true };
	struct err err = { 0 };
	struct idmap *m = idmap_new(&o, &service, true, NULL, 0, NULL, &err);

	(void)state;
	assert_non_null(m);
	idmap_learn(m, false, 10, "carol");
	assert_int_equal(map(m, false, 10, NULL), 10);
	idmap_free(m);
}

/* As many as a peer likes, and chosen so as to meet in a table that can be foreseen. */
static void many_ids(void **state)
{
	struct xfer_opts o = { 0 };
	struct err err = { 0 };
	struct budget b;
	struct idmap *m;
	struct idview v;

	(void)state;
	budget_init(&b, 0, 0);
	m = idmap_new(&o, NULL, true, NULL, 0, &b, &err);
	assert_non_null(m);
	idview_init(&v, m);
	alarm(60);                     /* looking at each one for each would take much longer */
	for (int again = 0; again < 2; again++)
		for (uint32_t n = 1; n <= 300000; n++)
			assert_int_equal(idview_map(&v, false, n * 244002641u, NULL), n * 244002641u);
	alarm(0);
	idmap_free(m);
	assert_int_equal(b.used, 0);
}

static void bad_maps_are_refused(void **state)
{
	static const struct { const char *map, *text; } rows[] = {
		{ "5", "No colon found in --usermap: 5" },
		{ "5:", "No name found after colon --usermap: 5:" },
		{ "5x:1", "Invalid number in --usermap: 5x" },
		{ "5-x:1", "Invalid number in --usermap: 5-x" },
		{ "4294967296:1", "Invalid number in --usermap: 4294967296" },
		{ "1:4294967296", "Invalid ID number: 4294967296" },
		{ "1:2,", "No colon found in --usermap: " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct xfer_opts o = { .usermap = rows[i].map };
		struct err err = { 0 };
		struct budget b;

		budget_init(&b, 0, 0);
		assert_null(idmap_new(&o, &service, true, NULL, 0, &b, &err));
		assert_int_equal(err.code, RX_USAGE);
		assert_string_equal(err.text, rows[i].text);
		assert_int_equal(b.used, 0);
	}
}

/* Every budget that is too small fails cleanly; the first that suffices works. */
static void ids_over_budget(void **state)
{
	struct xfer_opts o = { .usermap = "5-7:100,a*:200" };
	size_t total = 1;

	(void)state;
	for (;; total += 64) {
		struct err err = { 0 };
		struct budget b;
		struct idmap *m;

		budget_init(&b, total, 0);
		m = idmap_new(&o, &service, true, NULL, 0, &b, &err);
		if (m) {
			for (uint32_t id = 1000; id < 3000; id++) /* more than there is room for */
				assert_int_equal(map(m, false, id, NULL), id);
			idmap_free(m);
			assert_int_equal(b.used, 0);
			break;
		}
		assert_int_equal(err.code, RX_MALLOC);
		assert_int_equal(b.used, 0);
	}
	assert_true(total > 64);
}

#define RECORDS 100000u

static void *produce(void *arg)
{
	/* The last ones lazily: nobody hears of them without the flush. */
	for (uint32_t i = 0; i < RECORDS; i++)
		if ((i % 100 == 7 ? queue_push(arg, &i) : queue_push_lazily(arg, &i)) < 0)
			return arg;
	queue_flush(arg);
	return NULL;
}

static void queue_keeps_order_between_threads(void **state)
{
	struct budget b;
	struct queue q;
	pthread_t t;
	void *failed;

	(void)state;
	budget_init(&b, 0, 0);
	assert_int_equal(queue_init(&q, sizeof(uint32_t), &b), 0);
	assert_int_equal(pthread_create(&t, NULL, produce, &q), 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t *r;

		while (!(r = queue_peek(&q)))
			queue_wait(&q, -1);
		assert_int_equal(*r, i);
		queue_pop(&q);
	}
	pthread_join(t, &failed);
	assert_null(failed);
	assert_null(queue_peek(&q));
	queue_done(&q);
	assert_int_equal(b.used, 0);
}

static void queue_over_budget(void **state)
{
	uint64_t i = 0, n = 0, *r;
	struct budget b;
	struct queue q;

	(void)state;
	budget_init(&b, 16, 0);
	assert_int_equal(queue_init(&q, sizeof i, &b), -1);
	queue_done(&q);
	budget_init(&b, 8192, 0);
	assert_int_equal(queue_init(&q, sizeof i, &b), 0);
	while (queue_push(&q, &i) == 0)
		i++;
	assert_true(i > 0 && i * sizeof i <= 8192);
	assert_int_equal(queue_push(&q, &i), -1);
	for (; (r = queue_peek(&q)); n++) {                    /* what was taken is all there */
		assert_int_equal(*r, n);
		queue_pop(&q);
	}
	assert_int_equal(n, i);
	assert_int_equal(queue_push(&q, &i), 0);               /* and there is room again */
	queue_kick(&q);
	queue_wait(&q, -1);
	queue_done(&q);
	assert_int_equal(b.used, 0);
}

static uint32_t distance(const char *a, const char *b, uint32_t limit)
{
	return fuzzy_distance(a, strlen(a), b, strlen(b), limit);
}

static void fuzzy_names(void **state)
{
	static const struct { const char *name, *suffix; } rows[] = {
		{ "a.c", ".c" }, { "a.c.bak", ".c" }, { "a.c.orig", ".c" }, { "a.c~", ".c" }, { "a.c.~12~", ".c" },
		{ "a.tar.gz", ".gz" }, { "lib.so.6", ".so" }, { "a.6", ".6" }, { ".profile", "" }, { "none", "" }, { "", "" },
		{ "a.old", "" }, { "a.old~", ".old" }, { "a.c.old~", ".old" }, { "a.bak.old", ".bak" }, { "a.c.bak.~1~", ".bak" }, { "a.old.1", ".old" },
	};
	char longest[SB_NAME_MAX + 2];

	(void)state;
	assert_int_equal(distance("same", "same", UINT32_MAX), 0);
	assert_int_equal(distance("", "a", UINT32_MAX), 65536 + 'a');
	assert_int_equal(distance("abc", "abd", UINT32_MAX), 65536 + 1);
	assert_int_equal(distance("abc", "ac", UINT32_MAX), 65536 + 'b');
	assert_int_equal(distance("abc", "bc", UINT32_MAX), 65536);            /* in front */
	assert_int_equal(distance("c", "abc", UINT32_MAX), 2 * 65536);
	assert_int_equal(distance("kitten", "sitting", UINT32_MAX), distance("sitting", "kitten", UINT32_MAX));
	assert_int_equal(distance("a", "abcdef", 65536), UINT32_MAX);   /* lengths alone are too far apart */
	memset(longest, 'x', sizeof longest);
	assert_int_equal(fuzzy_distance(longest, SB_NAME_MAX, longest, SB_NAME_MAX, UINT32_MAX), 0);
	assert_int_equal(fuzzy_distance(longest, SB_NAME_MAX + 1, longest, 1, UINT32_MAX), UINT32_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n;
		const char *s = fuzzy_suffix(rows[i].name, strlen(rows[i].name), &n);

		assert_int_equal(n, strlen(rows[i].suffix));
		assert_memory_equal(s, rows[i].suffix, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_by_rule_and_name),
		cmocka_unit_test(ids_without_privilege),
		cmocka_unit_test(numeric_ids_ignore_names), cmocka_unit_test(many_ids),
		cmocka_unit_test(bad_maps_are_refused),
		cmocka_unit_test(ids_over_budget),
		cmocka_unit_test(queue_keeps_order_between_threads),
		cmocka_unit_test(queue_over_budget),
		cmocka_unit_test(fuzzy_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
