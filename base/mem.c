/*
 * mem.c - budgets, budgeted allocation, arenas.
 */
#include "config.h"
#include "base/mem.h"

#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* In front of every block: its charged size, so that freeing credits the right amount. */
union head {
	size_t size;
	max_align_t align;
};

void budget_init(struct budget *b, size_t total, size_t single)
{
	atomic_store(&b->used, 0);
	b->total = total;
	b->single = single;
}

static bool charge(struct budget *b, size_t n)
{
	size_t old;

	if (!b)
		return true;
	old = atomic_fetch_add(&b->used, n);
	if (b->total && (old > b->total || n > b->total - old)) {
		atomic_fetch_sub(&b->used, n);
		return false;
	}
	return true;
}

static void credit(struct budget *b, size_t n)
{
	if (b)
		atomic_fetch_sub(&b->used, n);
}

/* Full size of a block of n elements, or 0 when it may not be allocated. */
static size_t block_size(const struct budget *b, size_t n, size_t size)
{
	size_t bytes, full;

	if (MUL_OVERFLOWS(n, size, &bytes) || ADD_OVERFLOWS(bytes, sizeof(union head), &full))
		return 0;
	if (full > PTRDIFF_MAX || (b && b->single && bytes > b->single))
		return 0;
	return full;
}

void *mem_alloc(struct budget *b, size_t n, size_t size)
{
	size_t full = block_size(b, n, size);
	union head *h;

	if (!full || !charge(b, full)) {
		errno = ENOMEM;
		return NULL;
	}
	h = malloc(full);
	if (!h) {
		credit(b, full);
		return NULL;
	}
	h->size = full;
	return h + 1;
}

void *mem_zalloc(struct budget *b, size_t n, size_t size)
{
	void *p = mem_alloc(b, n, size);

	if (p)
		memset(p, 0, n * size);
	return p;
}

void mem_free(struct budget *b, void *p)
{
	union head *h;

	if (!p)
		return;
	h = (union head *)p - 1;
	credit(b, h->size);
	free(h);
}

void *mem_grow(struct budget *b, void *p, size_t *cap, size_t want, size_t size)
{
	size_t n = *cap, full, old;
	union head *h = NULL, *moved;

	if (p && want <= n)
		return p;
	if (n < 16)
		n = 16;
	while (n < want) {
		if (ADD_OVERFLOWS(n, n / 2, &n))
			n = want;
	}
	full = block_size(b, n, size);
	if (!full && n > want) {
		n = want;
		full = block_size(b, n, size);
	}
	if (p)
		h = (union head *)p - 1;
	old = h ? h->size : 0;
	if (!full || (full > old && !charge(b, full - old))) {
		errno = ENOMEM;
		return NULL;
	}
	moved = realloc(h, full);
	if (!moved) {
		credit(b, full - old);
		return NULL;
	}
	moved->size = full;
	*cap = n;
	return moved + 1;
}

void mem_settle(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

struct chunk {
	struct chunk *next;
	size_t size;
};

struct arena {
	struct budget *budget;
	struct chunk *chunks;
	char *p, *end;
	size_t chunk_size, chunk_max, total;
};

struct arena *arena_new(struct budget *b, size_t chunk)
{
	struct arena *a = mem_zalloc(b, 1, sizeof *a);

	if (a) {
		a->budget = b;
		a->chunk_size = a->chunk_max = chunk ? chunk : 65536;
	}
	return a;
}

struct arena *arena_new_growing(struct budget *b, size_t first)
{
	struct arena *a = arena_new(b, first);

	if (a)
		a->chunk_max = MAX(first, (size_t)65536);
	return a;
}

void arena_free(struct arena *a)
{
	struct chunk *c, *next;

	if (!a)
		return;
	for (c = a->chunks; c; c = next) {
		next = c->next;
		mem_free(a->budget, c);
	}
	mem_free(a->budget, a);
}

static bool new_chunk(struct arena *a, size_t size)
{
	size_t want = MAX(a->chunk_size, size + sizeof(struct chunk) + 16);
	struct chunk *c = mem_alloc(a->budget, 1, want);

	if (!c)
		return false;
	c->next = a->chunks;
	c->size = want;
	a->chunks = c;
	a->p = (char *)(c + 1);
	a->end = (char *)c + want;
	a->total += want;
	a->chunk_size = MIN(a->chunk_size * 2, a->chunk_max);
	return true;
}

void *arena_alloc(struct arena *a, size_t size, size_t align)
{
	uintptr_t at;

	if (size > PTRDIFF_MAX - 4096)
		return NULL;
	at = ((uintptr_t)a->p + align - 1) & ~(uintptr_t)(align - 1);
	if (!a->p || at > (uintptr_t)a->end || size > (uintptr_t)a->end - at) {
		if (!new_chunk(a, size))
			return NULL;
		at = ((uintptr_t)a->p + align - 1) & ~(uintptr_t)(align - 1);
	}
	a->p = (char *)at + size;
	return (char *)at;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *p = arena_alloc(a, len + 1, 1);

	if (p) {
		if (len)        /* s may be NULL then */
			memcpy(p, s, len);
		p[len] = '\0';
	}
	return p;
}

size_t arena_size(const struct arena *a)
{
	return a->total;
}
