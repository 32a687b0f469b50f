/*
 * forward.h - sends the names of a --files-from file of this side to the sender, while the file list
 * is already being read (spec 02 §12, 01 §8.3).
 */
#ifndef RECEIVER_FORWARD_H
#define RECEIVER_FORWARD_H

#include <pthread.h>

#include "receiver/rx.h"

struct forward {
	struct rx *rx;
	pthread_t thread;
	int fd;
	bool running;
	struct err err;
	char name[PATH_LIMIT];         /* --iconv: the name at hand */
	size_t name_len;
};

/* Starts the thread that owns conn->out until forward_join. Does nothing without such a file. -1 with err filled. */
int forward_start(struct forward *f, struct rx *rx, struct err *err) NODISCARD;

/* stop: the list will not come; ends it early. -1 with err filled if sending failed. */
int forward_join(struct forward *f, bool stop, struct err *err) NODISCARD;

#endif
