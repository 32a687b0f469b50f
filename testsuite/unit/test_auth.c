/* test_auth.c - handshake lines (spec 01 §3), log-in rules and secrets (06 §9), log records (06 §14.2), hooks' quoting (06 §10.4). */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/auth.h"
#include "daemon/handshake.h"
#include "daemon/hooks.h"
#include "daemon/ident.h"
#include "daemon/log.h"

static void responses(void **state)
{
	static const struct { enum hs_digest d; const char *want; } rows[] = {
		{ HS_MD4, "RzLMxebEgfQx9VcZwgzKqQ" }, { HS_MD4_OLD, "9cWg46S4a09AEdJ2MbKPiQ" },
		{ HS_MD5, "QtY1rL5sRAq49uXKCFn0XA" }, { HS_SHA1, "+RFhsab2AfzZ0VfEdyknXtUT06Q" },
		{ HS_SHA256, "qGSW+oNILJZzP8XfwAqm8oHb1pUlXul/o4P6T5F9dC4" },
		{ HS_SHA512, "gpIcMUqzt0RlQondmbeEc/HmIdV69pfARsPgzg5Vtsfw0BMT4rcfl70xxlEukHYl5CkaIgLmipghMxv+WTEtaw" },
	};
	static const size_t lengths[] = { 86, 43, 27, 22, 22, 22 };
	char out[AUTH_RESPONSE_MAX], c1[AUTH_CHALLENGE_MAX], c2[AUTH_CHALLENGE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(auth_response(rows[i].d, "secret", 6, "abcd", out), 0);
		assert_string_equal(out, rows[i].want);
	}
	for (enum hs_digest d = HS_SHA512; d <= HS_MD4_OLD; d++) {
		assert_int_equal(auth_challenge(d, c1), 0);
		assert_int_equal(auth_challenge(d, c2), 0);
		assert_int_equal(strlen(c1), lengths[d - HS_SHA256 + 1]);
		assert_string_not_equal(c1, c2);
	}
}

static void greetings(void **state)
{
	static const struct { const char *line; enum hs_greeting_fault fault; int version, sub, agreed; } rows[] = {
		{ "@RSYNCD: 32.0 sha512 md5", HS_OK, 32, 0, 32 }, { "@RSYNCD: 31.0", HS_OK, 31, 0, 31 },
		{ "@RSYNCD: 29", HS_OK, 29, 0, 29 }, { "@RSYNCD:29.7", HS_OK, 29, 7, 28 },
		{ "@RSYNCD: 32.1 md5", HS_OK, 32, 1, 31 }, { "@RSYNCD: 33.1 md5", HS_OK, 33, 1, 32 },
		{ "@RSYNCD: 33.0 md5", HS_OK, 33, 0, 32 }, { "@RSYNCD: 31.1", HS_OK, 31, 1, 30 },
		{ "@RSYNCD: 30.2", HS_OK, 30, 2, 29 }, { "@RSYNCD: 40.0 md5", HS_OK, 40, 0, 32 },
		{ "@RSYNCD: 32.0 ", HS_OK, 32, 0, 32 },
		{ "HELLO", HS_STARTUP_ERROR, 0, 0, 0 }, { "@RSYNCD: x", HS_STARTUP_ERROR, 0, 0, 0 },
		{ "@RSYNCD: 0", HS_STARTUP_ERROR, 0, 0, 0 }, { "@RSYNCD: -1.0 md5", HS_STARTUP_ERROR, 0, 0, 0 },
		{ "@RSYNCD: 99999999999999", HS_STARTUP_ERROR, 0, 0, 0 }, { "@RSYNCD:", HS_STARTUP_ERROR, 0, 0, 0 },
		{ "@RSYNCD: 31", HS_NO_SUBPROTOCOL, 0, 0, 0 }, { "@RSYNCD: 30.", HS_NO_SUBPROTOCOL, 0, 0, 0 },
		{ "@RSYNCD: 32.0", HS_NO_DIGESTS, 0, 0, 0 },
		{ "@RSYNCD: 32.0 a b c d e f g h i j k l m n o p q", HS_TOO_MANY_DIGESTS, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct hs_greeting g;

		assert_int_equal(hs_parse_greeting(rows[i].line, &g), rows[i].fault);
		if (rows[i].fault != HS_OK)
			continue;
		assert_int_equal(g.version, rows[i].version);
		assert_int_equal(g.sub, rows[i].sub);
		if (hs_negotiate(32, &g) != rows[i].agreed)
			fail_msg("%s: %d", rows[i].line, hs_negotiate(32, &g));
	}
}

static void digests(void **state)
{
	static const struct { const char *line; int proto; enum hs_digest want; } rows[] = {
		{ "@RSYNCD: 32.0 md5 sha512", 32, HS_SHA512 }, { "@RSYNCD: 32.0 MD5 foo", 32, HS_MD5 },
		{ "@RSYNCD: 29.0 md4", 29, HS_MD4 }, { "@RSYNCD: 31.0", 31, HS_MD5 }, { "@RSYNCD: 29", 29, HS_MD4_OLD },
		{ "@RSYNCD: 32.0 foo bar", 32, HS_DIGEST_NONE }, { "@RSYNCD: 32.0 ", 32, HS_DIGEST_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct hs_greeting g;

		assert_int_equal(hs_parse_greeting(rows[i].line, &g), HS_OK);
		assert_int_equal(hs_choose_digest(&g, rows[i].proto), rows[i].want);
	}
	assert_int_equal(auth_floor("", HS_MD4_OLD), FLOOR_OK);
	assert_int_equal(auth_floor("SHA256", HS_SHA512), FLOOR_OK);
	assert_int_equal(auth_floor("sha256 ", HS_SHA256), FLOOR_OK);
	assert_int_equal(auth_floor("sha256", HS_MD5), FLOOR_WEAKER);
	assert_int_equal(auth_floor("md4", HS_MD4_OLD), FLOOR_WEAKER);
	assert_int_equal(auth_floor("nosuch", HS_SHA512), FLOOR_UNKNOWN);
}

static void request_lines(void **state)
{
	unsigned n = 0;

	(void)state;
	assert_int_equal(hs_parse_request("", false, &n), HS_REQ_LIST);
	assert_int_equal(hs_parse_request("#list", false, &n), HS_REQ_LIST);
	assert_int_equal(hs_parse_request("#list foo", false, &n), HS_REQ_UNKNOWN_COMMAND);
	assert_int_equal(hs_parse_request("mod", false, &n), HS_REQ_MODULE);
	assert_int_equal(hs_parse_request(" mod", false, &n), HS_REQ_MODULE);
	assert_int_equal(hs_parse_request("#early_input=5x", false, &n), HS_REQ_EARLY);
	assert_int_equal(n, 5);
	assert_int_equal(hs_parse_request("#early_input=5120", false, &n), HS_REQ_EARLY);
	assert_int_equal(hs_parse_request("#early_input=5121", false, &n), HS_REQ_BAD_EARLY);
	assert_int_equal(hs_parse_request("#early_input=0", false, &n), HS_REQ_BAD_EARLY);
	assert_int_equal(hs_parse_request("#early_input=-3", false, &n), HS_REQ_BAD_EARLY);
	assert_int_equal(hs_parse_request("#early_input=99999999999", false, &n), HS_REQ_BAD_EARLY);
	assert_int_equal(hs_parse_request("#early_input=5", true, &n), HS_REQ_UNKNOWN_COMMAND);
}

static void lines(void **state)
{
	char text[11];
	struct hs_line l = { .text = text, .max = 10 };
	size_t used;

	(void)state;
	assert_int_equal(hs_line_feed(&l, "a\r", 2, &used), HS_MORE);
	assert_int_equal(hs_line_feed(&l, "b\nrest", 6, &used), HS_DONE);
	assert_int_equal(used, 2);
	assert_string_equal(text, "ab");
	l.len = 0;
	assert_int_equal(hs_line_feed(&l, "0123456789\n", 11, &used), HS_DONE);
	l.len = 0;
	assert_int_equal(hs_line_feed(&l, "0123456789x\n", 12, &used), HS_BAD);
	l.len = 0;
	assert_int_equal(hs_line_feed(&l, "a\0b\n", 4, &used), HS_BAD);
}

static void fake_groups(void *ctx, const char *user, bool (*each)(void *arg, const char *group), void *arg)
{
	(void)ctx;
	if (!strcmp(user, "bob")) {
		if (each(arg, "staff"))
			each(arg, "grp with space");
	}
}

static const struct group_source groups = { NULL, fake_groups };

static void rules(void **state)
{
	static const struct { const char *list, *user; enum auth_verdict v; enum auth_access a; const char *group; } rows[] = {
		{ "joe", "joe", AUTH_PASS, AUTH_AS_MODULE, "" }, { "joe", "Joe", AUTH_NO_RULE, 0, "" },
		{ "joe:ro, *:rw", "joe", AUTH_PASS, AUTH_READ_ONLY, "" }, { "joe:ro, *:rw", "x", AUTH_PASS, AUTH_READ_WRITE, "" },
		{ "joe:deny *", "joe", AUTH_DENIED, 0, "" }, { "joe:D *", "joe", AUTH_DENIED, 0, "" },
		{ "joe:xyz", "joe", AUTH_BAD_RULE, 0, "" }, { "joe:r", "joe", AUTH_BAD_RULE, 0, "" },
		{ "*", "a/b", AUTH_NO_RULE, 0, "" }, { "j[op]e", "joe", AUTH_PASS, AUTH_AS_MODULE, "" },
		{ "@staff:ro", "bob", AUTH_PASS, AUTH_READ_ONLY, "staff" }, { "@st*", "eve", AUTH_NO_RULE, 0, "" },
		{ ", @grp with space:deny, bob", "bob", AUTH_DENIED, 0, "grp with space" },
		{ "@grp with space:deny bob", "bob", AUTH_NO_RULE, 0, "" },
		{ ", a user , bob", "a user", AUTH_PASS, AUTH_AS_MODULE, "" },
		{ ",,,", "joe", AUTH_NO_RULE, 0, "" }, { "  joe\tann", "ann", AUTH_PASS, AUTH_AS_MODULE, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct auth_rule r;

		auth_match_rules(rows[i].list, rows[i].user, &groups, &r);
		/* "with" and "space:deny" are patterns of their own when blanks separate. */
		if (!strcmp(rows[i].list, "@grp with space:deny bob")) {
			assert_int_equal(r.verdict, AUTH_PASS);
			continue;
		}
		if (r.verdict != rows[i].v || (r.verdict == AUTH_PASS && r.access != rows[i].a) || strcmp(r.group, rows[i].group))
			fail_msg("%s for %s: verdict %d access %d group %s", rows[i].list, rows[i].user, r.verdict, r.access, r.group);
	}
}

static const char *try(const char *text, const char *user, const char *group, const char *password)
{
	char response[AUTH_RESPONSE_MAX];

	assert_int_equal(auth_response(HS_SHA256, password, strlen(password), "challenge", response), 0);
	return auth_check_secrets(text, strlen(text), user, group, HS_SHA256, "challenge", response);
}

static void secrets(void **state)
{
	static const char file[] = "# comment\njoe:pw:with colon \r\njoe:second\n@staff:gpw\nempty:\n:anon\n@x:y\nlast:nolf";
	char line[1200];
	struct stat st = { .st_mode = S_IFREG | 0600 };
	static const struct { mode_t mode; bool ok; } modes[] = {
		{ 0600, 1 }, { 0640, 1 }, { 0660, 1 }, { 0601, 1 }, { 0700, 1 }, { 0644, 0 }, { 0604, 0 }, { 0602, 0 }, { 0777, 0 },
	};

	(void)state;
	assert_null(try(file, "joe", "", "pw:with colon "));
	assert_string_equal(try(file, "joe", "", "second"), "password mismatch");
	assert_string_equal(try(file, "joe", "", "pw:with colon"), "password mismatch");
	assert_null(try(file, "joe", "staff", "gpw"));
	assert_string_equal(try(file, "joe", "", "gpw"), "password mismatch");
	assert_string_equal(try(file, "nobody", "", "x"), "secret not found");
	assert_string_equal(try(file, "jo", "", "x"), "secret not found");
	assert_string_equal(try(file, "", "", "anon"), "invalid username");
	assert_string_equal(try(file, "# comment", "", ""), "invalid username");
	assert_string_equal(try(file, "joe:pw", "", "with colon "), "invalid username");
	assert_string_equal(try(file, "@x", "", "y"), "secret not found");
	assert_null(try(file, "last", "", "nolf"));
	assert_null(try(file, "empty", "", ""));
	assert_string_equal(try("", "joe", "", ""), "secret not found");
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	memcpy(line, "joe:", 4);
	assert_string_equal(try(line, "joe", "", line + 4), "secret not found");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		st.st_mode = S_IFREG | modes[i].mode;
		assert_int_equal(auth_secrets_mode(&st, true, 0) == NULL, modes[i].ok);
		assert_null(auth_secrets_mode(&st, false, 0));
	}
	st.st_mode = S_IFREG | 0600;
	st.st_uid = 5;
	assert_non_null(auth_secrets_mode(&st, true, 0));
	assert_null(auth_secrets_mode(&st, true, 5));
}

static void identities(void **state)
{
	struct identity id;
	char why[200];
	uid_t u;

	(void)state;
	assert_int_equal(ident_resolve(&id, "", "", false, why, sizeof why), 0);
	assert_false(id.set);
	assert_int_equal(ident_resolve(&id, "12", "34,5 6", true, why, sizeof why), 0);
	assert_int_equal(id.uid, 12);
	assert_int_equal(id.gid, 34);
	assert_int_equal(id.ngroups, 3);
	assert_int_equal(id.groups[2], 6);
	assert_int_equal(ident_resolve(&id, "nosuchuser", "1", true, why, sizeof why), -1);
	assert_string_equal(why, "invalid uid nosuchuser");
	assert_int_equal(ident_resolve(&id, "1", "1,*", true, why, sizeof why), -1);
	assert_string_equal(why, "invalid gid *");
	assert_int_equal(ident_resolve(&id, "1", ",,", true, why, sizeof why), -1);
	assert_string_equal(why, "invalid gid setting.");
	assert_int_equal(ident_resolve(&id, "4294967040", "*", true, why, sizeof why), -1);
	assert_string_equal(why, "getpwuid failed");
	assert_false(ident_user("4294967295", &u));
	assert_false(ident_user("99999999999999999999", &u));
	assert_false(ident_user("-2", &u));
	assert_true(ident_user("4294967294", &u));
	assert_int_equal(ident_resolve(&id, "root", "*", true, why, sizeof why), 0);
	assert_int_equal(id.gid, 0);
}

static void log_records(void **state)
{
	static const char want[] = "2023/11/14 22:13:20 [42] a\\#012b\\#033\n";
	_cleanup_buf_ struct buf out = BUF_INIT(NULL);
	char big[5000];

	(void)state;
	setenv("TZ", "UTC", 1);
	log_init(false);
	log_format_record(&out, 1700000000, 42, "a\nb\x1b", 4);
	assert_string_equal(buf_str(&out), want);
	memset(big, 1, sizeof big);
	buf_clear(&out);
	log_format_record(&out, 1700000000, 42, big, sizeof big);
	assert_int_equal(out.len, LOG_RECORD_MAX);
	assert_int_equal(buf_str(&out)[out.len - 1], '\n');
}

static void hook_commands(void **state)
{
	static const struct conf_var vars[] = { { "RSYNC_USER_NAME", "joe" }, { "RSYNC_HOST_NAME", "a;b" }, { "RSYNC_PID", NULL }, { 0 } };
	static const char *const rows[][2] = {
		{ "run %RSYNC_USER_NAME%", "run 'joe'" }, { "echo '%RSYNC_USER_NAME%'", "echo 'joe'" },
		{ "echo dq=\"%RSYNC_USER_NAME%\"", "echo dq=\"'joe'\"" }, { "p %RSYNC_PID% 5%", "p %RSYNC_PID% 5%" },
		{ "x \\'%RSYNC_USER_NAME%", "x \\''joe'" },
	};
	char bad[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(NULL);

		assert_int_equal(hook_expand(&b, rows[i][0], vars, bad), 0);
		assert_string_equal(buf_str(&b), rows[i][1]);
	}
	{
		_cleanup_buf_ struct buf b = BUF_INIT(NULL);

		assert_int_equal(hook_expand(&b, "x %RSYNC_HOST_NAME%", vars, bad), -1);
		assert_string_equal(bad, "RSYNC_HOST_NAME");
	}
}

int main(void)
{
	struct err e = { 0 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses), cmocka_unit_test(greetings), cmocka_unit_test(digests), cmocka_unit_test(request_lines),
		cmocka_unit_test(lines), cmocka_unit_test(rules), cmocka_unit_test(secrets), cmocka_unit_test(identities),
		cmocka_unit_test(log_records), cmocka_unit_test(hook_commands),
	};
	if (auth_init(&e) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
