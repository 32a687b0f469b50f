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

static int fill_zeros(int fd, uint64_t off, uint64_t len)
{
	static const uint8_t zero[4096];
	int rc = 0;

	while (len && rc == 0) {
		size_t n = (size_t)MIN(len, (uint64_t)sizeof zero);

		rc = write_at(fd, zero, n, off);
		off += n;
		len -= n;
	}
	return rc;
}

/* The zeros that end at `end`, gathered from as many pieces as there were: one hole. */
static int make_hole(struct outw *w, uint64_t end)
{
	uint64_t len = w->hole;
	bool needed = w->hole_is_news || len >= HOLE_MIN;
	int rc;

	w->hole = 0;
	w->hole_is_news = false;
	if (!len || !w->punch || !needed)
		return 0;
	rc = sbf_punch(w->fd, (int64_t)(end - len), (int64_t)len);
	if (rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL)
		rc = fill_zeros(w->fd, end - len, len);
	return rc;
}

static int put_data(struct outw *w, const uint8_t *p, size_t len, uint64_t off, bool there)
{
	int rc = len ? make_hole(w, off) : 0;

	return rc < 0 || there ? rc : write_at(w->fd, p, len, off);
}

/* A piece that begins at off; its leading and trailing zeros, and long runs inside, become holes. */
static int put_sparse(struct outw *w, const uint8_t *p, size_t len, uint64_t off, bool there)
{
	size_t done = 0, i = 0;

	while (i < len) {
		size_t z;

		if (p[i]) {
			i++;
			continue;
		}
		z = zeros_at(p + i, len - i);
		if (z >= HOLE_MIN || i == 0 || i + z == len) {
			int rc = put_data(w, p + done, i - done, off + done, there);

			if (rc < 0)
				return rc;
			w->hole += z;
			w->hole_is_news |= !there;
			done = i + z;
		}
		i += z;
	}
	return put_data(w, p + done, len - done, off + done, there);
}

/* there: the file has these bytes at this place already. */
static int put(struct outw *w, const uint8_t *p, size_t len, uint64_t off, bool there)
{
	if (w->sparse)
		return put_sparse(w, p, len, off, there);
	return there ? 0 : write_at(w->fd, p, len, off);
}

static int flush(struct outw *w)
{
	int rc = 0;

	if (w->fill)
		rc = put(w, w->buf, w->fill, w->pos - w->fill, false);
	w->fill = 0;
	return rc;
}

int outw_write(struct outw *w, const void *data, size_t len)
{
	int rc;

	if (w->fill + len > OUTW_GATHER || len >= OUTW_GATHER / 4) {
		rc = flush(w);
		if (rc == 0 && len >= OUTW_GATHER / 4) {
			rc = put(w, data, len, w->pos, false);
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

int outw_keep(struct outw *w, const void *data, size_t len)
{
	int rc = flush(w);

	if (rc == 0)
		rc = put(w, data, len, w->pos, true);
	w->pos += len;
	return rc;
}

int outw_end(struct outw *w)
{
	int rc = flush(w);

	w->ends_in_hole = w->hole > 0;
	return rc < 0 ? rc : make_hole(w, w->pos);
}
