/*
 * search.h - the sender's pass over one source file: find the peer's blocks in it, emit tokens, and compute the
 * whole-file checksum on the way (spec 03 §11).
 *
 * The source is read once, in order, by pread into a window (no mapping: a file cut short by someone else cannot
 * kill us). One search per sending thread, reused for all files; its tables grow with need under the budget.
 */
#ifndef DELTA_SEARCH_H
#define DELTA_SEARCH_H

#include "delta/checksum.h"
#include "delta/sums.h"
#include "delta/token_out.h"

struct search;

enum append_mode { APPEND_OFF, APPEND_PLAIN, APPEND_VERIFY }; /* §11.4: wire modes 0, 1, 2 */

struct search_job {
	int fd;                /* source, readable by pread */
	uint64_t size;         /* its size found now (fstat), not the listed one */
	int whole;             /* 1: it is in search_room() already; the stream is plain and nothing is to be matched;
	                          negative errno: reading it has failed already; else 0 */
	const struct sums *sums; /* with head; NULL or count 0: send everything */
	enum append_mode append;
	bool updating_basis;   /* §11.3: the receiver overwrites the basis while we send */
};

struct search_result {
	uint64_t literal;      /* bytes sent as literals */
	uint64_t matched;      /* bytes sent as matches */
	uint64_t candidates;   /* blocks compared beyond the index: the effort, for tests and statistics */
	uint64_t hashed;       /* bytes strong-hashed for candidates */
	int read_errno;        /* != 0: reading failed, or EIO: the file shrank; zeros were sent and the digest is spoiled */
	uint8_t digest[CSUM_MAX_LEN]; /* the first csum_len() bytes go to the wire after the tokens */
};

/* c: the transfer checksum, borrowed. */
struct search *search_new(struct budget *b, struct csum_ctx *c) NODISCARD;
void search_free(struct search *s);

/* Room for a file of at most TOKEN_CHUNK bytes and one more, for a job that has it whole; valid until the next search_send().
   NULL: no memory. */
void *search_room(struct search *s) NODISCARD;

/*
 * Sends the tokens of one file, end token included, to t (after token_out_begin()). Read failures are not errors:
 * see read_errno. -1: the writer failed or no memory (RX_MALLOC); the stream is then unusable.
 */
int search_send(struct search *s, const struct search_job *job, struct token_out *t,
		struct search_result *res, struct err *e) NODISCARD;

#endif
