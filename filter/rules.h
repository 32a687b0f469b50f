/*
 * rules.h - the inside of the filter room: the compiled rule, the parser's context, and what the
 * files of this room share. Nobody else includes it.
 */
#ifndef FILTER_RULES_H
#define FILTER_RULES_H

#include "filter/filter.h"

enum {
	RF_INCLUDE   = 1u << 0,
	RF_DIR_ONLY  = 1u << 1,
	RF_NEGATE    = 1u << 2,
	RF_ABS       = 1u << 3,
	RF_SENDER    = 1u << 4,
	RF_RECEIVER  = 1u << 5,
	RF_PERISH    = 1u << 6,
	RF_XATTR     = 1u << 7,
	RF_MERGE     = 1u << 8,      /* "." ; never stored in a list */
	RF_DIR_MERGE = 1u << 9,      /* ":" */
	RF_CLEAR     = 1u << 10,     /* "!" ; never stored */
	RF_CVS       = 1u << 11,     /* C: placeholder on a plain rule */
	RF_NO_INHERIT = 1u << 12,    /* n */
	RF_WORDS     = 1u << 13,     /* w */
	RF_BARE      = 1u << 14,     /* - or +: no prefixes in the file */
	RF_SELF      = 1u << 15,     /* e */
	RF_IDLE      = 1u << 16,     /* evaluated by the other side only */
	RF_DEL_EXCL  = 1u << 17,     /* side given by --delete-excluded, not by the rule */

	/* how the pattern is compared */
	RF_WILD      = 1u << 20,
	RF_SUFFIX    = 1u << 21,     /* "*" and literal text */
	RF_DEEP_START = 1u << 22,    /* starts with "**" */
	RF_STAR3     = 1u << 23,     /* ends with "***" */
	RF_ANCHORED  = 1u << 24,     /* starts with "/" */

	RF_SIDES     = RF_SENDER | RF_RECEIVER,
	/* what the rules of a merge file take over from the merge rule, §2 step 4 */
	RF_INHERITED = RF_ABS | RF_INCLUDE | RF_DIR_ONLY | RF_NEGATE | RF_PERISH,
};

enum filt_how { HOW_LEAF, HOW_WHOLE, HOW_TAIL, HOW_DEEP };

struct filt_rule {
	struct filt_rule *next;
	uint32_t flags;
	uint8_t how;
	uint16_t plen, slashes;      /* of pat */
	unsigned merge;              /* RF_DIR_MERGE: index among the merge heads of its list, or of the walk */
	const char *pat;             /* without the trailing "/" of a dir-only rule */
	const char *dir;             /* a rule anchored at this directory (anchor-relative); NULL otherwise */
	size_t dir_len;
	struct filt_rule *sub;       /* CVS placeholder: the expanded list */
};

/* An ordered list of rules under construction. */
struct chain {
	struct filt_rule *head, **tail;
};

static inline void chain_init(struct chain *c)
{
	c->head = NULL;
	c->tail = &c->head;
}

struct filt_build {
	struct filt_config c;        /* with copied strings */
	struct arena *arena;
	struct chain chain;
	unsigned rules;              /* rules stored, all chains */
	struct filt_rule **merges;   /* dir-merge rules by index */
	unsigned merge_count;
	size_t merge_cap;
	bool cvs_built;
	struct filt_rule *cvs;
};

/* Where parsed rules go and what they may do. */
struct parse {
	struct filter_list *l;       /* the list whose configuration applies */
	struct arena *arena;
	struct chain *out;
	bool *cleared;               /* set by a clear rule besides emptying out; may be NULL */
	bool *xattr_seen;            /* set by "x" rules that are not stored in the list itself */
	const struct filt_files *files;
	const struct filter_list *daemon;  /* hides rule files; may be NULL */
	unsigned *rules;             /* counts towards FILT_RULES_MAX */
	uint32_t inherit;            /* RF_INHERITED | RF_SIDES of the merge rule the text came through */
	bool old_style;              /* only "- " and "+ " prefixes and a lone "!" */
	bool bare;                   /* no prefixes at all */
	bool bare_clear;             /* and yet a lone "!" clears (C) */
	bool words;                  /* split at white space */
	bool from_file;
	bool peer_named;             /* "." names go through read_file, else read_named */
	const char *label;           /* from_file: where the text is from, for messages */
	bool hidden_name;            /* label already ends the message (no line of its own) */
	unsigned line;
	const char *dir;             /* per-directory file: its directory, anchor-relative; anchors "/" patterns */
	const char *cwd;             /* where "." names without a slash start */
	const char *merge_dir;       /* where "." names with a slash start */
	unsigned depth;              /* files open above this text */
	/* Registers a dir-merge rule: sets r->merge and returns 1, 0 when its name is taken, -1 on failure. */
	int (*add_merge)(struct parse *p, struct filt_rule *r);
	void *ctx;
	struct err *err;
};

/* One rule text that is not split further (an option argument, a wire rule, a line). */
int parse_rule_text(struct parse *p, const char *s, size_t len);
/* A string of several rules: a word-split parameter. */
int parse_words(struct parse *p, const char *s);
/* The contents of a file, §3. */
int parse_contents(struct parse *p, const char *s, size_t len);
/* Sets up p (already pointing at its outputs) for the contents of a file reached through a merge rule's flags. */
void parse_as_merge(struct parse *p, uint32_t merge_flags);
/* A "." rule: reads the file and parses it into p->out. */
int parse_merge_file(struct parse *p, uint32_t flags, const char *name, size_t len);

/* Fills how, slashes and the comparison flags from pat. */
void rule_compile(struct filt_rule *r);

/* The file name part of a merge rule's pattern. */
const char *merge_leaf(const struct filt_rule *r);

/* Adds the CVS list of a placeholder rule to it. */
int cvs_expand(struct parse *p, struct filt_rule *r);

/* Joins base and name (absolute names start at the anchor), resolves "." and ".." lexically without leaving the
   anchor. out takes PATH_LIMIT + 1 bytes. -ENAMETOOLONG. */
int path_resolve(char *out, const char *base, const char *name, size_t len);

/* Reads the file at path (anchor-relative) through the callback unless the daemon's list hides it. 0 or negative errno;
   -ENOENT when hidden, with *hidden set. */
int read_rule_file(const struct filt_files *files, const struct filter_list *daemon, const char *path,
                   struct buf *out, bool *hidden);

/* ---- matching ---- */

struct name {
	const char *text;            /* without a leading slash */
	size_t len;
	const char *leaf;
	size_t leaf_len;
	bool is_dir, slashed;        /* slashed: the name had a leading slash */
	const char *full;            /* cwd "/" text "/" in a scratch buffer, once needed */
	size_t cwd_len;
	char *scratch;               /* holds cwd already; PATH_LIMIT * 2 + 3 bytes */
	bool xattr, skip_perish, as_sender;
};

bool rule_fires(const struct filt_rule *r, struct name *n);

#define SCRATCH_SIZE (2 * PATH_LIMIT + 3)

/* Fills n for name (len bytes); false if nothing can match (empty, ".", too long). */
bool name_init(struct name *n, char *scratch, size_t cwd_len, const char *name, size_t len, bool is_dir);

/* A chain without per-directory contents. */
enum filt_verdict chain_check(const struct filt_rule *r, struct name *n);

#endif
