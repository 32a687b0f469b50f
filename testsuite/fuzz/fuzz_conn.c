/* fuzz_conn.c - the multiplexed input stream: frames, messages, numbers across frame borders. */
#include "config.h"

#include <sys/socket.h>

#include "base/say.h"
#include "protocol/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx, (void)kind, (void)text, (void)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct ndx_state ndx = NDX_STATE_INIT;
	struct conn c;
	char text[64];
	int fd[2];

	say_set_sink(quiet, NULL);
	if (size > 32768 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return 0;
	if (send(fd[1], data, size, 0) == (ssize_t)size && conn_init(&c, fd[0], fd[0], NULL, &e) == 0) {
		shutdown(fd[1], SHUT_WR);
		conn_mux_in(&c, true);
		for (int i = 0; i < 1000 && !c.in.failed; i++) {
			rd_varint(&c.in);
			rd_ndx(&c.in, &ndx, 31);
			rd_varlong(&c.in, 3);
			rd_vstring(&c.in, text, sizeof text);
			rd_skip(&c.in, rd_u8(&c.in));
		}
		conn_done(&c);
	}
	close(fd[0]);
	close(fd[1]);
	return 0;
}
