/*
 * xfer.c - what both roles do alike: frames that any role may receive.
 */
#include "config.h"
#include "transfer/xfer.h"

#include "base/say.h"
#include "base/text.h"

/* Text from a client goes to our log only: echoing it back would let a peer talk to itself through us (spec 01 §9.5). */
static void log_peer_text(const uint8_t *data, size_t len)
{
	_cleanup_buf_ struct buf b = BUF_INIT(NULL);

	while (len && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	text_escape(&b, (const char *)data, len);
	say(SAY_LOG, "peer says: %s", buf_str(&b));
}

int xfer_common_msg(struct xfer *x, unsigned code, const uint8_t *data, size_t len)
{
	struct conn *c = x->conn;
	int32_t v;

	switch (code) {
	case MSG_ERROR_XFER:
	case MSG_INFO:
	case MSG_ERROR:
	case MSG_WARNING:
		log_peer_text(data, len);
		return 1;
	case MSG_NOOP:
		return 1;
	case MSG_ERROR_EXIT:
		v = len == 4 ? (int32_t)get_le32(data) : 0;
		/* A zero or empty code out of the blue is a peer that gave up without a reason. */
		x->peer_exited = len == 4;
		c->in.err->quiet = true;
		return rd_fail(&c->in, v ? v : RX_STREAMIO, "%s", "");
	default:
		return 0;
	}
}

int xfer_bad_msg(struct xfer *x, unsigned code, size_t len)
{
	return rd_fail(&x->conn->in, RX_STREAMIO, "invalid multi-message %u:%zu [%s]", code, len, say_role());
}
