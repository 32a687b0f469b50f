/*
 * queue.h - what crosses between the generator and the receiver thread: a queue of fixed-size
 * records with one producer and one consumer.
 *
 * A record is copied in and out; its pointers change owner with it. Pushing never blocks.
 * The consumer sleeps in queue_wait() only when it has nothing else to do, and only then does
 * the producer signal it; for what is not urgent, once for many.
 */
#ifndef RECEIVER_QUEUE_H
#define RECEIVER_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

struct qchunk;

struct queue {
	size_t size;                   /* bytes of a record */
	struct budget *budget;
	struct qchunk *tail;           /* producer's */
	uint32_t unsaid;               /* producer's: records pushed lazily that no sleeper was woken for */
	struct qchunk *head;           /* consumer's */
	uint32_t taken;                /* consumer's: records of head already popped */
	atomic_bool sleeping, kicked;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* -1 without memory. */
int queue_init(struct queue *q, size_t size, struct budget *budget) NODISCARD;
void queue_done(struct queue *q);  /* NULL-safe after a zeroed struct; records left inside are dropped */

/* Producer. -1 when over budget: the record was not taken. */
int queue_push(struct queue *q, const void *rec) NODISCARD;

/* As queue_push, for records that may wait: a sleeper is woken for the QUEUE_LAZY-th of them only, or by queue_flush(). */
#define QUEUE_LAZY 64
int queue_push_lazily(struct queue *q, const void *rec) NODISCARD;

/* Producer, before it sleeps for something else: what was pushed lazily waits no longer. */
void queue_flush(struct queue *q);

/* Consumer: the first record, or NULL if there is none. Valid until queue_pop. */
void *queue_peek(struct queue *q);
void queue_pop(struct queue *q);

/* Consumer: sleeps until a record is there, somebody kicks, or ms milliseconds have passed (-1: for ever). */
void queue_wait(struct queue *q, int ms);

/* Any thread: ends the present or the next queue_wait. */
void queue_kick(struct queue *q);

#endif
