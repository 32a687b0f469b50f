/* itemlog.c - escapes of a log format, and who gets a line. */
#include "config.h"
#include "session/itemlog.h"

#include <stdio.h>
#include <time.h>

#include "session/itemize.h"

#define ESCAPE_MAX 23           /* apostrophes, minus and digits of one escape */

/* One escape: %[']*[-][digits][']*LETTER. */
struct escape {
	char letter;
	unsigned level;         /* number of apostrophes: form of numbers */
	bool left;
	int width;              /* -1: none */
	size_t len;             /* with the percent sign */
};

static bool parse_escape(const char *s, struct escape *x)
{
	const char *p = s + 1;

	*x = (struct escape){ .width = -1 };
	for (; *p == '\''; p++)
		x->level++;
	if (*p == '-') {
		x->left = true;
		p++;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		if (x->width < 10000)
			x->width = MAX(x->width, 0) * 10 + (*p - '0');
	for (; *p == '\''; p++)
		x->level++;
	x->letter = *p;
	x->len = (size_t)(p - s) + 1;
	return *p && x->len <= ESCAPE_MAX + 2;
}

static void add_padded(struct buf *out, const struct escape *x, const char *text)
{
	if (x->width < 0)
		buf_adds(out, text);
	else
		buf_addf(out, x->left ? "%-*s" : "%*s", x->width, text);
}

/* 1234758 as 1234758, 1,234,758, 1.23M or 1.18M. */
static void number_text(char *out, size_t size, int64_t v, unsigned level)
{
	static const char units[] = "KMGTP";
	double base = level == 2 ? 1000 : 1024, d = (double)v;
	char digits[32];
	int n, at = 0;

	if (level >= 2 && (d >= base || d <= -base)) {
		size_t u = 0;

		for (d /= base; (d >= base || d <= -base) && u < sizeof units - 2; u++)
			d /= base;
		snprintf(out, size, "%.2f%c", d, units[u]);
		return;
	}
	n = snprintf(digits, sizeof digits, "%lld", (long long)v);
	for (int i = 0; i < n; i++) {
		if (level && i && (n - i) % 3 == 0 && digits[i - 1] != '-')
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
}

static void mode_text(char out[10], unsigned mode)
{
	static const char rwx[] = "rwxrwxrwx";

	for (int i = 0; i < 9; i++)
		out[i] = mode & (0400u >> i) ? rwx[i] : '-';
	out[9] = '\0';
	if (mode & S_ISUID)
		out[2] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		out[5] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		out[8] = mode & S_IXOTH ? 't' : 'T';
}

static void time_text(char *out, size_t size, time_t t, char between)
{
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(out, size, "%Y/%m/%d %H:%M:%S", &tm))
		snprintf(out, size, "%lld", (long long)t);
	else
		*strchr(out, ' ') = between;
}

/* The whole-file digest: of the list under -c, else of the transfer; blanks of its width when there is none. */
static void sum_text(char *out, const struct itemlog *il, const struct item_record *rec)
{
	const struct xfer *x = il->x;
	const uint8_t *sum = rec->sum;
	enum csum kind = x->o->checksum ? x->p->list_sum : x->p->xfer_sum;
	unsigned len = csum_len(kind);

	/* Before protocol 30 the transfer's digest is salted: it says nothing about the file. */
	if (x->p->version < 30 || kind == CSUM_NONE)
		sum = NULL;
	if (x->o->checksum)
		sum = FENT_IS_REG(rec->e) && rec->e->ext ? rec->e->ext->sum : NULL;
	/* The xxh family is written as a number: the stream has its bytes in the opposite order. */
	for (unsigned i = 0; i < len; i++) {
		unsigned at = kind == CSUM_XXH64 || kind == CSUM_XXH3 || kind == CSUM_XXH128 ? len - 1 - i : i;

		sprintf(out + 2 * i, sum ? "%02x" : "  ", sum ? sum[at] : 0);
	}
	out[2 * len] = '\0';
}

/* The name within the transfer, as the list has it: with the leading slash of --relative. */
static void name_text(struct buf *b, const struct fent *e)
{
	const struct fdir *d = e->dir;

	buf_add(b, d->s, d->len);
	if (d->len && d->s[d->len - 1] != '/')
		buf_addc(b, '/');
	buf_adds(b, e->name);
	if (FENT_IS_DIR(e))
		buf_addc(b, '/');
}

/* The arrow stands in front of what is padded. */
static void add_link(struct buf *out, const struct escape *x, const struct item_record *rec)
{
	const struct fent *e = rec->e;

	if (FENT_IS_LNK(e) && e->ext && e->ext->link) {
		buf_adds(out, " -> ");
		add_padded(out, x, e->ext->link);
	} else if (rec->it->xname[0] && !(rec->it->flags & ITEM_TRANSFER)) {
		buf_adds(out, " => ");
		add_padded(out, x, rec->it->xname);
	} else if (x->width >= 0) {
		buf_adds(out, "    ");
		add_padded(out, x, "");
	}
}

/* False: no such escape. */
static bool value_of(const struct itemlog *il, const struct item_record *rec, const struct escape *x, struct buf *b)
{
	const struct fent *e = rec->e;
	const struct xfer_opts *o = il->x->o;
	char text[2 * CSUM_MAX_LEN + 64] = "";

	switch (x->letter) {
	case 'a': buf_adds(b, il->addr); break;
	case 'b': number_text(text, sizeof text, rec->data_bytes, x->level); break;
	case 'B': mode_text(text, e->mode); break;
	case 'c': number_text(text, sizeof text, rec->sum_bytes, x->level); break;
	case 'C': sum_text(text, il, rec); break;
	case 'f': buf_adds(b, rec->path); break;
	case 'G': snprintf(text, sizeof text, o->group ? "%u" : "DEFAULT", e->gid); break;
	case 'h': buf_adds(b, il->host); break;
	case 'i': itemize(text, il->x, e, rec->it, rec->deleted); break;
	case 'l': number_text(text, sizeof text, e->size, x->level); break;
	case 'm': buf_adds(b, il->module); break;
	case 'M': time_text(text, sizeof text, (time_t)e->mtime, '-'); break;
	case 'n': name_text(b, e); break;
	case 'o': buf_adds(b, rec->op); break;
	case 'p': snprintf(text, sizeof text, "%ld", (long)getpid()); break;
	case 'P': buf_adds(b, il->module_path); break;
	case 't': time_text(text, sizeof text, time(NULL), ' '); break;
	case 'u': buf_adds(b, il->user); break;
	case 'U': snprintf(text, sizeof text, "%u", o->owner ? e->uid : 0); break;
	default: return false;
	}
	buf_adds(b, text);
	return true;
}

void itemlog_expand(const struct itemlog *il, const struct item_record *rec, struct buf *out)
{
	const char *s = il->format;
	_cleanup_buf_ struct buf value = BUF_INIT(NULL);

	while (*s) {
		const char *pct = strchr(s, '%');
		struct escape x;

		buf_add(out, s, pct ? (size_t)(pct - s) : strlen(s));
		if (!pct)
			return;
		s = pct;
		buf_clear(&value);
		if (s[1] == '%') {
			buf_addc(out, '%');
			s += 2;
		} else if (parse_escape(s, &x) && x.letter == 'L') {
			add_link(out, &x, rec);
			s += x.len;
		} else if (parse_escape(s, &x) && value_of(il, rec, &x, &value)) {
			add_padded(out, &x, buf_str(&value));
			s += x.len;
		} else {
			buf_addc(out, *s++);
		}
	}
}

static void log_item(void *ctx, const struct item_record *rec)
{
	const struct itemlog *il = ctx;
	const struct fent *e = rec->e;
	_cleanup_buf_ struct buf text = BUF_INIT(NULL);
	char change[ITEMIZE_LEN + 1];

	if (!rec->deleted && !(rec->it->flags & ITEM_TRANSFER) && (!il->each || !itemize_significant(rec->it)))
		return;
	itemize(change, il->x, e, rec->it, rec->deleted);
	struct event_field f[] = {
		EVENT_FIELD_TEXT("op", rec->op), EVENT_FIELD_TEXT("host", il->host), EVENT_FIELD_TEXT("addr", il->addr),
		EVENT_FIELD_TEXT("module", il->module), EVENT_FIELD_TEXT("user", *il->user ? il->user : NULL),
		EVENT_FIELD_NAME("path", rec->path), EVENT_FIELD_TEXT("change", change), EVENT_FIELD_INT("size", e->size),
		EVENT_FIELD_INT("bytes", rec->data_bytes),
		EVENT_FIELD_NAME("target", FENT_IS_LNK(e) && e->ext ? e->ext->link : NULL),
	};
	if (rec->deleted && !il->deletions)
		buf_addf(&text, "deleting %s%s", e->name, FENT_IS_DIR(e) ? "/" : "");
	else
		itemlog_expand(il, rec, &text);
	/* An empty format leaves only the deletions, in plain words. */
	if (!*il->format && !rec->deleted)
		return;
	il->sink(il->sink_ctx, "item", f, ARRAY_SIZE(f), buf_str(&text));
}

/* True if the format holds this escape. */
static bool asks_for(const char *format, char letter)
{
	struct escape x;

	for (const char *p = strchr(format, '%'); p && *p; p = strchr(p, '%')) {
		if (p[1] == '%')
			p += 2;
		else if (parse_escape(p, &x) && x.letter == letter)
			return true;
		else
			p++;
	}
	return false;
}

int itemlog_start(struct itemlog *il, struct xfer *x, bool json, struct err *e)
{
	if (!il->format || x->o->dry_run)
		return 0;
	if (strlen(il->format) > PATH_LIMIT)
		return fail(e, RX_MESSAGEIO, "log-format string is WAY too long!");
	il->x = x;
	il->each = json || asks_for(il->format, 'i');
	il->deletions = il->each || asks_for(il->format, 'o');
	x->log_item = log_item;
	x->log_ctx = il;
	return 0;
}
