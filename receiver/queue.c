/*
 * queue.c - chunks of records, filled by one thread and emptied by another.
 */
#include "config.h"
#include "receiver/queue.h"

#include <time.h>

#define CHUNK_RECORDS 256

struct qchunk {
	struct qchunk *_Atomic next;
	_Atomic uint32_t filled;
	_Alignas(16) uint8_t data[];
};

static struct qchunk *new_chunk(struct queue *q)
{
	struct qchunk *c = mem_alloc(q->budget, 1, sizeof *c + q->size * CHUNK_RECORDS);

	if (c) {
		atomic_init(&c->next, NULL);
		atomic_init(&c->filled, 0);
	}
	return c;
}

int queue_init(struct queue *q, size_t size, struct budget *budget)
{
	pthread_condattr_t attr;

	*q = (struct queue){ .size = size, .budget = budget };
	q->head = q->tail = new_chunk(q);
	if (!q->head)
		return -1;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->cond, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void queue_done(struct queue *q)
{
	struct qchunk *c = q->head;

	if (!c)
		return;
	while (c) {
		struct qchunk *next = atomic_load(&c->next);

		mem_free(q->budget, c);
		c = next;
	}
	q->head = q->tail = NULL;
	pthread_cond_destroy(&q->cond);
	pthread_mutex_destroy(&q->lock);
}

static int append(struct queue *q, const void *rec)
{
	struct qchunk *c = q->tail;
	uint32_t n = atomic_load_explicit(&c->filled, memory_order_relaxed);

	if (n == CHUNK_RECORDS) {
		struct qchunk *fresh = new_chunk(q);

		if (!fresh)
			return -1;
		atomic_store_explicit(&c->next, fresh, memory_order_release);
		q->tail = c = fresh;
		n = 0;
	}
	memcpy(c->data + n * q->size, rec, q->size);
	/* Sequentially consistent, against the sleeper that sets its flag and then looks. */
	atomic_store(&c->filled, n + 1);
	return 0;
}

int queue_push(struct queue *q, const void *rec)
{
	if (append(q, rec) < 0)
		return -1;
	q->unsaid = 0;
	if (atomic_load(&q->sleeping))
		queue_kick(q);
	return 0;
}

int queue_push_lazily(struct queue *q, const void *rec)
{
	if (append(q, rec) < 0)
		return -1;
	if (++q->unsaid >= QUEUE_LAZY)
		queue_flush(q);
	return 0;
}

void queue_flush(struct queue *q)
{
	if (!q->unsaid)
		return;
	q->unsaid = 0;
	if (atomic_load(&q->sleeping))
		queue_kick(q);
}

void *queue_peek(struct queue *q)
{
	for (;;) {
		struct qchunk *c = q->head, *next;

		if (q->taken < atomic_load(&c->filled))
			return c->data + q->taken * q->size;
		if (q->taken < CHUNK_RECORDS)
			return NULL;
		next = atomic_load_explicit(&c->next, memory_order_acquire);
		if (!next)
			return NULL;
		mem_free(q->budget, c);
		q->head = next;
		q->taken = 0;
	}
}

void queue_pop(struct queue *q)
{
	q->taken++;
}

void queue_wait(struct queue *q, int ms)
{
	struct timespec until;
	int rc = 0;

	pthread_mutex_lock(&q->lock);
	atomic_store(&q->sleeping, true);
	if (ms >= 0) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += ms / 1000;
		until.tv_nsec += ms % 1000 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
	}
	while (!atomic_load(&q->kicked) && !queue_peek(q) && rc == 0)
		rc = ms < 0 ? pthread_cond_wait(&q->cond, &q->lock) : pthread_cond_timedwait(&q->cond, &q->lock, &until);
	atomic_store(&q->sleeping, false);
	atomic_store(&q->kicked, false);
	pthread_mutex_unlock(&q->lock);
}

void queue_kick(struct queue *q)
{
	atomic_store(&q->kicked, true);
	if (!atomic_load(&q->sleeping))
		return;
	pthread_mutex_lock(&q->lock);
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}
