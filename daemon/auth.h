/*
 * auth.h - log-in: rules, secrets, challenge and response (spec 06 §9, 01 §3.8).
 *
 * The monitor judges; the gate only carries the challenge and the answer. Failure reasons are for the log,
 * never for the client.
 */
#ifndef DAEMON_AUTH_H
#define DAEMON_AUTH_H

#include <sys/stat.h>

#include "base/err.h"
#include "base/util.h"
#include "daemon/handshake.h"

#define AUTH_CHALLENGE_MAX 96           /* with NUL */
#define AUTH_RESPONSE_MAX 96
#define AUTH_USER_MAX 1022              /* longer names fit no line of a secrets file */
#define AUTH_GROUP_MAX 256
#define AUTH_SECRETS_MAX (1u << 20)     /* bytes of a secrets file */
#define AUTH_LINE_MAX 1023

/* Fetches the digests once, before processes are forked from this one. */
int auth_init(struct err *e) NODISCARD;

/* Fresh unpredictable text as long as base64 of the digest. 0, or -1 when the system has no randomness. */
int auth_challenge(enum hs_digest d, char out[AUTH_CHALLENGE_MAX]) NODISCARD;

/* base64 of DIGEST(password, challenge); out as AUTH_RESPONSE_MAX. -1 on failure of the library. */
int auth_response(enum hs_digest d, const char *password, size_t len, const char *challenge,
		  char out[AUTH_RESPONSE_MAX]) NODISCARD;

/* ---- rules: `auth users` ---- */

/* Calls each() with the name of every group of a local user; nothing for an unknown one. */
struct group_source {
	void *ctx;
	void (*groups)(void *ctx, const char *user, bool (*each)(void *arg, const char *group), void *arg);
};
extern const struct group_source groups_system;

enum auth_verdict { AUTH_NO_RULE, AUTH_DENIED, AUTH_BAD_RULE, AUTH_PASS };
enum auth_access { AUTH_AS_MODULE, AUTH_READ_ONLY, AUTH_READ_WRITE };

struct auth_rule {
	enum auth_verdict verdict;
	enum auth_access access;
	char group[AUTH_GROUP_MAX];     /* the matched group when an @ rule decided, else "" */
};

/* The first token that matches the user decides. */
void auth_match_rules(const char *auth_users, const char *user, const struct group_source *src, struct auth_rule *out);

/* ---- secrets ---- */

/* NULL if the mode and owner of an open secrets file are acceptable, else the line for the log. */
const char *auth_secrets_mode(const struct stat *st, bool strict, uid_t euid);

/* Compares the response with every secret that may serve: the first line of the user, the first of the group.
   Returns NULL on success, else the reason for the log. The work done does not tell users apart. */
const char *auth_check_secrets(const char *text, size_t len, const char *user, const char *group, enum hs_digest d,
			       const char *challenge, const char *response);

/* ---- the floor: `auth digest` ---- */

enum auth_floor { FLOOR_OK, FLOOR_WEAKER, FLOOR_UNKNOWN };
enum auth_floor auth_floor(const char *setting, enum hs_digest chosen);

#endif
