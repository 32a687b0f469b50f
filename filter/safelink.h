/*
 * safelink.h - the "unsafe symlink" test (spec 08 §6.2), on text alone.
 */
#ifndef FILTER_SAFELINK_H
#define FILTER_SAFELINK_H

#include "base/util.h"

/* True if a link called name (path relative to the transfer root) with this target may lead outside
   the transferred tree: an absolute or empty target, ".." beyond the first components or climbing
   above the root. A leading "/./"-style -R prefix is the caller's to remove. */
bool symlink_is_unsafe(const char *target, const char *name);

#endif
