/* fuzz_devices.c - the `device nodes` parameter: what parses never covers char 0:0 by accident. */
#include "config.h"

#include "sandbox/broker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), why[80];
	struct device_policy p;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (device_policy_parse(text, &p, why, sizeof why) < 0) {
		if (!device_policy_none(&p) || !memchr(why, 0, sizeof why))
			abort();
	} else {
		if (p.n > DEVICE_RULES_MAX)
			abort();
		for (unsigned i = 0; i < p.n; i++)
			if (p.rule[i].major > DEVICE_MAJOR_MAX || p.rule[i].minor_hi > DEVICE_MINOR_MAX || p.rule[i].minor_lo > p.rule[i].minor_hi)
				abort();
		if (device_policy_check(&p, S_IFCHR, 0, 0) >= 0 && !strstr(text, "0"))
			abort();
	}
	free(text);
	return 0;
}
