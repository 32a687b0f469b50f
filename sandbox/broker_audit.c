/*
 * broker_audit.c - the broker's record of what it was asked (spec 09 K14).
 *
 * One line per record, one write(2) per line: TIME device session=S client=A user=U module=M op=OP path="P"
 * [to="P"] type=c|b dev=MAJ:MIN verdict=V rule="R" errno=N. Written without the C library's formatting, which
 * may read locales and allocate.
 */
#include "config.h"

#include <errno.h>
#include <time.h>

#include "sandbox/broker_proto.h"
#include "sandbox/seccomp.h"

/* Two paths and leaves, each byte at most 5 characters when escaped, and the rest. */
static char line[2 * 5 * (BROKER_PARENT + BROKER_LEAF) + 2048];
static size_t used;

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

/* Nothing that could be taken for the end of the field, of the line, or for a terminal's command. */
static void put_escaped(const char *s, size_t max)
{
	for (size_t i = 0; i < max && s[i]; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=') {
			put((char)c);
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

static void put_path(const struct broker_name *n)
{
	put('"');
	put_escaped(n->parent, sizeof n->parent);
	if (n->parent[0])
		put('/');
	put_escaped(n->leaf, sizeof n->leaf);
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

	puts_(" op=");
	puts_(req->op < BROKER_NOPS ? ops[req->op] : "?");
	puts_(" path=");
	put_path(&req->from);
	if (two) {
		puts_(" to=");
		put_path(&req->to);
	}
	puts_(" type=");
	put((req->mode & S_IFMT) == S_IFCHR ? 'c' : (req->mode & S_IFMT) == S_IFBLK ? 'b' : '-');
	puts_(" dev=");
	put_num(req->major, 1);
	put(':');
	put_num(req->minor, 1);
}

bool broker_audit(const struct broker_config *cfg, enum audit_step step, const struct broker_request *req, int rule, int err,
	const char *why)
{
	static const char *const verdicts[] = { "granted", "done", "failed", "refused", "violation" };
	const struct { const char *name, *value; size_t size; } who[] = {
		{ " session=", cfg->session, sizeof cfg->session }, { " client=", cfg->client, sizeof cfg->client },
		{ " user=", cfg->user, sizeof cfg->user }, { " module=", cfg->module, sizeof cfg->module },
	};
	size_t sent = 0;

	if (cfg->audit_fd < 0)
		return false;
	used = 0;
	for (size_t i = 0; i < sizeof cfg->audit_prefix && cfg->audit_prefix[i]; i++)
		put(cfg->audit_prefix[i]);
	put_time();
	puts_(" device");
	for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
		puts_(who[i].name);
		put_escaped(who[i].value, who[i].size);
	}
	if (req)
		put_request(req);
	puts_(" verdict=");
	puts_(verdicts[step]);
	puts_(" rule=\"");
	put_rule(&cfg->policy, rule);
	puts_("\" errno=");
	put_num((uint64_t)err, 1);
	if (why) {
		puts_(" why=\"");
		puts_(why);
		put('"');
	}
	put('\n');
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
