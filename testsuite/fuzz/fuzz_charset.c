/* Names from a peer through the converters: bounds, no NUL, and a way back for what was converted. */
#include "config.h"
#include <assert.h>

#include "base/charset.h"

static const char *const names[] = { "ISO-8859-1", "CP437", "UTF-8", "ISO-2022-JP", "UTF-7", "GB18030", "SHIFT_JIS", "UTF-16LE" };
static struct charset *sets[ARRAY_SIZE(names)];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char out[260], back[1100];
	struct charset *c;
	size_t size, n;
	int k;

	if (len < 2)
		return 0;
	size = data[1];
	if (!sets[data[0] % ARRAY_SIZE(names)] && charset_open(&sets[data[0] % ARRAY_SIZE(names)], names[data[0] % ARRAY_SIZE(names)]) < 0)
		return 0;
	c = sets[data[0] % ARRAY_SIZE(names)];
	for (int way = 0; way < 2; way++) {
		enum charset_way w = (enum charset_way)way, other = (enum charset_way)!way;

		memset(out, 0x55, sizeof out);
		k = charset_name(c, w, (const char *)data + 2, len - 2, out, size);
		assert(out[size + 1] == 0x55);
		if (k >= 0) {
			assert((size_t)k <= size && strlen(out) == (size_t)k);
			(void)charset_name(c, other, out, (size_t)k, back, sizeof back - 1);
		}
		memset(out, 0x55, sizeof out);
		n = charset_text(c, w, (const char *)data + 2, len - 2, out, size);
		assert(n <= size && strlen(out) == n && out[size + 1] == 0x55);
	}
	return 0;
}
