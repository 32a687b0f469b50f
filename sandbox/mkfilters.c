/*
 * mkfilters.c - runs while kedge is built: libseccomp turns the rules of seccomp_rules.c into one kernel program
 * per kind of filter, printed as C. Doing it here and not at start-up saves a remote-shell server more time than the
 * rest of its start takes, and the daemon's processes the memory that the compiler leaves behind.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/seccomp.h"

static int add_rule(scmp_filter_ctx ctx, const struct call_rule *r)
{
	struct scmp_arg_cmp cmp[ARRAY_SIZE(r->cmp)];
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(r->cmp); i++) {
		const struct call_cmp *c = &r->cmp[i];

		if (c->op == CMP_EQ)
			cmp[n++] = (struct scmp_arg_cmp){ .arg = c->arg, .op = SCMP_CMP_EQ, .datum_a = c->value };
		else if (c->op == CMP_MASKED)
			cmp[n++] = (struct scmp_arg_cmp){ .arg = c->arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = c->mask, .datum_b = c->value };
	}
	return seccomp_rule_add_array(ctx, r->err ? SCMP_ACT_ERRNO((uint32_t)r->err & 0xffffu) : SCMP_ACT_ALLOW, r->nr, n, cmp);
}

/* An unlinked file, since libseccomp 2.5 exports to descriptors only. */
static int print_program(scmp_filter_ctx ctx, unsigned kind)
{
	FILE *f = tmpfile();
	struct sock_filter i;
	int r = f ? seccomp_export_bpf(ctx, fileno(f)) : -errno;

	if (!r) {
		rewind(f);
		printf("static const struct sock_filter program_%u[] = {\n", kind);
		while (fread(&i, sizeof i, 1, f) == 1)
			printf("\t{ 0x%04x, %3u, %3u, 0x%08x },\n", i.code, i.jt, i.jf, i.k);
		printf("};\n_Static_assert(sizeof program_%u <= SECCOMP_PROGRAM_MAX * sizeof *program_%u, \"too long\");\n\n", kind, kind);
		r = ferror(f) ? -EIO : 0;
	}
	if (f)
		fclose(f);
	return r;
}

static int make(unsigned kind)
{
	scmp_filter_ctx ctx = seccomp_init(UNDER_SANITIZER ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	/* Another architecture's entry (and x32) kills: its numbers mean other calls. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!r)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !r && i < seccomp_nrules; i++)
		if (seccomp_rules[i].kinds & (1u << kind))
			r = add_rule(ctx, &seccomp_rules[i]);
	if (!r)
		r = print_program(ctx, kind);
	seccomp_release(ctx);
	return r;
}

int main(void)
{
	printf("/* Made by sandbox/mkfilters from sandbox/seccomp_rules.c. */\n"
	       "#include \"config.h\"\n\n#include <linux/filter.h>\n\n#include \"sandbox/seccomp.h\"\n\n");
	for (unsigned k = 0; k < FILTER_KINDS; k++) {
		int r = make(k);

		if (r < 0) {
			fprintf(stderr, "mkfilters: filter %u: %s\n", k, strerror(-r));
			return 1;
		}
	}
	printf("const struct seccomp_program seccomp_programs[FILTER_KINDS] = {\n");
	for (unsigned k = 0; k < FILTER_KINDS; k++)
		printf("\t{ program_%u, ARRAY_SIZE(program_%u) },\n", k, k);
	printf("};\n");
	return fflush(stdout) || ferror(stdout);
}
