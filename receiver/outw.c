/*
 * outw.c - gathered, sparse writing.
 */
#include "config.h"
#include "receiver/outw.h"

#include <errno.h>

#include "sandbox/fs.h"

/* Inner runs of zeros from this length on become holes. */
#define HOLE_MIN 1024

static int write_at(int fd, const uint8_t *p, size_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -ENOSPC;
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

static size_t zeros_at(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n + 8 <= len) {
		uint64_t v;

		memcpy(&v, p + n, 8);
		if (v)
			break;
		n += 8;
	}
	while (n < len && !p[n])
		n++;
	return n;
}

static int make_hole(struct outw *w, uint64_t off, size_t len)
{
	static const uint8_t zero[4096];
	int rc;

	w->hole_at_end = true;
	if (!w->punch)
		return 0;
	rc = sbf_punch(w->fd, (int64_t)off, (int64_t)len);
	if (rc != -EOPNOTSUPP && rc != -ENOSYS && rc != -EINVAL)
		return rc;
	for (rc = 0; len && rc == 0; ) {
		size_t n = MIN(len, sizeof zero);

		rc = write_at(w->fd, zero, n, off);
		off += n;
		len -= n;
	}
	return rc;
}

/* Writes a piece that ends up at off; its leading and trailing zeros, and long runs inside, become holes. */
static int write_sparse(struct outw *w, const uint8_t *p, size_t len, uint64_t off)
{
	size_t done = 0, i = 0;
	int rc;

	while (i < len) {
		size_t z;

		if (p[i]) {
			i++;
			continue;
		}
		z = zeros_at(p + i, len - i);
		if (z >= HOLE_MIN || i == 0 || i + z == len) {
			rc = write_at(w->fd, p + done, i - done, off + done);
			if (rc == 0)
				rc = make_hole(w, off + i, z);
			if (rc < 0)
				return rc;
			done = i + z;
		}
		i += z;
	}
	return write_at(w->fd, p + done, len - done, off + done);
}

static int put(struct outw *w, const uint8_t *p, size_t len, uint64_t off)
{
	return w->sparse ? write_sparse(w, p, len, off) : write_at(w->fd, p, len, off);
}

int outw_flush(struct outw *w)
{
	int rc = 0;

	if (w->fill)
		rc = put(w, w->buf, w->fill, w->pos - w->fill);
	w->fill = 0;
	return rc;
}

int outw_write(struct outw *w, const void *data, size_t len)
{
	int rc;

	if (w->fill + len > OUTW_GATHER || len >= OUTW_GATHER / 4) {
		rc = outw_flush(w);
		if (rc == 0 && len >= OUTW_GATHER / 4) {
			rc = put(w, data, len, w->pos);
			w->pos += len;
			return rc;
		}
		if (rc < 0)
			return rc;
	}
	memcpy(w->buf + w->fill, data, len);
	w->fill += len;
	w->pos += len;
	return 0;
}

int outw_skip(struct outw *w, uint64_t len)
{
	int rc = outw_flush(w);

	w->pos += len;
	return rc;
}
