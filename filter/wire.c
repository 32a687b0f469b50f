/*
 * wire.c - filter rules on the wire (spec 04 §9).
 */
#include "config.h"
#include "base/say.h"
#include "filter/rules.h"
#include "protocol/wire.h"

static bool has_old_prefix(const char *s)
{
	return (s[0] == '-' || s[0] == '+') && s[1] == ' ';
}

/* ---- receiving ---- */

static int recv_rule(struct filter_list *l, const char *text, size_t len, bool new_style, struct err *err)
{
	size_t n = strnlen(text, len);

	if (new_style)
		return filt_add_rule(l, text, err);
	return n ? filt_add_pattern(l, text, false, err) : 0;
}

int filt_recv(struct filter_list *l, struct rd *r, int proto)
{
	char text[FILT_WIRE_MAX];

	l->b->c.proto = proto;
	for (;;) {
		uint32_t len = rd_le32(r);

		if (r->failed)
			return -1;
		if (!len)
			return 0;
		if (len >= FILT_WIRE_MAX)
			return rd_fail(r, RX_MALLOC, "[%s] buffer overflow: recv_rules", say_role());
		rd_bytes(r, text, len);
		if (r->failed)
			return -1;
		text[len] = '\0';
		if (recv_rule(l, text, len, proto >= 29, r->err)) {
			r->failed = true;
			return -1;
		}
	}
}

/* ---- sending ---- */

struct send {
	struct buf out;
	const struct filter_list *l;
	int proto;
	bool am_sender, delete_excluded;
};

enum { PUT_OK, PUT_TOO_MODERN };

static bool stays_local(const struct send *s, uint32_t *flags)
{
	bool unsided = !(*flags & RF_SIDES);

	if (s->delete_excluded && unsided && (!(*flags & RF_DIR_MERGE) || (*flags & RF_BARE))) {
		if (s->am_sender)
			return true;
		if (!(*flags & RF_DIR_MERGE))
			*flags |= RF_SENDER;
		return false;
	}
	return (*flags & RF_SIDES) == (s->am_sender ? RF_SENDER : RF_RECEIVER);
}

/* The prefix at protocol 29 and up; -1 if it cannot be said. */
static int new_prefix(const struct send *s, uint32_t f, char *out)
{
	char *p = out;

	*p++ = f & RF_DIR_MERGE ? ':' : f & RF_INCLUDE ? '+' : '-';
	if (f & RF_ABS)
		*p++ = '/';
	if (f & RF_NEGATE)
		*p++ = '!';
	if (f & RF_CVS) {
		*p++ = 'C';
	} else {
		if (f & RF_NO_INHERIT)
			*p++ = 'n';
		if (f & RF_WORDS)
			*p++ = 'w';
		if (f & RF_BARE)
			*p++ = f & RF_INCLUDE ? '+' : '-';
	}
	if (f & RF_XATTR)
		*p++ = 'x';
	if (f & RF_SENDER)
		*p++ = 's';
	if (f & RF_RECEIVER)
		*p++ = 'r';
	if (f & RF_PERISH) {
		if (s->proto >= 30)
			*p++ = 'p';
		else if (s->am_sender)
			return PUT_TOO_MODERN;
	}
	*p++ = ' ';
	*p = '\0';
	return PUT_OK;
}

static int old_prefix(const struct send *s, const struct filt_rule *r, uint32_t f, char *out)
{
	if (f & (RF_ABS | RF_NEGATE | RF_XATTR | RF_CVS | RF_DIR_MERGE))
		return PUT_TOO_MODERN;
	if (s->am_sender && ((f & RF_PERISH) || (s->delete_excluded && (f & RF_SIDES) == RF_RECEIVER)))
		return PUT_TOO_MODERN;
	strcpy(out, f & RF_INCLUDE ? "+ " : has_old_prefix(r->pat) ? "- " : "");
	return PUT_OK;
}

static int put_rule(struct send *s, const struct filt_rule *r)
{
	uint32_t flags = r->flags;
	char prefix[24];
	uint8_t len[4];
	size_t n;

	if (flags & RF_DEL_EXCL)
		flags &= ~(uint32_t)(RF_SENDER | RF_DEL_EXCL);
	if (stays_local(s, &flags))
		return PUT_OK;
	if ((flags & (RF_CVS | RF_DIR_MERGE)) == RF_CVS && (s->am_sender || s->proto < 29)) { /* expanded, except on a pull that can say -C */
		for (r = r->sub; r; r = r->next) {
			if (put_rule(s, r))
				return PUT_TOO_MODERN;
		}
		return PUT_OK;
	}
	if (s->proto >= 29 ? new_prefix(s, flags, prefix) : old_prefix(s, r, flags, prefix))
		return PUT_TOO_MODERN;
	n = strlen(prefix) + r->plen + !!(flags & RF_DIR_ONLY);
	if (!n)
		return PUT_OK;
	put_le32(len, (uint32_t)n);
	buf_add(&s->out, len, sizeof(len));
	buf_adds(&s->out, prefix);
	buf_add(&s->out, r->pat, r->plen);
	if (flags & RF_DIR_ONLY)
		buf_addc(&s->out, '/');
	return PUT_OK;
}

int filt_send(const struct filter_list *l, struct wr *w, int proto, bool delete_excluded)
{
	struct send s = { .out = BUF_INIT(l->b->c.budget), .l = l, .proto = proto, .am_sender = l->b->c.am_sender,
	                  .delete_excluded = delete_excluded };
	int r = 0;

	for (const struct filt_rule *rule = l->head; rule && !r; rule = rule->next)
		r = put_rule(&s, rule);
	if (r)
		wr_fail(w, RX_PROTOCOL, "filter rules are too modern for remote rsync.");
	else if (s.out.failed)
		wr_fail(w, RX_MALLOC, "out of memory in filter rules");
	else
		wr_bytes(w, buf_str(&s.out), s.out.len);
	buf_free(&s.out);
	if (!w->failed)
		wr_le32(w, 0);
	return w->failed ? -1 : 0;
}
