/*
 * buf.c - a growable byte string.
 */
#include "config.h"
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_free(struct buf *b)
{
	mem_free(b->budget, b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

static bool room(struct buf *b, size_t more)
{
	size_t want;
	char *p;

	if (b->failed || ADD_OVERFLOWS(b->len, more, &want) || ADD_OVERFLOWS(want, (size_t)1, &want)) {
		b->failed = true;
		return false;
	}
	p = mem_grow(b->budget, b->data, &b->cap, want, 1);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->data = p;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!room(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, ap2;
	int n;

	va_start(ap, fmt);
	va_copy(ap2, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && room(b, (size_t)n)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap2);
		b->len += (size_t)n;
	}
	va_end(ap2);
}
