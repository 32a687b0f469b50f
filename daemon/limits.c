/* limits.c - counting connections by source. */
#include "config.h"

#include <sys/mman.h>

#include "daemon/limits.h"

#define BUCKETS 1024
#define WAYS 4
#define REFUSE_ABOVE_MS 10000   /* penalty at which a source is refused */
#define PENALTY_MAX_MS 60000

struct source {
	uint8_t key[17];
	bool used;
	int64_t last_ms;
	int64_t tokens_milli;   /* thousandths of a connection */
	int64_t penalty_ms;
};

struct limits {
	struct conn_row *rows;
	size_t top;             /* rows below it may be in use */
	struct source sources[BUCKETS][WAYS];
};

struct limits *limits_new(void)
{
	struct limits *l = calloc(1, sizeof *l);
	void *rows;

	if (!l)
		return NULL;
	rows = mmap(NULL, LIMIT_ROWS * sizeof *l->rows, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rows == MAP_FAILED) {
		free(l);
		return NULL;
	}
	l->rows = rows;
	return l;
}

void limits_free(struct limits *l)
{
	if (l)
		munmap(l->rows, LIMIT_ROWS * sizeof *l->rows);
	free(l);
}

static void make_key(uint8_t key[17], const struct peer *p)
{
	memset(key, 0, 17);
	key[0] = p->family;
	memcpy(key + 1, p->addr, p->family == 6 ? 8 : 4);
}

static struct source *find_source(struct limits *l, const uint8_t key[17], const struct limit_settings *s, int64_t now)
{
	uint32_t h = 2166136261u;
	struct source *way, *oldest;

	for (int i = 0; i < 17; i++)
		h = (h ^ key[i]) * 16777619u;
	way = oldest = l->sources[(h ^ h >> 16) % BUCKETS];
	for (int i = 0; i < WAYS; i++) {
		if (way[i].used && !memcmp(way[i].key, key, 17))
			return &way[i];
		if (!way[i].used || (oldest->used && way[i].last_ms < oldest->last_ms))
			oldest = &way[i];
	}
	*oldest = (struct source){ .used = true, .last_ms = now, .tokens_milli = s ? (int64_t)s->rate * 3000 : 0 };
	memcpy(oldest->key, key, 17);
	return oldest;
}

/* Lets time pass for a source. */
static void refresh(struct source *src, const struct limit_settings *s, int64_t now)
{
	int64_t passed = MAX((int64_t)0, now - src->last_ms);

	src->last_ms = now;
	src->penalty_ms = MAX((int64_t)0, src->penalty_ms - passed);
	passed = MIN(passed, (int64_t)60000);
	if (s)
		src->tokens_milli = MIN((int64_t)s->rate * 3000, src->tokens_milli + passed * s->rate);
}

static enum limit_verdict judge_source(struct limits *l, const struct limit_settings *s, const uint8_t key[17], int64_t now)
{
	struct source *src;

	if (s->rate <= 0 && !s->penalties)
		return LIMIT_OK;
	src = find_source(l, key, s, now);
	refresh(src, s, now);
	if (s->penalties && src->penalty_ms > REFUSE_ABOVE_MS)
		return LIMIT_PENALTY;
	if (s->rate > 0) {
		if (src->tokens_milli < 1000)
			return LIMIT_RATE;
		src->tokens_milli -= 1000;
	}
	return LIMIT_OK;
}

enum limit_verdict limits_admit(struct limits *l, const struct limit_settings *s, const struct peer *p, int64_t now_ms,
				struct conn_row **row, pid_t *evict)
{
	int unauth = 0, unauth_host = 0, host = 0;
	bool local = peer_is_loopback(p);
	struct conn_row *empty = NULL, *oldest = NULL;
	uint8_t key[17];
	enum limit_verdict v;

	*evict = 0;
	make_key(key, p);
	for (size_t i = 0; i < l->top; i++) {
		struct conn_row *r = &l->rows[i];
		bool same, unknown;

		if (!r->pid) {
			if (!empty)
				empty = r;
			continue;
		}
		if (r->evicted)
			continue;
		same = !memcmp(r->source, key, sizeof key);
		unknown = !atomic_load_explicit(&r->known, memory_order_relaxed);
		unauth += unknown;
		if (unknown && (!oldest || r->since_ms < oldest->since_ms))
			oldest = r;
		host += same;
		unauth_host += same && unknown;
	}
	if (s->unauth > 0 && unauth >= s->unauth && now_ms - oldest->since_ms < LIMIT_UNAUTH_GRACE_MS)
		return LIMIT_UNAUTH;
	if (s->unauth_host > 0 && unauth_host >= s->unauth_host)
		return LIMIT_UNAUTH_HOST;
	if (!local) {
		if (s->per_host > 0 && host >= s->per_host)
			return LIMIT_PER_HOST;
		v = judge_source(l, s, key, now_ms);
		if (v != LIMIT_OK)
			return v;
	}
	if (!empty) {
		if (l->top >= LIMIT_ROWS)
			return LIMIT_FULL;
		empty = &l->rows[l->top++];
	}
	if (s->unauth > 0 && unauth >= s->unauth) {
		oldest->evicted = true;
		*evict = oldest->pid;
	}
	memcpy(empty->source, key, sizeof key);
	empty->evicted = false;
	empty->since_ms = now_ms;
	atomic_store(&empty->known, 0);
	atomic_store(&empty->penalty, 0);
	*row = empty;
	return LIMIT_OK;
}

void limits_release(struct limits *l, struct conn_row *row)
{
	row->pid = 0;
	while (l->top && !l->rows[l->top - 1].pid)
		l->top--;
}

void limits_reap(struct limits *l, pid_t pid, int64_t now_ms)
{
	for (size_t i = 0; i < l->top; i++) {
		struct conn_row *r = &l->rows[i];
		unsigned seconds;

		if (r->pid != pid)
			continue;
		seconds = atomic_load(&r->penalty);
		if (seconds) {
			struct source *src = find_source(l, r->source, NULL, now_ms);

			refresh(src, NULL, now_ms);
			src->penalty_ms = MIN((int64_t)PENALTY_MAX_MS, src->penalty_ms + (int64_t)seconds * 1000);
		}
		limits_release(l, r);
		return;
	}
}

const char *limit_text(enum limit_verdict v)
{
	switch (v) {
	case LIMIT_OK: return "admitted";
	case LIMIT_UNAUTH: return "too many unauthenticated connections";
	case LIMIT_UNAUTH_HOST: return "too many unauthenticated connections from this host";
	case LIMIT_PER_HOST: return "too many connections from this host";
	case LIMIT_RATE: return "this host connects too often";
	case LIMIT_PENALTY: return "this host is shut out for a while";
	case LIMIT_FULL: return "too many connections";
	}
	return "";
}
