/*
 * ids.h - names and ids straight from this system's databases, for sessions that are
 * not confined.
 */
#ifndef SESSION_IDS_H
#define SESSION_IDS_H

#include "transfer/xfer.h"

extern const struct id_service ids_of_system;

#endif
