/* fuzz_chan.c - the judgement of internal requests: only the right size in the right state passes. */
#include "config.h"

#include "sandbox/chan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int handler(struct chan_server *srv, const void *msg, int fd)
{
	(void)srv, (void)msg, (void)fd;
	return 0;
}

static const struct chan_rule rules[] = {
	{ 1, "a", sizeof(struct chan_head), CHAN_STATE(0), 0, false, handler },
	{ 2, "b", 40, CHAN_STATE(0) | CHAN_STATE(1), 2, false, handler },
	{ 3, "c", 64, CHAN_STATE(1), 1, true, handler },
};

/* First byte: state (low bits), fd (bit 6), count (bit 7); the rest is the message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chan ch = CHAN_CLOSED;
	struct chan_server srv;
	const struct chan_rule *r;
	const char *why = NULL;
	void *msg;

	if (!size || chan_server_init(&srv, &ch, rules, ARRAY_SIZE(rules), NULL) < 0)
		return 0;
	srv.state = data[0] & 63;
	srv.count[1] = srv.count[2] = data[0] >> 7 ? 2 : 0;
	msg = malloc(size);
	if (msg) {
		memcpy(msg, data + 1, size - 1);
		r = chan_judge(&srv, msg, size - 1, (data[0] & 64) != 0, &why);
		if (r && (r->size != size - 1 || srv.state > 1 || !(r->states & CHAN_STATE(srv.state)) || r->takes_fd != ((data[0] & 64) != 0) ||
			  (r->max_count && data[0] >> 7)))
			abort();
		if (!r && !why)
			abort();
	}
	free(msg);
	chan_server_free(&srv);
	return 0;
}
