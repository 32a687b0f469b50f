/* gate.c - the handshake up to the hand-off. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/gate.h"
#include "daemon/messages.h"
#include "protocol/conn.h"

static int send_all(struct gate *g, const char *data, size_t len)
{
	while (len) {
		ssize_t n = g->is_socket ? send(g->out_fd, data, len, MSG_NOSIGNAL) : write(g->out_fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_text(struct gate *g, const char *text)
{
	return send_all(g, text, strlen(text));
}

static ssize_t receive(struct gate *g, void *data, size_t len, int flags)
{
	ssize_t n;

	do
		n = g->is_socket ? recv(g->in_fd, data, len, flags) : read(g->in_fd, data, len);
	while (n < 0 && errno == EINTR);
	return n;
}

static int receive_all(struct gate *g, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = receive(g, p, len, 0);

		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A line of at most max bytes. A socket is looked at before it is read; a pipe is read byte by byte. */
static enum gate_end read_line(struct gate *g, char *text, size_t max)
{
	struct hs_line line = { .text = text, .max = max };
	char data[1024];

	for (;;) {
		ssize_t n;

		if (g->is_socket)
			conn_ack_now(g->in_fd);
		n = receive(g, data, g->is_socket ? sizeof data : 1, MSG_PEEK);
		enum hs_feed f;
		size_t used;

		if (n <= 0)
			return GATE_END_PEER;
		f = hs_line_feed(&line, data, (size_t)n, &used);
		if (f == HS_BAD)
			return GATE_END_LINE;
		if (g->is_socket && receive_all(g, data, used) < 0)
			return GATE_END_PEER;
		if (f == HS_DONE)
			return GATE_END_OK;
	}
}

static enum gate_end read_proxy(struct gate *g)
{
	struct gate_proxy m = { 0 };
	uint8_t head[PROXY_MAX];
	size_t len = 0;

	for (;;) {
		int need = proxy_need(head, len);

		if (need < 0)
			return GATE_END_PROXY;
		if (!need)
			break;
		if (receive_all(g, head + len, (size_t)need) < 0)
			return GATE_END_PEER;
		len += (size_t)need;
	}
	if (!proxy_parse(head, len, &m.from))
		return GATE_END_PROXY;
	return chan_send(&g->chan, GATE_PROXY, &m, sizeof m) < 0 ? GATE_END_BROKEN : GATE_END_OK;
}

/* Sends BEFORE LINE AFTER; returns end. */
static enum gate_end refuse(struct gate *g, enum gate_end end, const char *before, const char *line, const char *after)
{
	char text[1400];

	snprintf(text, sizeof text, "@ERROR: %s%s%s\n", before, line, after);
	send_text(g, text);
	return end;
}

static enum gate_end read_greeting(struct gate *g, struct hs_greeting *peer)
{
	char line[HS_LINE_MAX + 1];
	enum gate_end end = read_line(g, line, HS_LINE_MAX);

	if (end != GATE_END_OK)
		return end;
	switch (hs_parse_greeting(line, peer)) {
	case HS_OK:
		return GATE_END_OK;
	case HS_STARTUP_ERROR:
		return refuse(g, GATE_END_GREETING, "protocol startup error", "", "");
	case HS_NO_SUBPROTOCOL:
		return refuse(g, GATE_END_GREETING, "your client omitted the subprotocol value: ", line, "");
	case HS_NO_DIGESTS:
		return refuse(g, GATE_END_GREETING, "your client omitted the digest name list: ", line, "");
	case HS_TOO_MANY_DIGESTS:
		break;
	}
	return GATE_END_GREETING;
}

static enum gate_end send_listing(struct gate *g, int protocol)
{
	struct gate_list m = { 0 };

	if (chan_send(&g->chan, GATE_LIST, &m, sizeof m) < 0)
		return GATE_END_BROKEN;
	if (send_all(g, g->listing, g->listing_len) < 0)
		return GATE_END_PEER;
	return protocol >= 25 && send_text(g, "@RSYNCD: EXIT\n") < 0 ? GATE_END_PEER : GATE_END_OK;
}

/* Asks the monitor and does what it says; *again: an answer to a challenge is due. */
static enum gate_end ask(struct gate *g, uint16_t type, void *msg, size_t size, bool *again)
{
	struct gate_verdict v;

	*again = false;
	if (chan_call(&g->chan, type, msg, size, GATE_VERDICT, &v, sizeof v, -1) < 0)
		return GATE_END_BROKEN;
	v.text[sizeof v.text - 1] = '\0';
	if (v.action == GATE_HAND_OFF)
		return GATE_END_OK;
	*again = v.action == GATE_CHALLENGE;
	return send_text(g, v.text) < 0 ? GATE_END_PEER : GATE_END_OK;
}

static enum gate_end answer_challenge(struct gate *g)
{
	static char line[HS_AUTH_LINE_MAX + 1];
	struct gate_answer m = { 0 };
	enum gate_end end = read_line(g, line, HS_AUTH_LINE_MAX);
	const char *response;
	size_t n;
	bool again;

	if (end == GATE_END_PEER || end == GATE_END_LINE || !hs_split_answer(line, &n, &response)) {
		m.malformed = 1;
	} else {
		memcpy(m.user, line, MIN(n, sizeof m.user - 1));
		/* One byte more than any response has is enough to make it wrong. */
		snprintf(m.response, sizeof m.response, "%s", response);
	}
	end = ask(g, GATE_ANSWER, &m, sizeof m, &again);
	explicit_bzero(line, sizeof line);
	return end;
}

static enum gate_end requests(struct gate *g, const struct hs_greeting *peer)
{
	static struct gate_select m;
	char line[HS_LINE_MAX + 1];
	enum gate_end end;
	bool again;

	m.protocol = hs_negotiate(g->protocol, peer);
	m.digest = hs_choose_digest(peer, m.protocol);
	for (;;) {
		end = read_line(g, line, HS_LINE_MAX);
		if (end != GATE_END_OK)
			return end;
		switch (hs_parse_request(line, m.early_len != 0, &m.early_len)) {
		case HS_REQ_EARLY:
			if (receive_all(g, m.early, m.early_len) < 0)
				return GATE_END_PEER;
			continue;
		case HS_REQ_BAD_EARLY:
			return refuse(g, GATE_END_COMMAND, "invalid early_input length", "", "");
		case HS_REQ_UNKNOWN_COMMAND:
			return refuse(g, GATE_END_COMMAND, "Unknown command '", line, "'");
		case HS_REQ_LIST:
			return send_listing(g, m.protocol);
		case HS_REQ_MODULE:
			break;
		}
		break;
	}
	snprintf(m.module, sizeof m.module, "%s", line);
	end = ask(g, GATE_SELECT, &m, sizeof m, &again);
	return end == GATE_END_OK && again ? answer_challenge(g) : end;
}

enum gate_end gate_run(struct gate *g)
{
	struct hs_greeting peer;
	enum gate_end end;

	if (g->proxy) {
		end = read_proxy(g);
		if (end != GATE_END_OK)
			return end;
	}
	if (g->wait) {
		struct gate_go go;

		if (chan_recv(&g->chan, GATE_GO, &go, sizeof go, -1) < 0)
			return GATE_END_BROKEN;
	}
	if (send_all(g, g->hello, g->hello_len) < 0)
		return GATE_END_PEER;
	end = read_greeting(g, &peer);
	return end == GATE_END_OK ? requests(g, &peer) : end;
}
