/*
 * handshake.h - the text lines of the daemon handshake (spec 01 §3, 06 §6.3): pure functions over
 * bounded buffers, no input or output of their own.
 */
#ifndef DAEMON_HANDSHAKE_H
#define DAEMON_HANDSHAKE_H

#include "base/util.h"

#define HS_PROTOCOL 32          /* announced unless --protocol says otherwise */
#define HS_PROTOCOL_MIN 27
#define HS_LINE_MAX 1022        /* bytes of a greeting or module line */
#define HS_AUTH_LINE_MAX 5118
#define HS_EARLY_MAX 5120
#define HS_DIGEST_LIST 256      /* only the first 255 bytes of the list count */
#define HS_DIGEST_NAMES 16      /* spec 09 §11.1 row 11 */
#define HS_DIGEST_ORDER "sha512 sha256 sha1 md5 md4"

enum hs_feed { HS_MORE, HS_DONE, HS_BAD };

/* A line being collected: CR is dropped, LF ends it; a NUL byte or one byte too many is bad. */
struct hs_line {
	char *text;             /* max + 1 bytes, NUL-terminated after HS_DONE */
	size_t max, len;
};

/* Takes bytes from data up to and including the LF; *used says how many. */
enum hs_feed hs_line_feed(struct hs_line *l, const char *data, size_t n, size_t *used);

enum hs_greeting_fault { HS_OK, HS_STARTUP_ERROR, HS_NO_SUBPROTOCOL, HS_NO_DIGESTS, HS_TOO_MANY_DIGESTS };

struct hs_greeting {
	int version, sub;
	bool has_list;
	char list[HS_DIGEST_LIST];
};

enum hs_greeting_fault hs_parse_greeting(const char *line, struct hs_greeting *g);

/* The protocol both sides agree on (01 §3.3); ours has subprotocol 0. */
int hs_negotiate(int ours, const struct hs_greeting *theirs);

/* Writes our greeting with its LF; returns the length. */
size_t hs_greeting_line(char *out, size_t size, int protocol);

enum hs_request { HS_REQ_LIST, HS_REQ_EARLY, HS_REQ_BAD_EARLY, HS_REQ_UNKNOWN_COMMAND, HS_REQ_MODULE };

/* What a request line asks. HS_REQ_EARLY sets *early to 1…HS_EARLY_MAX; had_early: one was met already. */
enum hs_request hs_parse_request(const char *line, bool had_early, unsigned *early);

/* Digests of the log-in, strongest first. */
enum hs_digest { HS_SHA512, HS_SHA256, HS_SHA1, HS_MD5, HS_MD4, HS_MD4_OLD, HS_DIGEST_NONE = -1 };

const char *hs_digest_name(enum hs_digest d);
unsigned hs_digest_len(enum hs_digest d);               /* bytes */
enum hs_digest hs_digest_parse(const char *name, size_t len); /* any case; HS_DIGEST_NONE */

/* The digest of this session: the strongest that the client lists, or what its age implies. */
enum hs_digest hs_choose_digest(const struct hs_greeting *g, int protocol);

/* Splits "USER RESPONSE" at the first blank: *user_len and the start of the response; false without a blank. */
bool hs_split_answer(const char *line, size_t *user_len, const char **response);

#endif
