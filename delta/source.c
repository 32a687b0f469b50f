/*
 * source.c - filling a buffer from an open file.
 */
#include "config.h"
#include "delta/source.h"

#include <errno.h>

size_t source_read(int fd, void *buf, size_t len, uint64_t off, int *io_errno)
{
	uint8_t *p = buf;
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, p + got, len - got, (off_t)(off + got));

		if (n > 0) {
			got += (size_t)n;
		} else if (n == 0) {
			*io_errno = EIO;
			break;
		} else if (errno != EINTR) {
			*io_errno = errno;
			break;
		}
	}
	return got;
}
