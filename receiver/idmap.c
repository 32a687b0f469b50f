/*
 * idmap.c - usermap/groupmap rules, names learnt from the peer, and the answers given so far.
 */
#include "config.h"
#include "receiver/idmap.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

#include "base/say.h"
#include "filter/wildmatch.h"

enum rule_kind { RULE_RANGE, RULE_NAME, RULE_WILD, RULE_NAMELESS };

struct idrule {
	enum rule_kind kind;
	uint32_t lo, hi, to;
	const char *name;              /* into idmap.text */
	struct idrule *next;
};

/* An id with the name it came with ("" if it came without) and where it goes. */
struct idnode {
	struct idnode *next;
	uint32_t from, to;
	bool settable, mapped;
	char name[];
};

#define FIRST_BUCKETS 64

/* By number. Ids are the peer's choice: it must not be able to aim at one chain, or to make all of them long. */
struct idtable {
	struct idnode **bucket;
	size_t size, count;            /* size: a power of two */
};

struct idmap {
	const struct xfer_opts *o;
	const struct id_service *ids;
	struct budget *budget;
	struct arena *arena;           /* rules and nodes */
	pthread_mutex_t lock;
	struct idrule *rules[2];
	struct idtable known[2];
	uint64_t seed;
	gid_t *groups;
	int ngroups;
	bool super, no_names;
};

static int parse_number(const char *s, uint32_t *v)
{
	uint64_t n = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > UINT32_MAX)
			return -1;
	}
	*v = (uint32_t)n;
	return 0;
}

/* The part before the colon. */
static int parse_from(struct idrule *r, char *from, const char *opt, struct err *err)
{
	char *dash;

	if (!*from) {
		r->kind = RULE_NAMELESS;
		return 0;
	}
	if (*from >= '0' && *from <= '9') {
		dash = strchr(from, '-');
		if (dash)
			*dash = 0;
		if (parse_number(from, &r->lo) < 0 || (dash && parse_number(dash + 1, &r->hi) < 0)) {
			if (dash)
				*dash = '-';
			return fail(err, RX_USAGE, "Invalid number in --%s: %s", opt, from);
		}
		if (!dash)
			r->hi = r->lo;
		r->kind = RULE_RANGE;
		return 0;
	}
	r->name = from;
	r->kind = wild_has(from) ? RULE_WILD : RULE_NAME;
	return 0;
}

static int parse_rules(struct idmap *m, bool is_group, const char *text, struct err *err)
{
	const char *opt = is_group ? "groupmap" : "usermap";
	struct idrule **list = &m->rules[is_group];
	char *all, *s, *comma;

	if (!text)
		return 0;
	all = arena_strndup(m->arena, text, strlen(text));
	if (!all)
		return fail(err, RX_MALLOC, "out of memory in --%s", opt);
	/* From the end: that is the order in which the complaints are expected. */
	do {
		struct idrule *r = arena_alloc(m->arena, sizeof *r, 8);
		char *colon;

		comma = strrchr(all, ',');
		s = comma ? comma + 1 : all;
		if (comma)
			*comma = 0;
		if (!r)
			return fail(err, RX_MALLOC, "out of memory in --%s", opt);
		*r = (struct idrule){ 0 };
		colon = strchr(s, ':');
		if (!colon)
			return fail(err, RX_USAGE, "No colon found in --%s: %s", opt, s);
		if (!colon[1])
			return fail(err, RX_USAGE, "No name found after colon --%s: %s", opt, s);
		*colon = 0;
		if (parse_from(r, s, opt, err) < 0)
			return -1;
		s = colon + 1;
		if (s[strspn(s, "0123456789")] == 0) {
			if (parse_number(s, &r->to) < 0)
				return fail(err, RX_USAGE, "Invalid ID number: %s", s);
		} else if (!m->ids || m->ids->id(m->ids->ctx, is_group, s, &r->to) != 0) {
			say(SAY_ERROR, "Unknown --%s name on receiver: %s", opt, s);
			continue;
		}
		r->next = *list;
		*list = r;
	} while (comma);
	return 0;
}

struct idmap *idmap_new(const struct xfer_opts *o, const struct id_service *ids, bool super, const gid_t *groups,
			int ngroups, struct budget *budget, struct err *err)
{
	struct idmap *m = mem_zalloc(budget, 1, sizeof *m);

	if (!m) {
		fail(err, RX_MALLOC, "out of memory");
		return NULL;
	}
	m->o = o;
	m->ids = ids;
	m->budget = budget;
	m->super = super;
	m->no_names = o->numeric_ids || o->ids_are_numeric_here;
	pthread_mutex_init(&m->lock, NULL);
	m->arena = arena_new(budget, 4096);
	m->groups = mem_alloc(budget, (size_t)MAX(ngroups, 1), sizeof *m->groups);
	if (getrandom(&m->seed, sizeof m->seed, GRND_NONBLOCK) != sizeof m->seed)
		m->seed = (uintptr_t)m ^ (uint64_t)time(NULL) << 20;
	for (int i = 0; i < 2; i++) {
		m->known[i].bucket = mem_zalloc(budget, FIRST_BUCKETS, sizeof *m->known[i].bucket);
		m->known[i].size = FIRST_BUCKETS;
	}
	if (!m->arena || !m->groups || !m->known[0].bucket || !m->known[1].bucket) {
		fail(err, RX_MALLOC, "out of memory");
		idmap_free(m);
		return NULL;
	}
	if (ngroups > 0)
		memcpy(m->groups, groups, (size_t)ngroups * sizeof *groups);
	m->ngroups = MAX(ngroups, 0);
	if (parse_rules(m, false, o->usermap, err) < 0 || parse_rules(m, true, o->groupmap, err) < 0) {
		idmap_free(m);
		return NULL;
	}
	return m;
}

void idmap_free(struct idmap *m)
{
	if (!m)
		return;
	if (m->arena)
		arena_free(m->arena);
	mem_free(m->budget, m->groups);
	mem_free(m->budget, m->known[0].bucket);
	mem_free(m->budget, m->known[1].bucket);
	pthread_mutex_destroy(&m->lock);
	mem_free(m->budget, m);
}

static struct idnode **bucket_of(const struct idmap *m, const struct idtable *t, uint32_t id)
{
	return &t->bucket[XXH3_64bits_withSeed(&id, sizeof id, m->seed) & (t->size - 1)];
}

static struct idnode **find(struct idmap *m, bool is_group, uint32_t id)
{
	struct idnode **p = bucket_of(m, &m->known[is_group], id);

	while (*p && (*p)->from != id)
		p = &(*p)->next;
	return p;
}

/* Without memory for it the chains become longer. */
static void grow(struct idmap *m, struct idtable *t)
{
	struct idtable old = *t;
	struct idnode **fresh = mem_zalloc(m->budget, old.size * 2, sizeof *fresh);

	if (!fresh)
		return;
	t->bucket = fresh;
	t->size *= 2;
	for (size_t i = 0; i < old.size; i++)
		for (struct idnode *n = old.bucket[i], *next; n; n = next) {
			struct idnode **p = bucket_of(m, t, n->from);

			next = n->next;
			n->next = *p;
			*p = n;
		}
	mem_free(m->budget, old.bucket);
}

/* NULL without memory. */
static struct idnode *learn(struct idmap *m, bool is_group, uint32_t id, const char *name)
{
	struct idnode **p = find(m, is_group, id), *n = *p;
	size_t len = strlen(name);

	if (n && (n->name[0] || !*name))
		return n;
	n = arena_alloc(m->arena, sizeof *n + len + 1, 8);
	if (!n)
		return NULL;
	*n = (struct idnode){ .from = id, .next = *p ? (*p)->next : NULL };
	memcpy(n->name, name, len + 1);
	m->known[is_group].count += !*p;
	*p = n;
	if (m->known[is_group].count > m->known[is_group].size)
		grow(m, &m->known[is_group]);
	return n;
}

void idmap_learn(void *ctx, bool is_group, uint32_t id, const char *name)
{
	struct idmap *m = ctx;

	if (m->no_names || !*name)
		return;
	pthread_mutex_lock(&m->lock);
	learn(m, is_group, id, name);
	pthread_mutex_unlock(&m->lock);
}

static bool rule_matches(const struct idrule *r, uint32_t id, const char *name)
{
	switch (r->kind) {
	case RULE_RANGE:
		return id >= r->lo && id <= r->hi;
	case RULE_NAMELESS:
		return !*name;
	case RULE_WILD:
		return wild_match(r->name, name);
	default:
		return strcmp(r->name, name) == 0;
	}
}

static uint32_t resolve(struct idmap *m, bool is_group, uint32_t id, const char *name)
{
	uint32_t to;

	for (struct idrule *r = m->rules[is_group]; r; r = r->next)
		if (rule_matches(r, id, name))
			return r->to;
	if (id && *name && m->ids && m->ids->id(m->ids->ctx, is_group, name, &to) == 0)
		return to;
	return id;
}

static bool is_our_group(const struct idmap *m, gid_t gid)
{
	if (gid == getegid())
		return true;
	for (int i = 0; i < m->ngroups; i++)
		if (m->groups[i] == gid)
			return true;
	return false;
}

void idview_init(struct idview *v, struct idmap *m)
{
	*v = (struct idview){ .m = m };
}

uint32_t idview_map(struct idview *v, bool is_group, uint32_t id, bool *settable)
{
	unsigned i = (id ^ id >> 7) % IDVIEW_SLOTS;
	struct idmap *m = v->m;
	struct idnode *n;

	if (!v->slot[is_group][i].used || v->slot[is_group][i].from != id) {
		const char *unnamed = !id && !m->no_names ? "root" : "";
		uint32_t to = id;
		bool can = true;

		pthread_mutex_lock(&m->lock);
		n = *find(m, is_group, id);
		if (!n)
			n = learn(m, is_group, id, unnamed);
		if (n && !n->mapped) {
			n->to = resolve(m, is_group, id, n->name);
			n->settable = m->super || !is_group || is_our_group(m, n->to);
			n->mapped = true;
		}
		if (n) {
			to = n->to;
			can = n->settable;
		}
		pthread_mutex_unlock(&m->lock);
		v->slot[is_group][i].from = id;
		v->slot[is_group][i].to = to;
		v->slot[is_group][i].settable = can;
		v->slot[is_group][i].used = n != NULL;
	}
	if (settable)
		*settable = v->slot[is_group][i].settable;
	return v->slot[is_group][i].to;
}
