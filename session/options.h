/*
 * options.h - the server's argument vector into struct xfer_opts (spec 05; 01 §4, 06 §3.9).
 *
 * Parsing is exact (no abbreviations, no alias files, nothing is executed) and ends at
 * the first word that is not an option: every word behind the first "." is a path.
 * A first mistake is kept. A daemon can tell the client only after the set-up that follows (spec 01 §4.3): there, what
 * shapes that set-up and the paths are still taken from what stands behind the mistake; other options are not.
 */
#ifndef SESSION_OPTIONS_H
#define SESSION_OPTIONS_H

#include "base/mem.h"
#include "transfer/options.h"

struct keyrules;

struct options {
	struct xfer_opts *o;           /* filled in */
	struct arena *arena;           /* strings */
	bool daemon;
	bool secluded;                 /* -s: a second batch follows */
	bool server;                   /* --server was met */
	bool second_batch;             /* the words being parsed are those of -s */
	const char **paths;            /* words behind the first "." */
	int npaths;
	bool no_words;                 /* nothing behind the options, not even the "." */
	size_t paths_cap;
	int exit_code;                 /* of the first mistake; 0 = none */
	char error[512];               /* its text, to be shown behind options_prefix() */
	bool bare_error;               /* stock shows this one without "rsync: " */
	uint8_t *refused;              /* per table row */
	int delete_whens;              /* different --delete-WHEN options met */
	bool recurse_given, not_relative, backup_dir_given, old_args, write_batch, read_batch, partial_refusable, progress;
	bool chown_user, chown_group;  /* the map came from --chown */
	/* kept for the filter room: --filter, --exclude … in order */
	struct option_rule { int kind; const char *text; } *rules;
	size_t nrules, rules_cap;
	struct budget *budget;
	const struct keyrules *key;   /* of a restricted key (keyrules.h); NULL: none */
};

enum { RULE_FILTER, RULE_EXCLUDE, RULE_INCLUDE, RULE_EXCLUDE_FROM, RULE_INCLUDE_FROM, RULE_F };

/* Defaults into o; strings are copied into an arena of the budget. -1 without memory. */
int options_init(struct options *p, struct xfer_opts *o, struct budget *budget, bool daemon);
void options_free(struct options *p);

/* `refuse options` of a module (06 §3.9): call once after options_init. have_charset: iconv may be used.
   A name that matches nothing is logged. */
void options_refuse(struct options *p, const char *list, bool have_charset);
/* --copy-devices and --write-devices, whatever the list says: the module does not open devices. */
void options_refuse_devices(struct options *p);

/* Whether the list refuses the option of that name. */
bool options_refuses(const struct options *p, const char *name);

/* What goes in front of the error text. */
static inline const char *options_prefix(const struct options *p) { return p->bare_error ? "" : "rsync: "; }

/* Parses words (argv[0] not among them). Daemon words of the first batch are unescaped here. May be called
   again for the second batch of -s. 0, or -1 with exit_code and error. */
int options_parse(struct options *p, const char *const *words, int count, bool first_batch);

/* Checks over the whole set (05 §8 end), consequences (06 §3.9), derived values. As options_parse. */
int options_finish(struct options *p);

/*
 * Daemon: makes the paths in option values mean places inside the module (06 §12.3, when sanitize is set) and
 * refuses those that the module's rules hide (04 §12.4). After options_finish. As options_parse.
 */
struct filter_list;
int options_confine_paths(struct options *p, const struct filter_list *hidden, bool sanitize);

/* Checks that need the negotiated version (01 §7.1): 0, or -1 with RX_PROTOCOL. */
int options_check_version(struct options *p, int version);

/* Lowers the message levels to those of `max verbosity` (06 §3.13). */
void options_cap_verbosity(struct xfer_opts *o, int cap);

/* Value syntax of sizes (05 §9.1): bytes, or -1 invalid, -2 too large, -3 too small. def_unit is a unit letter. */
int64_t options_size(const char *text, char def_unit, int64_t min, int64_t max);

#endif
