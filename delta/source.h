/*
 * source.h - filling a buffer from an open file (inside this room).
 */
#ifndef DELTA_SOURCE_H
#define DELTA_SOURCE_H

#include "base/util.h"

/* Reads len bytes at off, in as many calls as it takes. Returns the number read; less than len means
   *io_errno is set: the failure, or EIO at the end of the file. */
size_t source_read(int fd, void *buf, size_t len, uint64_t off, int *io_errno);

#endif
