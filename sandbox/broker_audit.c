/*
 * broker_audit.c - the broker's record of what it was asked (spec 09 K14).
 *
 * One line per record, one write(2) per line: TIME device session=S client=A user=U module=M op=OP path="P"
 * [to="P"] type=c|b dev=MAJ:MIN verdict=V rule="R" errno=N; or the same as a JSON object. Written
 * without the C library's formatting, which may read locales and allocate.
 */
#include "config.h"

#include <errno.h>
#include <time.h>

#include "sandbox/broker_proto.h"
#include "sandbox/seccomp.h"

/* Two paths and leaves, each byte at most 8 characters when escaped (6, and 2 in the second form), and the rest. */
static char line[2 * 8 * (BROKER_PARENT + BROKER_LEAF) + 2048];
static size_t used;
static bool json;

static void put(char c)
{
	if (used < sizeof line)
		line[used++] = c;
}

static void puts_(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_num(uint64_t n, unsigned width)
{
	char digits[20];
	unsigned i = 0;

	do {
		digits[i++] = (char)('0' + n % 10);
		n /= 10;
	} while (n || i < width);
	while (i)
		put(digits[--i]);
}

static void put_hex_byte(unsigned char c)
{
	static const char digits[] = "0123456789abcdef";

	put(digits[c >> 4]);
	put(digits[c & 15]);
}

/* Nothing that could be taken for the end of the field, of the line, or for a terminal's command. */
static void put_escaped(const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i]; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c > 0x20 && c < 0x7f && c != '"' && c != '\\' && (json || c != '=')) {
			put((char)c);
		} else if (json && c < 0x80) {
			puts_("\\u00");
			put_hex_byte(c);
		} else if (json) {
			puts_("\\ufffd");
		} else {
			puts_("\\#");
			put((char)('0' + (c >> 6)));
			put((char)('0' + (c >> 3 & 7)));
			put((char)('0' + (c & 7)));
		}
	}
}

static void put_time(void)
{
	struct timespec ts = { 0 };
	int64_t days, era, doe, yoe, doy, mp, day, month, year, secs;

	clock_gettime(CLOCK_REALTIME, &ts);
	/* The civil date of a day number, counting years from March. */
	days = ts.tv_sec / 86400 + 719468;
	secs = ts.tv_sec % 86400;
	era = days / 146097;
	doe = days - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	day = doy - (153 * mp + 2) / 5 + 1;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = yoe + era * 400 + (month <= 2);
	put_num((uint64_t)year, 4);
	put('-');
	put_num((uint64_t)month, 2);
	put('-');
	put_num((uint64_t)day, 2);
	put('T');
	put_num((uint64_t)(secs / 3600), 2);
	put(':');
	put_num((uint64_t)(secs / 60 % 60), 2);
	put(':');
	put_num((uint64_t)(secs % 60), 2);
	put('.');
	put_num((uint64_t)(ts.tv_nsec / 1000000), 3);
	put('Z');
}

/* " name=" of a line, ,"name": of an object. */
static void field(const char *name)
{
	puts_(json ? ",\"" : " ");
	puts_(name);
	puts_(json ? "\":" : "=");
}

/* A word: in quotes only in an object. */
static void text(const char *s, size_t max)
{
	if (json)
		put('"');
	put_escaped(s, max);
	if (json)
		put('"');
}

static bool is_ascii(const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i]; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

static void put_hex(const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i]; i++)
		put_hex_byte((unsigned char)s[i]);
}

static void put_path(const char *name, const struct broker_name *n)
{
	field(name);
	put('"');
	put_escaped(n->parent, sizeof n->parent);
	if (n->parent[0])
		put('/');
	put_escaped(n->leaf, sizeof n->leaf);
	put('"');
	if (!json || (is_ascii(n->parent, sizeof n->parent) && is_ascii(n->leaf, sizeof n->leaf)))
		return;
	/* The bytes themselves, where the object cannot hold them. */
	puts_(",\"");
	puts_(name);
	puts_("_hex\":\"");
	put_hex(n->parent, sizeof n->parent);
	if (n->parent[0])
		puts_("2f");
	put_hex(n->leaf, sizeof n->leaf);
	put('"');
}

static void put_rule(const struct device_policy *p, int rule)
{
	if (rule == DEVICE_BY_ANY) {
		puts_("any");
	} else if (rule == DEVICE_BY_WHITEOUT) {
		puts_("c 0:0");
	} else if (rule >= 0 && (unsigned)rule < p->n) {
		const struct device_rule *r = &p->rule[rule];

		put(r->type);
		put(' ');
		put_num(r->major, 1);
		put(':');
		put_num(r->minor_lo, 1);
		put('-');
		put_num(r->minor_hi, 1);
	} else {
		puts_("none");
	}
}

static void put_request(const struct broker_request *req)
{
	static const char *const ops[BROKER_NOPS] = { "?", "MKNOD", "MKTEMP", "MOVE", "LINK", "OPEN" };
	bool two = req->op == BROKER_MOVE || req->op == BROKER_LINK;

	field("op");
	text(req->op < BROKER_NOPS ? ops[req->op] : "?", SIZE_MAX);
	put_path("path", &req->from);
	if (two)
		put_path("to", &req->to);
	field("type");
	text((req->mode & S_IFMT) == S_IFCHR ? "c" : (req->mode & S_IFMT) == S_IFBLK ? "b" : "-", SIZE_MAX);
	field("dev");
	if (json)
		put('"');
	put_num(req->major, 1);
	put(':');
	put_num(req->minor, 1);
	if (json)
		put('"');
}

bool broker_audit(const struct broker_config *cfg, enum audit_step step, const struct broker_request *req, int rule, int err,
	const char *why)
{
	static const char *const verdicts[] = { "granted", "done", "failed", "refused", "violation" };
	const struct { const char *name, *value; size_t size; } who[] = {
		{ "session", cfg->session, sizeof cfg->session }, { "client", cfg->client, sizeof cfg->client },
		{ "user", cfg->user, sizeof cfg->user }, { "module", cfg->module, sizeof cfg->module },
	};
	size_t sent = 0;

	if (cfg->audit_fd < 0)
		return false;
	used = 0;
	json = cfg->audit_json;
	for (size_t i = 0; i < sizeof cfg->audit_prefix && cfg->audit_prefix[i]; i++)
		put(cfg->audit_prefix[i]);
	if (json)
		puts_("{\"time\":\"");
	put_time();
	puts_(json ? "\",\"event\":\"device\"" : " device");
	for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
		field(who[i].name);
		text(who[i].value, who[i].size);
	}
	if (req)
		put_request(req);
	field("verdict");
	text(verdicts[step], SIZE_MAX);
	field("rule");
	put('"');
	put_rule(&cfg->policy, rule);
	put('"');
	field("errno");
	put_num((uint64_t)err, 1);
	if (why) {
		field("why");
		put('"');
		puts_(why);
		put('"');
	}
	puts_(json ? "}\n" : "\n");
	while (sent < used) {
		ssize_t n = write(BROKER_FD_AUDIT, line + sent, used - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		sent += (size_t)n;
	}
	return true;
}
