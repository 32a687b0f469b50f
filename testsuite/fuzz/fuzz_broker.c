/* fuzz_broker.c - the form of broker requests: what is accepted holds what the operations rely on. */
#include "config.h"

#include "sandbox/broker_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_a_leaf(const char *leaf, size_t len)
{
	if (!len || len >= BROKER_LEAF || strlen(leaf) != len || strchr(leaf, '/') || !strcmp(leaf, ".") || !strcmp(leaf, ".."))
		abort();
}

static void must_be_a_parent(const char *parent, size_t len)
{
	if (strlen(parent) != len || parent[0] == '/' || strstr(parent, "//") || strstr(parent, "/../") || !strncmp(parent, "../", 3))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as what came in, so that reading past the end shows. */
	struct broker_request *r = malloc(size ? size : 1);
	const char *why;

	if (!r)
		return 0;
	memcpy(r, data, size);
	if (broker_check_form(r, size, &why) == 0) {
		must_be_a_leaf(r->from.leaf, r->leaf_len);
		must_be_a_parent(r->from.parent, r->parent_len);
		if (size == BROKER_LONG) {
			must_be_a_leaf(r->to.leaf, r->leaf2_len);
			must_be_a_parent(r->to.parent, r->parent2_len);
		} else if (r->op != BROKER_OPEN && r->mode != S_IFCHR && r->mode != S_IFBLK) {
			abort();
		}
	}
	free(r);
	return 0;
}
