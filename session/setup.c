/*
 * setup.c - compat flags, negotiated strings, seed, multiplexing.
 */
#include "config.h"
#include "session/setup.h"

#include <stdio.h>
#include <sys/random.h>

#define LIST_MAX 255

static const char *const checksum_order[] = { "xxh128", "xxh3", "xxh64", "md5", "md4", "sha1", "none" };
static const char *const compress_order[] = { "zstd", "lz4", "zlibx", "zlib", "none" };

unsigned setup_compat(const struct xfer_opts *o, int version)
{
	static const struct { char letter; unsigned flag; } by_letter[] = {
		{ 'f', CF_SAFE_FLIST }, { 'x', CF_AVOID_XATTR_OPTIM }, { 'C', CF_CHKSUM_SEED_FIX },
		{ 'I', CF_INPLACE_PARTIAL_DIR }, { 'v', CF_VARINT_FLIST_FLAGS }, { 'V', CF_VARINT_FLIST_FLAGS },
		{ 'u', CF_ID0_NAMES },
	};
	const char *caps = o->ecaps ? o->ecaps : "";
	bool whole_list = !o->am_sender && (o->delete_when == DELETE_BEFORE || o->delete_when == DELETE_AFTER ||
					    o->delay_updates || o->prune_empty_dirs);
	unsigned flags = CF_SYMLINK_TIMES | CF_SYMLINK_ICONV;

	if (version < 30)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(by_letter); i++)
		if (strchr(caps, by_letter[i].letter))
			flags |= by_letter[i].flag;
	if (strchr(caps, 'i') && o->recurse && !o->no_inc_recurse && !whole_list)
		flags |= CF_INC_RECURSE;
	return flags;
}

/* Next word of a blank-separated list: its start and length; NULL at the end. */
static const char *next_word(const char **p, size_t *len)
{
	const char *s = *p + strspn(*p, " \t\r\n\v\f");

	*len = strcspn(s, " \t\r\n\v\f");
	*p = s + *len;
	return *len ? s : NULL;
}

static bool has_word(const char *list, const char *word, size_t len)
{
	const char *w;
	size_t n;

	while ((w = next_word(&list, &n)))
		if (n == len && !strncasecmp(w, word, n))
			return true;
	return false;
}

static const char *checksum_canon(const char *w, size_t len)
{
	enum csum k = csum_parse(w, len);

	return k == CSUM_INVALID ? NULL : csum_name(k);
}

static const char *compress_canon(const char *w, size_t len)
{
	enum comp k = comp_parse(w, len);

	return k == COMP_INVALID ? NULL : comp_name(k);
}

/* The environment's list: the part behind '&' is the server's, unknown names and repeats are dropped. */
static void env_list(const char *env, const char *(*canon)(const char *, size_t), const char *const *order, size_t n, char *out)
{
	const char *amp, *w;
	size_t len, at = 0;

	*out = '\0';
	if (!env || !env[strspn(env, " \t\r\n\v\f")]) {
		for (size_t i = 0; i < n; i++)
			at += (size_t)snprintf(out + at, LIST_MAX + 1 - at, "%s%s", i ? " " : "", order[i]);
		return;
	}
	amp = strchr(env, '&');
	if (amp)
		env = amp + 1;
	while ((w = next_word(&env, &len))) {
		const char *name = canon(w, len);

		if (!name || has_word(out, name, strlen(name)) || at + strlen(name) + 2 > LIST_MAX)
			continue;
		at += (size_t)snprintf(out + at, LIST_MAX + 1 - at, "%s%s", at ? " " : "", name);
	}
	if (!at)
		strcpy(out, "INVALID");
}

void setup_checksum_list(const char *env, char *out)
{
	env_list(env, checksum_canon, checksum_order, ARRAY_SIZE(checksum_order), out);
}

void setup_compress_list(const char *env, char *out)
{
	env_list(env, compress_canon, compress_order, ARRAY_SIZE(compress_order), out);
}

static bool set(const char *env)
{
	return env && env[strspn(env, " \t\r\n\v\f")];
}

static bool in_checksum_list(const char *list, const char *word, size_t len)
{
	const char *name = len == 4 && !strncasecmp(word, "auto", 4) ? NULL : checksum_canon(word, len);

	return !name || has_word(list, name, strlen(name));
}

bool setup_checksum_allowed(const char *env, const char *choice)
{
	const char *comma = strchr(choice, ',');
	char list[LIST_MAX + 1];

	if (!set(env))
		return true;
	setup_checksum_list(env, list);
	return in_checksum_list(list, choice, comma ? (size_t)(comma - choice) : strlen(choice)) &&
	       (!comma || in_checksum_list(list, comma + 1, strlen(comma + 1)));
}

bool setup_compress_allowed(const char *env, const char *choice)
{
	const char *name = compress_canon(choice, strlen(choice));
	char list[LIST_MAX + 1];

	if (!set(env))
		return true;
	setup_compress_list(env, list);
	return name && has_word(list, name, strlen(name));
}

bool setup_choose(const char *client, const char *ours, char *name)
{
	const char *w;
	size_t len;

	while ((w = next_word(&client, &len))) {
		if (len == 6 && !strncasecmp(w, "xxhash", 6))
			w = "xxh64", len = 5;
		if (len < 32 && has_word(ours, w, len)) {
			memcpy(name, w, len);
			name[len] = '\0';
			return true;
		}
	}
	return false;
}

static void unsupported(struct conn *c)
{
	/* Stock says nothing here: the client prints both lists itself. */
	c->in.err->quiet = true;
	rd_fail(&c->in, RX_UNSUPPORTED, "%s", "");
}

/* Reads the client's list and picks; true with the choice in name. */
static bool agree(struct conn *c, const char *ours, char *name)
{
	char client[LIST_MAX + 1];

	rd_vstring(&c->in, client, sizeof client);
	if (c->in.failed)
		return false;
	if (setup_choose(client, ours, name))
		return true;
	unsupported(c);
	return false;
}

static enum csum implied_checksum(int version)
{
	return version >= 30 ? CSUM_MD5 : CSUM_MD4_OLD;
}

static enum csum one_choice(const char *word, size_t len, int version)
{
	if (len == 4 && !strncasecmp(word, "auto", 4))
		return implied_checksum(version);
	return csum_parse(word, len);
}

static void explicit_checksum(const struct xfer_opts *o, int version, struct xfer_proto *p)
{
	const char *a = o->checksum_choice, *comma = strchr(a, ',');

	p->xfer_sum = one_choice(a, comma ? (size_t)(comma - a) : strlen(a), version);
	p->list_sum = comma ? one_choice(comma + 1, strlen(comma + 1), version) : p->xfer_sum;
}

static int exchange_names(struct conn *c, const struct xfer_opts *o, struct xfer_proto *p)
{
	bool strings = p->compat & CF_VARINT_FLIST_FLAGS;
	bool sums = !o->checksum_choice, comps = o->compress && !o->compress_choice;
	char sum_list[LIST_MAX + 1], comp_list[LIST_MAX + 1], name[32];

	setup_checksum_list(getenv("RSYNC_CHECKSUM_LIST"), sum_list);
	setup_compress_list(getenv("RSYNC_COMPRESS_LIST"), comp_list);
	if (strings && sums)
		wr_vstring(&c->out, sum_list, strlen(sum_list));
	if (strings && comps)
		wr_vstring(&c->out, comp_list, strlen(comp_list));
	if (conn_flush(c) < 0)
		return -1;

	if (!sums) {
		explicit_checksum(o, p->version, p);
	} else if (strings) {
		if (!agree(c, sum_list, name))
			return -1;
		p->xfer_sum = p->list_sum = csum_parse(name, strlen(name));
	} else {
		p->xfer_sum = p->list_sum = implied_checksum(p->version);
		p->md5_seed_last = p->version >= 30 && !(p->compat & CF_CHKSUM_SEED_FIX);
		if (!has_word(sum_list, csum_name(p->xfer_sum), strlen(csum_name(p->xfer_sum)))) {
			unsupported(c);
			return -1;
		}
	}

	p->comp = COMP_NONE;
	if (o->compress_choice) {
		p->comp = comp_parse(o->compress_choice, strlen(o->compress_choice));
	} else if (comps) {
		strcpy(name, "zlib");
		if (strings && !agree(c, comp_list, name))
			return -1;
		if (!strings && !has_word(comp_list, name, 4)) {
			unsupported(c);
			return -1;
		}
		p->comp = comp_parse(name, strlen(name));
	}
	p->comp_level = o->compress_level;
	if (p->comp == COMP_INVALID || p->xfer_sum == CSUM_INVALID || p->list_sum == CSUM_INVALID)
		return rd_fail(&c->in, RX_UNSUPPORTED, "unknown checksum or compress name");
	if (p->comp != COMP_NONE && comp_level(p->comp, &p->comp_level))
		p->comp = COMP_NONE;
	return 0;
}

int setup_protocol(struct conn *c, struct xfer_opts *o, int version, struct xfer_proto *p)
{
	*p = (struct xfer_proto){ .version = version };
	if (o->delete_mode && o->delete_when == DELETE_NONE)
		o->delete_when = version < 30 ? DELETE_BEFORE : DELETE_DURING;
	if (o->append == 1 && version < 30)
		o->append = 2;
	p->compat = setup_compat(o, version);
	if (version >= 30)
		wr_varint(&c->out, (int32_t)p->compat);
	if (exchange_names(c, o, p) < 0)
		return -1;
	if (p->xfer_sum == CSUM_NONE)
		o->whole_file = true;

	p->seed = o->checksum_seed;
	while (!p->seed)
		if (getrandom(&p->seed, sizeof p->seed, 0) != (ssize_t)sizeof p->seed)
			return rd_fail(&c->in, RX_IPC, "no random numbers");
	wr_int(&c->out, p->seed);
	if (conn_mux_out(c, true) < 0)
		return -1;
	if (version >= 30 || (o->am_sender && o->remove_source))
		conn_mux_in(c, true);
	/* The counters of the statistics begin here (spec 03 §5.7). */
	c->bytes_out = 0;
	c->bytes_in = c->iend - c->ip;
	return 0;
}
