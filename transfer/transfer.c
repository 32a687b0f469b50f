/*
 * transfer.c - names of the info words.
 */
#include "config.h"
#include "protocol/flist.h"

typedef int transfer_room;
