/* event.c - fields as JSON. */
#include "config.h"
#include "base/event.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Length of the well-formed UTF-8 sequence at s, 0 if there is none (RFC 3629: no surrogates, no overlong forms). */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	unsigned char c = s[0], low = 0x80, high = 0xbf;
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return n;
}

static uint32_t code_point(const unsigned char *s, size_t n)
{
	uint32_t v = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++)
		v = v << 6 | (s[i] & 0x3f);
	return v;
}

bool json_string(struct buf *b, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	bool clean = true;

	buf_addc(b, '"');
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(s + i, len - i);
		uint32_t v = n ? code_point(s + i, n) : 0xfffd;

		if (!n)
			clean = false;
		if (v >= 0x10000)
			buf_addf(b, "\\u%04x\\u%04x", 0xd800 + ((v - 0x10000) >> 10), 0xdc00 + ((v - 0x10000) & 0x3ff));
		else if (v < 0x20 || v >= 0x7f || v == '"' || v == '\\')
			buf_addf(b, "\\u%04x", v);
		else
			buf_addc(b, (char)v);
		i += n ? n : 1;
	}
	buf_addc(b, '"');
	return clean;
}

void json_fields(struct buf *b, const struct event_field *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (f[i].kind != EVENT_INT && !f[i].text)
			continue;
		buf_addf(b, ",\"%s\":", f[i].key);
		if (f[i].kind == EVENT_INT) {
			buf_addf(b, "%lld", (long long)f[i].num);
		} else if (!json_string(b, f[i].text, strlen(f[i].text)) && f[i].kind == EVENT_NAME) {
			buf_addf(b, ",\"%s_hex\":\"", f[i].key);
			for (const unsigned char *p = (const unsigned char *)f[i].text; *p; p++)
				buf_addf(b, "%02x", *p);
			buf_addc(b, '"');
		}
	}
}

static void object(struct buf *b, const char *event, const struct event_field *f, size_t n, const char *tail)
{
	struct timespec ts;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(b, "{\"time\":\"%s.%03ldZ\",\"pid\":%ld,\"event\":\"%s\"", when, ts.tv_nsec / 1000000, (long)getpid(), event);
	json_fields(b, f, n);
	buf_adds(b, tail);
}

void json_event(struct buf *b, const char *event, const struct event_field *f, size_t n, size_t max)
{
	struct event_field cut[16];
	char kept[ARRAY_SIZE(cut)][EVENT_NAME_KEPT + 1];
	size_t start = b->len;

	object(b, event, f, n, "}");
	if (b->len - start <= max || b->failed)
		return;
	b->len = start;
	n = MIN(n, ARRAY_SIZE(cut));
	for (size_t i = 0; i < n; i++) {
		cut[i] = f[i];
		if (cut[i].kind == EVENT_INT || !cut[i].text)
			continue;
		snprintf(kept[i], sizeof kept[i], "%s", cut[i].text);
		cut[i].text = kept[i];
	}
	object(b, event, cut, n, ",\"cut\":true}");
}
