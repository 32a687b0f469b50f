/* bench_delta.c - throughput of the delta room's inner loops, in one process, over memory: MB per CPU second. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "delta/rolling.h"
#include "delta/search.h"
#include "protocol/wire.h"

#define SIZE ((size_t)256 << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void show(const char *name, double since, size_t bytes)
{
	printf("%-34s %8.0f MB/s\n", name, (double)bytes / (now() - since) / 1e6);
	fflush(stdout);
}

/* A writer that forgets, but copies small pieces as a connection does. */
static uint8_t sink[256 << 10];

static int forget(struct wr *w, size_t need)
{
	(void)need;
	w->p = sink;
	w->end = sink + sizeof sink;
	return 0;
}

static int forget_big(struct wr *w, const void *data, size_t len)
{
	(void)w, (void)data, (void)len;
	return 0;
}

static int memory_file(const uint8_t *data, size_t len)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);

	for (size_t off = 0; fd >= 0 && off < len;) {
		ssize_t n = write(fd, data + off, len - off);

		if (n <= 0)
			exit(1);
		off += (size_t)n;
	}
	return fd;
}

static void digests(const uint8_t *data)
{
	static const enum csum kinds[] = { CSUM_XXH128, CSUM_XXH3, CSUM_XXH64, CSUM_MD5, CSUM_MD4, CSUM_SHA1 };
	uint8_t out[CSUM_MAX_LEN];

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct csum_ctx *c = csum_ctx_new(kinds[k], 12345, false);
		size_t n = k < 3 ? SIZE : SIZE / 4;
		char name[64];
		double t = now();

		csum_start(c);
		for (size_t off = 0; off < n; off += 256 << 10)
			csum_update(c, data + off, 256 << 10);
		csum_final(c, out);
		snprintf(name, sizeof name, "%s file", csum_name(kinds[k]));
		show(name, t, n);
		t = now();
		for (size_t off = 0; off + 700 <= n; off += 700)
			csum_block(c, data + off, 700, out);
		snprintf(name, sizeof name, "%s 700-byte blocks", csum_name(kinds[k]));
		show(name, t, n);
		csum_ctx_free(c);
	}
}

static void weak(const uint8_t *data)
{
	for (unsigned i = 0; i < ARRAY_SIZE(weak_impls); i++) {
		volatile uint32_t keep = 0;
		double t = now();
		char name[64];

		if (!weak_impl_usable(i))
			continue;
		for (size_t off = 0; off + 700 <= SIZE; off += 700)
			keep = keep ^ weak_impls[i].fn(data + off, 700);
		snprintf(name, sizeof name, "weak sum %s", weak_impls[i].name);
		show(name, t, SIZE);
	}
}

static void one_search(const char *name, struct search *s, const struct sums *sums, const uint8_t *src, struct err *e)
{
	struct token_out *to = token_out_new(COMP_NONE, 0, 0, 32, NULL, e);
	struct wr w = { .drain = forget, .big = forget_big, .err = e };
	int fd = memory_file(src, SIZE);
	struct search_job job = { .fd = fd, .size = SIZE, .sums = sums };
	struct search_result res;
	double t = now();

	token_out_begin(to, &w);
	if (search_send(s, &job, to, &res, e) < 0)
		exit(1);
	show(name, t, SIZE);
	printf("    literal %llu matched %llu candidates %llu hashed %llu\n", (unsigned long long)res.literal,
		(unsigned long long)res.matched, (unsigned long long)res.candidates, (unsigned long long)res.hashed);
	token_out_free(to);
	close(fd);
}

static void searches(uint8_t *data)
{
	struct err e = { 0 };
	struct csum_ctx *c = csum_ctx_new(CSUM_XXH128, 12345, false);
	struct search *s = search_new(NULL, c);
	struct sum_writer *sw = sum_writer_new(NULL, c);
	struct wr_mem m;
	struct sum_head h;
	struct sums sums;
	struct rd r;
	int io_errno, fd = memory_file(data, SIZE);
	double t = now();

	wr_mem_init(&m, NULL, &e);
	sum_head_choose(&h, SIZE, 32, 16, false, 0);
	if (sum_writer_send(sw, &m.w, &h, fd, NULL, NULL, &io_errno, &e) < 0)
		exit(1);
	show("signature", t, SIZE);
	close(fd);
	sums_init(&sums, NULL);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &e);
	if (sum_head_read(&r, &h, 32, 16, &e) < 0 || sums_read(&sums, &r, &h, CSUM_XXH128, true, SUM_TABLE_LIMIT, &e) < 0)
		exit(1);
	one_search("whole file", s, NULL, data, &e);
	one_search("search, identical", s, &sums, data, &e);
	for (size_t i = 0; i < SIZE; i += SIZE / 500)
		data[i + 777] ^= 1;
	one_search("search, 500 edits", s, &sums, data, &e);
	for (size_t i = 0; i < SIZE; i += 8)
		data[i] ^= 0x5a;
	one_search("search, nothing matches", s, &sums, data, &e);
	memset(data, 0, SIZE);
	one_search("search, zeros against random", s, &sums, data, &e);
	wr_mem_free(&m);
	sums_free(&sums);
	sum_writer_free(sw);
	search_free(s);
	csum_ctx_free(c);
}

int main(void)
{
	struct err e = { 0 };
	uint8_t *data = malloc(SIZE);
	uint64_t x = 88172645463325252u;

	if (!data || csum_global_init(&e) < 0)
		return 1;
	for (size_t i = 0; i < SIZE; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		put_le64(data + i, x);
	}
	digests(data);
	weak(data);
	searches(data);
	free(data);
	return 0;
}
