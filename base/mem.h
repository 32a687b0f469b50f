/*
 * mem.h - budgeted memory: a hostile number never sizes an allocation unchecked.
 *
 * A budget caps what one connection may hold in all (spec 09 §11.1 row 22) and the
 * size of one allocation (--max-alloc). It may be shared by threads. An arena hands
 * out small pieces that are freed together; it belongs to one thread at a time.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdatomic.h>

#include "base/util.h"

struct budget {
	_Atomic size_t used;
	size_t total;          /* bytes in all; 0 = no limit */
	size_t single;         /* largest single allocation; 0 = no limit */
};

void budget_init(struct budget *b, size_t total, size_t single);

/* n elements of size bytes, not cleared; NULL when over budget, on overflow or without memory
   (errno ENOMEM). n * size == 0 gives a valid pointer. b may be NULL (no limit). */
void *mem_alloc(struct budget *b, size_t n, size_t size) NODISCARD;
void *mem_zalloc(struct budget *b, size_t n, size_t size) NODISCARD;

/* Frees what mem_alloc or mem_grow gave and credits the budget. NULL is allowed. */
void mem_free(struct budget *b, void *p);

/* Makes room for at least want elements: grows *cap by half steps, keeps contents, and
   returns the new pointer. NULL on failure, and then p and *cap stay as they were. */
void *mem_grow(struct budget *b, void *p, size_t *cap, size_t want, size_t size) NODISCARD;

/* Gives memory that start-up no longer needs back to the system: every process forked from here copies the less. */
void mem_settle(void);

struct arena;

/* chunk: bytes taken from the budget at a time (0: 64 KiB). NULL without memory. */
struct arena *arena_new(struct budget *b, size_t chunk);

/* As arena_new, but the chunks double from first bytes to 64 KiB: for many arenas of unknown size. */
struct arena *arena_new_growing(struct budget *b, size_t first);
void arena_free(struct arena *a);

/* size bytes aligned to align (a power of two <= 16), not cleared; NULL when over budget. */
void *arena_alloc(struct arena *a, size_t size, size_t align) NODISCARD;

/* NUL-terminated copy of len bytes. */
char *arena_strndup(struct arena *a, const char *s, size_t len) NODISCARD;

/* Bytes taken from the budget so far. */
size_t arena_size(const struct arena *a);

static inline void cleanup_arenap(struct arena **a) { if (*a) arena_free(*a); }
#define _cleanup_arena_ __attribute__((cleanup(cleanup_arenap)))

#endif
