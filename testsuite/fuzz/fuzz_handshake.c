/* fuzz_handshake.c - the daemon's handshake lines and the PROXY header. */
#include "config.h"

#include "daemon/handshake.h"
#include "daemon/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[HS_AUTH_LINE_MAX + 1], greeting[512];
	struct hs_line line = { .text = text, .max = size && data[0] & 1 ? HS_LINE_MAX : HS_AUTH_LINE_MAX };
	struct proxy_addr addr;
	size_t used, user_len;
	unsigned early;

	if (proxy_need(data, size) >= 0)
		proxy_parse(data, size, &addr);
	while (size) {
		enum hs_feed f = hs_line_feed(&line, (const char *)data, size, &used);
		struct hs_greeting g;
		const char *response;

		if (f != HS_DONE)
			break;
		if (hs_parse_greeting(text, &g) == HS_OK) {
			hs_choose_digest(&g, hs_negotiate(HS_PROTOCOL, &g));
			hs_greeting_line(greeting, sizeof greeting, g.version);
		}
		hs_parse_request(text, false, &early);
		if (hs_split_answer(text, &user_len, &response) && user_len >= strlen(text))
			abort();
		data += used;
		size -= used;
		line.len = 0;
	}
	return 0;
}
