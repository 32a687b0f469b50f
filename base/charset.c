/*
 * charset.c - iconv descriptors, one for each way.
 */
#include "config.h"
#include "base/charset.h"

#include <errno.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

/* The most bytes that one character, or a shift sequence, takes in any character set of the C library. */
#define CHAR_ROOM 16

struct charset {
	iconv_t cd[2];
	bool plain;                    /* ASCII bytes always mean themselves: names of nothing else need no conversion */
	pthread_mutex_t lock;
};

#define NO_ICONV ((iconv_t)-1)

/* Name of the locale's character set; the process's own locale stays as it is. */
static iconv_t open_one(const char *name, bool to_utf8)
{
	locale_t loc = (locale_t)0;
	iconv_t cd;

	if (!*name || !strcmp(name, ".")) {
		loc = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
		name = loc ? nl_langinfo_l(CODESET, loc) : "ANSI_X3.4-1968";
	}
	cd = to_utf8 ? iconv_open("UTF-8", name) : iconv_open(name, "UTF-8");
	if (loc) {
		int e = errno;

		freelocale(loc);
		errno = e;
	}
	return cd;
}

/* One conversion from the initial state back to it. Bytes written, or a negative errno with *in where it stopped. */
static ssize_t convert(iconv_t cd, const char **in, size_t *len, char *out, size_t size)
{
	char *ip = (char *)(uintptr_t)*in, *op = out;
	size_t left = size;
	int e = 0;

	iconv(cd, NULL, NULL, NULL, NULL);
	if ((*len && iconv(cd, &ip, len, &op, &left) == (size_t)-1) || iconv(cd, NULL, NULL, &op, &left) == (size_t)-1)
		e = errno ? errno : EILSEQ;
	*in = ip;
	return e ? -e : (ssize_t)(op - out);
}

/* True if some character beyond ASCII starts with a byte beyond ASCII, and none otherwise: there are no shift
   sequences then, which are made of ASCII bytes. from: the way from UTF-8. */
static bool is_stateless(iconv_t from)
{
	static const char *const samples[] = { "\xc3\xa9", "\xd1\x8f", "\xce\xb1", "\xd7\x90", "\xd8\xb9", "\xe6\x97\xa5", "\xed\x95\x9c", "\xe0\xb8\x81" };
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const char *in = samples[i];
		size_t len = strlen(in);
		char out[64];
		ssize_t n = convert(from, &in, &len, out, sizeof out);

		if (n > 0 && !((unsigned char)out[0] & 0x80))
			return false;
		found |= n > 0;
	}
	return found;
}

/* ASCII is itself. */
static bool is_ascii(iconv_t cd)
{
	char ascii[127], out[4 * sizeof ascii];
	const char *in = ascii;
	size_t len = sizeof ascii;

	for (size_t i = 0; i < sizeof ascii; i++)
		ascii[i] = (char)(i + 1);
	return convert(cd, &in, &len, out, sizeof out) == (ssize_t)sizeof ascii && !memcmp(ascii, out, sizeof ascii);
}

int charset_open(struct charset **out, const char *name)
{
	struct charset *c = calloc(1, sizeof *c);
	int e;

	*out = NULL;
	if (!c)
		return -ENOMEM;
	c->cd[CHARSET_TO_UTF8] = open_one(name, true);
	c->cd[CHARSET_FROM_UTF8] = c->cd[CHARSET_TO_UTF8] == NO_ICONV ? NO_ICONV : open_one(name, false);
	if (c->cd[CHARSET_FROM_UTF8] == NO_ICONV) {
		e = errno ? errno : EINVAL;
		if (c->cd[CHARSET_TO_UTF8] != NO_ICONV)
			iconv_close(c->cd[CHARSET_TO_UTF8]);
		free(c);
		return -e;
	}
	c->plain = is_stateless(c->cd[CHARSET_FROM_UTF8]) && is_ascii(c->cd[CHARSET_FROM_UTF8]) && is_ascii(c->cd[CHARSET_TO_UTF8]);
	pthread_mutex_init(&c->lock, NULL);
	*out = c;
	return 0;
}

void charset_close(struct charset *c)
{
	if (!c)
		return;
	iconv_close(c->cd[CHARSET_TO_UTF8]);
	iconv_close(c->cd[CHARSET_FROM_UTF8]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static bool all_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80 || !s[i])
			return false;
	return true;
}

int charset_name(struct charset *c, enum charset_way way, const char *in, size_t len, char *out, size_t size)
{
	ssize_t n;

	if (c->plain && all_ascii(in, len)) {
		if (len > size)
			return -E2BIG;
		memcpy(out, in, len);
		out[len] = '\0';
		return (int)len;
	}
	pthread_mutex_lock(&c->lock);
	n = convert(c->cd[way], &in, &len, out, size);
	pthread_mutex_unlock(&c->lock);
	if (n >= 0) {
		/* A NUL would end the name early. */
		if (memchr(out, '\0', (size_t)n))
			return -EILSEQ;
		out[n] = '\0';
	}
	return (int)n;
}

size_t charset_text(struct charset *c, enum charset_way way, const char *in, size_t len, char *out, size_t size)
{
	size_t n = 0;

	if (c->plain && all_ascii(in, len)) {
		n = MIN(len, size);
		memcpy(out, in, n);
		out[n] = '\0';
		return n;
	}
	pthread_mutex_lock(&c->lock);
	iconv(c->cd[way], NULL, NULL, NULL, NULL);
	while (len && size - n > CHAR_ROOM) {
		char *ip = (char *)(uintptr_t)in, *op = out + n;
		size_t left = size - n - CHAR_ROOM, before = len;

		if (iconv(c->cd[way], &ip, &len, &op, &left) == (size_t)-1) {
			/* Too long, or a byte that is no character. */
			if (errno == E2BIG && len == before)
				break;
			if (errno != E2BIG) {
				*op++ = *ip++;
				len--;
				iconv(c->cd[way], NULL, NULL, NULL, NULL);
			}
		}
		in = ip;
		n = (size_t)(op - out);
	}
	if (size - n >= CHAR_ROOM / 2) {
		char *op = out + n;
		size_t left = size - n;

		iconv(c->cd[way], NULL, NULL, &op, &left);
		n = (size_t)(op - out);
	}
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < n; i++)
		if (!out[i])
			out[i] = '?';
	out[n] = '\0';
	return n;
}
