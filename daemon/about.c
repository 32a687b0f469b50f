/*
 * about.c - the version in words and as JSON (spec 07: the layout that scripts read to learn what a peer can do),
 * and the help text. One table of capabilities serves both.
 */
#include "config.h"

#include <stdio.h>
#include <sys/types.h>

#include "daemon/about.h"
#include "daemon/handshake.h"

struct capability {
	const char *json;
	const char *words;      /* NULL: the JSON name */
	int value;              /* bits where unit is set, else 0 or 1 */
	bool unit;
};

static const struct capability capabilities[] = {
	{ "file_bits", "files", sizeof(off_t) * 8, true },
	{ "inum_bits", "inums", sizeof(ino_t) * 8, true },
	{ "timestamp_bits", "timestamps", sizeof(time_t) * 8, true },
	{ "long_int_bits", "long ints", sizeof(int64_t) * 8, true },
	{ "socketpairs", NULL, 1, false },
	{ "symlinks", NULL, 1, false },
	{ "symtimes", NULL, 1, false },
	{ "hardlinks", NULL, 1, false },
	{ "hardlink_specials", "hardlink-specials", 1, false },
	{ "hardlink_symlinks", "hardlink-symlinks", 1, false },
	{ "IPv6", NULL, 1, false },
	{ "atimes", NULL, 1, false },
	{ "batchfiles", NULL, 0, false },
	{ "inplace", NULL, 1, false },
	{ "append", NULL, 1, false },
	{ "ACLs", NULL, 1, false },
	{ "ACL_at", "ACL-at", 1, false },
	{ "xattrs", NULL, 1, false },
	{ "secluded_args", "secluded-args", 2, false },
	{ "iconv", NULL, 1, false },
	{ "prealloc", NULL, 1, false },
	{ "stop_at", "stop-at", 1, false },
	{ "crtimes", NULL, 0, false },
};

static const struct capability optimizations[] = {
	{ "SIMD_roll", "SIMD-roll", 1, false },
	{ "asm_roll", "asm-roll", 0, false },
	{ "openssl_crypto", "openssl-crypto", 1, false },
	{ "asm_MD5", "asm-MD5", 0, false },
};

static const char *const checksums[] = { "xxh128", "xxh3", "xxh64", "md5", "md4", "sha1", "none", NULL };
static const char *const compressors[] = { "zstd", "lz4", "zlibx", "zlib", "none", NULL };
static const char *const digests[] = { "sha512", "sha256", "sha1", "md5", "md4", NULL };

#define LINE 75

static void words(const char *title, const struct capability *c, size_t n)
{
	size_t at = 4;

	printf("%s:\n    ", title);
	for (size_t i = 0; i < n; i++) {
		const char *name = c[i].words ? c[i].words : c[i].json;
		char text[64];
		int len = c[i].unit ? snprintf(text, sizeof text, "%d-bit %s", c[i].value, name) :
			snprintf(text, sizeof text, "%s%s", c[i].value == 0 ? "no " : c[i].value == 2 ? "optional " : "", name);

		if (i && at + (size_t)len + 2 > LINE) {
			fputs(",\n    ", stdout);
			at = 4;
		} else if (i) {
			fputs(", ", stdout);
			at += 2;
		}
		fputs(text, stdout);
		at += (size_t)len;
	}
	putchar('\n');
}

static void list(const char *title, const char *const *v)
{
	printf("%s:\n   ", title);
	for (; *v; v++)
		printf(" %s%s", *v, !strcmp(*v, "xxh64") ? " (xxhash)" : "");
	putchar('\n');
}

static void print_version(void)
{
	printf("kedge  version " PACKAGE_VERSION "  protocol version %d\n"
	       "An rsync-compatible transfer daemon and server that is built to be exposed.\n", HS_PROTOCOL);
	words("Capabilities", capabilities, ARRAY_SIZE(capabilities));
	words("Optimizations", optimizations, ARRAY_SIZE(optimizations));
	list("Checksum list", checksums);
	list("Compress list", compressors);
	list("Daemon auth list", digests);
	puts("\nkedge comes with ABSOLUTELY NO WARRANTY; see the ISC licence in the file LICENSE.");
}

static void json_words(const char *title, const struct capability *c, size_t n)
{
	printf("  \"%s\": {", title);
	for (size_t i = 0; i < n; i++) {
		printf("%s\n    \"%s\": ", i ? "," : "", c[i].json);
		if (c[i].unit)
			printf("%d", c[i].value);
		else
			fputs(c[i].value == 0 ? "false" : c[i].value == 2 ? "\"optional\"" : "true", stdout);
	}
	puts("\n  },");
}

static void json_list(const char *title, const char *const *v)
{
	printf("  \"%s\": [\n    ", title);
	for (size_t i = 0; v[i]; i++)
		printf("%s\"%s\"", i ? ", " : "", v[i]);
	puts("\n  ],");
}

static void print_json(void)
{
	printf("{\n  \"program\": \"kedge\",\n  \"version\": \"" PACKAGE_VERSION "\",\n  \"protocol\": \"%d.0\",\n", HS_PROTOCOL);
	json_words("capabilities", capabilities, ARRAY_SIZE(capabilities));
	json_words("optimizations", optimizations, ARRAY_SIZE(optimizations));
	json_list("checksum_list", checksums);
	json_list("compress_list", compressors);
	json_list("daemon_auth_list", digests);
	puts("  \"license\": \"ISC\",\n  \"caveat\": \"kedge comes with ABSOLUTELY NO WARRANTY\"\n}");
}

static void print_help(void)
{
	fputs("kedge  version " PACKAGE_VERSION "\n\n"
	      "Usage: kedge --daemon [OPTION]...     serve modules (kedge --daemon --help tells more)\n"
	      "  or   kedge --server OPTION... . PATH...\n"
	      "                                     the remote end of a remote shell (started by a client)\n"
	      "  or   kedge --restrict [OPTION]... DIR\n"
	      "                                     the same for a restricted ssh key (kedge --restrict -help)\n"
	      "  or   kedge --version               what this build can do; -VV says it as JSON\n", stdout);
}

/* How many times the version is asked for by this word: -V, -VV, --version; 0 if it is another word. */
static int version_words(const char *arg)
{
	int n = 0;

	if (!strcmp(arg, "--version"))
		return 1;
	if (*arg++ != '-')
		return 0;
	for (; *arg == 'V'; arg++)
		n++;
	return *arg ? 0 : n;
}

bool about_answer(int argc, char **argv)
{
	int asked = 0;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		print_help();
		return true;
	}
	for (int i = 1; i < argc; i++) {
		int n = version_words(argv[i]);

		if (!n)
			break;
		asked = MIN(asked + n, 2);
	}
	if (asked == 1)
		print_version();
	else if (asked)
		print_json();
	return asked > 0;
}
