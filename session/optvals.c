/*
 * optvals.c - sizes, maps, message levels.
 */
#include "config.h"
#include "session/optvals.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "session/options.h"

/* Marks a level that the user gave, until optval_verbosity() has run. */
#define GIVEN 0x80

static double unit_size(char unit, bool decimal)
{
	static const char units[] = "bkmgtp";
	const char *u = strchr(units, tolower((unsigned char)unit));
	double base = decimal ? 1000 : 1024, size = 1;

	for (long i = u ? u - units : 0; i > 0; i--)
		size *= base;
	return size;
}

int64_t options_size(const char *text, char def_unit, int64_t min, int64_t max)
{
	const char *s = text;
	double v = 0, scale = 1, unit;
	int64_t n, add = 0;

	if (*s == '+' || *s == '-')
		return *s == '-' && isdigit((unsigned char)s[1]) ? -2 : -1;
	while (isdigit((unsigned char)*s))
		v = v * 10 + (*s++ - '0');
	if (*s == '.') {
		s++;
		while (isdigit((unsigned char)*s))
			v += (*s++ - '0') * (scale /= 10);
	}
	if (*s && strchr("bBkKmMgGtTpP", *s)) {
		char letter = *s++;
		bool decimal = false;

		if ((s[0] == 'i' || s[0] == 'I') && (s[1] == 'b' || s[1] == 'B')) {
			s += 2;
		} else if (*s == 'b' || *s == 'B') {
			s++;
			decimal = true;
		}
		unit = unit_size(letter, decimal);
	} else {
		unit = unit_size(def_unit, false);
	}
	if ((*s == '+' || *s == '-') && s[1] == '1') {
		add = *s == '+' ? 1 : -1;
		s += 2;
	}
	if (*s)
		return -1;
	v = floor(v * unit);
	if (v >= 9223372036854775807.0)
		return -2;
	n = (int64_t)v;
	if (ADD_OVERFLOWS(n, add, &n) || n < 0 || n > max)
		return -2;
	if (n && n < min)
		return -3;
	return n;
}

const char *optval_map_all(struct arena *a, const char *to, size_t len)
{
	char *s = arena_alloc(a, len + 3, 1);

	if (s) {
		memcpy(s, "*:", 2);
		memcpy(s + 2, to, len);
		s[len + 2] = '\0';
	}
	return s;
}

static const char *const info_names[INFO_WORDS] = {
	[INFO_BACKUP] = "BACKUP", [INFO_COPY] = "COPY", [INFO_DEL] = "DEL", [INFO_FLIST] = "FLIST", [INFO_MISC] = "MISC",
	[INFO_MOUNT] = "MOUNT", [INFO_NAME] = "NAME", [INFO_NONREG] = "NONREG", [INFO_PROGRESS] = "PROGRESS",
	[INFO_REMOVE] = "REMOVE", [INFO_SKIP] = "SKIP", [INFO_STATS] = "STATS", [INFO_SYMSAFE] = "SYMSAFE",
};

static void set_word(struct xfer_opts *o, const char *word, size_t len, uint8_t level)
{
	bool all = len == 3 && !strncasecmp(word, "all", 3);

	if (len == 4 && !strncasecmp(word, "none", 4)) {
		all = true;
		level = 0;
	}
	for (int i = 0; i < INFO_WORDS; i++)
		if (all || (strlen(info_names[i]) == len && !strncasecmp(word, info_names[i], len)))
			o->info[i] = level | GIVEN;
}

void optval_info(struct xfer_opts *o, const char *arg)
{
	while (*arg) {
		size_t len = strcspn(arg, ","), word = 0;
		long level = 1;

		while (word < len && !isdigit((unsigned char)arg[word]))
			word++;
		if (word < len)
			level = strtol(arg + word, NULL, 10);
		set_word(o, arg, word, (uint8_t)(level < 0 || level > 4 ? 4 : level));
		arg += len + (arg[len] == ',');
	}
}

/* Levels that n times -v sets (spec 05 §9.7). */
static uint8_t default_level(enum info_word w, int n)
{
	switch (w) {
	case INFO_NONREG: return 1;
	case INFO_COPY: case INFO_DEL: case INFO_FLIST: case INFO_STATS: case INFO_SYMSAFE: return n >= 1;
	case INFO_MISC: case INFO_NAME: return n >= 2 ? 2 : n >= 1;
	case INFO_BACKUP: case INFO_MOUNT: case INFO_REMOVE: case INFO_SKIP: return n >= 2;
	default: return 0;
	}
}

void optval_verbosity(struct xfer_opts *o)
{
	for (int i = 0; i < INFO_WORDS; i++) {
		if (o->info[i] & GIVEN)
			o->info[i] &= (uint8_t)~GIVEN;
		else
			o->info[i] = default_level((enum info_word)i, o->verbose);
	}
	if (o->stats && o->info[INFO_STATS] < 2)
		o->info[INFO_STATS] = o->verbose >= 2 ? 3 : 2;
}

void options_cap_verbosity(struct xfer_opts *o, int cap)
{
	for (int i = 0; i < INFO_WORDS && cap <= 5; i++)
		o->info[i] = (uint8_t)(cap < 0 ? 0 : MIN(o->info[i], default_level((enum info_word)i, cap)));
	/* Whether there is any -v means more than messages. */
	if (cap < 2)
		o->verbose = MIN(o->verbose, 1);
}
