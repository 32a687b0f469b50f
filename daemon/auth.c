/* auth.c - challenge, response, rules and secrets. */
#include "config.h"

#include <grp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/text.h"
#include "daemon/auth.h"
#include "delta/md4.h"
#include "filter/wildmatch.h"

static EVP_MD *digest_of[HS_MD5 + 1];
static EVP_MD_CTX *md_ctx;

int auth_init(struct err *e)
{
	for (enum hs_digest d = HS_SHA512; d <= HS_MD5; d++)
		if (!digest_of[d]) {
			digest_of[d] = EVP_MD_fetch(NULL, hs_digest_name(d), NULL);
			if (!digest_of[d])
				return fail(e, RX_UNSUPPORTED, "digest %s is not available", hs_digest_name(d));
		}
	if (!md_ctx)
		md_ctx = EVP_MD_CTX_new();
	return md_ctx ? 0 : fail(e, RX_MALLOC, "out of memory for digests");
}

int auth_challenge(enum hs_digest d, char out[AUTH_CHALLENGE_MAX])
{
	uint8_t bytes[64];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return -1;
	base64_encode(out, bytes, hs_digest_len(d));
	return 0;
}

int auth_response(enum hs_digest d, const char *password, size_t len, const char *challenge,
		  char out[AUTH_RESPONSE_MAX])
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	int r = -1;

	if (d == HS_MD4 || d == HS_MD4_OLD) {
		struct md4 m;

		md4_init(&m);
		if (d == HS_MD4_OLD)
			md4_update(&m, "\0\0\0", 4);
		md4_update(&m, password, len);
		md4_update(&m, challenge, strlen(challenge));
		md4_final(&m, sum);
		OPENSSL_cleanse(&m, sizeof m);
		r = 0;
	} else if (d >= HS_SHA512 && d <= HS_MD5 && digest_of[d] && md_ctx) {
		if (EVP_DigestInit_ex(md_ctx, digest_of[d], NULL) && EVP_DigestUpdate(md_ctx, password, len) &&
		    EVP_DigestUpdate(md_ctx, challenge, strlen(challenge)) && EVP_DigestFinal_ex(md_ctx, sum, NULL))
			r = 0;
	}
	if (r == 0)
		base64_encode(out, sum, hs_digest_len(d));
	OPENSSL_cleanse(sum, sizeof sum);
	return r;
}

/* ---- rules ---- */

static void system_groups(void *ctx, const char *user, bool (*each)(void *arg, const char *group), void *arg)
{
	const struct passwd *pw = getpwnam(user);
	gid_t gids[256];
	int n = (int)ARRAY_SIZE(gids);

	(void)ctx;
	if (!pw)
		return;
	if (getgrouplist(user, pw->pw_gid, gids, &n) < 0)
		n = (int)ARRAY_SIZE(gids);
	for (int i = 0; i < n; i++) {
		const struct group *g = getgrgid(gids[i]);

		if (g && !each(arg, g->gr_name))
			return;
	}
}

const struct group_source groups_system = { NULL, system_groups };

struct group_match { const char *pattern; char *found; bool hit; };

static bool match_group(void *arg, const char *group)
{
	struct group_match *m = arg;

	if (!wild_match(m->pattern, group))
		return true;
	m->hit = true;
	snprintf(m->found, AUTH_GROUP_MAX, "%s", group);
	return false;
}

static bool token_matches(const char *pattern, const char *user, const struct group_source *src, char *group)
{
	struct group_match m = { .pattern = pattern + 1, .found = group };

	group[0] = '\0';
	if (pattern[0] != '@')
		return wild_match(pattern, user);
	src->groups(src->ctx, user, match_group, &m);
	return m.hit;
}

static void judge_option(const char *opt, struct auth_rule *out)
{
	char a = (char)(opt[0] | 32), b = opt[0] ? (char)(opt[1] | 32) : '\0';

	out->verdict = AUTH_PASS;
	if (a == 'd')
		out->verdict = AUTH_DENIED;
	else if (a == 'r' && b == 'o')
		out->access = AUTH_READ_ONLY;
	else if (a == 'r' && b == 'w')
		out->access = AUTH_READ_WRITE;
	else
		out->verdict = AUTH_BAD_RULE;
}

/* The next token of the list; commas says that only commas separate. False at the end. */
static bool next_token(const char **list, bool commas, char *out, size_t size)
{
	const char *sep = commas ? "," : " \t,\r\n";

	for (;;) {
		const char *s = *list + strspn(*list, commas ? ", \t\r\n" : sep);
		size_t n = strcspn(s, sep);

		*list = s + n;
		if (!*s)
			return false;
		while (n && strchr(" \t\r\n", s[n - 1]))
			n--;
		if (!n || n >= size)
			continue;
		memcpy(out, s, n);
		out[n] = '\0';
		return true;
	}
}

void auth_match_rules(const char *list, const char *user, const struct group_source *src, struct auth_rule *out)
{
	bool commas = list[strspn(list, " \t\r\n")] == ',';
	char token[2048];

	*out = (struct auth_rule){ .verdict = AUTH_NO_RULE };
	while (next_token(&list, commas, token, sizeof token)) {
		char *colon = strchr(token, ':');

		if (colon)
			*colon = '\0';
		if (!token_matches(token, user, src, out->group))
			continue;
		out->verdict = AUTH_PASS;
		if (colon)
			judge_option(colon + 1, out);
		return;
	}
	out->group[0] = '\0';
}

/* ---- secrets ---- */

const char *auth_secrets_mode(const struct stat *st, bool strict, uid_t euid)
{
	if (!strict)
		return NULL;
	if (st->st_mode & 06)
		return "secrets file must not be other-accessible (see strict modes option)";
	if (euid == 0 && st->st_uid != 0)
		return "secrets file must be owned by root when running as root (see strict modes)";
	return NULL;
}

/* True if the line is NAME:…; the password is what follows. */
static bool line_of(const char *line, size_t len, char mark, const char *name, const char **pw, size_t *pwlen)
{
	size_t n = strlen(name);

	if (mark) {
		if (!len || line[0] != mark)
			return false;
		line++;
		len--;
	} else if (len && line[0] == '@') {
		return false;
	}
	if (len <= n || memcmp(line, name, n) || line[n] != ':')
		return false;
	*pw = line + n + 1;
	*pwlen = len - n - 1;
	return true;
}

static bool try_secret(const char *pw, size_t len, enum hs_digest d, const char *challenge, const char *response)
{
	char want[AUTH_RESPONSE_MAX] = { 0 }, got[AUTH_RESPONSE_MAX] = { 0 };
	bool ok;

	if (auth_response(d, pw, len, challenge, want) < 0)
		return false;
	snprintf(got, sizeof got, "%s", response);
	ok = strlen(response) < sizeof got && same_secret(want, got, sizeof want);
	OPENSSL_cleanse(want, sizeof want);
	return ok;
}

const char *auth_check_secrets(const char *text, size_t len, const char *user, const char *group, enum hs_digest d,
			       const char *challenge, const char *response)
{
	const char *end = text + len, *user_pw = NULL, *group_pw = NULL;
	size_t user_len = 0, group_len = 0;
	bool ok_user, ok_group;

	if (!*user || *user == '#' || strchr(user, ':'))
		return "invalid username";
	for (const char *p = text; p < end;) {
		const char *lf = memchr(p, '\n', (size_t)(end - p)), *stop = lf ? lf : end, *pw;
		size_t n = (size_t)(stop - p), pwlen;

		if (n && p[n - 1] == '\r')
			n--;
		if (n <= AUTH_LINE_MAX && !memchr(p, '\0', n)) {
			if (!user_pw && line_of(p, n, '\0', user, &pw, &pwlen)) {
				user_pw = pw;
				user_len = pwlen;
			}
			if (!group_pw && group && *group && line_of(p, n, '@', group, &pw, &pwlen)) {
				group_pw = pw;
				group_len = pwlen;
			}
		}
		p = lf ? lf + 1 : end;
	}
	/* Both digests are always computed, so that time does not tell a known user from an unknown one. */
	ok_user = try_secret(user_pw ? user_pw : "", user_pw ? user_len : 0, d, challenge, response) && user_pw;
	ok_group = try_secret(group_pw ? group_pw : "", group_pw ? group_len : 0, d, challenge, response) && group_pw;
	if (ok_user || ok_group)
		return NULL;
	return user_pw || group_pw ? "password mismatch" : "secret not found";
}

enum auth_floor auth_floor(const char *setting, enum hs_digest chosen)
{
	enum hs_digest floor;
	size_t n = strlen(setting);

	while (n && (setting[n - 1] == ' ' || setting[n - 1] == '\t'))
		n--;
	if (!n)
		return FLOOR_OK;
	floor = hs_digest_parse(setting, n);
	if (floor == HS_DIGEST_NONE)
		return FLOOR_UNKNOWN;
	return chosen <= floor ? FLOOR_OK : FLOOR_WEAKER;
}
