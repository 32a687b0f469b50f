/*
 * stoptime.c - the moments of --stop-at (spec 05 §9.4).
 */
#include "config.h"
#include "session/optvals.h"

#include <ctype.h>

/* A number of at most four digits; -1 if there is none. */
static int number(const char **s)
{
	int v = 0, n = 0;

	for (; isdigit((unsigned char)**s); (*s)++) {
		v = v * 10 + (**s - '0');
		if (++n > 4)
			return -1;
	}
	return n ? v : -1;
}

struct moment { int year, month, day, hour, min; };   /* -1: not given */

/* [[[Y-]M-]D][T[[h]:m]], or [h]:m alone. */
static bool parse_moment(const char *s, struct moment *m)
{
	int field[3], n = 0;

	*m = (struct moment){ -1, -1, -1, -1, -1 };
	if (!*s)
		return false;
	if (*s != ':' && *s != 'T' && *s != 't' && (!strchr(s, ':') || strpbrk(s, "-/Tt"))) {
		for (;;) {
			if (n == 3 || (field[n++] = number(&s)) < 0)
				return false;
			if (*s != '-' && *s != '/')
				break;
			s++;
		}
		m->day = field[n - 1];
		m->month = n > 1 ? field[n - 2] : -1;
		m->year = n > 2 ? field[0] : -1;
		if (m->day < 1 || m->day > 31 || (n > 1 && (m->month < 1 || m->month > 12)))
			return false;
		m->hour = m->min = 0;
		if (!*s)
			return true;
		if (*s != 'T' && *s != 't')
			return false;
	}
	if (*s == 'T' || *s == 't') {
		s++;
		if (!*s)
			return m->day > 0;
	}
	if (*s != ':') {
		m->hour = number(&s);
		if (m->hour < 0 || m->hour > 23)
			return false;
	}
	if (*s++ != ':')
		return false;
	m->min = number(&s);
	return m->min >= 0 && m->min <= 59 && !*s;
}

static int64_t at(int year, int month, int day, int hour, int min, bool exact)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month, .tm_mday = day, .tm_hour = hour, .tm_min = min, .tm_isdst = -1 };
	time_t t = mktime(&tm);

	return t == (time_t)-1 || (exact && tm.tm_mday != day) ? -1 : (int64_t)t;
}

/* The i-th candidate after (or at) the present one, counted in the smallest unit that is not given. */
static int64_t candidate(const struct moment *m, const struct tm *now, int i)
{
	int year = now->tm_year + 1900;

	if (m->day < 0 && m->hour < 0)
		return at(year, now->tm_mon, now->tm_mday, now->tm_hour + i, m->min, false);
	if (m->day < 0)
		return at(year, now->tm_mon, now->tm_mday + i, m->hour, m->min, false);
	if (m->month < 0) {
		int month = now->tm_mon + i;

		return at(year + month / 12, month % 12, m->day, m->hour, m->min, true);
	}
	return at(year + i, m->month - 1, m->day, m->hour, m->min, true);
}

int optval_stop_at(const char *text, time_t now, int64_t *out)
{
	struct moment m;
	struct tm tm;

	if (!parse_moment(text, &m) || !localtime_r(&now, &tm))
		return -1;
	if (m.year >= 0) {
		int year = m.year;

		while (year < 100 && m.year < 100 && year < tm.tm_year % 100)
			year += 100;
		if (m.year < 100)
			year += (tm.tm_year / 100 + 19) * 100;
		*out = at(year, m.month - 1, m.day, m.hour < 0 ? tm.tm_hour : m.hour, m.min, false);
		return *out > (int64_t)now ? 0 : -2;
	}
	if (m.day > 0 && m.hour < 0)
		m.hour = 0;
	for (int i = 0; i < 16; i++) {
		*out = candidate(&m, &tm, i);
		if (*out > (int64_t)now)
			return 0;
	}
	return -1;
}
