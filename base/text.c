/*
 * text.c - escaping, lexical path helpers, base64.
 */
#include "config.h"
#include "base/text.h"

static bool is_octal3(const char *s, size_t len)
{
	return len >= 3 && s[0] >= '0' && s[0] <= '7' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7';
}

void text_escape(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < 0x20 && c != '\t') || (c >= 0x80 && c < 0xa0))
			buf_addf(out, "\\#%03o", c);
		else if (c == '\\' && len - i > 4 && s[i + 1] == '#' && is_octal3(s + i + 2, len - i - 2))
			buf_adds(out, "\\#134");
		else
			buf_addc(out, (char)c);
	}
}

size_t path_clean(char *p)
{
	char *in = p, *out = p;

	if (*in == '/')
		out++;
	while (*in) {
		while (*in == '/')
			in++;
		if (in[0] == '.' && (in[1] == '/' || !in[1])) {
			in++;
			continue;
		}
		if (!*in)
			break;
		if (out > p && out[-1] != '/')
			*out++ = '/';
		while (*in && *in != '/')
			*out++ = *in++;
	}
	if (out == p)
		*out++ = '.';
	*out = '\0';
	return (size_t)(out - p);
}

size_t path_collapse(char *p, bool keep_dots)
{
	char *in = p, *out = p;

	while (*in) {
		size_t len;

		if (*in == '/') {
			in++;
			continue;
		}
		len = strcspn(in, "/");
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			if (out > p)
				out--;
			while (out > p && out[-1] != '/')
				out--;
		} else if (len != 1 || in[0] != '.' || keep_dots) {
			memmove(out, in, len);
			out += len;
			if (in[len] == '/')
				*out++ = '/';
		}
		in += len;
		if (*in == '/')
			in++;
	}
	*out = '\0';
	return (size_t)(out - p);
}

bool path_has_dotdot(const char *p)
{
	while (*p) {
		if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || !p[2]))
			return true;
		p = strchr(p, '/');
		if (!p)
			break;
		p++;
	}
	return false;
}

const char *path_leaf(const char *p)
{
	const char *slash = strrchr(p, '/');

	return slash ? slash + 1 : p;
}

size_t base64_encode(char *out, const void *in, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *b = in;
	char *o = out;

	for (; n >= 3; n -= 3, b += 3) {
		*o++ = digits[b[0] >> 2];
		*o++ = digits[(b[0] & 3) << 4 | b[1] >> 4];
		*o++ = digits[(b[1] & 15) << 2 | b[2] >> 6];
		*o++ = digits[b[2] & 63];
	}
	if (n) {
		*o++ = digits[b[0] >> 2];
		*o++ = digits[(b[0] & 3) << 4 | (n > 1 ? b[1] >> 4 : 0)];
		if (n > 1)
			*o++ = digits[(b[1] & 15) << 2];
	}
	*o = '\0';
	return (size_t)(o - out);
}

bool same_secret(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= (uint8_t)(x[i] ^ y[i]);
	return diff == 0;
}
