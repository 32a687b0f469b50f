/*
 * broker_policy.c - which device nodes a module may have (spec 09 D2).
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "sandbox/broker.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip(const char *s, const char *end)
{
	while (s < end && blank(*s))
		s++;
	return s;
}

/* Decimal digits up to max; NULL when there are none or the number is larger. */
static const char *number(const char *s, const char *end, uint32_t max, uint32_t *out)
{
	const char *start = s;
	uint32_t n = 0;

	for (; s < end && *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (uint32_t)(*s - '0');
		if (n > max)
			return NULL;
	}
	*out = n;
	return s > start ? s : NULL;
}

/* One item "c 1", "c 1:3" or "b 7:0-255". Returns what is wrong, or NULL. */
static const char *parse_rule(const char *s, const char *end, struct device_rule *r)
{
	if (s == end || (*s != 'c' && *s != 'b') || end - s < 2 || !blank(s[1]))
		return "does not begin with 'c ' or 'b '";
	r->type = *s;
	s = number(skip(s + 1, end), end, DEVICE_MAJOR_MAX, &r->major);
	if (!s)
		return "major number is missing or above 4095";
	r->minor_lo = 0;
	r->minor_hi = DEVICE_MINOR_MAX;
	if (s == end)
		return NULL;
	if (*s != ':')
		return "':' expected behind the major number";
	s = number(s + 1, end, DEVICE_MINOR_MAX, &r->minor_lo);
	if (!s)
		return "minor number is missing or above 1048575";
	r->minor_hi = r->minor_lo;
	if (s < end && *s == '-') {
		s = number(s + 1, end, DEVICE_MINOR_MAX, &r->minor_hi);
		if (!s)
			return "end of the range is missing or above 1048575";
		if (r->minor_hi < r->minor_lo)
			return "range ends before it begins";
	}
	return s == end ? NULL : "text behind the number";
}

static const char *parse_item(const char *s, const char *end, struct device_policy *p, unsigned *nitems)
{
	size_t len = (size_t)(end - s);
	struct device_rule r = { 0 };
	const char *why;

	if (!len)
		return "empty item";
	(*nitems)++;
	if (len == 3 && !memcmp(s, "any", 3)) {
		p->any = true;
		return NULL;
	}
	if (len == 4 && !memcmp(s, "none", 4))
		return "'none' stands alone";
	why = parse_rule(s, end, &r);
	if (why)
		return why;
	if (r.type == 'c' && r.major == 0 && r.minor_lo == 0 && r.minor_hi == 0) {
		p->whiteout = true;
		return NULL;
	}
	if (p->n == DEVICE_RULES_MAX)
		return "too many items";
	p->rule[p->n++] = r;
	return NULL;
}

int device_policy_parse(const char *text, struct device_policy *out, char *why, size_t whysize)
{
	const char *s = text, *last = text + strlen(text);
	unsigned nitems = 0;

	*out = (struct device_policy){ 0 };
	s = skip(s, last);
	while (last > s && blank(last[-1]))
		last--;
	if (s == last || ((size_t)(last - s) == 4 && !memcmp(s, "none", 4)))
		return 0;
	for (;;) {
		const char *comma = memchr(s, ',', (size_t)(last - s));
		const char *end = comma ? comma : last;
		const char *wrong;

		s = skip(s, end);
		while (end > s && blank(end[-1]))
			end--;
		wrong = parse_item(s, end, out, &nitems);
		if (wrong) {
			snprintf(why, whysize, "\"%.*s\": %s", (int)MIN(end - s, 60), s, wrong);
			*out = (struct device_policy){ 0 };
			return -EINVAL;
		}
		if (!comma)
			return 0;
		s = comma + 1;
	}
}

void device_policy_own(struct device_policy *out)
{
	*out = (struct device_policy){ .any = true, .whiteout = true };
}

int device_policy_check(const struct device_policy *p, mode_t type, uint32_t major, uint32_t minor)
{
	char t = type == S_IFCHR ? 'c' : 'b';

	if ((type != S_IFCHR && type != S_IFBLK) || major > DEVICE_MAJOR_MAX || minor > DEVICE_MINOR_MAX)
		return -EINVAL;
	if (t == 'c' && !major && !minor)
		return p->whiteout ? DEVICE_BY_WHITEOUT : -EPERM;
	for (unsigned i = 0; i < p->n; i++) {
		const struct device_rule *r = &p->rule[i];

		if (r->type == t && r->major == major && minor >= r->minor_lo && minor <= r->minor_hi)
			return (int)i;
	}
	return p->any ? DEVICE_BY_ANY : -EPERM;
}
